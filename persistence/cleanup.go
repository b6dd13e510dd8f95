package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// cleanupBatch is how many rows one statement removes: some milliseconds, in
	// which it holds nothing that anybody waits for.
	cleanupBatch = 500
	// cleanupShare is how many times as long as a batch took the pause after it
	// is: clean-up has a tenth of one connection.
	cleanupShare = 9
	// cleanupPause is the least pause.
	cleanupPause = 10 * time.Millisecond
)

// Cleanup removes what has had its time: old messages and their files, uploads
// that nobody used, ended sessions, letters that were replayed.
type Cleanup struct {
	reads     *Reads
	blobs     *Blobs
	now       func() time.Time
	retention time.Duration // 0: messages stay
}

// NewCleanup makes a cleaner that keeps messages for retention; 0: for ever.
func NewCleanup(reads *Reads, blobs *Blobs, now func() time.Time, retention time.Duration) *Cleanup {
	return &Cleanup{reads: reads, blobs: blobs, now: now, retention: retention}
}

// Cleaned is how many rows of each kind a run removed.
type Cleaned struct {
	Messages, Files, AgentSessions, Sessions, DeadLetters int64
}

// Run removes all that is due, in small batches with pauses between them. What a
// run that ends early leaves is the next one's; a step that fails doesn't keep
// the others from their work.
func (c *Cleanup) Run(ctx context.Context) (Cleaned, error) {
	var (
		done Cleaned
		errs []error
	)
	q := c.reads.queries
	for _, step := range []struct {
		name    string
		removed *int64
		do      func(context.Context) (int64, error)
	}{
		{"messages", &done.Messages, c.messages()},
		{"unused uploads", new(int64), c.each(q.DoomUploads)},
		{"files", &done.Files, func(ctx context.Context) (int64, error) { return purgeFiles(ctx, c.reads, c.blobs) }},
		{"agents' sessions", &done.AgentSessions, c.each(q.PruneAgentSessions)},
		{"logins", &done.Sessions, c.each(q.PruneSessions)},
		{"dead letters", &done.DeadLetters, c.each(q.PruneReplayedLetters)},
	} {
		n, err := inBatches(ctx, step.do)
		*step.removed = n
		if err != nil {
			errs = append(errs, readError("clean up "+step.name, err))
		}
	}
	return done, errors.Join(errs...)
}

// inBatches repeats a batch until one isn't full, with pauses.
func inBatches(ctx context.Context, batch func(context.Context) (int64, error)) (total int64, err error) {
	for {
		begun := time.Now()
		n, err := batch(ctx)
		total += n
		if err != nil || n < cleanupBatch {
			return total, err
		}
		select {
		case <-ctx.Done():
			return total, ctx.Err()
		case <-time.After(max(cleanupPause, cleanupShare*time.Since(begun))):
		}
	}
}

// each is a batch of a statement that takes the number of rows.
func (c *Cleanup) each(statement string) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		tag, err := c.reads.pool.Exec(ctx, statement, cleanupBatch)
		return tag.RowsAffected(), err
	}
}

// messages removes those that are old enough, from the oldest on. Each batch
// begins where the last one ended: what was removed isn't stepped over again.
func (c *Cleanup) messages() func(context.Context) (int64, error) {
	var after domain.MessageID
	return func(ctx context.Context) (int64, error) {
		if c.retention == 0 {
			return 0, nil
		}
		before, err := c.oldest(ctx)
		if err != nil {
			return 0, err
		}
		var n int64
		var last domain.MessageID
		if err := c.reads.pool.QueryRow(ctx, c.reads.queries.RetireMessages, after, before, cleanupBatch).Scan(&n, &last); err != nil {
			return 0, err
		}
		after = last
		return n, nil
	}
}

// oldest is from when on messages stay: as long as the retention says, and until
// the figures of their day are aggregated.
func (c *Cleanup) oldest(ctx context.Context) (time.Time, error) {
	before := c.now().Add(-c.retention)
	var next *time.Time
	if err := c.reads.pool.QueryRow(ctx, c.reads.queries.NextDay).Scan(&next); err != nil {
		return before, err
	}
	if next != nil && next.Before(before) {
		before = *next
	}
	return before, nil
}

// purgeFiles removes files that belong to nobody any more, first the content,
// then the row that leads to it: a crash in between leaves the row, and the next
// run begins with it.
func purgeFiles(ctx context.Context, reads *Reads, blobs *Blobs) (int64, error) {
	rows, err := reads.pool.Query(ctx, reads.queries.DoomedFiles, cleanupBatch)
	if err != nil {
		return 0, err
	}
	files, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (key domain.FileKey, err error) {
		return key, row.Scan(&key.Attachment, &key.Organization)
	})
	if err != nil {
		return 0, err
	}
	ids := make([]domain.AttachmentID, len(files))
	for i, file := range files {
		ids[i] = file.Attachment
		if err := blobs.Delete(ctx, file); err != nil {
			return 0, err
		}
	}
	tag, err := reads.pool.Exec(ctx, reads.queries.DropDoomed, uuidsOf(ids))
	return tag.RowsAffected(), err
}

// disturbed reports whether a transaction failed for somebody else's sake:
// deadlock, lock_timeout, a row that came meanwhile. It may be repeated.
func disturbed(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (sqlClass(answer) == "40" || answer.Code == "55P03" || answer.Code == "23503" || answer.Code == "23505")
}

var errChanged = errors.New("it was changed meanwhile")

// repeatedly does it again, up to ten times, while others get in its way.
func repeatedly(ctx context.Context, do func() error) (err error) {
	for try := range 10 {
		if err = do(); err == nil || !disturbed(err) && !errors.Is(err, errChanged) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try+1) * 20 * time.Millisecond):
		}
	}
	return fmt.Errorf("others were always faster: %w: %w", domain.ErrUnavailable, err)
}
