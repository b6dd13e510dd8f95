package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// replayTime is how long a replay may take: what began longer ago is over.
const replayTime = 15 * time.Second

// letterRow is a row of list-dead-letters and dead-letter-by-id.
type letterRow struct {
	Total        int                   `db:"total"`
	ID           domain.DeadLetterID   `db:"id"`
	Organization domain.OrganizationID `db:"organization_id"`
	Provider     *string               `db:"provider"`
	Account      *string               `db:"channel_external_id"`
	Reason       *string               `db:"reason"`
	Detail       *string               `db:"error"`
	Payload      []byte                `db:"payload"`
	Size         *int                  `db:"size"`
	Attempts     *int                  `db:"attempts"`
	ReceivedAt   *time.Time            `db:"received_at"`
	ReplayedAt   *time.Time            `db:"replayed_at"`
	Requested    *bool                 `db:"requested"`
}

func (r *letterRow) view() domain.DeadLetterView {
	return domain.DeadLetterView{
		ID: r.ID, Provider: domain.Provider(orZero(r.Provider)), Account: r.Account, Reason: orZero(r.Reason), Detail: r.Detail,
		Payload: asText(string(r.Payload)), PayloadSize: orZero(r.Size), Attempts: orZero(r.Attempts), Requested: orZero(r.Requested),
		ReceivedAt: timestamp(r.ReceivedAt), ReplayedAt: timestamp(r.ReplayedAt),
	}
}

// List is a page of the letters of the organization, newest first, each with
// the beginning of its payload; of all organizations and of none where org is
// zero, for whoever runs the installation.
func (d *DeadLetters) List(ctx context.Context, org domain.OrganizationID, page domain.Page) ([]domain.DeadLetterView, domain.PageMeta, error) {
	var rows []letterRow
	if err := d.reads.db.SelectContext(ctx, &rows, d.reads.queries.ListDeadLetters, org, page.Limit, page.Offset()); err != nil {
		return nil, domain.PageMeta{}, readError("list dead letters", err)
	}
	var views []domain.DeadLetterView
	for i := range rows {
		if !rows[i].ID.IsZero() {
			views = append(views, rows[i].view())
		}
	}
	return views, pageMeta(page, rows[0].Total), nil
}

// Get is one letter with the whole of its payload; org as of List.
// domain.ErrNotFound.
func (d *DeadLetters) Get(ctx context.Context, org domain.OrganizationID, id domain.DeadLetterID) (domain.DeadLetterView, error) {
	var row letterRow
	if err := d.reads.db.GetContext(ctx, &row, d.reads.queries.DeadLetterByID, org, id); err != nil {
		return domain.DeadLetterView{}, readError("read a dead letter", err)
	}
	return row.view(), nil
}

// Replay hands a letter to take, unless it was taken before, and notes what
// became of it; org as of List. It is nil when the letter is taken, whoever did
// it. domain.ErrNotFound; domain.ErrOverloaded while somebody else is at it; a
// *domain.ReplayError of take, which is noted on the letter; anything else is
// temporary, and the letter can be tried again.
func (d *DeadLetters) Replay(ctx context.Context, org domain.OrganizationID, id domain.DeadLetterID, take func(context.Context, domain.DeadLetter) error) error {
	letter, err := d.claim(ctx, org, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return d.unclaimed(ctx, org, id)
	}
	if err != nil {
		return readError("claim a dead letter", err)
	}
	limited, cancel := context.WithTimeout(ctx, replayTime/2)
	defer cancel()
	taken := take(limited, letter)
	var refused *domain.ReplayError
	if taken != nil && !errors.As(taken, &refused) {
		return taken // the claim runs out by itself
	}
	var why *string
	if refused != nil {
		why = &refused.Reason
	}
	// Taking it can't be undone, so it is noted even though the caller has gone.
	noting, done := context.WithTimeout(context.WithoutCancel(ctx), replayTime/2)
	defer done()
	if _, err := d.reads.pool.Exec(noting, d.reads.queries.SettleDeadLetter, id, why); err != nil {
		return readError("note the replay of a dead letter", err)
	}
	return taken
}

func (d *DeadLetters) claim(ctx context.Context, org domain.OrganizationID, id domain.DeadLetterID) (l domain.DeadLetter, err error) {
	err = d.reads.pool.QueryRow(ctx, d.reads.queries.ClaimDeadLetter, org, id, replayTime).Scan(
		&l.ID, &l.Organization, (*string)(&l.Provider), &l.Account, &l.Reason, &l.Detail, &l.Headers, &l.Payload, &l.ReceivedAt, &l.SignedBy)
	return l, err
}

// unclaimed says why a letter can't be claimed: it isn't there, is taken, or
// somebody is at it.
func (d *DeadLetters) unclaimed(ctx context.Context, org domain.OrganizationID, id domain.DeadLetterID) error {
	view, err := d.Get(ctx, org, id)
	if err != nil || !time.Time(view.ReplayedAt).IsZero() {
		return err
	}
	return fmt.Errorf("replay dead letter %s: %w: somebody is at it", id, domain.ErrOverloaded)
}

// RequestReplays has a running server replay the letters, and returns how many
// of them there are to replay.
func (d *DeadLetters) RequestReplays(ctx context.Context, ids []domain.DeadLetterID) (int, error) {
	raw := make([][16]byte, len(ids))
	for i, id := range ids {
		raw[i] = id
	}
	tag, err := d.reads.pool.Exec(ctx, d.reads.queries.RequestReplays, raw)
	return int(tag.RowsAffected()), readError("ask for replays", err)
}

// Requested is the next letter whose replay was asked for by RequestReplays; the
// zero id when there is none.
func (d *DeadLetters) Requested(ctx context.Context) (id domain.DeadLetterID, err error) {
	err = d.reads.pool.QueryRow(ctx, d.reads.queries.RequestedReplay, replayTime).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return domain.DeadLetterID{}, nil
	}
	return id, readError("look for replays", err)
}
