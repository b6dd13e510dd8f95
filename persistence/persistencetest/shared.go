package persistencetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chatopshub/chatopshub/persistence/embedded"
)

// URLVariable names the environment variable with the server to use.
const URLVariable = "TEST_DATABASE_URL"

// Bounds of a shared server's start (it makes its cluster first) and stop.
const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 20 * time.Second
)

// binary is the server of this test binary. It is the one piece of state that
// has to be the package's own: tests of a package share a server, and testing
// hands nothing from TestMain to them.
var binary sharedServer

type sharedServer struct {
	mu      sync.Mutex
	ready   bool // Main is there to stop what is started
	started bool
	factory *factory
	err     error
	stop    func() error
}

// Main runs the package's tests, stops the server that they shared, and gives
// the exit code. It fails when goroutines are left.
func Main(m *testing.M) int {
	binary.mu.Lock()
	binary.ready = true
	binary.mu.Unlock()
	code := m.Run()
	err := binary.close()
	if code == 0 {
		err = errors.Join(err, goleak.Find())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// New makes a database with the schema of all migrations for one test.
func New(t testing.TB) *Database {
	t.Helper()
	f := shared(t)
	return f.dropped(t, f.migrated(t))
}

// Empty makes a database with nothing in it for one test.
func Empty(t testing.TB) *Database {
	t.Helper()
	f := shared(t)
	return f.dropped(t, f.create(t, "template0"))
}

func shared(t testing.TB) *factory {
	t.Helper()
	f, err := binary.get()
	require.NoError(t, err, "start the tests' server")
	return f
}

// get starts the server when the first test asks.
func (s *sharedServer) get() (*factory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		s.factory, s.err = s.start()
	}
	return s.factory, s.err
}

func (s *sharedServer) start() (*factory, error) {
	if !s.ready {
		return nil, errors.New("the package needs: func TestMain(m *testing.M) { os.Exit(persistencetest.Main(m)) }")
	}
	url := os.Getenv(URLVariable)
	if url == "" {
		var err error
		if url, s.stop, err = StartShared(context.Background()); err != nil {
			return nil, err
		}
	}
	return newFactory(url)
}

func (s *sharedServer) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.factory != nil {
		err = s.factory.close()
	}
	if s.stop != nil {
		err = errors.Join(err, s.stop())
	}
	return err
}

// StartShared starts a server for many tests at once, quick instead of durable,
// in a temporary folder that stop removes.
func StartShared(ctx context.Context) (url string, stop func() error, err error) {
	parent := scratch()
	sweep(parent)
	folder, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", nil, fmt.Errorf("start a test server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	server, err := embedded.Start(ctx, embedded.Config{
		DataDir: folder,
		BinDir:  os.Getenv("POSTGRES_BIN"),
		Logger:  testLogger(),
		Unsafe:  true,
		Settings: map[string]string{
			"max_connections": "300", // packages run in parallel
			"max_wal_size":    "256MB",
		},
	})
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(folder))
	}
	return server.URL(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return errors.Join(server.Stop(ctx), os.RemoveAll(folder))
	}, nil
}

func testLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
