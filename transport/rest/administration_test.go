package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestConflictsOfAdministrators(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for err, code := range map[error]string{
		domain.ErrEmailTaken: "email_taken", domain.ErrLastAdmin: "last_admin", domain.ErrChannelTaken: "channel_taken",
		domain.ErrChannelUnproved: "channel_not_proved", domain.ErrChannelFailing: "channel_in_error",
		domain.ErrChannelChanged: "channel_changed", &domain.ReplayError{Reason: "unknown_channel"}: "replay_refused",
	} {
		wrapped := fmt.Errorf("something: %w", err)
		f.accounts.err, f.channels.err, f.letters.err = wrapped, wrapped, wrapped
		f.problem(f.as(f.admin, http.MethodPatch, f.path("/api/users/{id}"), `{"name":"x"}`), 409, code)
		f.problem(f.as(f.admin, http.MethodPatch, f.path("/api/channels/{id}"), `{"name":"x"}`), 409, code)
		f.problem(f.as(f.admin, http.MethodPost, f.path("/api/webhooks/dead-letters/{id}/replay"), ""), 409, code)
	}
}

func TestAUserIsMadeWithAHashedPassword(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.as(f.admin, http.MethodPost, "/api/users", `{"email":"kay@example.com","password":"long enough","name":" Kay ","role":"AGENT"}`)
	require.Equal(t, 201, a.status, "%s", a.raw)
	require.Equal(t, "Kay", f.accounts.created.Name)
	require.Nil(t, f.accounts.created.MaxConversations)
	hash := string(f.accounts.created.Password)
	require.True(t, strings.HasPrefix(hash, "$argon2id$"))
	require.NotContains(t, f.log.String(), "long enough")
	require.NotContains(t, string(a.raw), hash)

	for _, c := range []struct{ body, field string }{
		{`{"email":"kay@example.com","password":"KAY@EXAMPLE.COM","name":"K","role":"AGENT"}`, "body.password"},
		{`{"email":"kay@example.com","password":"1234567","name":"K","role":"AGENT"}`, "body.password"},
		{`{"email":"kay","password":"12345678","name":"K","role":"AGENT"}`, "body.email"},
		{`{"email":"kay@example.com","password":"12345678","name":"K","role":"BOSS"}`, "body.role"},
		{`{"email":"kay@example.com","password":"12345678","name":" ","role":"AGENT"}`, "body.name"},
		{`{"email":"kay@example.com","password":"12345678","name":"K","role":"AGENT","maxConversations":0}`, "body.maxConversations"},
		{`{"email":"kay@example.com","password":"12345678","name":"K","role":"AGENT","status":"ACTIVE"}`, "body.status"},
		{`{"email":"kay@example.com","password":"12345678","name":"K"}`, "body.role"},
	} {
		a := f.as(f.admin, http.MethodPost, "/api/users", c.body)
		f.problem(a, 422, "validation_failed")
		require.Equal(t, c.field, fieldOf(a), c.body)
		require.NotContains(t, string(a.raw), "12345678")
	}
}

func TestAPatchTellsNullFromNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	patch := func(body string) domain.UserPatch {
		require.Equal(t, 200, f.as(f.admin, http.MethodPatch, f.path("/api/users/{id}"), body).status)
		return f.accounts.patch
	}
	require.Equal(t, domain.UserPatch{}, patch(`{}`))
	require.Equal(t, domain.UserPatch{MaxConversations: new(0)}, patch(`{"maxConversations":null}`))
	require.Equal(t, domain.UserPatch{MaxConversations: new(7)}, patch(`{"maxConversations":7}`))
	for _, wrong := range []string{`{"maxConversations":0}`, `{"maxConversations":"7"}`, `{"maxConversations":1.5}`, `{"password":"kay@example.com"}`} {
		f.problem(f.as(f.admin, http.MethodPatch, f.path("/api/users/{id}"), wrong), 422, "validation_failed")
	}
}

// What a suspension leads to is done sooner or later: that it can't be done now
// is no reason to say that the suspension failed.
func TestWhoIsSuspendedIsRelieved(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.accounts.row.ID
	for i, status := range []domain.UserStatus{domain.UserSuspended, domain.UserInactive} {
		known := f.directory[id]
		known.Status = status // as the change would have it
		f.directory[id] = known
		f.accounts.relief = errors.New("the storage went away")
		a := f.as(f.admin, http.MethodPatch, f.path("/api/users/{id}"), `{"status":"`+string(status)+`"}`)
		require.Equal(t, 200, a.status, "%s", a.raw)
		require.Len(t, f.accounts.relieved, i+1)
		require.Equal(t, id, f.accounts.relieved[i])
	}
	require.Contains(t, f.log.String(), "the storage went away")
	f.as(f.admin, http.MethodPatch, f.path("/api/users/{id}"), `{"name":"x"}`)
	require.Len(t, f.accounts.relieved, 2)
}

func TestFiltersOfAdministrators(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Equal(t, 200, f.as(f.admin, http.MethodGet, "/api/users?role=ADMIN&status=ACTIVE&page=2&limit=5", "").status)
	require.Equal(t, domain.UserFilter{Role: domain.RoleAdmin, Status: domain.UserActive, Page: domain.Page{Number: 2, Limit: 5}}, f.accounts.filter)
	require.Equal(t, 200, f.as(f.agent, http.MethodGet, "/api/contacts?search=%20ada%20", "").status)
	require.Equal(t, domain.ContactFilter{Search: "ada", Page: domain.Page{Number: 1, Limit: 20}}, f.contacts.filter)
	for _, path := range []string{
		"/api/users?role=BOSS", "/api/users?status=GONE", "/api/users?page=10000&limit=2", "/api/channels?page=0", "/api/contacts?search=%00",
		"/api/contacts?search=%ff", "/api/contacts?x=1", "/api/webhooks/dead-letters?limit=101", "/api/channels/none", "/api/contacts/none",
	} {
		f.problem(f.as(f.admin, http.MethodGet, path, ""), 422, "validation_failed")
	}
}

