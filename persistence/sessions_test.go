package persistence_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

const week = 7 * 24 * time.Hour

func hashOf(token string) []byte {
	hash := sha256.Sum256([]byte(token))
	return hash[:]
}

// use is a use of a token; its successor has an apostrophe more.
func use(token string) domain.RefreshUse {
	return domain.RefreshUse{Presented: hashOf(token), Successor: hashOf(token + "'"), IP: "192.0.2.7", UserAgent: "browser"}
}

// logins is a keeper of sessions with an agent to log in.
type logins struct {
	*tenant
	*persistence.Sessions
	agent domain.UserID
	user  domain.LoginUser
}

func newLogins(t *testing.T) *logins {
	t.Helper()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	l := &logins{tenant: n, Sessions: persistence.NewSessions(openReads(t, database), week, discard()), agent: n.agent("Ada")}
	l.user = domain.LoginUser{
		User:         domain.User{ID: l.agent, Organization: n.org, Role: domain.RoleAgent, Status: domain.UserActive},
		PasswordHash: "hash of Ada",
	}
	return l
}

// login starts a session with the token.
func (l *logins) login(token string) domain.SessionID {
	l.t.Helper()
	session := domain.LoginSession{ID: newID[domain.SessionID](), User: l.user, RefreshHash: hashOf(token), IP: "192.0.2.1"}
	require.NoError(l.t, l.Start(l.t.Context(), session))
	return session.ID
}

// newest requires that token is taken, and that what comes back is want.
func (l *logins) newest(token, want string) {
	l.t.Helper()
	renewal, err := l.Refresh(l.t.Context(), use(token))
	require.NoError(l.t, err)
	require.Equal(l.t, hashOf(want), renewal.Newest)
}

func (l *logins) refused(token string, with error) {
	l.t.Helper()
	renewal, err := l.Refresh(l.t.Context(), use(token))
	require.ErrorIs(l.t, err, with)
	require.Zero(l.t, renewal)
}

// ago makes everything that happened to sessions have happened earlier.
func (l *logins) ago(d time.Duration) {
	l.t.Helper()
	l.exec(`UPDATE sessions SET created_at = created_at - $1::interval, rotated_at = rotated_at - $1::interval,
		expires_at = expires_at - $1::interval`, d.String())
}

func (l *logins) one(query string, args ...any) (n int) {
	l.t.Helper()
	require.NoError(l.t, l.db.SQL.QueryRow(query, args...).Scan(&n))
	return n
}

func TestStartStoresALogin(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	session := l.login("refresh token")
	var (
		id, family domain.SessionID
		user       domain.UserID
		hash       []byte
		expires    time.Time
		ip         string
		agent      *string
	)
	require.NoError(t, l.db.SQL.QueryRow(`SELECT id, family, user_id, refresh_hash, expires_at, ip, user_agent FROM sessions`).
		Scan(&id, &family, &user, &hash, &expires, &ip, &agent))
	require.Equal(t, session, id)
	require.Equal(t, session, family, "the first of its family")
	require.Equal(t, l.agent, user)
	require.Equal(t, hashOf("refresh token"), hash)
	require.WithinDuration(t, time.Now().Add(week), expires, time.Minute)
	require.Equal(t, "192.0.2.1", ip)
	require.Nil(t, agent)

	again := domain.LoginSession{ID: newID[domain.SessionID](), User: l.user, RefreshHash: hash}
	require.Error(t, l.Start(t.Context(), again), "a refresh token is one session's")
}

