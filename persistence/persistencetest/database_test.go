package persistencetest_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestMain(m *testing.M) { os.Exit(persistencetest.Main(m)) }

const newOrganization = "INSERT INTO organizations (name, slug) VALUES ('One', 'one')"

func count(t *testing.T, database *persistencetest.Database) (n int) {
	t.Helper()
	require.NoError(t, database.SQL.QueryRow("SELECT count(*) FROM organizations").Scan(&n))
	return n
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, other := persistencetest.New(t), persistencetest.New(t)
	_, err := one.SQL.Exec(newOrganization)
	require.NoError(t, err)
	require.Equal(t, 1, count(t, one))
	require.Equal(t, 0, count(t, other))
}

func TestTheDatabaseIsDroppedWithConnectionsOpen(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("test", func(t *testing.T) {
		database := persistencetest.New(t)
		require.NoError(t, database.SQL.QueryRow("SELECT current_database()").Scan(&name))
	})
	var there bool
	require.NoError(t, persistencetest.Empty(t).SQL.QueryRow("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there))
	require.False(t, there)
}

func TestAPrivateServerKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	database := server.New(t)
	_, err := database.SQL.Exec(newOrganization)
	require.NoError(t, err)
	for _, fault := range []func(){server.Stop, server.Kill} {
		fault()
		require.Error(t, database.SQL.Ping())
		server.Start()
		require.Equal(t, 1, count(t, database))
	}
	server.Signal(syscall.SIGQUIT)
	require.Eventually(t, func() bool { return database.SQL.Ping() != nil }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return database.SQL.Ping() == nil }, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, count(t, database))
}

// BenchmarkNew measures what a test waits for its database.
func BenchmarkNew(b *testing.B) {
	persistencetest.New(b) // starts the server and makes the template
	for b.Loop() {
		require.NoError(b, persistencetest.New(b).SQL.Ping())
	}
}
