package persistence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func seedConfig(development bool, hashed *atomic.Int32) persistence.SeedConfig {
	return persistence.SeedConfig{
		AdminEmail: "admin@example.com", AdminPassword: "password", Development: development,
		Hash: func(_ context.Context, password string) (string, error) {
			hashed.Add(1)
			return "hash of " + password, nil
		},
	}
}

// rowsOf is everything that a seed may touch.
func rowsOf(t *testing.T, db *sql.DB) (rows []string) {
	t.Helper()
	found, err := db.Query(`SELECT o::text FROM organizations o UNION ALL SELECT u::text FROM users u UNION ALL SELECT c::text FROM channels c ORDER BY 1`)
	require.NoError(t, err)
	defer found.Close()
	for found.Next() {
		var row string
		require.NoError(t, found.Scan(&row))
		rows = append(rows, row)
	}
	require.NoError(t, found.Err())
	return rows
}

func TestSeedInDevelopmentMakesWhatTheSimulatorNeeds(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	var hashed atomic.Int32
	sealer := newSealer(t, 1)
	reads := openReads(t, database)
	require.NoError(t, persistence.Seed(t.Context(), reads, sealer, seedConfig(true, &hashed)))
	before := rowsOf(t, database.SQL)
	require.Len(t, before, 1+3+2)

	var users string
	require.NoError(t, database.SQL.QueryRow(`SELECT string_agg(concat_ws(' ', email, role, status, password_hash), ', ' ORDER BY email)
		FROM users JOIN organizations o ON o.id = organization_id WHERE o.slug = 'default' AND o.name = 'Default Organization'`).Scan(&users))
	require.Equal(t, "admin@example.com ADMIN ACTIVE hash of password, "+
		"agent1@chatopshub.local AGENT ACTIVE hash of agent123, agent2@chatopshub.local AGENT ACTIVE hash of agent123", users)

	registry := persistence.NewRegistry(reads, sealer, accessTTL, discard(), time.Now)
	running(t, registry.Run)
	<-registry.Loaded()
	for provider, external := range map[domain.Provider]string{domain.WhatsApp: "100000000000001", domain.Messenger: "200000000000001"} {
		channel, secret, ok := registry.Receiving(provider, external)
		require.True(t, ok)
		require.Nil(t, secret, "signed with the environment's")
		require.Equal(t, domain.ChannelActive, channel.Status)
		var sealed, account string
		require.NoError(t, database.SQL.QueryRow(`SELECT config->>'accessToken', coalesce(config->>'phoneNumberId', config->>'pageId')
			FROM channels WHERE id = $1 AND proved_at IS NOT NULL`, channel.ID).Scan(&sealed, &account))
		require.Equal(t, external, account)
		token, err := sealer.Open(channel.ID, persistence.FieldAccessToken, sealed)
		require.NoError(t, err)
		require.Equal(t, map[domain.Provider]string{domain.WhatsApp: "simulator", domain.Messenger: "simulator-page"}[provider], token)
	}

	require.NoError(t, persistence.Seed(t.Context(), reads, sealer, seedConfig(true, &hashed)))
	require.Equal(t, before, rowsOf(t, database.SQL), "twice changes nothing")
	require.EqualValues(t, 3, hashed.Load(), "nothing is hashed for who is there")
}

func TestSeedInProductionMakesTheAdministratorAlone(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	var hashed atomic.Int32
	require.NoError(t, persistence.Seed(t.Context(), openReads(t, database), newSealer(t, 1), seedConfig(false, &hashed)))
	require.Len(t, rowsOf(t, database.SQL), 2)
}

func TestSeedLeavesWhatWasChangedSince(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	var hashed atomic.Int32
	reads, sealer := openReads(t, database), newSealer(t, 1)
	require.NoError(t, persistence.Seed(t.Context(), reads, sealer, seedConfig(true, &hashed)))
	for _, change := range []string{
		`UPDATE organizations SET name = 'Ours'`, `UPDATE users SET status = 'SUSPENDED', email = upper(email)`,
		`UPDATE channels SET status = 'INACTIVE', proved_at = NULL`,
	} {
		_, err := database.SQL.Exec(change)
		require.NoError(t, err)
	}
	before := rowsOf(t, database.SQL)
	require.NoError(t, persistence.Seed(t.Context(), reads, sealer, seedConfig(true, &hashed)))
	require.Equal(t, before, rowsOf(t, database.SQL))
}

func TestNodesMaySeedAtTheSameTime(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	var hashed atomic.Int32
	reads, sealer := openReads(t, database), newSealer(t, 1)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := persistence.Seed(t.Context(), reads, sealer, seedConfig(true, &hashed)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Len(t, rowsOf(t, database.SQL), 1+3+2)
}

func TestSeedMakesAllOrNothing(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	cfg := seedConfig(true, new(atomic.Int32))
	cfg.Hash = func(_ context.Context, password string) (string, error) {
		if password == "agent123" {
			return "", errors.New("no memory")
		}
		return "hash", nil
	}
	require.ErrorContains(t, persistence.Seed(t.Context(), openReads(t, database), newSealer(t, 1), cfg), "no memory")
	require.Empty(t, rowsOf(t, database.SQL))
}

func TestSeedNeedsAnAdministrator(t *testing.T) {
	t.Parallel()
	reads := openReads(t, persistencetest.New(t))
	for _, cfg := range []persistence.SeedConfig{{AdminEmail: "a@example.com"}, {AdminPassword: "password"}} {
		require.ErrorContains(t, persistence.Seed(t.Context(), reads, newSealer(t, 1), cfg), "administrator",
			fmt.Sprint(cfg.AdminEmail))
	}
}
