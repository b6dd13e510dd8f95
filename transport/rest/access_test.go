package rest

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

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
