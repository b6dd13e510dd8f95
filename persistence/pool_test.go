package persistence_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestEveryQueryFitsTheSchema(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	for name, text := range openReads(t, database).Queries() {
		t.Run(name, func(t *testing.T) {
			statement, err := database.SQL.PrepareContext(t.Context(), text)
			require.NoError(t, err)
			defer statement.Close()
		})
	}
}

func TestErrorsOfThePoolHideThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://user:hunter2@127.0.0.1:1/db",
		"postgres://user:hunter2@127.0.0.1:port/db",
		"postgres://user:hunter2 @[::1/db?sslmode=nonsense",
		"user=u password=hunter2 host=",
	} {
		reads, err := persistence.OpenReads(t.Context(), persistence.Config{URL: url, StatementTimeout: time.Second})
		if err == nil {
			err = reads.Ping(t.Context())
			require.ErrorIs(t, err, domain.ErrUnavailable)
			require.NoError(t, reads.Close())
		}
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestPingTellsThatTheDatabaseIsThere(t *testing.T) {
	t.Parallel()
	require.NoError(t, openReads(t, persistencetest.New(t)).Ping(t.Context()))
}
