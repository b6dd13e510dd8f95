package persistencetest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSweepRemovesWhatNobodyHolds(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	old := time.Now().Add(-time.Hour)
	folder := func(name string, age time.Time) *os.File {
		require.NoError(t, os.Mkdir(filepath.Join(parent, name), 0o700))
		lock, err := os.Create(filepath.Join(parent, name, "lock"))
		require.NoError(t, err)
		require.NoError(t, os.Chtimes(lock.Name(), age, age))
		t.Cleanup(func() { require.NoError(t, lock.Close()) })
		return lock
	}
	folder(prefix+"left", old)
	folder(prefix+"young", time.Now())
	folder("other", old)
	held := folder(prefix+"held", old)
	require.NoError(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	require.NoError(t, os.Mkdir(filepath.Join(parent, prefix+"without"), 0o700))

	sweep(parent)
	entries, err := os.ReadDir(parent)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	require.Equal(t, []string{prefix + "held", prefix + "without", prefix + "young", "other"}, names)
}

func TestScratchHasRoom(t *testing.T) {
	t.Parallel()
	folder := scratch()
	require.DirExists(t, folder)
}