func TestAChannelTakesWhatItsProviderHas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	create := func(body string) answer { return f.as(f.admin, http.MethodPost, "/api/channels", body) }
	a := create(`{"provider":"WHATSAPP","name":" Line ","config":{"phoneNumberId":"4711","accessToken":"EAAG12345"},"webhookSecret":"0123456789abcdef","sendRate":40}`)
	require.Equal(t, 201, a.status, "%s", a.raw)
	require.Equal(t, domain.ChannelDraft{
		Provider: domain.WhatsApp, Name: "Line", ExternalID: "4711", AccessToken: "EAAG12345", WebhookSecret: "0123456789abcdef",
		AssignmentPolicy: domain.AssignManually, SendRate: 40,
	}, f.channels.draft)
	for body, field := range map[string]string{
		`{"provider":"WHATSAPP","name":"x","config":{"pageId":"1","accessToken":"EAAG12345"}}`:                               "body.config.pageId",
		`{"provider":"MESSENGER","name":"x","config":{"phoneNumberId":"1","accessToken":"EAAG12345"}}`:                       "body.config.phoneNumberId",
		`{"provider":"MESSENGER","name":"x","config":{"businessAccountId":"1","pageId":"1","accessToken":"EAAG12345"}}`:      "body.config.businessAccountId",
		`{"provider":"WHATSAPP","name":"x","config":{"accessToken":"EAAG12345"}}`:                                            "body.config.phoneNumberId",
		`{"provider":"MESSENGER","name":"x","config":{"accessToken":"EAAG12345"}}`:                                           "body.config.pageId",
		`{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"1"}}`:                                                  "body.config.accessToken",
		`{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"1","accessToken":"••••2345"}}`:                         "body.config.accessToken",
		`{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"1","accessToken":"two words"}}`:                        "body.config.accessToken",
		`{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"x","accessToken":"EAAG12345"}}`:                        "body.config.phoneNumberId",
		`{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"1","accessToken":"EAAG12345"},"sendRate":1001}`:        "body.sendRate",
		`{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"1","accessToken":"EAAG12345"},"assignmentPolicy":"X"}`: "body.assignmentPolicy",
		`{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"1","accessToken":"EAAG12345"},"webhookSecret":"x"}`:    "body.webhookSecret",
		`{"provider":"TELEX","name":"x","config":{}}`:                                                                        "body.provider",
	} {
		a := create(body)
		f.problem(a, 422, "validation_failed")
		require.Equal(t, field, fieldOf(a), body)
		require.NotContains(t, string(a.raw), "EAAG")
	}
}

func TestAMaskedSecretChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	patch := func(body string) domain.ChannelPatch {
		a := f.as(f.admin, http.MethodPatch, f.path("/api/channels/{id}"), body)
		require.Equal(t, 200, a.status, "%s", a.raw)
		return f.channels.patch
	}
	require.Equal(t, domain.ChannelPatch{}, patch(`{"config":{"accessToken":"••••x4f2"},"webhookSecret":"••••9d31"}`))
	require.Equal(t, domain.ChannelPatch{WebhookSecret: new(""), SendRate: new(0)}, patch(`{"webhookSecret":null,"sendRate":null}`))
	require.Equal(t, domain.ChannelPatch{AccessToken: new("EAAG12345"), ExternalID: new("4712"), BusinessAccount: new("7")},
		patch(`{"config":{"accessToken":"EAAG12345","phoneNumberId":"4712","businessAccountId":"7"}}`))
	for _, wrong := range []string{`{"status":"ERROR"}`, `{"webhookSecret":"short"}`, `{"config":{"pageId":"1"}}`, `{"sendRate":0}`, `{"provider":"MESSENGER"}`} {
		f.problem(f.as(f.admin, http.MethodPatch, f.path("/api/channels/{id}"), wrong), 422, "validation_failed")
	}
}

func TestATestSaysWhatThePlatformSays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	test := func() answer { return f.as(f.admin, http.MethodPost, f.path("/api/channels/{id}/test"), "") }
	require.Equal(t, map[string]any{"success": true, "message": "The platform knows it as Support."}, test().body)
	require.True(t, f.channels.proved)

	f.channels.refused = &domain.CallError{Class: domain.FailureChannel, Code: "190", Text: "the token has expired"}
	require.Equal(t, map[string]any{"success": false, "message": "The platform refuses: the token has expired"}, test().body)
	require.False(t, f.channels.proved)
	require.Equal(t, "190", f.channels.failure.Code)

	f.channels.refused = errors.New("a mistake of ours")
	f.problem(test(), 500, "internal")
	require.NotContains(t, f.log.String(), "the open token")
}

func TestAgentsSeeLittleOfChannels(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := map[string]any{"id": f.conversation.String(), "name": "Support", "provider": "WHATSAPP", "status": "ACTIVE"}
	require.Equal(t, want, f.as(f.agent, http.MethodGet, f.path("/api/channels/{id}"), "").body)
	require.Equal(t, []any{want}, f.as(f.agent, http.MethodGet, "/api/channels", "").body["data"])
	require.Contains(t, f.as(f.admin, http.MethodGet, f.path("/api/channels/{id}"), "").body, "config")
}
