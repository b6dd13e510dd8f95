package embedded

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody is an ordinary user of every system.
const nobody = 65534

// TestAsAnOrdinaryUser runs the server as one, also where the tests run as root.
func TestAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(folderForAll(t), "data")
	require.NoError(t, os.Mkdir(folder, 0o700))
	var credential *syscall.Credential
	if os.Geteuid() == 0 {
		credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		require.NoError(t, os.Chown(folder, nobody, nobody))
	}
	for range 2 {
		server := startServer(t, folder, credential)
		require.True(t, reachable(t.Context(), server.url))
		require.NoError(t, server.input.Close())
		require.NoError(t, server.cmd.Wait())
	}
	if credential == nil {
		return
	}
	// Root takes over what an ordinary user has begun, and leaves it to that user.
	begin(t, testConfig(folder))
	info, err := os.Stat(filepath.Join(folder, "cluster", "data"))
	require.NoError(t, err)
	require.EqualValues(t, nobody, info.Sys().(*syscall.Stat_t).Uid)
}

// TestWhereOthersCannotGo: as root, PostgreSQL is another user, who can't get
// through a closed folder like /root.
func TestWhereOthersCannotGo(t *testing.T) {
	t.Parallel()
	for name, binDir := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := t.TempDir()
			require.NoError(t, os.Chmod(closed, 0o700))
			cfg := testConfig(filepath.Join(closed, "a folder", "postgres"))
			cfg.BinDir = binDir
			postgres := begin(t, cfg)
			execute(t, postgres.URL(), "CREATE TABLE kept (n int)", "CHECKPOINT", "SELECT pg_reload_conf()")
			require.NoError(t, postgres.Stop(t.Context()))
			again := begin(t, cfg)
			execute(t, again.URL(), "INSERT INTO kept VALUES (1)")
		})
	}
}

func TestAFolderOfSomebodyElse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "cluster"), 0o700))
	info, err := os.Stat(filepath.Join(folder, "cluster"))
	require.NoError(t, err)
	someone, err := chooseOwner(info, os.Geteuid())
	require.NoError(t, err)
	require.NotZero(t, someone.uid, "never root")

	_, err = chooseOwner(info, os.Geteuid()+1)
	require.ErrorContains(t, err, "belongs to user")
}
