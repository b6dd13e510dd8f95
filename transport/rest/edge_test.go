package rest

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestRequestID(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := []struct {
		given string
		taken bool
	}{
		{"abc-DEF_1.2", true}, {strings.Repeat("a", 64), true},
		{"", false}, {strings.Repeat("a", 65), false}, {"a b", false}, {`a"b`, false}, {"a;b", false}, {"é", false},
	}
	for _, test := range tests {
		r := f.request(http.MethodGet, "/healthz", nil)
		r.Header.Set("X-Request-Id", test.given)
		got := f.send(r).header.Get("X-Request-Id")
		require.NotEmpty(t, got)
		require.Equal(t, test.taken, got == test.given, test.given)
		require.Contains(t, f.log.String(), `"request":"`+got+`"`)
	}
}

func TestTheLogKeepsSecretsOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.as(f.agent, http.MethodGet, "/api/conversations?search=my-diagnosis", "")
	log := f.log.String()
	require.NotContains(t, log, "diagnosis")
	require.NotContains(t, log, "Bearer")
	require.Contains(t, log, f.agent.ID.String())
	require.Contains(t, log, `"route":"/api/conversations"`)
}

func TestOnlyWhatIsWorthALineIsLogged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		path   string
		status int
		want   slog.Level
	}{
		{"/api/conversations", 200, slog.LevelInfo}, {"/api/conversations", 409, slog.LevelInfo}, {"/api/conversations", 503, slog.LevelError},
		{"/api/webhooks/whatsapp", 200, slog.LevelDebug}, {"/api/webhooks/messenger", 401, slog.LevelInfo},
		{"/api/webhooks/whatsapp", 503, slog.LevelError},
		{"/healthz", 200, slog.LevelDebug}, {"/readyz", 200, slog.LevelDebug}, {"/readyz", 503, slog.LevelError},
	}
	for _, test := range tests {
		require.Equal(t, test.want, levelOf(test.path, test.status), "%+v", test)
	}
	f := newFixture(t, func(f *fixture) {
		f.config.Log = slog.New(slog.NewJSONHandler(f.log, nil)) // from info on
	})
	f.send(f.request(http.MethodGet, "/healthz", nil))
	f.send(f.request(http.MethodGet, "/nowhere", nil))
	require.NotContains(t, f.log.String(), "healthz")
	require.NotContains(t, f.log.String(), "nowhere", "strangers don't write our log")
	require.Contains(t, f.log.String(), `"route":"unmatched"`)
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	preflight := func(origin string) answer {
		r := f.request(http.MethodOptions, "/api/conversations", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "GET")
		return f.send(r)
	}
	good := preflight("https://inbox.example.com")
	require.Equal(t, 204, good.status)
	require.Equal(t, "https://inbox.example.com", good.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", good.header.Get("Access-Control-Allow-Credentials"))
	require.Contains(t, good.header.Get("Access-Control-Allow-Headers"), "Authorization")
	require.Contains(t, good.header.Values("Vary"), "Origin")
	for _, origin := range []string{"https://evil.example.com", "null", "https://inbox.example.com.evil.com", "http://inbox.example.com"} {
		bad := preflight(origin)
		require.Empty(t, bad.header.Get("Access-Control-Allow-Origin"), origin)
		require.Empty(t, bad.header.Get("Access-Control-Allow-Credentials"), origin)
	}

	r := f.request(http.MethodGet, "/api/auth/me", nil)
	r.Header.Set("Origin", "https://inbox.example.com")
	a := f.send(r) // a browser must be able to read refusals too
	f.problem(a, 401, "token_missing")
	require.Equal(t, "https://inbox.example.com", a.header.Get("Access-Control-Allow-Origin"))
}

