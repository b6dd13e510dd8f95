package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverVersion is the newest of River's own migrations that this one applies. A
// River that brings more of them gets another migration of ours.
const riverVersion = 8

// Files of messages, and River's tables for the jobs that fetch them. Some of
// River's migrations can't share a transaction, so this one has none: each
// step can be repeated.
const mediaUp = `
	-- Whose token fetches it; null: uploaded here. Channels take turns, so that
	-- one with many files doesn't keep the others waiting.
	ALTER TABLE attachments ADD COLUMN IF NOT EXISTS channel_id uuid;
	CREATE INDEX IF NOT EXISTS attachments_channel_pending ON attachments (channel_id, created_at) WHERE state = 'pending';
	DROP INDEX IF EXISTS attachments_pending;
	-- Uploads that nobody has sent, oldest first: clean-up.
	CREATE INDEX IF NOT EXISTS attachments_unused ON attachments (created_at) WHERE message_id IS NULL;
	-- The file that the message shows: the one that was sent, or the customer's once it is here.
	ALTER TABLE messages ADD COLUMN IF NOT EXISTS attachment_id uuid;
`

const mediaDown = `
	ALTER TABLE messages DROP COLUMN IF EXISTS attachment_id;
	DROP INDEX IF EXISTS attachments_unused;
	CREATE INDEX IF NOT EXISTS attachments_pending ON attachments (created_at) WHERE state = 'pending';
	DROP INDEX IF EXISTS attachments_channel_pending;
	ALTER TABLE attachments DROP COLUMN IF EXISTS channel_id;
`

func media() *goose.Migration {
	return goose.NewGoMigration(6,
		&goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			if err := execute(ctx, db, mediaUp); err != nil {
				return err
			}
			return river(ctx, db, rivermigrate.DirectionUp, riverVersion)
		}},
		&goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
			const all = -1
			if err := river(ctx, db, rivermigrate.DirectionDown, all); err != nil {
				return err
			}
			return execute(ctx, db, mediaDown)
		}})
}

func execute(ctx context.Context, db *sql.DB, statements string) error {
	_, err := db.ExecContext(ctx, statements)
	return err
}

// river runs River's migrations on a pool of its own: River speaks pgx.
func river(ctx context.Context, db *sql.DB, direction rivermigrate.Direction, to int) error {
	pool, err := poolOf(ctx, db)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("river: %w", err)
	}
	if _, err := migrator.Migrate(ctx, direction, &rivermigrate.MigrateOpts{TargetVersion: to}); err != nil {
		return fmt.Errorf("river: %w", err)
	}
	return nil
}

// poolOf is a pool of the database that db is connected to.
func poolOf(ctx context.Context, db *sql.DB) (*pgxpool.Pool, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var url string
	if err := conn.Raw(func(driver any) error {
		pgx, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the database is opened by %T, want pgx", driver)
		}
		url = pgx.Conn().Config().ConnString()
		return nil
	}); err != nil {
		return nil, err
	}
	return pgxpool.New(ctx, url)
}
