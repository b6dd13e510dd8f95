package graphtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	number = "108765432109876"
	page   = "104512345678901"
	secret = "0123456789abcdef0123456789abcdef"
)

func accounts() []Account {
	return []Account{
		{Provider: WhatsApp, ID: number, Token: "number token", Name: "Lucky Shrub"},
		{Provider: Messenger, ID: page, Token: "page token", Name: "Lucky Shrub"},
	}
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.Accounts == nil {
		cfg.Accounts = accounts()
	}
	s, err := Start(cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// exchange makes one call with a client of its own, so that no connection
// outlives it; status 0: there was no answer.
func exchange(t *testing.T, method, url, token, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the server is in this process
	}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	var answer map[string]any
	if json.Unmarshal(raw, &answer) != nil {
		answer = map[string]any{"raw": string(raw)}
	}
	return resp.StatusCode, answer
}

func (s *Server) sendText(t *testing.T, to, text, reference string) (int, map[string]any) {
	t.Helper()
	return exchange(t, "POST", s.URL()+"/v25.0/"+number+"/messages", "number token",
		`{"messaging_product":"whatsapp","to":"+`+to+`","type":"text","text":{"body":"`+text+`"},"biz_opaque_callback_data":"`+reference+`"}`)
}

func (s *Server) sendPageText(t *testing.T, to, text, reference string) (int, map[string]any) {
	t.Helper()
	return exchange(t, "POST", s.URL()+"/v25.0/me/messages", "page token",
		`{"recipient":{"id":"`+to+`"},"messaging_type":"RESPONSE","message":{"text":"`+text+`","metadata":"`+reference+`"}}`)
}

// code is the code of an error answer.
func code(t *testing.T, answer map[string]any) int {
	t.Helper()
	e, ok := answer["error"].(map[string]any)
	require.True(t, ok, "%v is no error", answer)
	return int(e["code"].(float64))
}

// inbox takes webhooks as a server of ours would.
type inbox struct {
	*httptest.Server
	mu      sync.Mutex
	refuse  int // how many POSTs are answered 503 first
	bodies  []map[string]any
	unsound []string // bodies whose signature is wrong or that aren't as Meta writes them
}

func newInbox(t *testing.T, refuse int) *inbox {
	t.Helper()
	in := &inbox{refuse: refuse}
	in.Server = httptest.NewServer(http.HandlerFunc(in.take))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	in.mu.Lock()
	defer in.mu.Unlock()
	if err != nil || in.refuse > 0 {
		in.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	var decoded map[string]any
	if r.Header.Get("X-Hub-Signature-256") != "sha256="+hex.EncodeToString(mac.Sum(nil)) || json.Unmarshal(body, &decoded) != nil ||
		strings.Contains(strings.ReplaceAll(string(body), `\/`, ""), "/") || strings.ContainsFunc(string(body), func(r rune) bool { return r > 0x7f }) {
		in.unsound = append(in.unsound, string(body))
	}
	in.bodies = append(in.bodies, decoded)
}

func (in *inbox) taken(t *testing.T) []map[string]any {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	require.Empty(t, in.unsound)
	return append([]map[string]any{}, in.bodies...)
}

// at follows keys and indexes into decoded JSON; nil where there is nothing.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}
