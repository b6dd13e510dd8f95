package socket_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket"
)

const listed = "https://app.example"

func startListed(t *testing.T) *bundle {
	return start(t, func(c *socket.Config) { c.Origins = []string{listed + "/", "http://localhost:3000"} })
}

// request is the answer to a request that is no WebSocket handshake unless the
// header says so.
func (b *bundle) request(t testing.TB, method, query string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.url+"/socket.io/?"+query, nil)
	require.NoError(t, err)
	r.Header = header
	return b.answer(t, r)
}

// answer is what the server says, with or without a network.
func (b *bundle) answer(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	if b.url == "" {
		recorder := httptest.NewRecorder()
		b.ServeHTTP(recorder, r)
		return recorder.Result(), recorder.Body.String()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func upgrade(change ...string) http.Header {
	h := http.Header{
		"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	for i := 0; i < len(change); i += 2 {
		if change[i+1] == "" {
			h.Del(change[i])
			continue
		}
		h.Set(change[i], change[i+1])
	}
	return h
}

func TestChecksOfTheHandshake(t *testing.T) {
	t.Parallel()
	b := startListed(t)
	sid := b.openSID(t)
	for _, c := range []struct {
		name, method, query string
		header              http.Header
		status, code        int
		message             string
	}{
		{"nothing", "GET", "", nil, 400, 0, "Transport unknown"},
		{"no transport", "GET", "EIO=4", upgrade(), 400, 0, "Transport unknown"},
		{"unknown transport", "GET", "EIO=4&transport=pigeon", nil, 400, 0, "Transport unknown"},
		{"upgrade of polling", "GET", "EIO=4&transport=polling", upgrade(), 400, 3, "Bad request"},
		{"polling by POST", "POST", "EIO=4&transport=polling", nil, 400, 2, "Bad handshake method"},
		{"polling, EIO 3", "GET", "EIO=3&transport=polling", nil, 400, 5, "Unsupported protocol version"},
		{"polling, foreign origin", "GET", "EIO=4&transport=polling", http.Header{"Origin": {"https://elsewhere.example"}}, 403, 4, "Forbidden"},
		{"polling, unknown sid", "POST", "EIO=4&transport=polling&sid=nope", nil, 400, 1, "Session ID unknown"},
		{"polling a WebSocket", "GET", "EIO=4&transport=polling&sid=" + sid, nil, 400, 3, "Bad request"},
		{"posting to a WebSocket", "POST", "EIO=4&transport=polling&sid=" + sid, nil, 400, 3, "Bad request"},
		{"unknown sid", "GET", "EIO=4&transport=websocket&sid=nope", upgrade(), 400, 1, "Session ID unknown"},
		{"long sid", "GET", "EIO=4&transport=websocket&sid=" + strings.Repeat("x", 3000), upgrade(), 400, 1, "Session ID unknown"},
		{"taken sid", "GET", "EIO=4&transport=websocket&sid=" + sid, upgrade(), 400, 3, "Bad request"},
		{"taken sid, not upgrading", "GET", "EIO=4&transport=websocket&sid=" + sid, nil, 400, 3, "Bad request"},
		{"POST", "POST", "EIO=4&transport=websocket", nil, 400, 2, "Bad handshake method"},
		{"no upgrade", "GET", "EIO=4&transport=websocket", nil, 400, 3, "Bad request"},
		{"other upgrade", "GET", "EIO=4&transport=websocket", upgrade("Upgrade", "h2c"), 400, 3, "Bad request"},
		{"no connection header", "GET", "EIO=4&transport=websocket", upgrade("Connection", "keep-alive"), 400, 3, "Bad request"},
		{"old websocket", "GET", "EIO=4&transport=websocket", upgrade("Sec-WebSocket-Version", "8"), 400, 3, "Bad request"},
		{"no key", "GET", "EIO=4&transport=websocket", upgrade("Sec-WebSocket-Key", ""), 400, 3, "Bad request"},
		{"foreign origin", "GET", "EIO=3&transport=websocket", upgrade("Origin", "https://elsewhere.example"), 403, 4, "Forbidden"},
		{"null origin", "GET", "EIO=4&transport=websocket", upgrade("Origin", "null"), 403, 4, "Forbidden"},
		{"other scheme", "GET", "EIO=4&transport=websocket", upgrade("Origin", "http://app.example"), 403, 4, "Forbidden"},
		{"EIO 3", "GET", "EIO=3&transport=websocket", upgrade(), 400, 5, "Unsupported protocol version"},
		{"no EIO", "GET", "transport=websocket", upgrade(), 400, 5, "Unsupported protocol version"},
		{"transport before sid", "POST", "EIO=3&transport=nope&sid=nope", nil, 400, 0, "Transport unknown"},
		{"sid before method", "POST", "EIO=3&transport=websocket&sid=nope", nil, 400, 1, "Session ID unknown"},
		{"method before version", "POST", "EIO=3&transport=websocket", nil, 400, 2, "Bad handshake method"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			response, body := b.request(t, c.method, c.query, c.header)
			require.Equal(t, c.status, response.StatusCode, body)
			require.Equal(t, "application/json", response.Header.Get("Content-Type"))
			want, err := json.Marshal(map[string]any{"code": c.code, "message": c.message})
			require.NoError(t, err)
			require.JSONEq(t, string(want), body)
		})
	}
}

// openSID is the secret of a session that lives on.
func (b *bundle) openSID(t *testing.T) string {
	t.Helper()
	status, c := b.tryDial(t, nil)
	require.Equal(t, http.StatusSwitchingProtocols, status)
	var open struct{ SID string }
	require.NoError(t, json.Unmarshal([]byte(c.next()[1:]), &open))
	require.Regexp(t, `^[A-Za-z0-9_-]{20}$`, open.SID)
	return open.SID
}

func TestAllowedOrigins(t *testing.T) {
	t.Parallel()
	b := startListed(t)
	own, err := url.Parse(b.url)
	require.NoError(t, err)
	for _, origin := range []string{"", listed, "HTTPS://App.Example", "http://localhost:3000", b.url, "https://" + own.Host} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		status, _ := b.tryDial(t, header)
		require.Equal(t, http.StatusSwitchingProtocols, status, origin)
	}
}

// An answer without CORS headers is an opaque error to the page.
func TestCORSHeaders(t *testing.T) {
	t.Parallel()
	b := startListed(t)
	allowed, _ := b.request(t, "GET", "EIO=4", http.Header{"Origin": {listed}})
	require.Equal(t, listed, allowed.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", allowed.Header.Get("Access-Control-Allow-Credentials"))
	require.Equal(t, "Origin", allowed.Header.Get("Vary"))
	foreign, _ := b.request(t, "GET", "EIO=4", http.Header{"Origin": {"https://elsewhere.example"}})
	require.Empty(t, foreign.Header.Values("Access-Control-Allow-Origin"))
	require.Equal(t, "Origin", foreign.Header.Get("Vary"))

	preflight, body := b.request(t, "OPTIONS", "EIO=4&transport=websocket", http.Header{
		"Origin": {listed}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"x-a, x-b"},
	})
	require.Equal(t, http.StatusNoContent, preflight.StatusCode)
	require.Empty(t, body)
	require.Equal(t, listed, preflight.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "GET,POST", preflight.Header.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "x-a, x-b", preflight.Header.Get("Access-Control-Allow-Headers"))
}

func TestOpenPacket(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	status, c := b.tryDial(t, nil)
	require.Equal(t, http.StatusSwitchingProtocols, status)
	require.Regexp(t, `^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\[\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$`, c.next())
}
