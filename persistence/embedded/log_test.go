package embedded

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServerLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := &serverLog{logger: slog.New(slog.NewTextHandler(&out, nil))}
	require.Equal(t, "none", log.tail())
	for _, part := range []string{"LOG:  quiet\nWARN", "ING:  loud\n", "\nPANIC:  end\n"} {
		n, err := log.Write([]byte(part))
		require.NoError(t, err)
		require.Equal(t, len(part), n)
	}
	require.NotContains(t, out.String(), "quiet")
	require.Contains(t, out.String(), `level=WARN msg=postgres line="WARNING:  loud"`)
	require.Contains(t, out.String(), `level=ERROR msg=postgres line="PANIC:  end"`)
	require.Equal(t, "LOG:  quiet | WARNING:  loud | PANIC:  end", log.tail())
}

func TestServerLogIsBounded(t *testing.T) {
	t.Parallel()
	log := &serverLog{logger: slog.New(slog.DiscardHandler)}
	for i := range 100 {
		_, err := fmt.Fprintf(log, "line %d\n", i)
		require.NoError(t, err)
	}
	require.True(t, strings.HasPrefix(log.tail(), "line 88 | "))
	for range 100 {
		_, err := log.Write(bytes.Repeat([]byte("x"), 1000))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(log.partial), lineBytes)
	require.LessOrEqual(t, len(log.tail()), tailLines*(lineBytes+3))
}
