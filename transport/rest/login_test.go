package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// countingPasswords counts what is really hashed.
type countingPasswords struct {
	*auth.Hasher
	verified atomic.Int64
}

func (p *countingPasswords) Verify(ctx context.Context, password, hash string) (bool, error) {
	p.verified.Add(1)
	return p.Hasher.Verify(ctx, password, hash)
}

// account lets u log in with a password.
func (f *fixture) account(u domain.User, slug, password string) {
	hash, err := auth.NewHasher(1).Hash(f.t.Context(), password)
	require.NoError(f.t, err)
	f.users.accounts = append(f.users.accounts, domain.LoginUser{User: u, OrganizationSlug: slug, PasswordHash: domain.PasswordHash(hash)})
}

func (f *fixture) login(email, password, slug string) answer {
	in := map[string]string{"email": email, "password": password}
	if slug != "" {
		in["organizationSlug"] = slug
	}
	body, err := json.Marshal(in)
	require.NoError(f.t, err)
	r := f.request(http.MethodPost, "/api/auth/login", strings.NewReader(string(body)))
	r.Header.Set("User-Agent", "test\xff/1.0 "+strings.Repeat("x", 600))
	return f.send(r)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(f.agent, "default", "agent123")

	a := f.login("ADA@example.com", "agent123", "")
	require.Equal(t, 200, a.status, "%s", a.raw)
	require.EqualValues(t, 900, a.body["expiresIn"])
	require.Equal(t, map[string]any{
		"id": f.agent.ID.String(), "name": "Ada", "email": "ada@example.com", "role": "AGENT", "organizationId": f.org.String(),
	}, a.body["user"])
	require.NotContains(t, string(a.raw), "argon2")
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))

	token := a.body["accessToken"].(string)
	me := f.bearer(http.MethodGet, "/api/auth/me", "Bearer "+token, "")
	require.Equal(t, f.agent.ID.String(), me.body["id"])

	require.Len(t, f.sessions.started, 1)
	session := f.sessions.started[0]
	refresh := a.body["refreshToken"].(string)
	require.Equal(t, auth.HashRefresh(refresh), session.RefreshHash)
	require.Equal(t, f.users.accounts[0], session.User)
	require.Equal(t, "127.0.0.1", session.IP)
	require.True(t, strings.HasPrefix(session.UserAgent, "test/1.0 xxx"), session.UserAgent)
	require.LessOrEqual(t, len(session.UserAgent), maxUserAgent)
	principal, err := f.issuer.Authenticate(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, session.ID, principal.Session)

	again := f.login("ada@example.com", "agent123", "DEFAULT")
	require.Equal(t, 200, again.status)
	require.NotEqual(t, refresh, again.body["refreshToken"])
	for _, secret := range []string{token, refresh, "agent123", "argon2"} {
		require.NotContains(t, f.log.String(), secret)
	}
}

func TestRefusedLogins(t *testing.T) {
	t.Parallel()
	passwords := &countingPasswords{Hasher: auth.NewHasher(4)}
	f := newFixture(t, func(f *fixture) { f.config.Passwords = passwords })
	idle := f.addUser(f.org, "Idle", domain.RoleAgent)
	idle.Status = domain.UserInactive
	suspended := f.addUser(f.org, "Sam", domain.RoleAgent)
	suspended.Status = domain.UserSuspended
	twin := f.admin
	twin.ID, twin.Organization = newID(twin.ID), f.foreigner.Organization
	f.account(f.agent, "default", "agent123")
	f.account(idle, "default", "idle1234")
	f.account(suspended, "default", "sam12345")
	f.account(f.admin, "default", "admin123")
	f.account(twin, "other", "other123")

	tests := []struct {
		email, password, slug string
		status                int
		code                  string
		hashes                int64
	}{
		{"nobody@example.com", "agent123", "", 401, "invalid_credentials", 1},
		{"ada@example.com", "wrong", "", 401, "invalid_credentials", 1},
		{"ada@example.com", "agent123", "other", 401, "invalid_credentials", 1},
		{"idle@example.com", "wrong", "", 401, "invalid_credentials", 1},
		{"idle@example.com", "idle1234", "", 403, "user_not_active", 1},
		{"sam@example.com", "wrong", "", 401, "invalid_credentials", 1},
		{"sam@example.com", "sam12345", "", 403, "user_not_active", 1},
		{"grace@example.com", "wrong", "", 401, "invalid_credentials", 2},
		{"grace@example.com", "admin123", "", 409, "organization_required", 1},
		{"grace@example.com", "other123", "", 409, "organization_required", 2},
		{"grace@example.com", "other123", "default", 401, "invalid_credentials", 1},
		{"grace@example.com", "other123", "other", 200, "", 1},
	}
	var refused []byte
	for _, test := range tests {
		before := passwords.verified.Load()
		began := time.Now()
		a := f.login(test.email, test.password, test.slug)
		require.Equal(t, test.status, a.status, "%+v: %s", test, a.raw)
		require.Equal(t, test.hashes, passwords.verified.Load()-before, "%+v", test)
		if test.status == 200 {
			continue
		}
		f.problem(a, test.status, test.code)
		if test.status == 401 {
			require.GreaterOrEqual(t, time.Since(began), loginFloor)
			if refused != nil {
				require.Equal(t, string(refused), string(a.raw), "answers differ")
			}
			refused = a.raw
		}
	}
	require.Len(t, f.sessions.started, 1)
}

// busyPasswords are a hasher with its queue full.
type busyPasswords struct{}

func (busyPasswords) Hash(context.Context, string) (string, error) {
	return "", fmt.Errorf("hash password: %w", auth.ErrBusy)
}

func (busyPasswords) Verify(context.Context, string, string) (bool, error) {
	return false, fmt.Errorf("verify password: %w", auth.ErrBusy)
}

func TestLoginWhereSomethingFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*fixture)
		status int
		code   string
	}{
		{"storage away", func(f *fixture) { f.users.err = domain.ErrUnavailable }, 503, "unavailable"},
		{"hasher saturated", func(f *fixture) { f.config.Passwords = busyPasswords{} }, 503, "overloaded"},
		{"session not stored", func(f *fixture) { f.sessions.err = domain.ErrUnavailable }, 503, "unavailable"},
		{"user changed meanwhile", func(f *fixture) { f.sessions.err = domain.ErrSessionOver }, 401, "invalid_credentials"},
		{"session not stored in time", func(f *fixture) { f.sessions.err = context.DeadlineExceeded }, 504, "outcome_unknown"},
		{"hash unusable", func(f *fixture) { f.users.accounts[0].PasswordHash = "plain" }, 500, "internal"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(f *fixture) {
				f.account(f.agent, "default", "agent123")
				test.change(f)
			})
			a := f.login("ada@example.com", "agent123", "")
			f.problem(a, test.status, test.code)
			require.Equal(t, test.status == 503, a.header.Get("Retry-After") != "")
			require.NotContains(t, string(a.raw), "accessToken")
		})
	}
}
