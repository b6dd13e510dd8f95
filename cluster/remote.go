package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/chatopshub/chatopshub/domain"
)

// Codec knows the messages that may travel between nodes. Decode gets bytes of
// its own, and must not panic whatever they are.
type Codec interface {
	Encode(msg any) ([]byte, error)
	Decode(data []byte) (any, error)
}

// ErrTooLarge is returned by Post for a message over the limit.
var ErrTooLarge = fmt.Errorf("%w: message is too large for another node", domain.ErrFailed)

// RemoteConfig is what a Remote needs. Zero bounds and times take the default
// that stands beside them.
type RemoteConfig struct {
	Cluster  string
	Self     Node         // Addr is how others reach Listener, exactly as it is in their view
	Listener net.Listener // the Remote closes it
	TLS      *TLSFiles    // nil: only loopback addresses, unprotected
	Codec    Codec
	View     func() *View                // who is there
	Refresh  func(context.Context) error // gets a newer View, if there is one
	// Unreadable is told what the Codec says of a message that it can't read; nil:
	// nobody is. It must not block.
	Unreadable func(error)
	Lease      time.Duration // how long a peer may be out of reach before Reaches says so

	MaxMessage    int           // 4 MiB: bytes of an encoded message with its addresses
	QueueMessages int           // 65,536 for each peer
	QueueBytes    int           // 8 MiB for each peer
	MaxWait       time.Duration // 2 s: in the queue, while nothing is written to the peer; for a connection to be made
	Silence       time.Duration // 3 s: without an answer to pings, until a link is taken for broken

	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time
}

func (c *RemoteConfig) complete() error {
	c.MaxMessage = positive(c.MaxMessage, 4<<20)
	c.QueueMessages = positive(c.QueueMessages, 65_536)
	c.QueueBytes = positive(c.QueueBytes, 8<<20)
	c.MaxWait = positive(c.MaxWait, 2*time.Second)
	c.Silence = positive(c.Silence, 3*time.Second)
	switch {
	case !clusterName.MatchString(c.Cluster):
		return fmt.Errorf("cluster: name %q: takes 1 to 64 letters, digits, dots, underscores and hyphens", c.Cluster)
	case c.Self.Name == "" || c.Self.Addr == "":
		return errors.New("cluster: a node needs a name and an address")
	case c.Listener == nil || c.Codec == nil || c.View == nil || c.Refresh == nil || c.Logger == nil || c.Now == nil:
		return errors.New("cluster: Listener, Codec, View, Refresh, Logger and Now are required")
	case c.Lease <= 0:
		return fmt.Errorf("cluster: lease of %v: takes more than 0", c.Lease)
	case c.MaxMessage > c.QueueBytes:
		return fmt.Errorf("cluster: messages of %d bytes don't fit into queues of %d", c.MaxMessage, c.QueueBytes)
	}
	return nil
}

func positive[T int | time.Duration](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}

// maxPeers bounds what addresses from elsewhere may cost.
const maxPeers = 1024

// Remote carries messages to actors of other nodes, and brings theirs. It is
// Hollywood's actor.Remoter, and Member's Peers.
type Remote struct {
	cfg      RemoteConfig
	security security
	server   *grpc.Server
	engine   *actor.Engine // from Start on
	started  chan struct{}
	ctx      context.Context
	cancel   context.CancelCauseFunc
	stop     func()
	ended    sync.WaitGroup // what Stop returns
	links    sync.WaitGroup // goroutines of peers
	serving  sync.WaitGroup // the listener's, and what reads streams

	undelivered func(to *actor.PID, msg any)
	lost        func(addr string)

	mu      sync.RWMutex
	peers   map[string]*peer
	stopped bool

	refreshing sync.Mutex
	refreshed  time.Time

	connections atomic.Uint64 // made so far

	unreadable atomic.Uint64
	complained atomic.Int64 // Unix nanoseconds
}

var (
	_ actor.Remoter = (*Remote)(nil)
	_ Peers         = (*Remote)(nil)
)

// NewRemote checks the configuration. The Remote works from Start to Stop.
func NewRemote(cfg RemoteConfig) (*Remote, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	r := &Remote{
		cfg: cfg, started: make(chan struct{}), peers: map[string]*peer{},
		undelivered: func(*actor.PID, any) {}, lost: func(string) {},
	}
	if cfg.TLS != nil {
		id, err := newIdentity(*cfg.TLS, cfg.Cluster, cfg.Now, cfg.Logger)
		if err != nil {
			return nil, err
		}
		r.security.id = id
	} else if err := loopback(cfg.Listener.Addr().String()); err != nil {
		return nil, fmt.Errorf("cluster: listen: %w", err)
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(peerMetrics{r}); err != nil {
			return nil, fmt.Errorf("cluster: metrics: %w", err)
		}
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.server = r.newServer()
	r.stop = sync.OnceFunc(func() { r.ended.Go(r.end) })
	return r, nil
}

// Address is where other nodes reach this one.
func (r *Remote) Address() string { return r.cfg.Self.Addr }

// Notify sets who is told, before Start: undelivered, of each message that was
// taken and certainly wasn't sent in the end; lost, when the link to addr broke:
// whether what was written to it has arrived is unknown. Both are called by
// the goroutine of a peer, which waits for them; undelivered also by Send.
func (r *Remote) Notify(undelivered func(to *actor.PID, msg any), lost func(addr string)) {
	r.undelivered, r.lost = undelivered, lost
}

// Start begins to send; what arrives will go to processes of that engine. The
// engine calls it while it is being made and can't take anything yet: Serve is
// for the time when it and its actors can.
func (r *Remote) Start(engine *actor.Engine) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.engine != nil {
		return errors.New("cluster: a remote starts once")
	}
	r.engine = engine
	close(r.started)
	return nil
}

// Serve begins to take what others send, once, after Start. Until then they wait,
// for MaxWait.
func (r *Remote) Serve() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.engine == nil {
		return errors.New("cluster: a remote serves between Start and Stop")
	}
	r.serving.Go(func() {
		if err := r.server.Serve(r.cfg.Listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			r.cfg.Logger.Error("the listener between nodes broke", "error", err)
		}
	})
	return nil
}

// Stop takes nothing more to send, writes what waits to those peers that take
// it within MaxWait, and ends everything. All of it is over when the WaitGroup is.
func (r *Remote) Stop() *sync.WaitGroup {
	r.stop()
	return &r.ended
}

func (r *Remote) end() {
	r.mu.Lock()
	r.stopped = true
	started := r.engine != nil
	for _, p := range r.peers {
		p.finish()
	}
	r.mu.Unlock()
	if !started {
		r.cancel(errStopped)
	}
	limit := time.AfterFunc(r.cfg.MaxWait, func() { r.cancel(errStopped) })
	r.links.Wait()
	limit.Stop()
	r.cancel(errStopped)
	r.server.Stop()
	_ = r.cfg.Listener.Close() // the server has, if it was served
	r.serving.Wait()
}
