package persistence

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// backlogEvery is how often the waiting conversations are looked at.
const backlogEvery = 10 * time.Second

// Backlog shows how many customers wait and for how long, whichever node their
// conversations are on: every node shows the same.
type Backlog struct {
	reads   *Reads
	logger  *slog.Logger
	waiting prometheus.Gauge
	oldest  prometheus.Gauge
}

// NewBacklog registers the numbers; Run keeps them up to date.
func NewBacklog(reads *Reads, registerer prometheus.Registerer, logger *slog.Logger) (*Backlog, error) {
	b := &Backlog{
		reads: reads, logger: logger,
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chatopshub_conversations_pending", Help: "PENDING conversations of all organizations, at most 10,000 counted of each.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chatopshub_conversations_oldest_pending_seconds", Help: "How long the PENDING conversation that has waited the longest waits; 0: none.",
		}),
	}
	for _, c := range []prometheus.Collector{b.waiting, b.oldest} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register the backlog's metrics: %w", err)
		}
	}
	return b, nil
}

// Run looks until ctx ends. While the database is away the numbers stay as they
// are: readiness tells of that.
func (b *Backlog) Run(ctx context.Context) error {
	tick := time.NewTicker(backlogEvery)
	defer tick.Stop()
	for {
		if err := b.look(ctx); err != nil && ctx.Err() == nil {
			b.logger.WarnContext(ctx, "the waiting conversations can't be counted", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *Backlog) look(ctx context.Context) error {
	var waiting, oldest float64
	if err := b.reads.pool.QueryRow(ctx, b.reads.queries.Backlog).Scan(&waiting, &oldest); err != nil {
		return readError("count the waiting conversations", err)
	}
	b.waiting.Set(waiting)
	b.oldest.Set(oldest)
	return nil
}
