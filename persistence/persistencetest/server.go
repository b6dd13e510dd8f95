package persistencetest

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/embedded"
)

// Server is a private server of one test, durable as in production, for faults.
// Its methods are for one goroutine.
type Server struct {
	t       testing.TB
	config  embedded.Config
	running *embedded.Postgres // nil: stopped
	factory *factory
}

// NewServer starts one, which is stopped with the test. configure may change how
// it is run.
func NewServer(t testing.TB, configure ...func(*embedded.Config)) *Server {
	t.Helper()
	s := &Server{t: t, config: embedded.Config{
		DataDir: t.TempDir(),
		BinDir:  os.Getenv("POSTGRES_BIN"),
		Logger:  testLogger(),
	}}
	for _, change := range configure {
		change(&s.config)
	}
	t.Cleanup(s.Stop)
	s.Start()
	s.config.Port = s.running.Port() // the same at every start: URLs stay good
	var err error
	s.factory, err = newFactory(s.running.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.factory.close()) })
	return s
}

// New makes a database with the schema of all migrations. It goes with the
// server, so that a test may end with the server stopped.
func (s *Server) New(t testing.TB) *Database {
	t.Helper()
	return s.factory.migrated(t)
}

// Empty makes a database with nothing in it, as New does.
func (s *Server) Empty(t testing.TB) *Database {
	t.Helper()
	return s.factory.create(t, "template0")
}

// Start starts it again on the same port, with the data it had.
func (s *Server) Start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	running, err := embedded.Start(ctx, s.config)
	require.NoError(s.t, err)
	s.running = running
}

// Stop shuts it down as an operator does: connections are cut, transactions
// rolled back. When it is stopped already, nothing happens.
func (s *Server) Stop() {
	s.t.Helper()
	if s.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	require.NoError(s.t, s.running.Stop(ctx))
	s.running = nil
}

// Kill ends it as a crash does. Start recovers it.
func (s *Server) Kill() {
	s.t.Helper()
	if s.running == nil {
		return
	}
	require.NoError(s.t, s.running.Kill())
	s.running = nil
}

// Signal sends a signal to its first process. SIGQUIT is a crash from which it
// comes back by itself within seconds; SIGSTOP lets connections that exist work
// and no new one in, until SIGCONT.
func (s *Server) Signal(signal syscall.Signal) {
	s.t.Helper()
	require.NotNil(s.t, s.running, "the server is stopped")
	s.running.Signal(signal)
}
