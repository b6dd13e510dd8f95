package embedded

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALivingOwnerIsRespected(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	server := startServer(t, folder, nil)
	_, err := Start(t.Context(), testConfig(folder))
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "by process "+strconv.Itoa(server.cmd.Process.Pid))
	require.True(t, reachable(t.Context(), server.url), "the owner's server still runs")

	url, err := RunningURL(folder)
	require.NoError(t, err)
	require.Equal(t, server.url, url)

	require.NoError(t, server.input.Close())
	require.NoError(t, server.cmd.Wait())
	_, err = RunningURL(folder)
	require.ErrorContains(t, err, "none is running")
}

func TestAKilledParentLeavesNoOrphan(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	server := startServer(t, folder, nil)
	execute(t, server.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1), (2)")
	server.kill(t)
	if runtime.GOOS == "linux" { // elsewhere the next start ends it
		eventually(t, func() bool {
			pids, err := serverProcesses(filepath.Join(folder, "cluster", "data"), 0)
			return err == nil && len(pids) == 0
		}, "the kernel has it shut down")
	}
	server = startServer(t, folder, nil)
	execute(t, server.url, "INSERT INTO kept VALUES (3)")
	server.kill(t)

	next := begin(t, testConfig(folder)) // at once, while the old one shuts down
	require.Equal(t, 3, query[int](t, next.URL(), "SELECT count(*)::int FROM kept"))
	require.False(t, reachable(t.Context(), server.url))
}

// abandon runs a server on cfg's folder and gives the folder up: an orphan.
func abandon(t *testing.T, cfg Config) (url string, orphan *process) {
	t.Helper()
	postgres, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, postgres.Stop(t.Context()))
	folder, err := openFolder(cfg.DataDir)
	require.NoError(t, err)
	postgres.folder = folder
	orphan, err = postgres.open(t.Context(), 0)
	require.NoError(t, err)
	require.NoError(t, folder.close())
	t.Cleanup(orphan.end)
	return postgres.URL(), orphan
}

func TestAnOrphanIsTakenOver(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	url, orphan := abandon(t, cfg)
	execute(t, url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
	orphan.signal(syscall.SIGSTOP) // it can't end now
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, cfg)
	require.ErrorIs(t, err, context.Canceled, "the wait for its end is given up")
	orphan.signal(syscall.SIGCONT)
	<-orphan.exited
	require.NoError(t, orphan.err, "it was asked to end, not killed")

	_, orphan = abandon(t, cfg)
	next := begin(t, cfg)
	<-orphan.exited
	require.NoError(t, orphan.err, "it was asked to end, not killed")
	require.Equal(t, 7, query[int](t, next.URL(), "SELECT n FROM kept"))
}

func TestStalePidFiles(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	postgres, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, postgres.Stop(t.Context()))

	// Somebody of the user that PostgreSQL runs as has the number by now.
	folder, err := openFolder(cfg.DataDir)
	require.NoError(t, err)
	bystander := folder.command("/bin/sleep", "1000")
	require.NoError(t, bystander.Start())
	require.NoError(t, folder.close())
	defer func() {
		require.NoError(t, bystander.Process.Signal(syscall.Signal(0)), "it was left alone")
		require.NoError(t, bystander.Process.Kill())
		require.Error(t, bystander.Wait())
	}()
	for name, content := range map[string]string{
		"another's number": strconv.Itoa(bystander.Process.Pid) + "\n/elsewhere\n1700000000\n5432\n\n127.0.0.1\n",
		"nobody's number":  "2147483000\n/elsewhere\n1700000000\n5432\n\n127.0.0.1\n",
		"empty":            "",
	} {
		path := postmasterPath(filepath.Join(cfg.DataDir, "cluster", "data"))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600), name)
		require.NoError(t, os.Chown(path, int(folder.owner.uid), int(folder.owner.gid)))
		postgres, err := Start(t.Context(), cfg)
		require.NoError(t, err, name)
		require.NoError(t, postgres.Stop(t.Context()))
	}
}