// Between the check of a password and the session that it opens, somebody may
// change the user: that must not leave a session which nobody revokes.
func TestALoginOfAUserWhoHasChangedDoesntStart(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"suspended": `UPDATE users SET status = 'SUSPENDED'`,
		"promoted":  `UPDATE users SET role = 'ADMIN'`,
		"password":  `UPDATE users SET password_hash = 'another'`,
		"gone":      `DELETE FROM users`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLogins(t)
			changing, err := l.db.SQL.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = changing.Exec(change)
			require.NoError(t, err)
			started := make(chan error)
			go func() {
				started <- l.Start(t.Context(), domain.LoginSession{ID: newID[domain.SessionID](), User: l.user, RefreshHash: hashOf("a")})
			}()
			soon(t, func() bool {
				return l.one(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`) == 1
			}, "the login waits for the change")
			require.NoError(t, changing.Commit())
			require.ErrorIs(t, <-started, domain.ErrSessionOver)
			require.Zero(t, l.one(`SELECT count(*) FROM sessions`))
		})
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	session := l.login("a")
	other := l.login("b")

	renewal, err := l.Refresh(t.Context(), use("a"))
	require.NoError(t, err)
	require.Equal(t, domain.Renewal{
		Session: session, User: l.agent, Organization: l.org, Role: domain.RoleAgent, Newest: hashOf("a'"),
	}, renewal)
	l.newest("a", "a'") // the answer was lost
	l.newest("a'", "a''")
	l.newest("a", "a''") // a successor that is spent would be a trap
	l.ago(domain.RefreshLeeway + time.Second)
	l.newest("a''", "a'''")
	l.refused("nobody's", domain.ErrSessionOver)
	require.Equal(t, 1, l.one(`SELECT count(*) FROM sessions WHERE family = $1 AND rotated_at IS NULL`, session))
	require.Equal(t, 4, l.one(`SELECT count(*) FROM sessions WHERE family = $1 AND user_id = $2`, session, l.agent))
	require.Equal(t, 1, l.one(`SELECT count(*) FROM sessions WHERE family = $1`, other))
	require.Zero(t, l.one(`SELECT count(*) FROM admin_audit`))
}

func TestASpentTokenEndsItsSession(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	session := l.login("a")
	l.login("b")
	l.newest("a", "a'")
	l.ago(domain.RefreshLeeway + time.Second)

	l.refused("a", domain.ErrTokenReused)
	l.refused("a'", domain.ErrSessionOver)
	l.refused("a", domain.ErrSessionOver)
	l.newest("b", "b'") // another login of the same user

	var action, subject string
	var actor domain.UserID
	var facts []byte
	require.NoError(t, l.db.SQL.QueryRow(`SELECT action, subject, actor_id, metadata FROM admin_audit WHERE organization_id = $1`, l.org).
		Scan(&action, &subject, &actor, &facts), "one line")
	require.Equal(t, "session.token_reused", action)
	require.Equal(t, session.String(), subject)
	require.Equal(t, l.agent, actor)
	require.JSONEq(t, `{"ip": "192.0.2.7", "userAgent": "browser"}`, string(json.RawMessage(facts)))
}

func TestASessionSlidesOnceADay(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	session := l.login("a")
	left := func() time.Duration {
		var seconds float64
		require.NoError(t, l.db.SQL.QueryRow(`SELECT extract(epoch FROM expires_at - now())::float FROM sessions WHERE id = $1`, session).Scan(&seconds))
		return time.Duration(seconds * float64(time.Second)).Round(time.Minute)
	}
	require.Equal(t, week, left())
	l.ago(23 * time.Hour)
	l.newest("a", "a'")
	require.Equal(t, week-23*time.Hour, left(), "used within a day: not extended")
	l.ago(time.Hour)
	l.newest("a'", "a''")
	require.Equal(t, week, left())
	l.ago(week - time.Hour)
	l.newest("a''", "a'''")
	require.Equal(t, week, left())
	l.ago(week)
	l.refused("a'''", domain.ErrSessionOver)
	l.refused("a''", domain.ErrSessionOver) // too late to be a theft
	require.Zero(t, l.one(`SELECT count(*) FROM admin_audit`))
}

// Tabs that wake up together all use the one token they have.
func TestTabsThatRefreshAtOnceGetTheSameToken(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	session := l.login("a")
	token := "a"
	for range 5 {
		var group sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			group.Go(func() {
				renewal, err := l.Refresh(t.Context(), use(token))
				if errs[i] = err; err == nil && string(renewal.Newest) != string(hashOf(token+"'")) {
					errs[i] = fmt.Errorf("another token came back: %x", renewal.Newest)
				}
			})
		}
		group.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		token += "'"
	}
	require.Equal(t, 6, l.one(`SELECT count(*) FROM sessions WHERE family = $1`, session))
}

// A thief and the owner at the same moment: whoever comes first, the session
// ends with both, and no successor survives it.
func TestATheftRacesWithARefresh(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	for i := range 10 {
		token := fmt.Sprint(i)
		session := l.login(token)
		l.newest(token, token+"'")
		l.exec(`UPDATE sessions SET rotated_at = rotated_at - interval '1 minute' WHERE family = $1`, session)
		var group sync.WaitGroup
		group.Go(func() { _, _ = l.Refresh(t.Context(), use(token+"'")) }) // either answer is right
		group.Go(func() { _, _ = l.Refresh(t.Context(), use(token)) })
		group.Wait()
		l.refused(token+"'", domain.ErrSessionOver)
		l.refused(token+"''", domain.ErrSessionOver)
	}
	require.Equal(t, 10, l.one(`SELECT count(*) FROM admin_audit`))
}

func TestEndEndsTheSessionAndThatOfTheToken(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	one, two := l.login("1"), l.login("2")
	three, four := l.login("3"), l.login("4")
	l.newest("2", "2'")
	stranger := l.tenant.agent("Mallory")
	require.NoError(t, l.End(t.Context(), stranger, one, hashOf("2")))
	l.newest("1", "1'")
	l.newest("2'", "2''")

	require.NoError(t, l.End(t.Context(), l.agent, one, hashOf("2'")))
	require.NoError(t, l.End(t.Context(), l.agent, three, hashOf("nobody's")))
	require.NoError(t, l.End(t.Context(), l.agent, three, hashOf("nobody's")), "again")
	for _, token := range []string{"1'", "1", "2''", "3"} {
		l.refused(token, domain.ErrSessionOver)
	}
	l.newest("4", "4'")
	require.Equal(t, 1, l.one(`SELECT count(*) FROM sessions WHERE id = family AND revoked_at IS NULL`))
	require.NotEqual(t, two, four)
}

func TestWhatEndsTheSessionsOfAUser(t *testing.T) {
	t.Parallel()
	for change, ends := range map[string]bool{
		`status = 'SUSPENDED'`:                 true,
		`status = 'INACTIVE'`:                  true,
		`role = 'ADMIN'`:                       true,
		`password_hash = 'another'`:            true,
		`role = role, status = 'ACTIVE'`:       false,
		`name = 'Ada L.'`:                      false,
		`assigned_count = 1`:                   false,
		`max_conversations = 3, email = 'a@b'`: false,
	} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			l := newLogins(t)
			l.login("a")
			l.newest("a", "a'")
			l.login("b")
			grace := l.tenant.agent("Grace")
			l.user.ID, l.user.PasswordHash = grace, "hash of Grace"
			l.login("c")
			l.exec(`UPDATE users SET `+change+` WHERE id = $1`, l.agent)
			if ends {
				l.refused("a'", domain.ErrSessionOver)
				l.refused("b", domain.ErrSessionOver)
			} else {
				l.newest("a'", "a''")
				l.newest("b", "b'")
			}
			l.newest("c", "c'")
		})
	}
}

func TestSessionsThatAreLongOverAreRemoved(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	l.login("kept")
	l.exec(`INSERT INTO sessions (id, user_id, refresh_hash, family, expires_at)
		SELECT id, $1, decode(replace(id::text, '-', ''), 'hex'), id, now() - interval '49 hours'
		FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 250)) AS ids`, l.agent)
	l.exec(`INSERT INTO sessions (user_id, refresh_hash, family, expires_at, rotated_at)
		SELECT user_id, refresh_hash || '\x01', id, now() + interval '1 day', now() FROM sessions`)
	require.NoError(t, l.Prune(t.Context()))
	require.Equal(t, 2, l.one(`SELECT count(*) FROM sessions`))
	l.newest("kept", "kept'")
}

func TestRunRemovesSessions(t *testing.T) {
	t.Parallel()
	l := newLogins(t)
	l.login("a")
	l.ago(week + 49*time.Hour)
	running(t, l.Run)
	soon(t, func() bool { return l.one(`SELECT count(*) FROM sessions`) == 0 }, "an old session is removed")
}
