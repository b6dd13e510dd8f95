package rest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// caller is somebody who calls every operation.
type caller struct {
	name          string
	authorization string
	code          string // of the refusal that every operation but the public ones has for it; empty: it may depend
	role          domain.Role
	stranger      bool // of another organization
}

// callers are all kinds of them.
func (f *fixture) callers() []caller {
	f.t.Helper()
	good := f.token(f.agent)
	suspended := f.addUser(f.org, "Sleepy", domain.RoleAgent)
	suspended.Status = domain.UserSuspended
	f.directory[suspended.ID] = suspended
	gone := domain.User{ID: newID(suspended.ID), Organization: f.org, Role: domain.RoleAdmin}
	moved := f.agent
	moved.Organization = f.foreigner.Organization // signed by us, but of nobody
	otherKey, past := *f.issuer, *f.issuer
	otherKey.Key = auth.DeriveKey([]byte("another secret"), auth.AccessTokenLabel)
	past.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	principal := auth.Principal{User: f.agent.ID, Organization: f.org, Role: domain.RoleAgent}
	principal.Session = newID(principal.Session)
	issue := func(i auth.Issuer) string {
		token, err := i.Issue(principal)
		require.NoError(f.t, err)
		return token
	}
	return []caller{
		{name: "no token", code: "token_missing"},
		{name: "no scheme", authorization: good, code: "token_invalid"},
		{name: "another scheme", authorization: "Basic " + good, code: "token_invalid"},
		{name: "garbage", authorization: "Bearer garbage", code: "token_invalid"},
		{name: "an empty token", authorization: "Bearer ", code: "token_invalid"},
		{name: "expired", authorization: "Bearer " + issue(past), code: "token_expired"},
		{name: "wrong signature", authorization: "Bearer " + issue(otherKey), code: "token_invalid"},
		{name: "alg none", authorization: "Bearer " + unsigned(good), code: "token_invalid"},
		{name: "a user who is gone", authorization: "Bearer " + f.token(gone), code: "token_revoked"},
		{name: "a user said to be another organization's", authorization: "Bearer " + f.token(moved), code: "token_revoked"},
		{name: "a suspended user", authorization: "Bearer " + f.token(suspended), code: "user_not_active"},
		{name: "another organization's ADMIN", authorization: "Bearer " + f.token(f.foreigner), role: domain.RoleAdmin, stranger: true},
		{name: "AGENT", authorization: "Bearer " + good, role: domain.RoleAgent},
		{name: "ADMIN", authorization: "Bearer " + f.token(f.admin), role: domain.RoleAdmin},
	}
}

// expected is what the route table says that the operation answers the caller:
// a status and, for refusals, a code.
func expected(op operation, c caller) (status int, code string) {
	switch {
	case op.access.public:
		return cmp.Or(op.status, http.StatusOK), ""
	case c.code == "user_not_active":
		return http.StatusForbidden, c.code
	case c.code != "":
		return http.StatusUnauthorized, c.code
	case !slices.Contains(op.access.roles, c.role):
		return http.StatusForbidden, "forbidden"
	case c.stranger && strings.Contains(op.path, "{"):
		return http.StatusNotFound, "not_found"
	}
	return cmp.Or(op.status, http.StatusOK), ""
}

// TestEveryRouteForEveryCaller calls each operation of the route table as each
// kind of caller. What it expects follows from what the operation declares:
// there are no exceptions to keep up.
func TestEveryRouteForEveryCaller(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.accounts.row.Organization = f.org
	assignee := f.agent
	assignee.ID = exampleAgentRef().ID
	f.directory[assignee.ID] = assignee
	f.users.accounts = f.loginAccounts(t)
	f.renewed(testChain.Next("bm90LWEtcmVhbC10b2tlbg"))
	s, err := newServer(f.config)
	require.NoError(t, err)
	require.Len(t, s.routes, len(routesOf(s.router)), "every route of the router is in the table")
	f.keepFile()
	for _, op := range s.routes {
		for _, c := range f.callers() {
			name := fmt.Sprintf("%s %s, %s", op.method, op.path, c.name)
			status, code := expected(op, c)
			a := f.callAs(op, c)
			require.Equal(t, status, a.status, "%s: %s", name, a.raw)
			require.Equal(t, status == http.StatusUnauthorized, a.header.Get("WWW-Authenticate") != "", name)
			if code != "" {
				f.problem(a, status, code)
			}
			if c.stranger && !op.access.public {
				require.NotContains(t, string(a.raw), f.org.String(), name)
			}
			if token := strings.TrimPrefix(c.authorization, "Bearer "); len(token) > 20 {
				require.NotContains(t, string(a.raw), token, name)
				require.NotContains(t, f.log.String(), token, "the log has a token")
			}
		}
	}
}

// callAs calls the operation with what it takes.
func (f *fixture) callAs(op operation, c caller) answer {
	if !op.transfer || op.method == http.MethodGet {
		return f.bearer(op.method, f.path(op.path), c.authorization, f.bodyOf(op))
	}
	body, contentType := form(f.t, formPart{"file", "a.png", "image/png", picture})
	r := f.request(op.method, f.path(op.path), body)
	r.Header.Set("Content-Type", contentType)
	if c.authorization != "" {
		r.Header.Set("Authorization", c.authorization)
	}
	return f.send(r)
}

// keepFile keeps a file under the id that every path of the fixture has.
func (f *fixture) keepFile() {
	id, _ := f.uploaded(f.agent, "a.png", picture)
	file := f.files.rows[id]
	file.Attachment = domain.AttachmentID(f.conversation)
	f.files.rows[file.Attachment] = file
	f.files.content[domain.FileKey{Organization: f.org, Attachment: file.Attachment}] = picture
}

// bodyOf is a body that the operation takes.
func (f *fixture) bodyOf(op operation) string {
	if op.takes == nil {
		return ""
	}
	body, err := json.Marshal(op.takes)
	require.NoError(f.t, err)
	return string(body)
}

// loginAccounts is the account that the example of a login names.
func (f *fixture) loginAccounts(t *testing.T) []domain.LoginUser {
	hash, err := auth.NewHasher(1).Hash(t.Context(), "correct horse battery staple")
	require.NoError(t, err)
	user := f.agent
	user.Email = "agent@example.com"
	return []domain.LoginUser{{User: user, PasswordHash: domain.PasswordHash(hash), OrganizationSlug: "default"}}
}
