package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// What the fixtures are about.
const (
	fixtureNumber = "108765432109876"
	fixturePage   = "104512345678901"
	fixturePhone  = "15550100177"
	fixtureUserID = "US.13491208655302741918"
	fixturePSID   = "7412589630147852"
	fixtureApp    = "1517776481860111"
)

var (
	fixtureTime = time.Unix(1795000000, 0).UTC()
	appSecret   = []byte("0123456789abcdef0123456789abcdef")
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	return body
}

func fixtures(t testing.TB, prefix string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", prefix+"*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return files
}

// channelTable is the configuration in memory.
type channelTable map[string]tableEntry // by provider and account

type tableEntry struct {
	channel domain.Channel
	secret  []byte
}

func (c channelTable) add(provider domain.Provider, account string, organization byte, secret []byte) domain.Channel {
	channel := domain.Channel{Provider: provider, ExternalID: account, Name: account}
	channel.ID[0], channel.ID[1] = organization, byte(len(c)+1)
	channel.Organization[0] = organization
	c[string(provider)+account] = tableEntry{channel, secret}
	return channel
}

func (c channelTable) Receiving(provider domain.Provider, account string) (domain.Channel, []byte, bool) {
	e, ok := c[string(provider)+account]
	return e.channel, e.secret, ok
}

// recorder is inbox and dead letters; fail says what a delivery ends with.
type recorder struct {
	mu      sync.Mutex
	got     []domain.Delivery
	letters []domain.DeadLetter
	fail    func(domain.Delivery) error
	keepErr error
	block   chan struct{} // Deliver waits for it, or for its context
	entered chan struct{}
}

func (r *recorder) Deliver(ctx context.Context, deliveries []domain.Delivery) []error {
	if r.entered != nil {
		r.entered <- struct{}{}
	}
	errs := make([]error, len(deliveries))
	if r.block != nil {
		select {
		case <-r.block:
		case <-ctx.Done():
			for i := range errs {
				errs[i] = ctx.Err()
			}
			return errs
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, deliveries...)
	for i, d := range deliveries {
		if r.fail != nil {
			errs[i] = r.fail(d)
		}
	}
	return errs
}

func (r *recorder) Keep(_ context.Context, letters []domain.DeadLetter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keepErr == nil {
		r.letters = append(r.letters, letters...)
	}
	return r.keepErr
}

func (r *recorder) reasons() []string {
	reasons := []string{}
	for _, l := range r.letters {
		reasons = append(reasons, l.Reason)
	}
	return reasons
}

// bench is a handler with everything around it.
type bench struct {
	*recorder
	handler  *Handler
	channels channelTable
	registry *prometheus.Registry
}

func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	b := &bench{recorder: &recorder{}, channels: channelTable{}, registry: prometheus.NewRegistry()}
	config := Config{
		WhatsApp:  Secrets{VerifyToken: "whatsapp token", AppSecret: appSecret},
		Messenger: Secrets{VerifyToken: "messenger token", AppSecret: appSecret},
		AppID:     fixtureApp,
		Channels:  b.channels, Inbox: b.recorder, DeadLetters: b.recorder,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: b.registry, Now: time.Now,
	}
	if change != nil {
		change(&config)
	}
	var err error
	b.handler, err = New(config)
	require.NoError(t, err)
	return b
}

func (b *bench) endpoint(provider domain.Provider) http.Handler {
	if provider == domain.Messenger {
		return b.handler.Messenger()
	}
	return b.handler.WhatsApp()
}

// post posts a body signed with secret.
func (b *bench) post(provider domain.Provider, body, secret []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.endpoint(provider).ServeHTTP(w, signedRequest(body, secret))
	return w
}

func signedRequest(body, secret []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(headerSHA256, sign(body, secret))
	return r
}

func sign(body, secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
