package persistence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// sessionsPrune is how often logins that are long over are removed, and
	// sessionsPruned how many at a time: each may have hundreds of spent tokens.
	sessionsPrune  = 10 * time.Minute
	sessionsPruned = 100
)

// Sessions keeps logins. Refresh tokens are known to it by their SHA-256 alone.
// Whichever way a session ends, the Registry of every node hears of it.
type Sessions struct {
	reads    *Reads
	lifetime time.Duration
	logger   *slog.Logger
}

// NewSessions makes the keeper of sessions that last for lifetime after their
// last extension. Run removes what is over.
func NewSessions(reads *Reads, lifetime time.Duration, logger *slog.Logger) *Sessions {
	return &Sessions{reads: reads, lifetime: lifetime, logger: logger}
}

// Start stores a login, the first session of its family, and returns when that
// is durable. domain.ErrSessionOver when the user's role, status or password is
// no longer what the login was checked against. domain.ErrUnavailable when it
// isn't stored, or when that isn't known: a row whose token nobody was given does
// no harm.
func (s *Sessions) Start(ctx context.Context, session domain.LoginSession) error {
	user := session.User
	tag, err := s.reads.pool.Exec(ctx, s.reads.queries.StartSession, session.ID, user.ID, session.RefreshHash,
		s.lifetime, session.IP, session.UserAgent, string(user.Role), string(user.PasswordHash))
	if err != nil {
		return readError("start a session", err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("start a session: %w: user %s has changed meanwhile", domain.ErrSessionOver, user.ID)
	}
	return nil
}

// Refresh exchanges a refresh token for its successor, as domain.DecideRefresh
// says, and returns when that is durable. domain.ErrSessionOver when the token
// is good for nothing; when that is because it was stolen, the error is
// domain.ErrTokenReused, the session has ended, and the audit tells. Repeating
// the call after domain.ErrUnavailable is safe, whether it was done or not.
func (s *Sessions) Refresh(ctx context.Context, use domain.RefreshUse) (domain.Renewal, error) {
	var (
		renewal domain.Renewal
		refusal error // an answer that commits
	)
	err := pgx.BeginFunc(ctx, s.reads.pool, func(tx pgx.Tx) error {
		token, err := s.lock(ctx, tx, use.Presented)
		if errors.Is(err, pgx.ErrNoRows) {
			refusal = domain.ErrSessionOver
			return nil
		}
		if err != nil {
			return err
		}
		renewal = token.renewal
		decision := domain.DecideRefresh(token.state, token.now, s.lifetime)
		switch decision.Verdict {
		case domain.RefreshRotate:
			renewal.Newest = use.Successor
			return s.rotate(ctx, tx, token, decision.ExpiresAt, use)
		case domain.RefreshRepeat:
			return tx.QueryRow(ctx, s.reads.queries.UnspentRefreshToken, renewal.Session).Scan(&renewal.Newest)
		case domain.RefreshTheft:
			refusal = domain.ErrTokenReused
			return s.endStolen(ctx, tx, token, use)
		case domain.RefreshOver:
			refusal = domain.ErrSessionOver
		}
		return nil
	})
	if err != nil {
		return domain.Renewal{}, readError("use a refresh token", err)
	}
	if refusal != nil {
		return domain.Renewal{}, fmt.Errorf("use a refresh token of session %s: %w", renewal.Session, refusal)
	}
	return renewal, nil
}

// lockedToken is a refresh token whose session is locked until the transaction
// ends.
type lockedToken struct {
	id      domain.SessionID // of its row
	renewal domain.Renewal   // without Newest
	state   domain.RefreshState
	now     time.Time
}

// lock is pgx.ErrNoRows for a token that nobody was ever given.
func (s *Sessions) lock(ctx context.Context, tx pgx.Tx, hash []byte) (*lockedToken, error) {
	var (
		t     lockedToken
		spent *time.Time
		r     = &t.renewal
	)
	err := tx.QueryRow(ctx, s.reads.queries.LockSession, hash).Scan(
		&t.id, &spent, &r.Session, &t.state.ExpiresAt, &t.state.Ended, &t.now,
		&r.User, &r.Organization, (*string)(&r.Role), (*string)(&t.state.User))
	t.state.SpentAt = orZero(spent)
	return &t, err
}

// rotate makes the successor the one good token of the session.
func (s *Sessions) rotate(ctx context.Context, tx pgx.Tx, token *lockedToken, expires time.Time, use domain.RefreshUse) error {
	q := &s.reads.queries
	batch := &pgx.Batch{}
	batch.Queue(q.SpendRefreshToken, token.id, token.now)
	batch.Queue(q.ExtendSession, token.renewal.Session, expires)
	batch.Queue(q.AddRefreshToken, token.renewal.Session, use.Successor, use.IP, use.UserAgent)
	return tx.SendBatch(ctx, batch).Close()
}

// endStolen ends a session that two have a token of.
func (s *Sessions) endStolen(ctx context.Context, tx pgx.Tx, token *lockedToken, use domain.RefreshUse) error {
	q, r := &s.reads.queries, token.renewal
	batch := &pgx.Batch{}
	batch.Queue(q.EndSession, r.Session)
	batch.Queue(q.AuditTokenReuse, r.Organization, r.User, r.Session.String(), use.IP, use.UserAgent)
	return tx.SendBatch(ctx, batch).Close()
}

// End ends a session of the user, and that of the refresh token where it is the
// same user's, and returns when that is durable. What has ended stays ended, so
// repeating it is safe.
func (s *Sessions) End(ctx context.Context, user domain.UserID, session domain.SessionID, refreshHash []byte) error {
	_, err := s.reads.pool.Exec(ctx, s.reads.queries.EndSessions, user, session, refreshHash)
	return readError("end a session", err)
}

// Run removes sessions that are long over until ctx ends. Every node does: there
// is little to remove, and what one has removed the others don't find.
func (s *Sessions) Run(ctx context.Context) error {
	tick := time.NewTicker(sessionsPrune)
	defer tick.Stop()
	for {
		if err := s.Prune(ctx); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "sessions that are over stay for now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Prune removes the sessions, with their tokens, that were over two days ago.
func (s *Sessions) Prune(ctx context.Context) error {
	for {
		tag, err := s.reads.pool.Exec(ctx, s.reads.queries.PruneSessions, sessionsPruned)
		if err != nil {
			return readError("remove sessions that are over", err)
		}
		if tag.RowsAffected() < sessionsPruned {
			return nil
		}
	}
}
