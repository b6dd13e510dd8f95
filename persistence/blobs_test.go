package persistence_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
)

var png = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR not much of a picture")

func anything(string) int64 { return domain.MaxFile }

func openBlobs(t testing.TB, path string) *persistence.Blobs {
	t.Helper()
	blobs, err := persistence.OpenBlobs(path, time.Now())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, blobs.Close()) })
	return blobs
}

func newFileKey() domain.FileKey {
	return domain.FileKey{Organization: newID[domain.OrganizationID](), Attachment: newID[domain.AttachmentID]()}
}

// files is what is in the folder, by path.
func files(t testing.TB, folder string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, _ := filepath.Rel(folder, path) // it is below it
			paths = append(paths, relative)
		}
		return err
	}))
	return paths
}

func TestBlobsKeepWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "uploads")
	blobs, key := openBlobs(t, folder), newFileKey()
	facts, err := blobs.Put(t.Context(), key, bytes.NewReader(png), anything)
	require.NoError(t, err)
	sum := sha256.Sum256(png)
	require.Equal(t, domain.FileFacts{MimeType: "image/png", Size: int64(len(png)), SHA256: sum[:]}, facts)
	require.Equal(t, []string{key.Organization.String() + "/" + key.Attachment.String()}, files(t, folder), "our own ids and nothing else")

	again := bytes.Repeat([]byte("plain text "), 1000)
	_, err = blobs.Put(t.Context(), key, bytes.NewReader(again), anything)
	require.NoError(t, err, "a job that is repeated writes it again")
	file, err := openBlobs(t, folder).Open(t.Context(), key)
	require.NoError(t, err)
	got, err := io.ReadAll(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Equal(t, again, got)

	_, err = blobs.Open(t.Context(), domain.FileKey{Organization: newFileKey().Organization, Attachment: key.Attachment})
	require.ErrorIs(t, err, domain.ErrNotFound, "another organization's path")
	for range 2 {
		require.NoError(t, blobs.Delete(t.Context(), key))
	}
	_, err = blobs.Open(t.Context(), key)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestBlobsRefuse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	blobs := openBlobs(t, folder)
	broken := errors.New("connection reset")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		content io.Reader
		limit   domain.FileLimit
		want    error
	}{
		"wrong type":       {t.Context(), strings.NewReader("<html><script>alert(1)</script>"), domain.UploadLimit, domain.ErrFileType},
		"a program":        {t.Context(), strings.NewReader("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 100)), domain.UploadLimit, domain.ErrFileType},
		"empty":            {t.Context(), strings.NewReader(""), anything, domain.ErrFileType},
		"too large":        {t.Context(), bytes.NewReader(bytes.Repeat(png, 100)), func(string) int64 { return int64(100*len(png)) - 1 }, domain.ErrFileTooLarge},
		"breaks early":     {t.Context(), io.MultiReader(bytes.NewReader(png), failing{broken}), anything, broken},
		"breaks late":      {t.Context(), io.MultiReader(bytes.NewReader(bytes.Repeat(png, 1000)), failing{broken}), anything, broken},
		"is called off":    {ended, bytes.NewReader(png), anything, context.Canceled},
		"is only promised": {t.Context(), io.LimitReader(endless{}, 1<<40), func(string) int64 { return 1 << 20 }, domain.ErrFileTooLarge},
	} {
		_, err := blobs.Put(c.ctx, newFileKey(), c.content, c.limit)
		require.ErrorIs(t, err, c.want, name)
		require.Empty(t, files(t, folder), name)
	}
	exact := bytes.Repeat([]byte("x"), 5000)
	_, err := blobs.Put(t.Context(), newFileKey(), bytes.NewReader(exact), func(string) int64 { return 5000 })
	require.NoError(t, err, "the limit itself is allowed")
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("y"), len(p))), nil }

// TestAHugeFileFillsNoMemory lets more than 100 MB come; neither heap nor disk
// ever hold more than a little of it when the limit is small.
func TestAHugeFileFillsNoMemory(t *testing.T) {
	folder := t.TempDir()
	blobs := openBlobs(t, folder)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := blobs.Put(t.Context(), newFileKey(), io.LimitReader(endless{}, 200<<20), anything)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, domain.ErrFileTooLarge)
	require.Empty(t, files(t, folder))
	require.Less(t, after.HeapAlloc, before.HeapAlloc+32<<20)
}

func TestBlobsStayInTheirFolder(t *testing.T) {
	t.Parallel()
	folder, outside := t.TempDir(), t.TempDir()
	blobs, key := openBlobs(t, folder), newFileKey()
	require.NoError(t, os.WriteFile(filepath.Join(outside, key.Attachment.String()), []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(folder, key.Organization.String())))
	_, err := blobs.Open(t.Context(), key)
	require.Error(t, err)
	_, err = blobs.Put(t.Context(), key, bytes.NewReader(png), anything)
	require.Error(t, err)
	content, err := os.ReadFile(filepath.Join(outside, key.Attachment.String()))
	require.NoError(t, err)
	require.Equal(t, "secret", string(content))
}

func TestWhatACrashLeftBehindIsRemoved(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	blobs := openBlobs(t, folder)
	_, err := blobs.Put(t.Context(), newFileKey(), bytes.NewReader(png), anything)
	require.NoError(t, err)
	for name, age := range map[string]time.Duration{"old": 25 * time.Hour, "young": time.Hour} {
		path := filepath.Join(folder, "incoming", name)
		require.NoError(t, os.WriteFile(path, png, 0o600))
		require.NoError(t, os.Chtimes(path, time.Now(), time.Now().Add(-age)))
	}
	openBlobs(t, folder)
	require.NoFileExists(t, filepath.Join(folder, "incoming", "old"))
	require.FileExists(t, filepath.Join(folder, "incoming", "young"), "another node may be writing it")
	require.Len(t, files(t, folder), 2)
}

func TestOpenBlobsNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := persistence.OpenBlobs(path, time.Now())
	require.ErrorContains(t, err, "the folder of files")
}
