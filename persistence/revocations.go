package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// revocationSlack is added to the life of an access token: another node's
	// clock may be ahead of ours, and a token may be made a moment after the end
	// of its session, by a call that began before.
	revocationSlack = time.Minute
	// forgetEvery is how often sessions are forgotten that no token can name any
	// more.
	forgetEvery = time.Minute
)

// Sockets are told who must not stay connected; transport/socket's Server is it.
// The Registry answers accordingly before they are told. The calls come from its
// one goroutine and must not block.
type Sockets interface {
	CloseSession(organization domain.OrganizationID, session domain.SessionID)
	CloseAgent(organization domain.OrganizationID, agent domain.UserID)
}

// Tell makes sockets hear of every session that ends before its time, and of
// every user who stops being ACTIVE, from now on. Who connects later is refused
// for what ended before.
func (r *Registry) Tell(sockets Sockets) { r.sockets.Store(&sockets) }

// Over reports whether an access token of the session must not be believed any
// more: the session has ended, or the user isn't an ACTIVE one of the
// organization.
func (r *Registry) Over(org domain.OrganizationID, user domain.UserID, session domain.SessionID) bool {
	current := r.current.Load()
	if _, revoked := current.revoked.Load(session); revoked {
		return true
	}
	u, known := current.user(user)
	return !known || u.Organization != org || u.Status != domain.UserActive
}

// endedSession is a session that has ended before its time.
type endedSession struct {
	id           domain.SessionID
	organization domain.OrganizationID
}

// readRevocations brings into into which of the named sessions, nil for all,
// have ended. It looks back for as long as access tokens live, or, after an
// interruption, for as long as that: sockets outlive the token they came with.
// What is held is bounded by the logins that end within that time.
func (r *Registry) readRevocations(ctx context.Context, conn *pgx.Conn, into *configuration, ids [][16]byte) ([]endedSession, error) {
	since := r.accessTTL
	if readAt := r.readAt.Load(); readAt != 0 {
		since = max(since, r.now().Sub(time.Unix(0, readAt)))
	}
	rows, err := conn.Query(ctx, r.reads.queries.RevokedSessions, since+revocationSlack, ids)
	if err != nil {
		return nil, fmt.Errorf("read ended sessions: %w", err)
	}
	var (
		s     endedSession
		ended []endedSession
		until = r.now().Add(r.accessTTL + revocationSlack)
	)
	_, err = pgx.ForEachRow(rows, []any{&s.id, &s.organization}, func() error {
		into.revoked.Store(s.id, until)
		ended = append(ended, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read ended sessions: %w", err)
	}
	return ended, nil
}

func (r *Registry) closeSessions(ended []endedSession) {
	sockets := r.sockets.Load()
	if sockets == nil {
		return
	}
	for _, s := range ended {
		(*sockets).CloseSession(s.organization, s.id)
	}
}

// closeAgents closes the sockets of those users who aren't ACTIVE now.
func (r *Registry) closeAgents(before []domain.User) {
	sockets := r.sockets.Load()
	if sockets == nil {
		return
	}
	current := r.current.Load()
	for _, u := range before {
		if now, known := current.user(u.ID); !known || now.Status != domain.UserActive {
			(*sockets).CloseAgent(u.Organization, u.ID)
		}
	}
}

// forget drops the sessions whose tokens have all expired.
func (r *Registry) forget(current *configuration) {
	now := r.now()
	if now.Sub(r.forgotAt) < forgetEvery {
		return
	}
	r.forgotAt = now
	current.revoked.Range(func(id, until any) bool {
		if now.After(until.(time.Time)) {
			current.revoked.Delete(id)
		}
		return true
	})
}
