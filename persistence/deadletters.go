package persistence

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// maxLetter bounds the payload of a letter in bytes; the rest is cut off, and
	// the letter says so. The platforms' elements have some kilobytes.
	maxLetter = 1 << 20
	// pruneAfter is how many letters are kept between two prunings, and so by how
	// many a node may exceed the maximum.
	pruneAfter = 1000
)

// DeadLetters keeps what webhooks brought and nothing could take: at most limit
// letters, of the last 30 days; the oldest go first.
type DeadLetters struct {
	reads  *Reads
	limit  int
	logger *slog.Logger
	kept   atomic.Int64 // since the last pruning
}

// NewDeadLetters makes a keeper of at most limit letters.
func NewDeadLetters(reads *Reads, limit int, logger *slog.Logger) *DeadLetters {
	return &DeadLetters{reads: reads, limit: limit, logger: logger}
}

// Keep returns when the letters are durable, all or none of them. A letter
// whose id is stored already is that letter. Whatever can't be text in the
// database is replaced, the payload alone is kept byte by byte, up to 1 MiB.
// domain.ErrUnavailable when the database is away.
func (d *DeadLetters) Keep(ctx context.Context, letters []domain.DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	params, err := letterParams(letters)
	if err != nil {
		return err
	}
	if _, err := d.reads.pool.Exec(ctx, d.reads.queries.KeepDeadLetters, params...); err != nil {
		return readError("keep dead letters", err)
	}
	if kept := d.kept.Add(int64(len(letters))); kept >= pruneAfter && d.kept.CompareAndSwap(kept, 0) {
		if err := d.Prune(ctx); err != nil {
			// The letters are kept; the next ones prune again.
			d.kept.Store(pruneAfter)
			d.logger.WarnContext(ctx, "old dead letters stay for now", "error", err)
		}
	}
	return nil
}

// Prune removes the letters beyond the maximum and those older than 30 days.
func (d *DeadLetters) Prune(ctx context.Context) error {
	_, err := d.reads.pool.Exec(ctx, d.reads.queries.PruneDeadLetters, d.limit)
	return readError("prune dead letters", err)
}

// letterParams are the parameters of keep-dead-letters, column by column.
func letterParams(letters []domain.DeadLetter) ([]any, error) {
	var (
		n             = len(letters)
		ids           = make([][16]byte, n)
		organizations = make([]domain.OrganizationID, n)
		payloads      = make([][]byte, n)
		received      = make([]time.Time, n)
		texts         [6][]string // provider, account, reason, detail, headers, who signed
	)
	for i, letter := range letters {
		payload, detail := letter.Payload, letter.Detail
		if len(payload) > maxLetter {
			detail = fmt.Sprintf("payload of %d bytes cut off; %s", len(payload), detail)
			payload = payload[:maxLetter]
		}
		headers := make(map[string]string, len(letter.Headers))
		for name, value := range letter.Headers {
			headers[asText(name)] = asText(value)
		}
		encoded, err := json.Marshal(headers)
		if err != nil {
			return nil, fmt.Errorf("encode the headers of a dead letter: %w", err)
		}
		ids[i], organizations[i], received[i] = letter.ID, letter.Organization, letter.ReceivedAt
		payloads[i] = append([]byte{}, payload...) // nil would be NULL
		for column, text := range []string{string(letter.Provider), letter.Account, letter.Reason, detail, string(encoded), letter.SignedBy} {
			texts[column] = append(texts[column], asText(text))
		}
	}
	return []any{ids, organizations, texts[0], texts[1], texts[2], texts[3], texts[4], payloads, received, texts[5]}, nil
}

// asText replaces what PostgreSQL refuses in text: NUL and invalid UTF-8.
func asText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
