package graphtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/webhook"
)

// reader is a channel for every account, and keeps what it is handed.
type reader struct {
	mu     sync.Mutex
	events []domain.InboundEvent
	dead   []domain.DeadLetter
}

func (r *reader) Receiving(p domain.Provider, account string) (domain.Channel, []byte, bool) {
	return domain.Channel{Provider: p, ExternalID: account}, nil, true
}

func (r *reader) Deliver(_ context.Context, deliveries []domain.Delivery) []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range deliveries {
		r.events = append(r.events, d.Element.Event)
	}
	return make([]error, len(deliveries))
}

func (r *reader) Keep(_ context.Context, letters []domain.DeadLetter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = append(r.dead, letters...)
	return nil
}

// TestOurWebhooksUnderstandTheFake posts everything that the fake can tell to
// the real handler.
func TestOurWebhooksUnderstandTheFake(t *testing.T) {
	t.Parallel()
	r := &reader{}
	secrets := webhook.Secrets{AppSecret: []byte(secret)}
	h, err := webhook.New(webhook.Config{
		WhatsApp: secrets, Messenger: secrets, AppID: "1517776481860111", Channels: r, Inbox: r, DeadLetters: r,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/whatsapp", h.WhatsApp())
	mux.Handle("/messenger", h.Messenger())
	door := httptest.NewServer(mux)
	t.Cleanup(door.Close)

	certified := httptest.NewTLSServer(http.NotFoundHandler())
	certified.Close() // only its certificate is wanted
	s := start(t, Config{
		TLS: certified.TLS, AppSecret: secret, Webhooks: map[Provider]string{WhatsApp: door.URL + "/whatsapp", Messenger: door.URL + "/messenger"},
		Habits: Habits{Reads: 1, Fails: func(m Taken) int { return map[string]int{"fail": 131047}[m.Text] }},
	})
	do := func(_ string, err error) {
		t.Helper()
		require.NoError(t, err)
		require.NoError(t, s.Drain(t.Context()))
	}
	do(s.Write(number, Customer{Name: "Dana", Number: "15550100177"}, "hello / ü 🙏"))
	do(s.WriteFile(number, Customer{UserID: "US.1"}, "image", s.PutMedia(number, "image/png", "", []byte("png"))))
	do(s.Write(page, Customer{Name: "Dana", PSID: "7"}, "hello"))
	do(s.WriteFile(page, Customer{PSID: "7"}, "image", s.PutMedia(page, "image/png", "", []byte("png"))))
	for _, text := range []string{"x", "fail"} {
		s.sendText(t, "15550100177", text, "ref")
		require.NoError(t, s.Drain(t.Context()))
	}
	s.sendPageText(t, "7", "x", "ref")
	require.NoError(t, s.Drain(t.Context()))

	var kinds []string
	for _, e := range r.events {
		switch e := e.(type) {
		case domain.CustomerMessage:
			kinds = append(kinds, string(e.Type)+" "+e.Body)
		case domain.StatusReport:
			kinds = append(kinds, string(e.Status)+" "+e.ErrorCode)
		case domain.BusinessEcho:
			kinds = append(kinds, "echo "+e.Body)
		case domain.Watermark:
			kinds = append(kinds, "watermark "+string(e.Status))
		default:
			t.Errorf("not expected: %T", e)
		}
	}
	require.Empty(t, r.dead)
	require.Equal(t, []string{
		"text hello / ü 🙏", "image ", "text hello", "image ", "SENT ", "DELIVERED ", "READ ", "SENT ", "FAILED 131047",
		"echo x", "watermark DELIVERED", "watermark READ",
	}, kinds)
}
