package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/domain"
)

// MaxBody bounds a POST: WhatsApp announces up to 3 MB.
const MaxBody = 4 << 20

// deadline bounds the work on a POST: Messenger wants its answer within 5 s.
const deadline = 4500 * time.Millisecond

// retryAfter is when a platform may come again, in seconds.
const retryAfter = "5"

// Channels is the configuration in memory. Its methods don't block.
type Channels interface {
	// Receiving is the channel that receives for the account (a phone number id
	// or a page id), with its own webhook secret; nil: none, the environment's
	// is its.
	Receiving(provider domain.Provider, account string) (channel domain.Channel, secret []byte, ok bool)
}

// Inbox takes elements to their conversations.
type Inbox interface {
	// Deliver hands over the elements of one POST, in this order for each
	// conversation, and returns one result for each when it is durable: nil; a
	// *domain.ValueError or domain.ErrNoTarget, which no repetition changes;
	// anything else is temporary. It returns when ctx ends, at the latest.
	Deliver(ctx context.Context, deliveries []domain.Delivery) []error
}

// DeadLetters keeps what couldn't be taken.
type DeadLetters interface {
	// Keep returns when the letters are durable. A letter whose id is stored
	// already is that letter.
	Keep(ctx context.Context, letters []domain.DeadLetter) error
}

// Secrets are what the environment has for a platform; both may be empty: then
// nothing is verified with them.
type Secrets struct {
	VerifyToken string // answers the GET by which a callback URL is registered
	AppSecret   []byte // of the Meta app; channels without a secret of their own are bound to it
}

// Tracer records the ways of single POSTs; cmd's OpenTelemetry is it.
type Tracer interface {
	// Step records a step of what ctx belongs to.
	Step(ctx context.Context, step string) (end func())
}

// Config is what a Handler needs.
type Config struct {
	WhatsApp    Secrets
	Messenger   Secrets
	AppID       string // our Meta app, to know our echoes by; may be empty
	Channels    Channels
	Inbox       Inbox
	DeadLetters DeadLetters
	Logger      *slog.Logger
	Registerer  prometheus.Registerer
	Tracer      Tracer // nil: nothing is recorded
	Now         func() time.Time

	// MaxInFlight and MaxInFlightBytes bound the POSTs that are being worked on;
	// over it the answer is 503. Defaults 2,048 and 64 MiB.
	MaxInFlight      int
	MaxInFlightBytes int64
}

// Handler takes the webhooks of both platforms.
type Handler struct {
	whatsApp  *endpoint
	messenger *endpoint
}

// New checks the configuration and makes a Handler.
func New(c Config) (*Handler, error) {
	if c.Channels == nil || c.Inbox == nil || c.DeadLetters == nil || c.Logger == nil || c.Registerer == nil || c.Now == nil {
		return nil, errors.New("webhook: Channels, Inbox, DeadLetters, Logger, Registerer and Now are all needed")
	}
	if c.MaxInFlight < 0 || c.MaxInFlightBytes < 0 || 0 < c.MaxInFlightBytes && c.MaxInFlightBytes < MaxBody {
		return nil, fmt.Errorf("webhook: MaxInFlight is a number of POSTs, MaxInFlightBytes at least %d", MaxBody)
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("webhook: register metrics: %w", err)
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 2048
	}
	if c.MaxInFlightBytes == 0 {
		c.MaxInFlightBytes = 64 << 20
	}
	gate := &gate{maxPosts: c.MaxInFlight, maxBytes: c.MaxInFlightBytes}
	shared := endpoint{
		channels: c.Channels, inbox: c.Inbox, deadLetters: c.DeadLetters,
		log: c.Logger, metrics: m, tracer: c.Tracer, now: c.Now, gate: gate, deadline: deadline,
	}
	whatsApp, messenger := shared, shared
	whatsApp.provider, whatsApp.secrets, whatsApp.path, whatsApp.parse = domain.WhatsApp, c.WhatsApp, pathWhatsApp, parseWhatsApp
	messenger.provider, messenger.secrets, messenger.path = domain.Messenger, c.Messenger, pathMessenger
	messenger.parse = func(body []byte) []piece { return parseMessenger(body, c.AppID) }
	return &Handler{whatsApp: &whatsApp, messenger: &messenger}, nil
}

