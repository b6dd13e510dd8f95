package persistence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// registryPoll is how often the log of changes is read though nothing was
	// notified: the most that a node lags behind when a notification is lost.
	registryPoll = time.Second
	// registryTimeout bounds each exchange with the database.
	registryTimeout = 30 * time.Second
	// registryStale is how long without news from the database a node calls
	// itself ready.
	registryStale = 10 * time.Second
	// registryRetry bounds the wait between two tries to reach the database.
	registryRetry = 2 * time.Second
	// registryChanges is how many changes are followed one by one; when there are
	// more at once, everything is read again.
	registryChanges = 10_000
	// changesKept is how long changes stay in the log, and pruneEvery how often
	// the older ones go. Who hasn't read it for half that time, reads everything.
	changesKept = 24 * time.Hour
	pruneEvery  = time.Hour
)

// Registry holds the configuration of all organizations in memory, and which
// logins have ended before their time, and follows changes, wherever they are
// made, within a second. While the database is away it answers with what it knew
// last.
type Registry struct {
	reads     *Reads
	sealer    *Sealer
	logger    *slog.Logger
	accessTTL time.Duration
	now       func() time.Time

	sockets  atomic.Pointer[Sockets]                     // nil: nobody is told of ends
	changed  atomic.Pointer[func(domain.OrganizationID)] // nil: nobody is told of changes
	current  atomic.Pointer[configuration]
	loaded   chan struct{} // closed when there is a first configuration
	loadOnce sync.Once
	readAt   atomic.Int64 // when the database last told what there is to know, in ns since 1970

	// Of Run's goroutine alone.
	horizon  string             // all transactions below it are known
	seen     map[int64]struct{} // the changes from horizon on that are known too
	prunedAt time.Time
	forgotAt time.Time
}

// NewRegistry makes a registry that knows nothing until Run runs. An access
// token lives for accessTTL: as long an ended session has to be known.
func NewRegistry(reads *Reads, sealer *Sealer, accessTTL time.Duration, logger *slog.Logger, now func() time.Time) *Registry {
	r := &Registry{reads: reads, sealer: sealer, accessTTL: accessTTL, logger: logger, now: now, loaded: make(chan struct{})}
	r.current.Store(&configuration{})
	return r
}

// Receiving is the channel that webhooks of an account (a phone number id, a
// page id) belong to, and the secret that they are signed with; nil: the
// environment's. It is the channel that works, whether it can send or not;
// where none does, the one that proved the account last. A channel that has
// proved nothing receives nothing.
func (r *Registry) Receiving(provider domain.Provider, external string) (domain.Channel, []byte, bool) {
	ch := r.current.Load().receiver(account{provider, external})
	if ch == nil {
		return domain.Channel{}, nil, false
	}
	return ch.Channel, ch.secret, true
}

// Channel is a channel of the organization.
func (r *Registry) Channel(org domain.OrganizationID, id domain.ChannelID) (domain.Channel, bool) {
	ch := r.current.Load().channel(id)
	if ch == nil || ch.Organization != org {
		return domain.Channel{}, false
	}
	return ch.Channel, true
}

// User is a user of the organization, whatever the status.
func (r *Registry) User(org domain.OrganizationID, id domain.UserID) (domain.User, bool) {
	u, ok := r.current.Load().user(id)
	if !ok || u.Organization != org {
		return domain.User{}, false
	}
	return u, true
}

// Automatic reports whether any channel of the organization assigns its
// conversations by policy.
func (r *Registry) Automatic(org domain.OrganizationID) bool {
	_, ok := r.current.Load().auto.Load(org)
	return ok
}

// OnChange makes f hear, from now on, of each organization whose users or
// channels have changed, and nothing of what changed while the database was
// away. It is called from the Registry's one goroutine and must not block.
func (r *Registry) OnChange(f func(domain.OrganizationID)) { r.changed.Store(&f) }

// Loaded is closed once the configuration is known. Serve nobody before.
func (r *Registry) Loaded() <-chan struct{} { return r.loaded }

// Ready is nil while the configuration is known and fresh; else
// domain.ErrUnavailable.
func (r *Registry) Ready() error {
	select {
	case <-r.loaded:
	default:
		return fmt.Errorf("configuration: %w: not read yet", domain.ErrUnavailable)
	}
	if age := r.now().Sub(time.Unix(0, r.readAt.Load())); age > registryStale {
		return fmt.Errorf("configuration: %w: last confirmed %s ago", domain.ErrUnavailable, age.Round(time.Second))
	}
	return nil
}

// Run follows the configuration until ctx ends. It survives restarts of the
// database.
func (r *Registry) Run(ctx context.Context) error {
	wait := registryRetry / 32
	for {
		began := r.now()
		err := r.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		r.logger.WarnContext(ctx, "following the configuration was interrupted", "error", err)
		if r.now().Sub(began) > registryRetry {
			wait = registryRetry / 32
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, registryRetry)
	}
}

