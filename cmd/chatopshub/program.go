package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/jobs"
	"github.com/chatopshub/chatopshub/migrations"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/embedded"
	"github.com/chatopshub/chatopshub/persistence/valkey"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/rest"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// program is a running server: what main starts, and what end-to-end tests
// start on a free port.
type program struct {
	cfg     Config
	node    string // this run of the program; no other has that name
	around  surroundings
	logger  *slog.Logger
	metrics *prometheus.Registry
	tracing *tracing // nil: nothing is recorded

	database string // URL
	valkey   *valkeyLink
	store    *storage
	actors   *actorSystem
	cluster  *clusterPart // nil: the node is alone
	sockets  *socket.Server
	platform *platform
	blobs    *persistence.Blobs
	links    *auth.FileLinks

	background *background
	errands    *jobs.Errands

	listener net.Listener
	operator net.Listener // nil: metrics are served beside the API, or nowhere
	failed   chan error   // a part that ended by itself
	closers  []closer     // in the order of starting
}

// closer ends a part. They run in reverse order under one deadline.
type closer struct {
	name  string
	close func(context.Context) error
}

// storage is what speaks with PostgreSQL.
type storage struct {
	reads      *persistence.Reads
	writer     *persistence.Writer
	loader     *persistence.Loader
	identities *persistence.Identities
	registry   *persistence.Registry

	conversations *persistence.Conversations
	deadLetters   *persistence.DeadLetters
	sealer        *persistence.Sealer
	sessions      *persistence.Sessions
	assignments   *persistence.Assignments
	agentSessions *persistence.AgentSessions
	attachments   *persistence.Attachments
	figures       *persistence.Figures
	erasures      *persistence.Erasures
}

// actorSystem is everything that has a mailbox.
type actorSystem struct {
	system        *actors.System
	wheel         *actors.Wheel
	fanout        *lateFanout
	feeds         *actors.Feeds
	assigners     *actors.Assigners
	channels      *actors.Channels
	conversations *actors.Conversations
	inbox         *actors.Inbox
	releases      *actors.Releases
	agents        *actors.Agents
}

// start builds the server in the order in which its parts need each other, and
// returns when it answers. A part that can't be had ends those before it.
func start(ctx context.Context, cfg Config, logger *slog.Logger) (*program, error) {
	return startAmid(ctx, cfg, logger, surroundings{})
}

