package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestRefusalsAndFailuresOfCommands(t *testing.T) {
	t.Parallel()
	holder := domain.PersonRef{Name: "Grace"}
	holder.ID = newID(holder.ID)
	since := time.Date(2026, 1, 31, 9, 15, 2, 123456789, time.FixedZone("", 3600))
	held := func(code domain.Code) *domain.Refusal {
		return &domain.Refusal{Code: code, Status: domain.Assigned, Holder: holder.ID, HolderName: holder.Name, AssignedAt: since}
	}
	secret := "SELECT password FROM users; postgres://user:pw@host"
	tests := []struct {
		err    error
		status int
		code   string
		retry  bool
	}{
		{held(domain.CodeAlreadyAssigned), 409, "conversation_already_assigned", false},
		{&domain.Refusal{Code: domain.CodeNotAssigned, Status: domain.Pending}, 409, "conversation_not_assigned", false},
		{&domain.Refusal{Code: domain.CodeCompleted, Status: domain.Completed}, 409, "conversation_completed", false},
		{&domain.Refusal{Code: domain.CodeCapacityReached, Status: domain.Pending}, 409, "capacity_reached", false},
		{&domain.Refusal{Code: domain.CodeReplyWindowClosed, Status: domain.Assigned, WindowExpiresAt: since}, 409, "reply_window_closed", false},
		{&domain.Refusal{Code: domain.CodeChannelInactive, Status: domain.Assigned}, 409, "channel_inactive", false},
		{&domain.Refusal{Code: domain.CodeKeyReused, Status: domain.Assigned}, 422, "idempotency_key_reused", false},
		{&domain.Refusal{Code: domain.CodeUnknownMessage, Status: domain.Assigned}, 422, "unknown_message", false},
		{held(domain.CodeNotHolder), 403, "not_holder", false},
		{&domain.Refusal{Code: domain.CodeInvalidAssignee, Status: domain.Pending}, 422, "invalid_assignee", false},
		{domain.ErrNotFound, 404, "not_found", false},
		{fmt.Errorf("%s: %w", secret, domain.ErrUnavailable), 503, "unavailable", true},
		{fmt.Errorf("%s: %w", secret, domain.ErrOverloaded), 503, "overloaded", true},
		{fmt.Errorf("%s: %w", secret, domain.ErrOutcomeUnknown), 504, "outcome_unknown", false},
		{context.DeadlineExceeded, 504, "outcome_unknown", false},
		{&domain.ValueError{Reason: secret}, 422, "value_refused", false},
		{errors.New(secret), 500, "internal", false},
	}
	for _, test := range tests {
		t.Run(test.code, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(f *fixture) {
				f.inbox.do = func(context.Context, domain.Command) error { return fmt.Errorf("ask: %w", test.err) }
			})
			a := f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/accept"), "")
			p := f.problem(a, test.status, test.code)
			require.Equal(t, test.retry, a.header.Get("Retry-After") != "")
			require.NotContains(t, string(a.raw), secret)
			require.NotEmpty(t, p["detail"])
			if test.status >= 500 {
				require.Contains(t, f.log.String(), `"error"`, "nobody learns why")
			}
			if test.status == 500 {
				require.Equal(t, a.header.Get("X-Request-Id"), p["requestId"])
			}
			var refusal *domain.Refusal
			if !errors.As(test.err, &refusal) {
				return
			}
			require.Equal(t, string(refusal.Status), p["conversationStatus"])
			require.Equal(t, !refusal.Holder.IsZero(), p["holder"] != nil)
			require.Equal(t, !refusal.WindowExpiresAt.IsZero(), p["windowExpiresAt"] != nil)
			if refusal.Holder == holder.ID {
				require.Equal(t, map[string]any{"id": holder.ID.String(), "name": "Grace"}, p["holder"])
				require.Equal(t, "2026-01-31T08:15:02.123Z", p["assignedAt"])
			}
			if refusal.Code == domain.CodeInvalidAssignee {
				require.Equal(t, "body.agentId", fieldOf(a))
			}
		})
	}
}