// follow listens on a connection of its own, reads everything, then what
// changes. It returns when the connection breaks.
func (r *Registry) follow(ctx context.Context) error {
	config := r.reads.pool.Config().ConnConfig
	config.RuntimeParams["application_name"] = "chatopshub configuration"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing)
	}()
	useUTC(conn.TypeMap())
	if _, err := conn.Exec(ctx, "LISTEN chatopshub_config"); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := r.limited(ctx, conn, r.readAll); err != nil {
		return err
	}
	for {
		if err := awaitNotification(ctx, conn); err != nil {
			return err
		}
		if err := r.limited(ctx, conn, r.catchUp); err != nil {
			return err
		}
	}
}

// limited runs one exchange with the database within its bound of time.
func (r *Registry) limited(ctx context.Context, conn *pgx.Conn, exchange func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	return exchange(ctx, conn)
}

// awaitNotification returns nil when something was notified, or nothing for as
// long as a poll waits.
func awaitNotification(ctx context.Context, conn *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, registryPoll)
	defer cancel()
	_, err := conn.WaitForNotification(waiting)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// readAll reads the whole configuration and puts it in the place of the former.
func (r *Registry) readAll(ctx context.Context, conn *pgx.Conn) error {
	began := r.now()
	var horizon string
	if err := conn.QueryRow(ctx, r.reads.queries.ConfigurationHorizon).Scan(&horizon); err != nil {
		return fmt.Errorf("read the horizon: %w", err)
	}
	fresh := &configuration{}
	if err := r.readUsers(ctx, conn, fresh, nil); err != nil {
		return err
	}
	if err := r.readChannels(ctx, conn, fresh, nil); err != nil {
		return err
	}
	ended, err := r.readRevocations(ctx, conn, fresh, nil)
	if err != nil {
		return err
	}
	before := r.current.Swap(fresh)
	r.horizon, r.seen = horizon, nil
	r.confirmed(began)
	r.closeSessions(ended)
	r.closeAgents(before.allUsers())
	r.loadOnce.Do(func() { close(r.loaded) })
	return nil
}

// confirmed notes that the configuration is what the database had at a time:
// when the reading of it began, as a node may be frozen in the middle.
func (r *Registry) confirmed(at time.Time) { r.readAt.Store(at.UnixNano()) }

// catchUp reads what has changed since the last time.
func (r *Registry) catchUp(ctx context.Context, conn *pgx.Conn) error {
	began := r.now()
	if began.Sub(time.Unix(0, r.readAt.Load())) > changesKept/2 {
		return r.readAll(ctx, conn) // this node was frozen; changes may be pruned
	}
	changed, err := r.readChanges(ctx, conn)
	if err != nil {
		return err
	}
	if changed.tooMany {
		return r.readAll(ctx, conn)
	}
	current := r.current.Load()
	if len(changed.sessions) > 0 {
		ended, err := r.readRevocations(ctx, conn, current, changed.sessions)
		if err != nil {
			return err
		}
		r.closeSessions(ended)
	}
	if len(changed.users) > 0 {
		before := current.someUsers(changed.users)
		if err := r.readUsers(ctx, conn, current, changed.users); err != nil {
			return err
		}
		r.closeAgents(before)
	}
	if len(changed.channels) > 0 {
		if err := r.readChannels(ctx, conn, current, changed.channels); err != nil {
			return err
		}
	}
	r.horizon, r.seen = changed.horizon, changed.seen
	r.confirmed(began)
	r.announce(current, changed)
	r.forget(current)
	return r.prune(ctx, conn)
}

// announce tells whose configuration has changed.
func (r *Registry) announce(current *configuration, changed configurationChanges) {
	f := r.changed.Load()
	if f == nil {
		return
	}
	organizations := make(map[domain.OrganizationID]struct{})
	for _, u := range current.someUsers(changed.users) {
		organizations[u.Organization] = struct{}{}
	}
	for _, id := range changed.channels {
		if ch := current.channel(id); ch != nil {
			organizations[ch.Organization] = struct{}{}
		}
	}
	for id := range organizations {
		(*f)(id)
	}
}

// prune removes old changes; every node does, it is one small statement.
func (r *Registry) prune(ctx context.Context, conn *pgx.Conn) error {
	if r.now().Sub(r.prunedAt) < pruneEvery {
		return nil
	}
	if _, err := conn.Exec(ctx, r.reads.queries.PruneConfigurationChanges, changesKept); err != nil {
		return fmt.Errorf("prune the log of changes: %w", err)
	}
	r.prunedAt = r.now()
	return nil
}