// startAmid is start with other surroundings.
func startAmid(ctx context.Context, cfg Config, logger *slog.Logger, around surroundings) (_ *program, err error) {
	p := &program{cfg: cfg, node: nodeName(), around: around, logger: logger, metrics: prometheus.NewRegistry(), failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	p.metrics.MustRegister(goCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.metrics.MustRegister(buildInfo())
	for _, step := range []func(context.Context) error{
		p.openTracing, p.openDatabase, p.openValkey, p.openFiles, p.openStorage, p.checkFolder,
		p.openCluster, p.openSystem, p.openFeeds, p.openPlatform, p.openErrands, p.openConversations, p.openAgents, p.openSockets,
		p.joinCluster, p.openJobs, p.openHTTP, p.openReconciliation, p.openCheckups, p.openDrain,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// onClose registers how a part ends.
func (p *program) onClose(name string, end func(context.Context) error) {
	p.closers = append(p.closers, closer{name, end})
}

// keep runs parts until the program closes; one that ends with an error ends
// the program.
func (p *program) keep(name string, runs ...func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range runs {
		group.Go(func() error { return run(ctx) })
	}
	ended := make(chan error, 1)
	go func() {
		err := group.Wait()
		ended <- err
		if err != nil {
			p.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
	p.onClose(name, func(ctx context.Context) error {
		stop()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func (p *program) fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

// openDatabase has a PostgreSQL of the newest schema.
func (p *program) openDatabase(ctx context.Context) error {
	p.database = string(p.cfg.Database.URL)
	if p.database == "" {
		postgres, err := startPostgres(ctx, p.cfg, p.logger)
		if err != nil {
			return err
		}
		p.onClose("postgresql", postgres.Stop)
		p.database = postgres.URL()
	}
	db, err := sql.Open("pgx", p.database)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer db.Close()
	return migrations.Up(ctx, db, p.logger)
}

func (p *program) openValkey(ctx context.Context) error {
	url := string(p.cfg.ValkeyURL)
	if url == "" {
		v, err := embedded.StartValkey()
		if err != nil {
			return err
		}
		p.onClose("valkey", func(context.Context) error { v.Close(); return nil })
		url = v.URL()
	}
	link, err := newValkeyLink(url)
	if err != nil {
		return err
	}
	p.onClose("valkey connections", link.close)
	p.valkey = link
	return nil
}

// sealLabel names the key that channel secrets are sealed with.
const sealLabel = "chatopshub channel secrets v1"

func newSealer(cfg Config) (*persistence.Sealer, error) {
	var previous [][]byte
	if cfg.Auth.PreviousSecret != "" {
		previous = append(previous, auth.DeriveKey([]byte(cfg.Auth.PreviousSecret), sealLabel))
	}
	return persistence.NewSealer(auth.DeriveKey([]byte(cfg.Auth.Secret), sealLabel), previous...)
}

func (p *program) openStorage(ctx context.Context) error {
	reads, err := persistence.OpenReads(ctx, persistence.Config{URL: p.database, MaxConns: p.cfg.Database.MaxConns})
	if err != nil {
		return err
	}
	p.onClose("reads", func(context.Context) error { return reads.Close() })
	sealer, err := newSealer(p.cfg)
	if err != nil {
		return err
	}
	if err := seedDatabase(ctx, reads, sealer, p.cfg); err != nil {
		return err
	}
	identities, err := persistence.NewIdentities(reads, time.Now)
	if err != nil {
		return err
	}
	writer, err := persistence.NewWriter(persistence.WriterConfig{
		URL: p.database, Logger: p.logger.With("part", "writer"), Registerer: p.metrics, Tracer: p.tracing.ofWriter(),
	})
	if err != nil {
		return err
	}
	backlog, err := persistence.NewBacklog(reads, p.metrics, p.logger.With("part", "backlog"))
	if err != nil {
		return err
	}
	p.store = &storage{
		sealer: sealer, reads: reads, writer: writer, loader: persistence.NewLoader(reads), identities: identities,
		registry:      persistence.NewRegistry(reads, sealer, p.cfg.Auth.AccessTokenTTL, p.logger.With("part", "registry"), time.Now),
		conversations: persistence.NewConversations(reads, p.link),
		attachments:   persistence.NewAttachments(reads),
		figures:       persistence.NewFigures(reads, time.Now),
		erasures:      persistence.NewErasures(reads, p.blobs),
		sessions:      persistence.NewSessions(reads, p.cfg.Auth.RefreshTokenTTL, p.logger.With("part", "sessions")),
		deadLetters:   persistence.NewDeadLetters(reads, p.cfg.Inbox.DeadLettersMax, p.logger.With("part", "dead letters")),
	}
	p.store.assignments = persistence.NewAssignments(reads, p.node)
	p.store.agentSessions = persistence.NewAgentSessions(reads, p.node, p.logger.With("part", "agents' sessions"))
	p.keep("storage", p.store.loader.Run, identities.Run, p.store.registry.Run, p.store.conversations.Run, p.store.sessions.Run,
		p.store.agentSessions.Run, backlog.Run)
	// The writer ends before what it is loaded by, and after all that submits.
	p.keep("writer", writer.Run)
	select {
	case <-p.store.registry.Loaded():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read the configuration: %w", ctx.Err())
	}
}

// seedDatabase makes the first organization where there is somebody to run it.
func seedDatabase(ctx context.Context, reads *persistence.Reads, sealer *persistence.Sealer, cfg Config) error {
	if cfg.Seed.AdminEmail == "" {
		return nil // production, and nobody was named
	}
	hasher := auth.NewHasher(1)
	return persistence.Seed(ctx, reads, sealer, persistence.SeedConfig{
		AdminEmail: cfg.Seed.AdminEmail, AdminPassword: string(cfg.Seed.AdminPassword),
		Development: cfg.Env == Development, Hash: hasher.Hash,
	})
}

// heartbeatTimeout is after how long without a heartbeat an agent shows AWAY.
const heartbeatTimeout = 90 * time.Second

func (p *program) openSystem(context.Context) error {
	config := actors.SystemConfig{
		Logger: p.logger.With("part", "actors"), Registerer: p.metrics, Now: time.Now, Tracer: p.tracing.ofActors(),
	}
	p.cluster.place(&config)
	system, err := actors.NewSystem(config)
	if err != nil {
		return err
	}
	p.onClose("actors", system.Close)
	p.actors = &actorSystem{system: system, wheel: actors.NewWheel(100*time.Millisecond, time.Now)}
	p.keep("wheel", p.actors.wheel.Run)
	return nil
}

func (p *program) openSockets(context.Context) error {
	a := p.actors
	sockets, err := socket.New(socket.Config{
		Authenticator: p.issuer(), Application: &agentDesk{
			node: p.node, agents: a.agents, feeds: a.feeds, conversations: p.store.conversations, errands: p.errands,
			logger: p.logger.With("part", "sockets"),
		},
		Registerer: p.metrics, Tracer: p.tracing.ofSockets(), Logger: p.logger.With("part", "sockets"), Origins: p.cfg.HTTP.Origins,
		RemoteAddr:   func(r *http.Request) netip.Addr { return rest.ClientAddress(r, p.cfg.HTTP.TrustedProxies) },
		PingInterval: p.cfg.Socket.PingInterval, PingTimeout: p.cfg.Socket.PingTimeout,
		Feed: a.feeds, RecoveryWindow: p.cfg.Socket.RecoveryWindow,
		Records: valkey.NewRecoveries(p.valkey.client, p.logger.With("part", "sockets"), time.Now),
	})
	if err != nil {
		return err
	}
	a.fanout.to = sockets
	p.sockets = sockets
	p.store.registry.Tell(ends{sockets, a.agents})
	return nil
}

// lateFanout breaks the circle of feeds and sockets: agents publish that they
// are there, and sockets tell the agents so.
type lateFanout struct{ to actors.Fanout }

func (f *lateFanout) Deliver(events []domain.FeedEvent) { f.to.Deliver(events) }

func (f *lateFanout) Listens(organization domain.OrganizationID) bool {
	return f.to != nil && f.to.Listens(organization)
}

func (p *program) openConversations(context.Context) error {
	a := p.actors
	a.conversations = actors.NewConversations(a.system, actors.ConversationConfig{
		Writer: p.store.writer, Loader: p.store.loader, Publisher: a.assigners.Watch(linkedPublisher{a.feeds, p.link}),
		Wheel: a.wheel, Entropy: entropy,
		Channels: a.channels, Errands: p.errands, Patience: domain.Patience{Uncertain: p.cfg.Inbox.SendUncertainTimeout},
		ClaimLife: claimLife, UploadTime: uploadTimeout,
		Logger:    p.logger.With("part", "conversations"),
		Directory: actors.DirectoryConfig{IdleTTL: p.cfg.Inbox.ConversationIdleTTL},
	})
	p.onClose("conversations", a.conversations.Close)
	a.inbox = actors.NewInbox(a.system, a.conversations, p.store.identities)
	p.keep("resumer", actors.NewResumer(a.conversations, persistence.NewOutbox(p.store.reads)).Run)
	return nil
}

// entropy is fresh randomness for the ids of one decision.
func entropy() (e [16]byte) {
	if _, err := rand.Read(e[:]); err != nil {
		panic(err) // crypto/rand never fails: it ends the program itself
	}
	return e
}

func (p *program) issuer() *auth.Issuer {
	registry := p.store.registry
	return &auth.Issuer{
		Key: auth.DeriveKey([]byte(p.cfg.Auth.Secret), auth.AccessTokenLabel), TTL: p.cfg.Auth.AccessTokenTTL, Now: time.Now,
		Revoked: func(who auth.Principal) bool { return registry.Over(who.Organization, who.User, who.Session) },
	}
}

// hashers is how many passwords are hashed at once: each takes a core.
func hashers() int { return max(1, runtime.NumCPU()/2) }

// wait returns when ctx ends, after closing, or when a part has failed.
func (p *program) wait(ctx context.Context) error {
	var failure error
	select {
	case <-ctx.Done():
		p.logger.Info("shutting down", "timeout", p.cfg.ShutdownTimeout)
	case failure = <-p.failed:
		p.logger.Error("a part has failed; shutting down", "error", failure)
	}
	return errors.Join(failure, p.close())
}

// close ends the parts in reverse order: first the doors (nothing new comes
// in), then the jobs (they tell conversations), then the actors (they answer what they have, which needs the writer),
// then the writer (it stores what they submitted), then the database. Ending
// the writer before the conversations would leave their callers without an
// answer; ending the database first would leave the writer waiting for it.
func (p *program) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.ShutdownTimeout)
	defer cancel()
	var errs []error
	for _, c := range slices.Backward(p.closers) {
		if err := c.close(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	p.closers = nil
	return errors.Join(errs...)
}
