package persistence

import (
	"context"

	"github.com/chatopshub/chatopshub/domain"
)

// Sessions keeps logins.
type Sessions struct{ reads *Reads }

// NewSessions makes the keeper.
func NewSessions(reads *Reads) *Sessions { return &Sessions{reads} }

// Start stores a login, the first session of its family, and returns when that
// is durable. domain.ErrUnavailable when it isn't, or when that isn't known: a
// row whose token nobody was given does no harm.
func (s *Sessions) Start(ctx context.Context, session domain.LoginSession) error {
	_, err := s.reads.pool.Exec(ctx, s.reads.queries.StartSession,
		session.ID, session.User, session.RefreshHash, session.ExpiresAt, session.IP, session.UserAgent)
	return readError("start a session", err)
}
