package graphtest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Provider is a messaging platform.
type Provider string

// The platforms that the server plays.
const (
	WhatsApp  Provider = "WHATSAPP"
	Messenger Provider = "MESSENGER"
)

// Config says what the server plays. Zero fields have defaults.
type Config struct {
	Addr      string              // where it listens; a free port of 127.0.0.1
	TLS       *tls.Config         // with a certificate: https; Messenger's files have addresses that receivers may want so
	Seed      uint64              // the same seed, the same ids, faults and habits
	AppID     string              // of the Meta app; 1517776481860111
	AppSecret string              // signs webhooks, and checks appsecret_proof where a call has one
	Secrets   map[Provider]string // likewise, of a platform that has another Meta app; the others have AppSecret
	Accounts  []Account           // numbers and pages
	Webhooks  map[Provider]string // addresses that webhooks are posted to, until SetWebhooks; a platform without one tells nobody
	Retry     time.Duration       // before a webhook that wasn't answered 200 is posted again; 100 ms, doubling up to 50 times that
	Plan      Plan                // what goes wrong; nil: nothing
	Habits    Habits              // what customers do with what they get
	MediaLife time.Duration       // of the address that a media look-up gives; 5 min
	Keep      int                 // how many calls, messages and actions are remembered, each; the oldest are forgotten. 100,000
	Backlog   int                 // how many webhooks may wait to be taken; above that messages are refused as overload. 100,000
}

// Account is a number or a page.
type Account struct {
	Provider  Provider
	ID        string // phone number id or page id
	Token     string
	WABA      string // WhatsApp: the business account's id; 215589313241560
	Name      string
	Number    string // WhatsApp: digits; 15550100123
	PerSecond int    // messages in any second; 0: no limit
	PairLimit bool   // WhatsApp: 45 at once to one customer, then one in 6 s
	Offline   bool   // WhatsApp: its status is DISCONNECTED
}

// Server is a running fake of the Graph API. Its methods may be called by any
// number of goroutines.
type Server struct {
	cfg      Config
	http     *http.Server
	listener net.Listener
	serving  sync.WaitGroup
	closing  chan struct{}
	closed   sync.Once
	post     *courier

	mu        sync.Mutex
	accounts  map[string]*account // by ID
	customers map[string]Customer // by number, user id and PSID
	files     *files
	calls     ring[Call]
	taken     ring[Taken]
	actions   ring[Action]
	heard     map[string]int // messages taken by recipient
	asked     map[string]int // message calls by recipient
	sequence  int            // of calls
	ids       uint64
	changed   chan struct{} // closed and renewed when something was taken or shown
	webhooks  map[Provider]string
}

// account is an Account with what happens to it.
type account struct {
	Account
	subscribed []string // fields; nil: the app isn't subscribed
	recent     []time.Time
	pairs      map[string]pairBucket
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	cfg.AppID = cmp.Or(cfg.AppID, "1517776481860111")
	cfg.Retry = cmp.Or(cfg.Retry, 100*time.Millisecond)
	cfg.MediaLife = cmp.Or(cfg.MediaLife, 5*time.Minute)
	cfg.Keep, cfg.Backlog = cmp.Or(cfg.Keep, 100_000), cmp.Or(cfg.Backlog, 100_000)
	s := &Server{
		cfg: cfg, closing: make(chan struct{}), changed: make(chan struct{}),
		accounts: map[string]*account{}, customers: map[string]Customer{}, heard: map[string]int{}, asked: map[string]int{},
		calls: ring[Call]{most: cfg.Keep}, taken: ring[Taken]{most: cfg.Keep}, actions: ring[Action]{most: cfg.Keep},
		files: newFiles(), webhooks: cfg.Webhooks,
	}
	for _, a := range cfg.Accounts {
		if a.ID == "" || a.Token == "" || a.Provider != WhatsApp && a.Provider != Messenger {
			return nil, fmt.Errorf("graphtest: account %q: takes a provider, an id and a token", a.ID)
		}
		a.WABA, a.Number = cmp.Or(a.WABA, "215589313241560"), cmp.Or(a.Number, "15550100123")
		s.accounts[a.ID] = &account{Account: a, pairs: map[string]pairBucket{}}
	}
	listener, err := net.Listen("tcp", cmp.Or(cfg.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("graphtest: listen: %w", err)
	}
	if s.listener = listener; cfg.TLS != nil {
		s.listener = tls.NewListener(listener, cfg.TLS)
	}
	s.post = newCourier(cfg.Retry)
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	s.serving.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("graphtest: serve: %v", err)) // the listener broke under us: nothing that runs on it can be trusted
		}
	})
	return s, nil
}

