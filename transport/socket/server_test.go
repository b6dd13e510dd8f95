package socket_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket"
)

func TestMain(m *testing.M) {
	if order := os.Getenv(crowdVariable); order != "" {
		os.Exit(beCrowd(order))
	}
	goleak.VerifyTestMain(m)
}

// tokens is an Authenticator that knows some principals by their token.
type tokens struct {
	mu    sync.Mutex
	known map[string]auth.Principal
	fail  map[string][]error // answers to the next calls for a token
}

func newTokens() *tokens {
	return &tokens{known: map[string]auth.Principal{}, fail: map[string][]error{}}
}

func (k *tokens) add(token string, p auth.Principal) auth.Principal {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known[token] = p
	return p
}

// failNext makes the next calls for the token answer with these errors, nil
// being none.
func (k *tokens) failNext(token string, errs ...error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail[token] = errs
}

func (k *tokens) Authenticate(_ context.Context, token string) (auth.Principal, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errs := k.fail[token]; len(errs) > 0 {
		k.fail[token] = errs[1:]
		if errs[0] != nil {
			return auth.Principal{}, errs[0]
		}
	}
	p, ok := k.known[token]
	if !ok {
		return auth.Principal{}, auth.ErrTokenInvalid
	}
	return p, nil
}

// call is one call of the application.
type call struct {
	name       string
	connection socket.Connection
	reason     socket.Reason
	argument   any
}

// application records what it is told and lets through what the test allows.
type application struct {
	calls chan call // as many as a test can cause

	mu      sync.Mutex
	visible map[domain.ConversationID]domain.OrganizationID
	err     error // of SetPresence, MayJoin and Typing, if not nil
}

func newApplication() *application {
	return &application{calls: make(chan call, 100_000), visible: map[domain.ConversationID]domain.OrganizationID{}}
}

func (a *application) show(o domain.OrganizationID) domain.ConversationID {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := domain.ConversationID(uuid.New())
	a.visible[id] = o
	return id
}

func (a *application) failWith(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *application) Connected(_ context.Context, c socket.Connection) {
	a.calls <- call{name: "connected", connection: c}
}

func (a *application) Disconnected(_ context.Context, c socket.Connection, r socket.Reason) {
	a.calls <- call{name: "disconnected", connection: c, reason: r}
}

func (a *application) Heartbeat(_ context.Context, c socket.Connection) {
	a.calls <- call{name: "heartbeat", connection: c}
}

func (a *application) SetPresence(_ context.Context, c socket.Connection, p domain.Presence) error {
	a.calls <- call{name: "presence", connection: c, argument: p}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *application) MayJoin(_ context.Context, p auth.Principal, id domain.ConversationID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	if a.visible[id] != p.Organization {
		return socket.ErrNotFound
	}
	return nil
}

func (a *application) Typing(ctx context.Context, p auth.Principal, id domain.ConversationID, on bool) error {
	if err := a.MayJoin(ctx, p, id); err != nil {
		return err
	}
	a.calls <- call{name: "typing", argument: on}
	return nil
}

// bundle is a server with everything around it.
type bundle struct {
	*socket.Server
	url      string
	tokens   *tokens
	app      *application
	registry *prometheus.Registry
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start runs a server on a network until the end of the test.
func start(t testing.TB, change func(*socket.Config)) *bundle {
	t.Helper()
	b := build(t, change)
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", b.Server)
	mux.Handle("/ws", b.Bare())
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// build runs a server without a network until the end of the test.
func build(t testing.TB, change func(*socket.Config)) *bundle {
	t.Helper()
	b := &bundle{tokens: newTokens(), app: newApplication(), registry: prometheus.NewRegistry()}
	config := socket.Config{
		Authenticator: b.tokens, Application: b.app, Registerer: b.registry, Logger: discard(),
	}
	if change != nil {
		change(&config)
	}
	var err error
	b.Server, err = socket.New(config)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
	})
	return b
}

// principal is a new agent of the organization.
func principal(o domain.OrganizationID) auth.Principal {
	return auth.Principal{
		User: domain.UserID(uuid.New()), Organization: o, Session: domain.SessionID(uuid.New()), Role: domain.RoleAgent,
	}
}

func newOrganization() domain.OrganizationID { return domain.OrganizationID(uuid.New()) }
