package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

func (f *fixture) refresh(token string) answer {
	r := f.request(http.MethodPost, "/api/auth/refresh", strings.NewReader(`{"refreshToken":"`+token+`"}`))
	r.Header.Set("User-Agent", "test\xff/1.0")
	return f.send(r)
}

// renewed makes the storage say that token is newest in a session of the agent.
func (f *fixture) renewed(token string) domain.SessionID {
	f.sessions.renewal = domain.Renewal{User: f.agent.ID, Organization: f.org, Role: domain.RoleAgent, Newest: auth.HashRefresh(token)}
	f.sessions.renewal.Session = newID(f.sessions.renewal.Session)
	return f.sessions.renewal.Session
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := testChain.First()
	second, third := testChain.Next(first), testChain.Next(testChain.Next(first))
	session := f.renewed(second)

	a := f.refresh(first)
	require.Equal(t, 200, a.status, "%s", a.raw)
	require.Len(t, a.body, 3)
	require.Equal(t, second, a.body["refreshToken"])
	require.EqualValues(t, 900, a.body["expiresIn"])
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	access := a.body["accessToken"].(string)
	principal, err := f.issuer.Authenticate(t.Context(), access)
	require.NoError(t, err)
	require.Equal(t, auth.Principal{User: f.agent.ID, Organization: f.org, Session: session, Role: domain.RoleAgent}, principal)
	require.Equal(t, []domain.RefreshUse{{
		Presented: auth.HashRefresh(first), Successor: auth.HashRefresh(second), IP: "127.0.0.1", UserAgent: "test/1.0",
	}}, f.sessions.used)

	f.renewed(third) // another tab was faster, twice
	require.Equal(t, third, f.refresh(first).body["refreshToken"])
	for _, secret := range []string{first, second, third, access} {
		require.NotContains(t, f.log.String(), secret)
	}
	require.Contains(t, f.log.String(), f.agent.ID.String(), "the log tells whose it was")
}

func TestRefusedRefreshes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*fixture)
		status int
		code   string
	}{
		{"over", func(*fixture) {}, 401, "refresh_token_invalid"},
		{"stolen", func(f *fixture) { f.sessions.err = fmt.Errorf("session: %w", domain.ErrTokenReused) }, 401, "refresh_token_invalid"},
		{"made with another secret", func(f *fixture) { f.renewed("a token of another chain") }, 401, "refresh_token_invalid"},
		{"storage away", func(f *fixture) { f.sessions.err = domain.ErrUnavailable }, 503, "unavailable"},
		{"not in time", func(f *fixture) { f.sessions.err = context.DeadlineExceeded }, 504, "outcome_unknown"},
		{"role unknown", func(f *fixture) { f.renewed(testChain.Next("token")); f.sessions.renewal.Role = "OWNER" }, 500, "internal"},
	}
	var refused []byte
	for _, test := range tests {
		f := newFixture(t)
		test.change(f)
		a := f.refresh("token")
		f.problem(a, test.status, test.code)
		require.NotContains(t, string(a.raw), "accessToken")
		require.Equal(t, test.status == 401, a.header.Get("WWW-Authenticate") != "")
		require.Equal(t, test.name == "stolen", strings.Contains(f.log.String(), "a refresh token was stolen"))
		if test.status == 401 {
			if refused != nil {
				require.Equal(t, string(refused), string(a.raw), "a thief is told no more than anybody")
			}
			refused = a.raw
		}
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token := f.token(f.agent)
	principal, err := f.issuer.Authenticate(t.Context(), token)
	require.NoError(t, err)
	logout := func() answer {
		return f.bearer(http.MethodPost, "/api/auth/logout", "Bearer "+token, `{"refreshToken":"secret"}`)
	}
	a := logout()
	require.Equal(t, 200, a.status, "%s", a.raw)
	require.Equal(t, map[string]any{"success": true}, a.body)
	require.Equal(t, []endedSession{{f.agent.ID, principal.Session, auth.HashRefresh("secret")}}, f.sessions.ended)

	f.sessions.err = domain.ErrUnavailable
	f.problem(logout(), 503, "unavailable")
	f.sessions.err = context.DeadlineExceeded
	f.problem(logout(), 504, "outcome_unknown")
}

func TestWrongPasswordsAreThrottled(t *testing.T) {
	t.Parallel()
	passwords := &countingPasswords{Hasher: auth.NewHasher(4)}
	f := newFixture(t, func(f *fixture) { f.config.Passwords = passwords })
	f.account(f.agent, "default", "agent123")
	f.account(f.admin, "default", "admin123")
	for range 3 {
		require.Equal(t, 200, f.login("ada@example.com", "agent123", "").status)
	}
	require.Equal(t, map[string]int{"login address 127.0.0.1/32": 0, "login account ada@example.com": 0}, f.throttle.counted(),
		"logins that succeed don't count")

	var first []byte
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		for i := range triesPerAccount {
			f.problem(f.login([]string{email, strings.ToUpper(email)}[i%2], "wrong", ""), 401, "invalid_credentials")
		}
		hashed := passwords.verified.Load()
		a := f.login(email, "agent123", "")
		f.problem(a, 429, "too_many_attempts")
		require.Equal(t, "299", a.header.Get("Retry-After"), "whole seconds, rounded up")
		require.Equal(t, hashed, passwords.verified.Load(), "nothing is hashed")
		if first != nil {
			require.Equal(t, string(first), string(a.raw), "known and unknown e-mails are answered alike")
		}
		first = a.raw
	}
	require.Equal(t, 200, f.login("grace@example.com", "admin123", "").status, "another account from the same address")
}

func TestWhatIsntAWrongPasswordDoesntCount(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fixture){
		"storage away":      func(f *fixture) { f.users.err = domain.ErrUnavailable },
		"hasher saturated":  func(f *fixture) { f.config.Passwords = busyPasswords{} },
		"session not kept":  func(f *fixture) { f.sessions.err = domain.ErrUnavailable },
		"user not active":   func(f *fixture) { f.users.accounts[0].Status = domain.UserSuspended },
		"several companies": func(f *fixture) { f.account(f.foreigner, "other", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(f *fixture) {
				f.foreigner.Email = f.agent.Email
				f.account(f.agent, "default", "agent123")
				change(f)
			})
			require.NotEqual(t, 200, f.login(f.agent.Email, "agent123", "").status)
			for key, n := range f.throttle.counted() {
				require.Zero(t, n, key)
			}
		})
	}
}

func TestAnAddressIsThrottled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) { f.config.Passwords = strangers{} })
	f.throttle.taken = map[string]int{"login address 127.0.0.1/32": triesPerAddress - 1}
	f.problem(f.login("somebody@example.com", "wrong", ""), 401, "invalid_credentials")
	f.problem(f.login("another@example.com", "wrong", ""), 429, "too_many_attempts")
	require.NotContains(t, f.throttle.counted(), "login account another@example.com", "its account isn't blamed")
}

func TestSubscriber(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":  "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
	} {
		require.Equal(t, want, subscriber(netip.MustParseAddr(addr)).String(), addr)
	}
	require.Equal(t, netip.Prefix{}, subscriber(netip.Addr{}), "a listener that isn't TCP")
}