func TestPanicsAreAnswered(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) {
		f.inbox.do = func(context.Context, domain.Command) error { panic("the secret is 42") }
	})
	a := f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/accept"), "")
	p := f.problem(a, 500, "internal")
	require.Equal(t, a.header.Get("X-Request-Id"), p["requestId"])
	require.NotContains(t, string(a.raw), "the secret")
	require.Contains(t, f.log.String(), "the secret is 42")
	require.Contains(t, f.log.String(), "edge_test.go", "the log has no stack")
	require.Equal(t, 200, f.as(f.agent, http.MethodGet, "/api/auth/me", "").status)
}

func TestAPanicAfterHalfAnAnswerCutsTheConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) {
		f.config.Beside = map[string]http.Handler{"/half": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			panic("oops")
		})}
	})
	response, err := f.client.Do(f.request(http.MethodGet, "/half", nil))
	if err == nil {
		_, err = io.ReadAll(response.Body)
		require.NoError(t, response.Body.Close())
	}
	require.Error(t, err)
	require.Contains(t, f.log.String(), "oops")
}

func TestTooManyCallsAreRefused(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(f *fixture) {
		f.config.MaxInFlight = 1
		f.inbox.do = func(context.Context, domain.Command) error {
			entered <- struct{}{}
			<-leave
			return nil
		}
	})
	first := make(chan answer)
	go func() { first <- f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/accept"), "") }()
	<-entered

	a := f.as(f.agent, http.MethodGet, "/api/auth/me", "")
	f.problem(a, 503, "overloaded")
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.Equal(t, 200, f.send(f.request(http.MethodGet, "/healthz", nil)).status, "a busy server lives")

	close(leave)
	require.Equal(t, 200, (<-first).status)
	require.Equal(t, 200, f.as(f.agent, http.MethodGet, "/api/auth/me", "").status)
}

func TestACallEndsInTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) {
		f.config.Timeout = time.Millisecond
		f.inbox.do = func(ctx context.Context, _ domain.Command) error {
			<-ctx.Done()
			return ctx.Err()
		}
	})
	f.problem(f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/accept"), ""), 504, "outcome_unknown")
}

func TestABodyThatEndsEarlyIsTheClientsFault(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"em\r\nnonsense\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, 400, response.StatusCode)
}

// TestHandlersBesideTheAPI: sockets need the connection itself, streams need
// to flush.
func TestHandlersBesideTheAPI(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) {
		f.config.Beside = map[string]http.Handler{
			"/socket.io/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
					_ = conn.Close()
				}
			}),
			"/api/webhooks/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.(http.Flusher).Flush()
				_, _ = io.WriteString(w, "webhook")
			}),
		}
	})
	r := f.request(http.MethodGet, "/socket.io/?EIO=4", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "x")
	require.Equal(t, 101, f.send(r).status)

	a := f.send(f.request(http.MethodPost, "/api/webhooks/whatsapp", nil))
	require.Equal(t, "webhook", string(a.raw))
	require.NotEmpty(t, a.header.Get("X-Request-Id"))
	f.problem(f.send(f.request(http.MethodGet, "/socket.io", nil)), 404, "not_found")
	require.Eventually(t, func() bool { return strings.Contains(f.log.String(), `"status":101`) }, 10*time.Second, time.Millisecond,
		"the line comes when the handler returns, which the client doesn't wait for")
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	tests := []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1234", nil, "203.0.113.9"},
		{"203.0.113.9:1234", []string{"198.51.100.7"}, "203.0.113.9"}, // a stranger's claim
		{"10.0.0.1:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[::ffff:10.0.0.1]:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"1.2.3.4, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"}, // 1.2.3.4 is claimed
		{"10.0.0.1:1234", []string{"1.2.3.4", "198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1234", []string{"rubbish"}, "10.0.0.1"},
		{"10.0.0.1:1234", nil, "10.0.0.1"},
		{"[::1]:1234", []string{"2001:db8::5"}, "2001:db8::5"},
		{"@", nil, "invalid IP"},
	}
	for _, test := range tests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = test.peer
		r.Header["X-Forwarded-For"] = test.forwarded
		require.Equal(t, test.want, ClientAddress(r, trusted).String(), "%+v", test)
	}
}
