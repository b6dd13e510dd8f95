package persistence

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/chatopshub/chatopshub/domain"
)

// WriterConfig says how the writer works. Zero values take the defaults.
type WriterConfig struct {
	URL        string
	Lanes      int           // connections; 4: more gain nothing on few cores
	MaxBatch   int           // submissions in one transaction; 1,000
	MaxQueued  int64         // submissions waiting before outsiders get ErrOverloaded; 20,000
	MaxBytes   int64         // approximate bytes of the same; 256 MiB
	MaxLag     time.Duration // how long a batch may take before outsiders get ErrOverloaded; 3 s
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: not registered
	Tracer     Tracer                // nil: nothing is recorded
}

func (c WriterConfig) withDefaults() WriterConfig {
	if c.Lanes == 0 {
		c.Lanes = 4
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = 1000
	}
	if c.MaxQueued == 0 {
		c.MaxQueued = 20_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 256 << 20
	}
	if c.MaxLag == 0 {
		c.MaxLag = 3 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Writer stores the changes of conversations behind their actors' backs: an
// actor submits and goes on, and is told when the change has committed or why
// it can't be. doc.go tells how.
type Writer struct {
	cfg     WriterConfig
	lanes   []*lane
	queued  atomic.Int64
	bytes   atomic.Int64
	metrics *writerMetrics
}

// NewWriter checks the database's address; Run connects.
func NewWriter(cfg WriterConfig) (*Writer, error) {
	cfg = cfg.withDefaults()
	conn, err := writerConnConfig(cfg.URL)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, metrics: newWriterMetrics()}
	if cfg.Registerer != nil {
		if err := w.metrics.register(cfg.Registerer, w); err != nil {
			return nil, fmt.Errorf("register the writer's metrics: %w", err)
		}
	}
	for i := range cfg.Lanes {
		w.lanes = append(w.lanes, newLane(w, i, conn))
	}
	return w, nil
}

// writerConnConfig is how lanes connect. The time-outs bound what a frozen or
// vanished node of ours can hold on to; the planner settings make the generic
// plans of the batch statements go through the indexes from the first row on.
func writerConnConfig(url string) (*pgconn.Config, error) {
	conn, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse DATABASE_URL for the writer: %w", redact(err))
	}
	for name, value := range map[string]string{
		"application_name":                    "chatopshub writer",
		"idle_in_transaction_session_timeout": "2000",
		"lock_timeout":                        "1000",
		"statement_timeout":                   "10000",
		"tcp_keepalives_idle":                 "5",
		"tcp_keepalives_interval":             "2",
		"tcp_keepalives_count":                "3",
		"default_transaction_isolation":       "read committed", // the fence waits for a row and looks again
		"plan_cache_mode":                     "force_generic_plan",
		"enable_seqscan":                      "off",
		"enable_hashjoin":                     "off",
		"enable_mergejoin":                    "off",
		"jit":                                 "off",
		"timezone":                            "UTC",
	} {
		conn.RuntimeParams[name] = value
	}
	conn.ConnectTimeout = 5 * time.Second
	return conn, nil
}

// redact keeps the address with its password out of the error.
func redact(err error) error {
	var parse *pgconn.ParseConfigError
	if ok := asParseError(err, &parse); ok {
		return fmt.Errorf("not a postgres:// address")
	}
	return err
}

// Run works until ctx ends and the queues are empty. It is to be stopped last:
// what is submitted after that is refused as domain.Unavailable.
func (w *Writer) Run(ctx context.Context) error {
	var lanes errgroup.Group
	for _, l := range w.lanes {
		lanes.Go(func() error { return l.run(ctx) })
	}
	return lanes.Wait()
}

// Submit hands a submission to the lane of its conversation. It never blocks;
// who decides asks Admit first.
func (w *Writer) Submit(s domain.Submission) {
	w.lanes[domain.Shard(s.Conversation)%len(w.lanes)].submit(s)
}

// Admit says whether more may be decided now: domain.ErrUnavailable while the
// database is away, domain.ErrOverloaded over the high-water mark. What comes
// from inside (statuses, releases) has twice the room: it relieves the system.
func (w *Writer) Admit(internal bool) error {
	room := int64(1)
	if internal {
		room = 2
	}
	if w.queued.Load() > room*w.cfg.MaxQueued || w.bytes.Load() > room*w.cfg.MaxBytes {
		return fmt.Errorf("writer queue: %w", domain.ErrOverloaded)
	}
	for _, l := range w.lanes {
		if l.down.Load() {
			return fmt.Errorf("writer: %w", domain.ErrUnavailable)
		}
		if since := l.busySince.Load(); !internal && since != 0 && time.Since(time.Unix(0, since)) > w.cfg.MaxLag {
			return fmt.Errorf("writer lags: %w", domain.ErrOverloaded)
		}
	}
	return nil
}

// Ready is nil when every lane has its connection.
func (w *Writer) Ready() error {
	for _, l := range w.lanes {
		if l.down.Load() || !l.connected.Load() {
			return fmt.Errorf("writer lane %d has no connection: %w", l.number, domain.ErrUnavailable)
		}
	}
	return nil
}

// cost is about how many bytes a submission keeps in memory.
func cost(s *domain.Submission) int64 {
	n := 256 + len(s.Change.After.Metadata)
	for i := range s.Change.Inserts {
		n += messageCost(&s.Change.Inserts[i])
	}
	for i := range s.Change.Updates {
		n += messageCost(&s.Change.Updates[i])
	}
	return int64(n)
}

func messageCost(m *domain.Message) int {
	n := 512 + len(m.Body) + len(m.Metadata.Platform)
	for i := range m.Metadata.Edits {
		n += len(m.Metadata.Edits[i].Body)
	}
	for i := range m.Metadata.Media {
		n += 256 + len(m.Metadata.Media[i].URL)
	}
	return n
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
