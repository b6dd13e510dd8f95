package persistence_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// nodesFolder is the folder as one more node has it.
func nodesFolder(t *testing.T, path string) *persistence.Blobs {
	t.Helper()
	blobs, err := persistence.OpenBlobs(path, time.Now())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, blobs.Close()) })
	return blobs
}

func TestNodesFindOutWhetherTheyShareTheirFolder(t *testing.T) {
	t.Parallel()
	reads := openReads(t, persistencetest.New(t))
	shared := t.TempDir()
	require.NoError(t, nodesFolder(t, shared).CheckShared(t.Context(), reads))
	require.NoError(t, nodesFolder(t, shared).CheckShared(t.Context(), reads), "the second node, and the first when it starts again")

	elsewhere := t.TempDir()
	err := nodesFolder(t, elsewhere).CheckShared(t.Context(), reads)
	require.ErrorIs(t, err, persistence.ErrOtherFolder, "an empty folder: nothing is mounted there")
	require.NoFileExists(t, filepath.Join(elsewhere, "folder-id"), "what is refused stays as it was")
	other := openReads(t, persistencetest.New(t))
	require.NoError(t, nodesFolder(t, elsewhere).CheckShared(t.Context(), other), "another database's")
	require.ErrorIs(t, nodesFolder(t, elsewhere).CheckShared(t.Context(), reads), persistence.ErrOtherFolder)

	moved := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.CopyFS(moved, os.DirFS(shared)))
	require.NoError(t, nodesFolder(t, moved).CheckShared(t.Context(), reads), "a folder may be moved with all that is in it")
	fresh := openReads(t, persistencetest.New(t))
	require.NoError(t, nodesFolder(t, moved).CheckShared(t.Context(), fresh), "a new database takes the folder that is there")
	require.ErrorIs(t, nodesFolder(t, t.TempDir()).CheckShared(t.Context(), fresh), persistence.ErrOtherFolder)
}

// TestNodesThatStartTogether agree on one folder, and of two folders on one.
func TestNodesThatStartTogether(t *testing.T) {
	t.Parallel()
	for name, folders := range map[string][]string{"one folder": {t.TempDir()}, "two folders": {t.TempDir(), t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reads := openReads(t, persistencetest.New(t))
			const nodes = 8
			errs := make([]error, nodes)
			var starting sync.WaitGroup
			for i := range nodes {
				blobs := nodesFolder(t, folders[i%len(folders)])
				starting.Go(func() { errs[i] = blobs.CheckShared(t.Context(), reads) })
			}
			starting.Wait()
			refused := map[string]int{}
			for i, err := range errs {
				if err != nil {
					require.ErrorIs(t, err, persistence.ErrOtherFolder)
					refused[folders[i%len(folders)]]++
				}
			}
			require.Len(t, refused, len(folders)-1)
			for _, n := range refused {
				require.Equal(t, nodes/2, n, "all nodes with that folder")
			}
			for _, folder := range folders {
				left, err := os.ReadDir(filepath.Join(folder, "incoming"))
				require.NoError(t, err)
				require.Empty(t, left)
			}
		})
	}
}

// TestAStartingNodeLeavesWhatOthersWrite: the folder is cleared of what a crash
// left, not of what another node is at.
func TestAStartingNodeLeavesWhatOthersWrite(t *testing.T) {
	t.Parallel()
	shared := t.TempDir()
	nodesFolder(t, shared)
	written, crashed := filepath.Join(shared, "incoming", "written"), filepath.Join(shared, "incoming", "crashed")
	for _, file := range []string{written, crashed} {
		require.NoError(t, os.WriteFile(file, []byte("half of it"), 0o600))
	}
	longAgo := time.Now().Add(-25 * time.Hour)
	require.NoError(t, os.Chtimes(crashed, longAgo, longAgo))
	nodesFolder(t, shared)
	require.FileExists(t, written)
	_, err := os.Stat(crashed)
	require.ErrorIs(t, err, os.ErrNotExist)
}