// WhatsApp serves GET and POST of WhatsApp's callback URL.
func (h *Handler) WhatsApp() http.Handler { return h.whatsApp }

// Messenger serves GET and POST of Messenger's callback URL.
func (h *Handler) Messenger() http.Handler { return h.messenger }

// endpoint is the callback URL of one platform.
type endpoint struct {
	provider    domain.Provider
	secrets     Secrets
	path        []string // where a body names its accounts
	parse       func(body []byte) []piece
	channels    Channels
	inbox       Inbox
	deadLetters DeadLetters
	log         *slog.Logger
	metrics     *metrics
	tracer      Tracer
	now         func() time.Time
	gate        *gate
	deadline    time.Duration
}

// ServeHTTP answers GET and POST.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		e.verify(w, r)
	case http.MethodPost:
		start := e.now()
		answer := e.post(w, r)
		answer.write(w)
		e.metrics.post(e.provider, answer.result, e.now().Sub(start))
	default:
		w.Header().Set("Allow", "GET, POST")
		answerMethod.write(w)
	}
}

// verify answers the request by which a platform makes sure that the callback
// URL is ours. It isn't signed; the token is the proof.
func (e *endpoint) verify(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	got, want := sha256.Sum256([]byte(query.Get("hub.verify_token"))), sha256.Sum256([]byte(e.secrets.VerifyToken))
	same := subtle.ConstantTimeCompare(got[:], want[:]) == 1
	challenge := query.Get("hub.challenge")
	if !same || e.secrets.VerifyToken == "" || query.Get("hub.mode") != "subscribe" || len(challenge) > maxLine {
		answerUnverified.write(w)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write([]byte(challenge)) //nolint:errcheck // the client is gone, there is nobody to tell
}

// post works on one POST and says how to answer it.
func (e *endpoint) post(w http.ResponseWriter, r *http.Request) answer {
	if r.ContentLength > MaxBody {
		return answerTooLarge
	}
	size, ok := e.gate.enter(r.ContentLength)
	if !ok {
		return answerOverloaded
	}
	defer e.gate.leave(size)
	ctx, cancel := context.WithTimeout(r.Context(), e.deadline)
	defer cancel()
	body, err := readBody(ctx, w, r)
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return answerTooLarge
		}
		return answerUnreadable
	}
	secret, ok := e.authenticate(r.Header, body)
	if !ok {
		return answerUnauthorized
	}
	if err := e.settle(ctx, r.Header, secret, e.normalize(ctx, body)); err != nil {
		e.log.Warn("webhook not taken, the platform will repeat it", "provider", e.provider, "error", err)
		return answerUnavailable
	}
	return answerTaken
}

// normalize takes the body apart.
func (e *endpoint) normalize(ctx context.Context, body []byte) []piece {
	if e.tracer != nil {
		defer e.tracer.Step(ctx, "webhook normalize")()
	}
	return e.parse(body)
}

// readBody reads at most MaxBody bytes, and not for longer than ctx lets. The
// time limit stays where reading failed: the server would go on to read the
// rest, without any.
func readBody(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	until, _ := ctx.Deadline()
	limitable := control.SetReadDeadline(until) == nil   // a recorder in a test has no connection
	body := make([]byte, 0, max(512, r.ContentLength+1)) // one more, to see the end without growing
	limited := http.MaxBytesReader(w, r.Body, MaxBody)
	for {
		n, err := limited.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			if limitable && control.SetReadDeadline(time.Time{}) != nil {
				return nil, net.ErrClosed
			}
			return body, nil
		case err != nil:
			return nil, fmt.Errorf("read body: %w", err)
		case len(body) == cap(body):
			body = append(body, 0)[:len(body)]
		}
	}
}
