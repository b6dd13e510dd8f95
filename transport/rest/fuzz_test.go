package rest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

func TestCursorsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bytes16 := rapid.SliceOfN(rapid.Byte(), 16, 16)
		conversation := domain.ConversationID(bytes16.Draw(t, "conversation"))
		last := domain.MessageID(bytes16.Draw(t, "last"))
		got, ok := parseCursor(conversation, cursor(conversation, last))
		require.Equal(t, !last.IsZero(), ok)
		require.Equal(t, last, got)
		conversation[3] ^= 1
		_, ok = parseCursor(conversation, cursor(domain.ConversationID{1}, last))
		require.False(t, ok)
	})
}

// FuzzCursor: what is taken is exactly what we give.
func FuzzCursor(f *testing.F) {
	conversation := domain.ConversationID{1, 2, 3}
	f.Add(cursor(conversation, domain.MessageID{4, 5, 6}))
	f.Add("")
	f.Add("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		last, ok := parseCursor(conversation, text)
		if ok {
			require.Equal(t, text, cursor(conversation, last))
			require.False(t, last.IsZero())
		}
	})
}

// strangers know no password.
type strangers struct{}

func (strangers) Hash(context.Context, string) (string, error)         { return "hash", nil }
func (strangers) Verify(context.Context, string, string) (bool, error) { return false, nil }

// patient is a throttle that nobody tires.
type patient struct{}

func (patient) Take(context.Context, string, int, time.Duration) time.Duration { return 0 }
func (patient) GiveBack(context.Context, string)                               {}

// FuzzRequest: whatever comes, no 5xx, no panic, and an answer of one of our
// two kinds.
func FuzzRequest(f *testing.F) {
	fx := newFixture(f, func(fx *fixture) {
		fx.config.Log, fx.config.Passwords, fx.config.Throttle = slog.New(slog.DiscardHandler), strangers{}, patient{}
		var clock atomic.Int64 // jumps: a refused login has nothing to wait for
		fx.config.Now = func() time.Time { return time.Unix(clock.Add(1), 0) }
	})
	handler, err := New(fx.config)
	require.NoError(f, err)
	token := fx.token(fx.admin)
	id := fx.conversation.String()
	for _, seed := range []struct{ method, path, query, body string }{
		{"GET", "/api/conversations", "status=PENDING&status=ASSIGNED&search=x&assignedTo=me&page=2&limit=5", ""},
		{"GET", "/api/conversations/" + id, "", ""},
		{"GET", "/api/conversations/" + id + "/messages", "cursor=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&limit=1", ""},
		{"GET", "/api/conversations/" + id + "/events", "page=1&limit=100", ""},
		{"POST", "/api/conversations/" + id + "/accept", "", "{}"},
		{"POST", "/api/conversations/" + id + "/reassign", "", `{"agentId":"` + fx.agent.ID.String() + `"}`},
		{"POST", "/api/auth/login", "", `{"email":"a@b","password":"x","organizationSlug":"y"}`},
		{"POST", "/api/auth/refresh", "", `{"refreshToken":"x"}`},
		{"POST", "/api/auth/logout", "", `{"refreshToken":"x"}`},
		{"GET", "/api/users", "role=AGENT&status=ACTIVE", ""},
		{"POST", "/api/users", "", `{"email":"a@b","password":"12345678","name":"x","role":"AGENT","maxConversations":1}`},
		{"PATCH", "/api/users/" + id, "", `{"name":"x","role":"ADMIN","status":"ACTIVE","password":"12345678","maxConversations":null}`},
		{"POST", "/api/channels", "", `{"provider":"WHATSAPP","name":"x","config":{"phoneNumberId":"1","accessToken":"12345678"},"sendRate":1}`},
		{"PATCH", "/api/channels/" + id, "", `{"config":{"businessAccountId":"1","accessToken":"••••1234"},"webhookSecret":null,"sendRate":null}`},
		{"POST", "/api/channels/" + id + "/test", "", ""},
		{"GET", "/api/contacts", "search=x", ""},
		{"POST", "/api/webhooks/dead-letters/" + id + "/replay", "", ""},
		{"PUT", "/api/agents", "a=%zz;b", "\x00"},
	} {
		f.Add(seed.method, seed.path, seed.query, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://host/", io.NopCloser(bytes.NewReader(body)))
		if err != nil {
			return // not a method
		}
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.RemoteAddr = "192.0.2.1:1"
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("X-Request-Id", query)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Less(t, w.Code, 500, "%s", w.Body)
		if w.Code >= 400 {
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		}
	})
}
