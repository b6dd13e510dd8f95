package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Files are the migrations, NNNNN_name.sql or, where SQL alone can't do it,
// NNNNN_name.go. A test database is named by their content.
//
//go:embed *.sql 0*.go
var Files embed.FS

// ErrNone says that there is no migration left to undo.
var ErrNone = errors.New("no migration is applied")

// lockWait is how long a node waits for another one's migrations, in seconds.
// The caller's context is the bound that matters; this one is for a lock that
// was left behind.
const lockWait = 3600

// Migration is one file and whether the database has it.
type Migration struct {
	Version   int64
	Name      string    // of the file
	AppliedAt time.Time // zero: pending
}

// Up applies what is pending. Nodes that start together may all call it: one
// migrates, the others wait and then find nothing to do. Each file is a
// transaction of its own; a failed one leaves those before it applied.
func Up(ctx context.Context, db *sql.DB, logger *slog.Logger) error {
	provider, err := newProvider(db)
	if err != nil {
		return fmt.Errorf("migrate up: %w", err)
	}
	results, err := provider.Up(ctx)
	report(ctx, logger, results)
	if err != nil {
		return fmt.Errorf("migrate up: %w", err)
	}
	return nil
}

// Down undoes the newest applied migration, or gives ErrNone. Data of the
// tables that the migration made is lost.
func Down(ctx context.Context, db *sql.DB, logger *slog.Logger) error {
	provider, err := newProvider(db)
	if err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	result, err := provider.Down(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) {
		return fmt.Errorf("migrate down: %w", ErrNone)
	}
	if err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	report(ctx, logger, []*goose.MigrationResult{result})
	return nil
}

// Status lists the migrations, oldest first. It doesn't wait for a migration
// that is under way.
func Status(ctx context.Context, db *sql.DB) ([]Migration, error) {
	provider, err := newProvider(db)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	states, err := provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	migrations := make([]Migration, 0, len(states))
	for _, state := range states {
		migrations = append(migrations, Migration{
			Version:   state.Source.Version,
			Name:      path.Base(state.Source.Path),
			AppliedAt: state.AppliedAt,
		})
	}
	return migrations, nil
}

// newProvider takes an advisory lock that is tried, not waited for, once a
// second: a session that waits inside PostgreSQL holds a snapshot, and CREATE
// INDEX CONCURRENTLY of the one that migrates would wait for it for ever.
func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, lockWait))
	if err != nil {
		return nil, fmt.Errorf("advisory lock: %w", err)
	}
	return goose.NewProvider(goose.DialectPostgres, db, fs.FS(Files),
		goose.WithSessionLocker(locker),
		goose.WithGoMigrations(media()),
		goose.WithLogger(goose.NopLogger()), // report says what happened
		goose.WithDisableGlobalRegistry(true),
	)
}

func report(ctx context.Context, logger *slog.Logger, results []*goose.MigrationResult) {
	for _, result := range results {
		logger.InfoContext(ctx, "migrated",
			"migration", path.Base(result.Source.Path),
			"direction", result.Direction,
			"duration", result.Duration)
	}
}