// TestACommandThatIsDoneIsNeverDenied: the command succeeds, and then the row
// can't be read. 503 would say that it was not executed.
func TestACommandThatIsDoneIsNeverDenied(t *testing.T) {
	t.Parallel()
	for _, err := range []error{domain.ErrUnavailable, context.DeadlineExceeded, errors.New("surprise")} {
		f := newFixture(t, func(f *fixture) { f.conversations.err = err })
		f.problem(f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/accept"), ""), 504, "outcome_unknown")
	}
}

func TestReadsWithoutStorage(t *testing.T) {
	t.Parallel()
	for _, err := range []error{domain.ErrUnavailable, context.DeadlineExceeded} {
		f := newFixture(t, func(f *fixture) { f.conversations.err, f.users.err = err, err })
		for _, path := range []string{
			"/api/conversations", "/api/conversations/{id}", "/api/conversations/{id}/messages", "/api/conversations/{id}/events", "/api/agents",
		} {
			a := f.as(f.agent, http.MethodGet, f.path(path), "")
			f.problem(a, 503, "unavailable")
			require.NotEmpty(t, a.header.Get("Retry-After"), path)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/", "/api", "/api/nothing", "/api/conversations/", "/api//conversations", "/API/conversations", "/api/auth/register", "/api/../healthz"} {
		f.problem(f.as(f.agent, http.MethodGet, path, ""), 404, "not_found")
	}
	a := f.as(f.agent, http.MethodDelete, "/api/conversations", "")
	f.problem(a, 405, "method_not_allowed")
	require.Contains(t, a.header.Get("Allow"), "GET")
}

func TestValidation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct {
		method, path, body string
		status             int
		field              string
	}{
		{"GET", "/api/conversations?limit=0", "", 422, "query.limit"},
		{"GET", "/api/conversations?limit=101", "", 422, "query.limit"},
		{"GET", "/api/conversations?limit=many", "", 422, "query.limit"},
		{"GET", "/api/conversations?page=0", "", 422, "query.page"},
		{"GET", "/api/conversations?page=99999999999999999999", "", 422, "query.page"},
		{"GET", "/api/conversations?page=501&limit=20", "", 422, "query.page"},
		{"GET", "/api/conversations?page=500&limit=20", "", 200, ""},
		{"GET", "/api/conversations?page=10000&limit=1", "", 200, ""},
		{"GET", "/api/conversations?status=OPEN", "", 422, "query.status[0]"},
		{"GET", "/api/conversations?status=PENDING&status=", "", 422, "query.status[1]"},
		{"GET", "/api/conversations?status=PENDING&status=ASSIGNED&status=PENDING", "", 200, ""},
		{"GET", "/api/conversations?channelId=support", "", 422, "query.channelId"},
		{"GET", "/api/conversations?channelId=00000000-0000-0000-0000-000000000000", "", 422, "query.channelId"},
		{"GET", "/api/conversations?assignedTo=you", "", 422, "query.assignedTo"},
		{"GET", "/api/conversations?assignedTo=00000000-0000-0000-0000-000000000000", "", 422, "query.assignedTo"},
		{"GET", "/api/conversations?search=" + strings.Repeat("a", 201), "", 422, "query.search"},
		{"GET", "/api/conversations?search=%00", "", 422, "query.search"},
		{"GET", "/api/conversations?search=%ff", "", 422, "query.search"},
		{"GET", "/api/conversations?search=%zz", "", 400, ""},
		{"GET", "/api/conversations?sort=name", "", 422, "query.sort"},
		{"GET", "/api/conversations?asignedTo=me", "", 422, "query.asignedTo"},
		{"GET", "/api/conversations/1", "", 422, "path.id"},
		{"GET", "/api/conversations/{id}/messages?limit=101", "", 422, "query.limit"},
		{"GET", "/api/conversations/{id}/messages?cursor=abc", "", 422, "query.cursor"},
		{"GET", "/api/conversations/{id}/events?page=101&limit=100", "", 422, "query.page"},
		{"POST", "/api/conversations/{id}/accept", `{}`, 200, ""},
		{"POST", "/api/conversations/{id}/accept", `{"force":true}`, 422, "body.force"},
		{"POST", "/api/conversations/{id}/accept", `[]`, 422, "body"},
		{"POST", "/api/conversations/{id}/accept", `{`, 400, ""},
		{"POST", "/api/conversations/{id}/reassign", ``, 400, ""},
		{"POST", "/api/conversations/{id}/reassign", `{}`, 422, "body.agentId"},
		{"POST", "/api/conversations/{id}/reassign", `{"agentId":null}`, 422, "body.agentId"},
		{"POST", "/api/conversations/{id}/reassign", `{"agentId":7}`, 422, "body.agentId"},
		{"POST", "/api/conversations/{id}/reassign", `{"agentId":"7"}`, 422, "body.agentId"},
		{"POST", "/api/conversations/{id}/reassign", `{"agentId":"` + f.foreigner.ID.String() + `"}`, 422, "body.agentId"},
		{"POST", "/api/conversations/{id}/reassign", `{"agentId":"00000000-0000-0000-0000-000000000000"}`, 422, "body.agentId"},
		{"POST", "/api/conversations/{id}/reassign", `{"agentId":"` + f.agent.ID.String() + `","to":"x"}`, 422, "body.to"},
		{"POST", "/api/auth/login", `{"email":"ada@example.com"}`, 422, "body.password"},
		{"POST", "/api/auth/login", `{"email":"ada","password":"x"}`, 422, "body.email"},
		{"POST", "/api/auth/login", `{"email":"a\u0000@b","password":"x"}`, 422, "body.email"},
		{"POST", "/api/auth/login", `{"email":"a@b","password":""}`, 422, "body.password"},
		{"POST", "/api/auth/login", `{"email":"a@b","password":"x","otp":1}`, 422, "body.otp"},
		{"POST", "/api/auth/refresh", `{}`, 422, "body.refreshToken"},
		{"POST", "/api/auth/refresh", `{"refreshToken":""}`, 422, "body.refreshToken"},
		{"POST", "/api/auth/refresh", `{"refreshToken":"` + strings.Repeat("x", 129) + `"}`, 422, "body.refreshToken"},
		{"POST", "/api/auth/logout", `{"refreshToken":7}`, 422, "body.refreshToken"},
		{"POST", "/api/auth/login", `{"email":"a@b","password":"hunter2!"} trailing`, 400, ""},
	}
	for _, test := range tests {
		a := f.as(f.agent, test.method, f.path(test.path), test.body)
		require.Equal(t, test.status, a.status, "%s %s: %s", test.path, test.body, a.raw)
		require.Equal(t, test.field, fieldOf(a), "%s %s: %s", test.path, test.body, a.raw)
		require.NotContains(t, string(a.raw), "hunter2", "the answer quotes what was sent")
		if test.status == 422 && !strings.Contains(test.path, "reassign") {
			f.problem(a, 422, "validation_failed")
		}
	}
}

// TestManyBadFieldsAreNamedBriefly: an answer must not grow with what a
// stranger sends.
func TestManyBadFieldsAreNamedBriefly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var body strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&body, `"field%d":1,`, i)
	}
	a := f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/reassign"), `{`+body.String()+`"`+strings.Repeat("x", 100_000)+`":1}`)
	f.problem(a, 422, "validation_failed")
	require.Less(t, len(a.raw), 10_000)
}

func TestBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	postTo := func(path, contentType, body string) answer {
		r := f.request(http.MethodPost, f.path(path), strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+f.token(f.agent))
		return f.send(r)
	}
	post := func(contentType, body string) answer { return postTo("/api/auth/login", contentType, body) }
	fill := func(size int) string {
		const frame = `{"email":"a@b","password":""}`
		return `{"email":"a@b","password":"` + strings.Repeat("x", size-len(frame)) + `"}`
	}
	for path, limit := range map[string]int{"/api/auth/login": maxCredentials, "/api/conversations/{id}/reassign": maxBody} {
		f.problem(postTo(path, "application/json", fill(limit)), 422, "validation_failed")
		f.problem(postTo(path, "application/json", fill(limit+1)), 413, "too_large")
	}
	f.problem(post("text/plain", `{}`), 415, "unsupported_media_type")
	f.problem(post("application/x-www-form-urlencoded", `a=b`), 415, "unsupported_media_type")
	f.problem(post("application/json; charset=latin1", `{}`), 415, "unsupported_media_type")
	f.problem(post("Application/JSON; charset=UTF-8", `{}`), 422, "validation_failed")
	f.problem(post("", `{}`), 422, "validation_failed")
	f.problem(post("application/json", strings.Repeat("[", 10_000)), 400, "malformed")
}
