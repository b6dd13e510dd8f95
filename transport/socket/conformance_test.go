package socket_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket"
)

// The conformance suite, with the unmodified socket.io-client, runs when
// CONFORMANCE_DIR names the folder where it is installed; make test sets it.
func TestConformance(t *testing.T) {
	dir := os.Getenv("CONFORMANCE_DIR")
	if dir == "" {
		t.Log("CONFORMANCE_DIR is not set: the suite of the real client is not run")
		return
	}
	b := start(t, func(c *socket.Config) {
		c.PingInterval, c.PingTimeout, c.ConnectTimeout = 4*time.Second, 3*time.Second, 6*time.Second
		c.Origins = []string{"http://app.example"}
	})
	b.tokens.add("good", principal(newOrganization()))
	suite := exec.CommandContext(t.Context(), "node", "run.mjs", "--ws")
	suite.Dir = dir
	suite.Env = append(os.Environ(), "BASE_URL="+b.url, "TOKEN=good", "BAD_TOKEN=bad", "CORS_ORIGIN=http://app.example",
		"STRICT_ORIGIN=1", "CONNECT_TIMEOUT_MS=6000")
	out, err := suite.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out[max(0, len(out)-400):])
}
