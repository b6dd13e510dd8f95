package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/valkey"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/rest"
	"github.com/chatopshub/chatopshub/transport/webhook"
)

// openHTTP opens the doors: last of all, when everything behind them works.
func (p *program) openHTTP(ctx context.Context) error {
	hooks, err := webhook.New(webhook.Config{
		WhatsApp:  webhookSecrets(p.cfg.Meta.WhatsApp),
		Messenger: webhookSecrets(p.cfg.Meta.Messenger),
		AppID:     p.cfg.Meta.AppID, Channels: p.store.registry, Inbox: p.actors.inbox,
		DeadLetters: p.store.deadLetters,
		Logger:      p.logger.With("part", "webhooks"), Registerer: p.metrics, Now: time.Now,
		Tracer: p.tracing.ofWebhooks(),
	})
	if err != nil {
		return err
	}
	beside := map[string]http.Handler{
		"/socket.io/":             p.sockets,
		"/ws":                     p.sockets.Bare(),
		"/api/webhooks/whatsapp":  hooks.WhatsApp(),
		"/api/webhooks/messenger": hooks.Messenger(),
	}
	pages := p.operatorsPages()
	if p.cfg.HTTP.MetricsAddr == "" && p.cfg.Env == Development {
		maps.Copy(beside, pages)
	}
	config := p.restConfig(beside)
	p.administration(&config, hooks)
	api, err := rest.New(config)
	if err != nil {
		return err
	}
	if p.cfg.HTTP.MetricsAddr != "" {
		if p.operator, err = p.listen(ctx, "operators", p.cfg.HTTP.MetricsAddr, onlyPages(pages)); err != nil {
			return err
		}
	}
	address := net.JoinHostPort(p.cfg.HTTP.Host, strconv.Itoa(p.cfg.HTTP.Port))
	if p.listener, err = p.listen(ctx, "http", address, p.tracing.edge(api)); err != nil {
		return err
	}
	// Sockets are hijacked connections: the HTTP server doesn't know them any more.
	p.onClose("sockets", p.sockets.Shutdown)
	return nil
}

func webhookSecrets(c WebhookConfig) webhook.Secrets {
	return webhook.Secrets{VerifyToken: string(c.VerifyToken), AppSecret: []byte(c.AppSecret)}
}

func (p *program) restConfig(beside map[string]http.Handler) rest.Config {
	return rest.Config{
		Inbox: p.actors.inbox, Conversations: p.store.conversations, Users: persistence.NewUsers(p.store.reads), Directory: p.store.registry,
		Attachments: p.store.attachments, Blobs: p.blobs, Links: p.links,
		Presences: p.actors.agents, Sessions: p.store.sessions, Tokens: p.issuer(), Passwords: auth.NewHasher(hashers()),
		Throttle: valkey.NewThrottle(p.valkey.client, p.logger.With("part", "throttle"), time.Now),
		Chain:    auth.RefreshChain{Key: auth.DeriveKey([]byte(p.cfg.Auth.Secret), auth.RefreshTokenLabel)},
		Figures:  p.store.figures, Persons: p.store.erasures,
		Checks: p.checks(),
		Beside: beside, Origins: p.cfg.HTTP.Origins, TrustedProxies: p.cfg.HTTP.TrustedProxies,
		AccessTTL: p.cfg.Auth.AccessTokenTTL,
		UserRate:  p.cfg.HTTP.UserRate, AddressRate: p.cfg.HTTP.AddressRate, Registerer: p.metrics,
		Version: buildVersion(), Log: p.logger.With("part", "http"), Now: time.Now,
	}
}

// checkDatabase is nil when reads, the writer and the configuration all have
// their database.
func (p *program) checkDatabase(ctx context.Context) error {
	return errors.Join(p.store.reads.Ping(ctx), p.store.writer.Ready(), p.store.registry.Ready())
}

// Time-outs of the HTTP servers. Handlers have deadlines of their own; these
// are for clients that dawdle. Sockets are hijacked and not subject to them.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// listen serves handler on address until the program closes.
func (p *program) listen(ctx context.Context, name, address string, handler http.Handler) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.fail(fmt.Errorf("serve %s: %w", name, err))
		}
	}()
	p.onClose(name, server.Shutdown)
	return listener, nil
}

// operatorsPages are what operators look at, by path.
func (p *program) operatorsPages() map[string]http.Handler {
	pages := map[string]http.Handler{"/metrics": promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{})}
	if p.cluster != nil {
		pages["/cluster"] = p.cluster.pages
	}
	return pages
}

// onlyPages serves each page under its path, and nothing else.
func onlyPages(pages map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	for path, page := range pages {
		mux.Handle("GET "+path, page)
	}
	return mux
}
