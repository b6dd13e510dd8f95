package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humahttprouter"
	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/transport/auth"
)

// Config is what the API is made of. Every field without a default must be set.
type Config struct {
	Inbox         Inbox
	Conversations Conversations
	Users         Users
	Directory     Directory
	Presences     Presences
	Sessions      Sessions
	Tokens        Tokens
	Passwords     Passwords
	Throttle      Throttle
	Accounts      Accounts
	Relief        Relief
	Channels      Channels
	Platforms     Platforms
	Contacts      Contacts
	DeadLetters   DeadLetters
	Attachments   Attachments
	Blobs         Blobs
	// Links makes and checks the signed addresses of files.
	Links   *auth.FileLinks
	Figures Figures
	Persons Persons
	// Chain makes the refresh tokens.
	Chain auth.RefreshChain

	// Checks are what /readyz asks; none: always ready.
	Checks []Check
	// Beside are handlers under other paths, such as sockets and webhooks: a
	// path that ends in a slash takes everything below it. They pass the edge
	// like the API, but neither its router, nor its access checks, nor its
	// limits.
	Beside map[string]http.Handler

	// Origins are the web origins that may call from a browser, with
	// credentials, such as https://inbox.example.com; none: only our own.
	Origins []string
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	// AccessTTL is how long the access tokens are good that Tokens makes.
	AccessTTL time.Duration
	// Timeout ends a call of the API. Default 10 s: a client that has waited
	// longer has given up.
	Timeout time.Duration
	// MaxInFlight is how many calls of the API may be at work at a time; more
	// are answered 503. Default 2,048: with a body of 1 MiB each they fit into
	// memory, and the 1,000 agents of a large organization may all click at once.
	MaxInFlight int

	// UserRate and AddressRate are how many calls a second a user, and an address
	// whose caller doesn't prove to be one, may make; ten seconds' worth may come
	// at once, more are answered 429. 0: no limit. Probes don't count.
	UserRate, AddressRate int

	Version    string                // of the program, for the OpenAPI document
	Registerer prometheus.Registerer // nil: metrics are kept and not shown
	Log        *slog.Logger
	Now        func() time.Time
}

// validate fills in the defaults and names what is missing.
func (c *Config) validate() error {
	v := reflect.ValueOf(c).Elem()
	var errs []error
	for _, name := range []string{
		"Inbox", "Conversations", "Users", "Directory", "Presences", "Sessions", "Tokens", "Passwords",
		"Throttle", "Accounts", "Relief", "Channels", "Platforms", "Contacts", "DeadLetters", "Attachments", "Blobs", "Links",
		"Figures", "Persons", "Chain", "AccessTTL", "Log", "Now",
	} {
		if v.FieldByName(name).IsZero() {
			errs = append(errs, fmt.Errorf("%s is not set", name))
		}
	}
	if c.Timeout < 0 || c.MaxInFlight < 0 || c.UserRate < 0 || c.AddressRate < 0 {
		errs = append(errs, errors.New("a negative Timeout, MaxInFlight, UserRate or AddressRate means nothing"))
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 2048
	}
	return errors.Join(errs...)
}

// server is the API: the operations are its methods.
type server struct {
	Config
	router   *httprouter.Router
	api      huma.API
	ready    readiness
	document document
	limits   limits
	metrics  *metrics
	inFlight atomic.Int64
	routes   []operation // as registered
	// transferring is how many files come and go.
	transferring atomic.Int64
	errs         []error // what is wrong with the operations that were registered
}

// New returns the handler of the API and of what is mounted beside it. It
// fails when the configuration is incomplete, or when an operation doesn't
// declare who may call it.
func New(config Config) (http.Handler, error) {
	s, err := newServer(config)
	if err != nil {
		return nil, fmt.Errorf("build the REST API: %w", err)
	}
	pack, err := packer()
	if err != nil {
		return nil, fmt.Errorf("build the REST API: %w", err)
	}
	return s.edge(s.beside(pack(s.admit(checkQuery(s.router))))), nil
}

// beside sends requests for what is mounted there, and all others to the API.
// Paths are compared as they are: nothing is cleaned and nothing redirected.
func (s *server) beside(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, longest := api, 0
		req := requestOf(r.Context())
		for path, mounted := range s.Beside {
			below := strings.HasSuffix(path, "/") && strings.HasPrefix(r.URL.Path, path)
			if len(path) > longest && (below || r.URL.Path == path) {
				handler, longest, req.route = mounted, len(path), path
			}
		}
		handler.ServeHTTP(w, r)
	})
}

func newServer(config Config) (*server, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	s := &server{Config: config, router: newRouter()}
	var err error
	if s.metrics, err = newMetrics(s.Registerer, func() float64 { return float64(s.inFlight.Load()) }); err != nil {
		return nil, err
	}
	if s.limits, err = newLimits(s.UserRate, s.AddressRate, s.Now); err != nil {
		return nil, err
	}
	s.ready = readiness{checks: s.Checks, now: s.Now, log: s.Log}
	s.api = humahttprouter.New(s.router, apiConfig(s.Version))
	s.addRoutes()
	if err := errors.Join(s.errs...); err != nil {
		return nil, err
	}
	if err := s.document.make(s.api.OpenAPI()); err != nil {
		return nil, err
	}
	return s, nil
}

// newRouter returns a router that knows one path for each operation: no
// redirects from what looks similar, and problems for what it doesn't know.
func newRouter() *httprouter.Router {
	router := httprouter.New()
	router.RedirectTrailingSlash, router.RedirectFixedPath = false, false
	router.NotFound = problemHandler(problem(http.StatusNotFound, "not_found", "There is nothing under this path."))
	router.MethodNotAllowed = problemHandler(problem(http.StatusMethodNotAllowed, "method_not_allowed",
		"The path doesn't take this method; the Allow header lists those it takes."))
	return router
}
