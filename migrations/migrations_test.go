package migrations_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/migrations"
	"github.com/chatopshub/chatopshub/persistence/embedded"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestMain(m *testing.M) { os.Exit(persistencetest.Main(m)) }

var logger = slog.New(slog.DiscardHandler)

// onEachServer runs test on the tests' server, and on PostgreSQL 18 where
// POSTGRES_18_BIN says that it is to be had.
func onEachServer(t *testing.T, test func(t *testing.T, empty func(testing.TB) *persistencetest.Database)) {
	t.Parallel()
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		test(t, persistencetest.Empty)
	})
	if dir := os.Getenv("POSTGRES_18_BIN"); dir != "" {
		t.Run("18", func(t *testing.T) {
			t.Parallel()
			server := persistencetest.NewServer(t, func(cfg *embedded.Config) { cfg.BinDir, cfg.Unsafe = dir, true })
			test(t, server.Empty)
		})
	}
}

func TestUpDownUp(t *testing.T) {
	onEachServer(t, func(t *testing.T, empty func(testing.TB) *persistencetest.Database) {
		db := empty(t).SQL
		before := catalog(t, db)
		require.NoError(t, migrations.Up(t.Context(), db, logger))
		schema := catalog(t, db)
		require.NotEqual(t, before, schema)

		files, err := fs.Glob(migrations.Files, "*")
		require.NoError(t, err)
		for range files {
			require.NoError(t, migrations.Down(t.Context(), db, logger))
		}
		require.ErrorIs(t, migrations.Down(t.Context(), db, logger), migrations.ErrNone)
		require.Equal(t, before, catalog(t, db), "nothing is left")

		require.NoError(t, migrations.Up(t.Context(), db, logger))
		require.Equal(t, schema, catalog(t, db))
		require.NoError(t, migrations.Up(t.Context(), db, logger), "nothing to do")
	})
}

// catalog describes everything that migrations make, goose's own table apart.
func catalog(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.Query(`
		SELECT format('column %s.%s %s null=%s default=%s', table_name, column_name, udt_name, is_nullable, column_default)
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'
		UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'
		UNION ALL SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
			WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE 'goose%'
		UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		UNION ALL SELECT format('enum %s %s', enumtypid::regtype, string_agg(enumlabel, ',' ORDER BY enumsortorder)) FROM pg_enum GROUP BY enumtypid
		UNION ALL SELECT 'sequence ' || sequencename FROM pg_sequences WHERE schemaname = 'public' AND sequencename NOT LIKE 'goose%'
		ORDER BY 1`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var found []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		found = append(found, line)
	}
	require.NoError(t, rows.Err())
	return found
}

func TestNodesThatStartTogether(t *testing.T) {
	onEachServer(t, func(t *testing.T, empty func(testing.TB) *persistencetest.Database) {
		database := empty(t)
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for node := range errs {
			wg.Go(func() { errs[node] = startNode(t, database.URL) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		var repeated int
		require.NoError(t, database.SQL.QueryRow(
			"SELECT count(*) FROM (SELECT FROM goose_db_version GROUP BY version_id HAVING count(*) > 1) AS twice").Scan(&repeated))
		require.Zero(t, repeated)
	})
}

func startNode(t *testing.T, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	return errors.Join(migrations.Up(t.Context(), db, logger), db.Close())
}

func TestStatus(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t).SQL
	pending := func() (names []string) {
		states, err := migrations.Status(t.Context(), db)
		require.NoError(t, err)
		last := int64(0)
		for _, state := range states {
			require.Greater(t, state.Version, last)
			last = state.Version
			if state.AppliedAt.IsZero() {
				names = append(names, state.Name)
			}
		}
		return names
	}
	require.Empty(t, pending())
	require.NoError(t, migrations.Down(t.Context(), db, logger))
	files, err := fs.Glob(migrations.Files, "*")
	require.NoError(t, err)
	require.Equal(t, files[len(files)-1:], pending())
}

// An index that is built beside running writers is no part of a transaction: a
// try that is broken off leaves it there, of no use, and the next one mends that.
func TestAnIndexIsBuiltAfterABrokenOffTry(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t).SQL
	valid := func(index string) (valid bool) {
		require.NoError(t, db.QueryRow(`SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND indisvalid)`, index).Scan(&valid))
		return valid
	}
	for !valid("messages_unsent") {
		require.NoError(t, migrations.Down(t.Context(), db, logger))
	}
	_, err := db.Exec(`INSERT INTO organizations (name, slug) VALUES ('one', 'one'), ('one', 'two')`)
	require.NoError(t, err)
	_, err = db.Exec(`CREATE UNIQUE INDEX CONCURRENTLY messages_outbox ON organizations (name)`)
	require.ErrorContains(t, err, "messages_outbox")
	require.NoError(t, migrations.Up(t.Context(), db, logger))
	require.True(t, valid("messages_outbox"))
	require.False(t, valid("messages_unsent"))
}

func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("pgx", "postgres://127.0.0.1:1/none")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.ErrorContains(t, migrations.Up(t.Context(), db, logger), "migrate up: ")
	require.ErrorContains(t, migrations.Down(t.Context(), db, logger), "migrate down: ")
	_, err = migrations.Status(t.Context(), db)
	require.ErrorContains(t, err, "migration status: ")
}

// TestRiverIsMigratedWhole fails when the module River was updated and wants
// more tables than a migration of ours makes.
func TestRiverIsMigratedWhole(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), persistencetest.New(t).URL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: logger})
	require.NoError(t, err)
	result, err := migrator.Validate(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, result.OK, result.Messages)
}