// SetWebhooks says where webhooks are posted to from now on: for a server that
// needs the address of this one before it has its own.
func (s *Server) SetWebhooks(to map[Provider]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webhooks = to
}

// secret is the app secret of a platform.
func (s *Server) secret(p Provider) string {
	if secret, ok := s.cfg.Secrets[p]; ok {
		return secret
	}
	return s.cfg.AppSecret
}

// URL is the base address of the API, without version.
func (s *Server) URL() string {
	if s.cfg.TLS != nil {
		return "https://" + s.listener.Addr().String()
	}
	return "http://" + s.listener.Addr().String()
}

// Close ends all connections and everything that the server still had to tell.
// It may be called twice.
func (s *Server) Close() {
	s.closed.Do(func() {
		close(s.closing)
		s.post.close()
		_ = s.http.Close() // closes the listener and all connections: what they say about it is no news
		s.serving.Wait()
	})
}

// Drain waits until every webhook was taken.
func (s *Server) Drain(ctx context.Context) error { return s.post.drain(ctx) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{version}/{object}/messages", s.account(s.messages))
	mux.HandleFunc("POST /{version}/{object}/media", s.account(s.upload))
	mux.HandleFunc("POST /{version}/{object}/message_attachments", s.account(s.upload))
	mux.HandleFunc("GET /{version}/{object}/subscribed_apps", s.account(s.subscriptions))
	mux.HandleFunc("POST /{version}/{object}/subscribed_apps", s.account(s.subscribe))
	mux.HandleFunc("GET /{version}/debug_token", s.debugToken)
	mux.HandleFunc("GET /{version}/me", s.account(s.describe))
	mux.HandleFunc("GET /{version}/{object}", s.account(s.describe))
	mux.HandleFunc("DELETE /{version}/{object}", s.account(s.deleteMedia))
	mux.HandleFunc("GET /media/file/{object}/{until}", s.fetched)
	return mux
}

// newID is the next id: opaque, and the same in every run with this seed. The
// caller holds the lock.
func (s *Server) newID() string {
	s.ids++
	var in [16]byte
	binary.BigEndian.PutUint64(in[:], s.cfg.Seed)
	binary.BigEndian.PutUint64(in[8:], s.ids)
	sum := sha256.Sum256(in[:])
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// newNumber is the next id of digits. The caller holds the lock.
func (s *Server) newNumber() string {
	s.ids++
	return fmt.Sprintf("1%03d%012d", s.cfg.Seed%1000, s.ids)
}

// ring keeps the newest values, at most a given number.
type ring[T any] struct {
	values    []T
	most      int
	forgotten int
}

func (r *ring[T]) add(v T) {
	// Forgetting many at a time keeps adding cheap.
	if len(r.values) >= r.most+r.most/4+1 {
		gone := len(r.values) - r.most
		r.values = append(r.values[:0], r.values[gone:]...)
		r.forgotten += gone
	}
	r.values = append(r.values, v)
}

// total is how many values were ever added.
func (r *ring[T]) total() int { return r.forgotten + len(r.values) }

// since is the values after the first n that were ever added.
func (r *ring[T]) since(n int) []T {
	return slices.Clone(r.values[min(max(n-r.forgotten, 0), len(r.values)):])
}
