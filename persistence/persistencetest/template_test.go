package persistencetest

import (
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/embedded"
)

// TestBinariesThatShareAServer stand for packages under `go test ./...`.
func TestBinariesThatShareAServer(t *testing.T) {
	t.Parallel()
	server := NewServer(t, func(cfg *embedded.Config) { cfg.Unsafe = true })
	require.NoError(t, server.factory.order(t.Context(), "CREATE DATABASE "+mustName(t)), "one that was killed half-way")
	names, errs := make([]string, 3), make([]error, 3)
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			f, err := newFactory(server.running.URL())
			if err == nil {
				names[i], err = f.template()
			}
			if err == nil {
				err = f.close()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for i := range names {
		require.NoError(t, errs[i])
		require.Equal(t, mustName(t), names[i])
	}
	var tables int
	require.NoError(t, server.New(t).SQL.QueryRow("SELECT count(*) FROM pg_tables WHERE tablename = 'messages'").Scan(&tables))
	require.Equal(t, 1, tables)
}

func mustName(t *testing.T) string {
	t.Helper()
	name, err := templateName()
	require.NoError(t, err)
	return name
}

func TestMainIsNeeded(t *testing.T) {
	t.Parallel()
	var s sharedServer
	_, err := s.get()
	require.ErrorContains(t, err, "func TestMain(m *testing.M)")
	require.NoError(t, s.close())
}

func TestAServerOfTheEnvironmentIsLeftRunning(t *testing.T) {
	url := os.Getenv(URLVariable)
	if url == "" {
		url = "postgres://127.0.0.1:1/none"
	}
	t.Setenv(URLVariable, url)
	s := sharedServer{ready: true}
	f, err := s.get()
	require.NoError(t, err)
	require.Equal(t, url, f.url)
	require.Nil(t, s.stop)
	require.NoError(t, s.close())
}
