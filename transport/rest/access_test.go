package rest

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// unsigned is a token with the claims of token whose header says that nobody
// signed it (RFC 7515, "alg":"none").
func unsigned(token string) string {
	parts := strings.Split(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
}

func (f *fixture) bearer(method, path, authorization, body string) answer {
	r := f.request(method, path, strings.NewReader(body))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return f.send(r)
}

// bodyFor is a body that the operation takes.
func (f *fixture) bodyFor(path string) string {
	if strings.HasSuffix(path, "/reassign") {
		return `{"agentId":"` + f.agent.ID.String() + `"}`
	}
	if strings.HasSuffix(path, "/messages") {
		return `{"body":"hello"}`
	}
	if path == "/api/auth/logout" {
		return `{"refreshToken":"any"}`
	}
	return ""
}

func TestEveryOperationAsksForAToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := f.token(f.agent)
	suspended := f.addUser(f.org, "Sleepy", domain.RoleAgent)
	suspended.Status = domain.UserSuspended
	f.directory[suspended.ID] = suspended
	gone := domain.User{ID: newID(suspended.ID), Organization: f.org, Role: domain.RoleAdmin}
	moved := f.agent
	moved.Organization = f.foreigner.Organization // signed by us, but of nobody
	stale := *f.issuer
	stale.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	principal := auth.Principal{User: f.agent.ID, Organization: f.org, Role: domain.RoleAgent}
	principal.Session = newID(principal.Session)
	expired, err := stale.Issue(principal)
	require.NoError(t, err)

	refusals := []struct {
		name, authorization string
		status              int
		code                string
	}{
		{"no token", "", 401, "token_missing"},
		{"no scheme", good, 401, "token_invalid"},
		{"another scheme", "Basic " + good, 401, "token_invalid"},
		{"garbage", "Bearer garbage", 401, "token_invalid"},
		{"empty", "Bearer ", 401, "token_invalid"},
		{"expired", "Bearer " + expired, 401, "token_expired"},
		{"alg none", "Bearer " + unsigned(good), 401, "token_invalid"},
		{"of a user who is gone", "Bearer " + f.token(gone), 401, "token_revoked"},
		{"of another organization's user", "Bearer " + f.token(moved), 401, "token_revoked"},
		{"of a suspended user", "Bearer " + f.token(suspended), 403, "user_not_active"},
	}
	for key, op := range described(t, testServer(t)) {
		method, pattern, _ := strings.Cut(key, " ")
		path := f.path(pattern)
		if len(op.Security) == 0 {
			continue
		}
		for _, refusal := range refusals {
			a := f.bearer(method, path, refusal.authorization, "{not json")
			require.Equal(t, refusal.status, a.status, "%s, %s: %s", key, refusal.name, a.raw)
			require.Equal(t, refusal.code, a.body["code"], "%s, %s", key, refusal.name)
			require.Equal(t, refusal.status == 401, a.header.Get("WWW-Authenticate") != "", "%s, %s", key, refusal.name)
			require.NotContains(t, string(a.raw), good)
		}
		if strings.HasPrefix(pattern, "/api/attachments") {
			continue // takes no JSON: attachments_test.go
		}
		for _, user := range []domain.User{f.agent, f.admin} {
			body := ""
			if method == http.MethodPost {
				body = f.bodyFor(path)
			}
			require.Less(t, f.as(user, method, path, body).status, 300, "%s as %s", key, user.Role)
		}
		foreign := f.as(f.foreigner, method, path, `{"agentId":"`+f.foreigner.ID.String()+`"}`)
		if strings.Contains(pattern, "{id}") && (method == http.MethodGet || strings.HasSuffix(path, "reassign")) {
			f.problem(foreign, 404, "not_found")
		}
		require.NotContains(t, string(foreign.raw), f.conversation.String(), key)
	}
	require.NotContains(t, f.log.String(), good, "the log has a token")
}

func TestAnotherOrganizationsConversationIsNotFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, command := range []string{"accept", "release", "complete", "reopen", "read"} {
		a := f.as(f.foreigner, http.MethodPost, f.path("/api/conversations/{id}/"+command), "")
		f.problem(a, 404, "not_found")
	}
	require.Empty(t, f.as(f.foreigner, http.MethodGet, "/api/conversations", "").body["data"])
}

func TestTwoTokensAreNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.request(http.MethodGet, "/api/auth/me", nil)
	r.Header.Add("Authorization", "Bearer "+f.token(f.agent))
	r.Header.Add("Authorization", "Bearer "+f.token(f.admin))
	f.problem(f.send(r), 401, "token_invalid")
}

func TestARevokedTokenIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) {
		f.issuer.Revoked = func(p auth.Principal) bool { return p.User == f.agent.ID }
	})
	a := f.as(f.agent, http.MethodGet, "/api/auth/me", "")
	f.problem(a, 401, "token_revoked")
	require.Contains(t, a.header.Get("WWW-Authenticate"), `error="invalid_token"`)
	require.Equal(t, 200, f.as(f.admin, http.MethodGet, "/api/auth/me", "").status)
}

// TestTheDirectoryDecidesTheRole: a token may be minutes older than a change
// of role.
func TestTheDirectoryDecidesTheRole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	demoted := f.admin
	demoted.Role = domain.RoleAgent
	token := f.token(f.admin)
	f.directory[f.admin.ID] = demoted

	r := f.request(http.MethodPost, f.path("/api/conversations/{id}/accept"), nil)
	r.Header.Set("Authorization", "bearer "+token)
	require.Equal(t, 200, f.send(r).status)
	by, _ := domain.CallerOf(f.inbox.last)
	require.Equal(t, domain.Caller{Organization: f.org, User: f.admin.ID, Name: "Grace", Role: domain.RoleAgent}, by)
}

func TestARoleThatIsNotListedIsForbidden(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s, err := newServer(f.config)
	require.NoError(t, err)
	register(s, operation{access: only(domain.RoleAdmin), method: http.MethodGet, path: "/api/vault", id: "vault"}, s.me)
	f.serve(s.edge(s.router))

	f.problem(f.as(f.agent, http.MethodGet, "/api/vault", ""), 403, "forbidden")
	require.Equal(t, 200, f.as(f.admin, http.MethodGet, "/api/vault", "").status)
}

func TestMe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.as(f.agent, http.MethodGet, "/api/auth/me", "")
	require.Equal(t, map[string]any{
		"id": f.agent.ID.String(), "name": "Ada", "email": "ada@example.com", "role": "AGENT",
		"organizationId": f.org.String(), "avatarUrl": nil, "status": "ACTIVE",
	}, a.body)
	f.agent.AvatarURL = "https://example.com/ada.png"
	f.directory[f.agent.ID] = f.agent
	require.Equal(t, f.agent.AvatarURL, f.as(f.agent, http.MethodGet, "/api/auth/me", "").body["avatarUrl"])
}
