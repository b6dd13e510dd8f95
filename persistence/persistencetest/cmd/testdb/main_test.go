package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{
		`case "$TEST_DATABASE_URL" in postgres://*) exit 3;; esac`: 3,
		"kill -KILL $$": 137,
		// A signal to testdb reaches the command.
		`trap "exit 42" TERM; kill -TERM $PPID; while :; do sleep 0.05; done`: 42,
	} {
		code, err := run([]string{"sh", "-c", script})
		require.NoError(t, err, script)
		require.Equal(t, want, code, script)
	}
	code, err := run([]string{filepath.Join(t.TempDir(), "absent")})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, 1, code)
}
