package embedded

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	for folder, test := range map[string]struct {
		major int
		want  int
		err   string
	}{
		"v15":      {want: 15},
		"v18":      {major: 18, want: 18},
		"v14":      {err: "has PostgreSQL 14; 15 to 18 work"},
		"v19":      {err: "has PostgreSQL 19; 15 to 18 work"},
		"noinitdb": {err: "has no initdb"},
		"nonsense": {err: `says "hello\n"`},
		"broken":   {err: "exit status 127: no such library"},
		"absent":   {err: "has no postgres"},
	} {
		found, err := inspect(t.Context(), filepath.Join("testdata", folder), test.major)
		if test.err != "" {
			require.ErrorContains(t, err, test.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, test.want, found.major)
		require.True(t, filepath.IsAbs(found.dir))
	}
}

func TestSearchTakesTheFirstThatFits(t *testing.T) {
	t.Parallel()
	folders := []string{"testdata/v14", "testdata/v18", "testdata/v15"}
	found, err := search(t.Context(), folders, 0)
	require.NoError(t, err)
	require.Equal(t, 18, found.major)
	found, err = search(t.Context(), folders, 15)
	require.NoError(t, err)
	require.Equal(t, 15, found.major)
	_, err = search(t.Context(), folders, 16)
	require.ErrorContains(t, err, "v18 has PostgreSQL 18; the data was made by 16")
}

func TestAnExplicitFolderIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	cfg.BinDir = "testdata/v14"
	_, err := obtainBinaries(t.Context(), cfg, []string{"testdata/v15"}, 0)
	require.ErrorContains(t, err, "POSTGRES_BIN: ")
}

// repository serves an archive as Maven's central one does, and counts.
func repository(t *testing.T) (url string, requests *[]string) {
	t.Helper()
	unpacked, err := os.ReadFile(filepath.Join("testdata", "binaries.txz"))
	require.NoError(t, err)
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	file, err := writer.Create("postgres-linux-x86_64.txz")
	require.NoError(t, err)
	_, err = file.Write(unpacked)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	requests = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests = append(*requests, r.URL.Path)
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			http.NotFound(w, r)
			return
		}
		_, err := io.Copy(w, bytes.NewReader(archive.Bytes()))
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections() // the library uses it
	})
	return server.URL, requests
}

func TestDownload(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	cfg.BinDir = ""
	cfg.cacheDir = t.TempDir()
	var requests *[]string
	cfg.downloadURL, requests = repository(t)
	found, err := obtainBinaries(t.Context(), cfg, nil, 0)
	require.NoError(t, err)
	require.Equal(t, 18, found.major)
	asked := len(*requests)
	require.NotZero(t, asked)

	again, err := obtainBinaries(t.Context(), cfg, nil, 18)
	require.NoError(t, err)
	require.Equal(t, found, again)
	require.Len(t, *requests, asked, "it is kept")
	entries, err := os.ReadDir(filepath.Join(cfg.cacheDir, "chatopshub"))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing else is left in the cache")

	_, err = obtainBinaries(t.Context(), cfg, nil, 13)
	require.ErrorContains(t, err, "PostgreSQL 13 can't be downloaded")
}

func TestNoBinariesAnywhere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	cfg := testConfig(t.TempDir())
	cfg.BinDir = ""
	cfg.cacheDir = t.TempDir()
	cfg.downloadURL = server.URL
	_, err := obtainBinaries(t.Context(), cfg, []string{"testdata/v14"}, 0)
	for _, part := range []string{"install PostgreSQL 15 to 18", "POSTGRES_BIN", "DATABASE_URL", "v14 has PostgreSQL 14", "download PostgreSQL 18"} {
		require.ErrorContains(t, err, part)
	}
}
