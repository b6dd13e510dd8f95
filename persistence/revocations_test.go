package persistence_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

const accessTTL = 15 * time.Minute

// closedSockets records what it is told, and whether the registry said so before.
type closedSockets struct {
	registry *persistence.Registry
	user     domain.UserID // of all sessions here

	mu       sync.Mutex
	sessions map[domain.SessionID]bool // whether the registry knew
	agents   []domain.UserID
}

func watch(registry *persistence.Registry, user domain.UserID) *closedSockets {
	s := &closedSockets{registry: registry, user: user, sessions: map[domain.SessionID]bool{}}
	registry.Tell(s)
	return s
}

func (s *closedSockets) CloseSession(org domain.OrganizationID, id domain.SessionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[id] = s.registry.Over(org, s.user, id)
}

func (s *closedSockets) CloseAgent(org domain.OrganizationID, id domain.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registry.Over(org, id, domain.SessionID{}) {
		s.agents = append(s.agents, id)
	}
}

// knew reports whether the session's end was told when it was known.
func (s *closedSockets) knew(id domain.SessionID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *closedSockets) closed(id domain.UserID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, agent := range s.agents {
		if agent == id {
			return true
		}
	}
	return false
}

func TestEveryRegistryHearsOfTheEndOfASession(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	one, two := newRegistry(t, l.db), newRegistry(t, l.db)
	sockets := watch(one, l.agent)
	over := func(id domain.SessionID) bool {
		return one.Over(l.org, l.agent, id) && two.Over(l.org, l.agent, id) && sockets.knew(id)
	}
	kept := l.login("kept")

	ended := l.login("1")
	require.False(t, one.Over(l.org, l.agent, ended))
	require.NoError(t, l.End(t.Context(), l.agent, ended, nil))
	soon(t, func() bool { return over(ended) }, "a logout")

	stolen := l.login("2")
	l.newest("2", "2'")
	l.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '1 minute' WHERE family = $1`, stolen)
	l.refused("2", domain.ErrTokenReused)
	soon(t, func() bool { return over(stolen) }, "a theft")
	require.False(t, one.Over(l.org, l.agent, kept))
	require.False(t, sockets.closed(l.agent))
	require.True(t, one.Over(newID[domain.OrganizationID](), l.agent, kept), "of another organization")

	l.exec(`UPDATE users SET role = 'ADMIN' WHERE id = $1`, l.agent)
	soon(t, func() bool { return over(kept) }, "another role")
	require.False(t, sockets.closed(l.agent), "who logs in again may work")

	l.exec(`UPDATE users SET status = 'SUSPENDED' WHERE id = $1`, l.agent)
	soon(t, func() bool { return sockets.closed(l.agent) }, "a suspension")
	require.True(t, one.Over(l.org, l.agent, newID[domain.SessionID]()))
	gone := l.tenant.agent("Gone")
	soon(t, func() bool { _, ok := one.User(l.org, gone); return ok }, "a new user")
	l.exec(`DELETE FROM users WHERE id = $1`, gone)
	soon(t, func() bool { return sockets.closed(gone) }, "a removed user")
}

func TestTheEndOfASessionIsFoundByThePoll(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	registry := newRegistry(t, l.db)
	l.exec(`DROP TRIGGER change_log_notify ON change_log`)
	session := l.login("a")
	require.NoError(t, l.End(t.Context(), l.agent, session, nil))
	soon(t, func() bool { return registry.Over(l.org, l.agent, session) }, "an end without a notification")
}

func TestARegistryThatStartsKnowsWhatEndedOfLate(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	late, early := l.login("late"), l.login("early")
	require.NoError(t, l.End(t.Context(), l.agent, late, hashOf("early")))
	l.exec(`UPDATE sessions SET revoked_at = now() - interval '15 minutes' WHERE id = $1`, late)
	l.exec(`UPDATE sessions SET revoked_at = now() - interval '17 minutes' WHERE id = $1`, early)
	registry := newRegistry(t, l.db)
	require.True(t, registry.Over(l.org, l.agent, late))
	require.False(t, registry.Over(l.org, l.agent, early), "its tokens have expired: it needn't be known")
}

func TestEndedSessionsAreForgottenWhenTheirTokensHaveExpired(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	clock := &testClock{}
	registry := persistence.NewRegistry(openReads(t, l.db), newSealer(t, 1), accessTTL, discard(), clock.now)
	running(t, registry.Run)
	<-registry.Loaded()
	session := l.login("a")
	require.NoError(t, l.End(t.Context(), l.agent, session, nil))
	soon(t, func() bool { return registry.Over(l.org, l.agent, session) }, "the end")
	clock.advance(accessTTL)
	name := func(want string) {
		l.exec(`UPDATE users SET name = $2 WHERE id = $1`, l.agent, want)
		soon(t, func() bool { u, _ := registry.User(l.org, l.agent); return u.Name == want }, "the next change")
	}
	name("one")
	name("two") // by now the first has been followed to its end
	require.True(t, registry.Over(l.org, l.agent, session))
	clock.advance(2 * time.Minute)
	soon(t, func() bool { return !registry.Over(l.org, l.agent, session) }, "the end of the tokens")
}

// A node that couldn't hear for hours must not keep the sockets of a session
// that ended at the beginning of that time.
func TestAnInterruptionIsCaughtUpWith(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	database := server.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	clock := &testClock{}
	registry := persistence.NewRegistry(openReads(t, database), newSealer(t, 1), accessTTL, discard(), clock.now)
	running(t, registry.Run)
	<-registry.Loaded()
	sockets := watch(registry, ada)
	session := newID[domain.SessionID]()
	n.exec(`INSERT INTO sessions (id, user_id, refresh_hash, family, expires_at) VALUES ($1, $2, '\x01', $1, now() + interval '1 day')`, session, ada)

	server.Stop()
	clock.advance(3 * time.Hour)
	server.Start()
	soon(t, func() bool {
		_, err := database.SQL.Exec(`ALTER TABLE sessions DISABLE TRIGGER sessions_revoked;
			ALTER TABLE users DISABLE TRIGGER users_changed`)
		return err == nil
	}, "the database is back")
	n.exec(`UPDATE sessions SET revoked_at = now() - interval '2 hours' WHERE id = $1`, session)
	n.exec(`UPDATE users SET status = 'SUSPENDED' WHERE id = $1`, ada)
	clock.advance(13 * time.Hour) // whether it has come back before or not: everything is read again
	soon(t, func() bool { return sockets.knew(session) && sockets.closed(ada) }, "what ended meanwhile")
}
