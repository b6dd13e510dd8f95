package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// TestClientsThatDawdleAreCut: one that never ends its header, and one that
// never sends the body it has announced, hold nothing for long.
func TestClientsThatDawdleAreCut(t *testing.T) {
	t.Parallel()
	p := runProgram(t, persistencetest.New(t))
	for name, c := range map[string]struct {
		sent  string
		after time.Duration
		told  string
	}{
		"header": {"GET /api/auth/me HTTP/1.1\r\nHost: x\r\nX-", readHeaderTimeout, ""},
		"body": {
			"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
			10 * time.Second, "HTTP/1.1 408 ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, c.sent)
			require.NoError(t, err)
			begun := time.Now()
			require.NoError(t, conn.SetReadDeadline(begun.Add(c.after+20*time.Second)))
			answer, err := io.ReadAll(conn)
			require.NoError(t, err, "not cut in time")
			require.GreaterOrEqual(t, time.Since(begun), c.after-time.Second)
			require.True(t, strings.HasPrefix(string(answer), c.told), "%s", answer)
		})
	}
}
