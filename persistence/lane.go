package persistence

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chatopshub/chatopshub/domain"
)

// lane is one connection and the queue before it. It runs one transaction at a
// time; whatever queues up meanwhile is the next one, so batches grow by
// themselves with load and nobody waits for a timer.
type lane struct {
	writer *Writer
	number int
	config *pgconn.Config
	batch  *batch
	logger *slog.Logger

	mu     sync.Mutex
	queue  []domain.Submission
	since  time.Time     // when the queue began to wait
	closed bool          // run has ended
	wake   chan struct{} // capacity 1: there is something in the queue

	// The goroutine of run owns these.
	conn     *pgconn.PgConn
	planned  time.Time // when conn made its plans
	answered time.Time // when the server last answered a batch
	hand     []*chain  // the batch in hand

	connected atomic.Bool
	down      atomic.Bool  // a connection could not be had
	busySince atomic.Int64 // when the batch in hand was begun, in Unix nanoseconds; 0: none
}

func newLane(w *Writer, number int, config *pgconn.Config) *lane {
	return &lane{
		writer: w, number: number, config: config, batch: newBatch(), wake: make(chan struct{}, 1),
		logger: w.cfg.Logger.With("lane", number),
	}
}

// submit queues s. A lane that has ended refuses it at once.
func (l *lane) submit(s domain.Submission) {
	if !l.enqueue(s) {
		unavailable(s)
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) enqueue(s domain.Submission) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.writer.queued.Add(1)
	l.writer.bytes.Add(cost(&s))
	if len(l.queue) == 0 {
		l.since = time.Now()
	}
	l.queue = append(l.queue, s)
	return true
}

// waited is for how long something waits in the queue.
func (l *lane) waited(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return 0
	}
	return now.Sub(l.since)
}

// maxBatchBytes is about how much one transaction carries: what a server does
// in a fraction of its statement_timeout, even where every message is long.
const maxBatchBytes = 8 << 20

// take is the next batch, in the order of submission.
func (l *lane) take() []domain.Submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, int64(0)
	for n < min(len(l.queue), l.writer.cfg.MaxBatch) && size < maxBatchBytes {
		size += cost(&l.queue[n])
		n++
	}
	taken := l.queue[:n:n]
	l.queue, l.since = l.queue[n:], time.Now()
	if len(l.queue) == 0 {
		l.queue = nil // lets go of what a rush has left behind
	}
	return taken
}

func (l *lane) takeAll() []domain.Submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.queue
	l.queue = nil
	return taken
}

func (l *lane) putBack(s []domain.Submission) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(s[:len(s):len(s)], l.queue...)
}

func (l *lane) run(ctx context.Context) error {
	defer l.disconnect()
	l.connect(ctx)
	look := time.NewTicker(500 * time.Millisecond)
	defer look.Stop()
	for {
		taken := l.take()
		if len(taken) > 0 {
			l.work(ctx, taken)
			continue
		}
		select {
		case <-l.wake:
		case <-look.C: // nobody submits while we are down, and readiness is to know
			l.alive(ctx)
		case <-ctx.Done():
			if l.finish() {
				return nil
			}
		}
	}
}

// finish ends the lane unless there is something left to do.
func (l *lane) finish() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = len(l.queue) == 0
	return l.closed
}

// work stores what was taken, and puts back what can't be in one batch with
// the rest.
func (l *lane) work(ctx context.Context, taken []domain.Submission) {
	begun := time.Now()
	l.busySince.Store(begun.UnixNano())
	chains, later := group(taken)
	l.forget(taken, later)
	if len(later) > 0 {
		l.putBack(later)
	}
	l.hand = chains
	end := l.writer.trace(taken)
	again := l.store(ctx, chains)
	end()
	l.hand = nil
	if len(again) > 0 {
		l.writer.queued.Add(int64(len(again)))
		for i := range again {
			l.writer.bytes.Add(cost(&again[i]))
		}
		l.putBack(again)
	}
	l.busySince.Store(0)
	l.writer.metrics.batch(len(taken)-len(later), time.Since(begun))
}

// forget takes what leaves the queue off the high-water marks.
func (l *lane) forget(taken, later []domain.Submission) {
	l.writer.queued.Add(int64(len(later) - len(taken)))
	for i := range taken {
		l.writer.bytes.Add(-cost(&taken[i]))
	}
	for i := range later {
		l.writer.bytes.Add(cost(&later[i]))
	}
}

// store runs chains until each has its verdict, and returns what has to be
// tried once more in another batch.
func (l *lane) store(ctx context.Context, chains []*chain) (again []domain.Submission) {
	if len(chains) == 0 {
		return nil
	}
	found, err := l.attempt(ctx, chains)
	switch {
	case err == nil:
		return l.settle(chains, found)
	case errors.Is(err, errNotExecuted):
		l.refuse(chains, domain.Verdict{Outcome: domain.Unavailable})
		return nil
	case errors.Is(err, errUnknown):
		l.refuse(chains, domain.Verdict{Outcome: domain.Unknown})
		return nil
	case len(chains) > 1:
		// One of them has a value that PostgreSQL refuses: find it.
		half := len(chains) / 2
		return append(l.store(ctx, chains[:half]), l.store(ctx, chains[half:])...)
	case len(chains[0].items) > 1:
		return l.storeSingly(ctx, chains[0])
	}
	l.logger.WarnContext(ctx, "a change was refused by the database",
		"conversation", chains[0].conversation, "reason", reason(err)) // the error's text may quote the value
	l.writer.metrics.refused.Inc()
	l.refuse(chains, domain.Verdict{
		Outcome: domain.Refused, Blame: chains[0].head, Err: &domain.ValueError{Reason: reason(err)},
	})
	return nil
}

// storeSingly stores the submissions of a chain one by one, up to the first
// that fails or has to wait.
func (l *lane) storeSingly(ctx context.Context, c *chain) (again []domain.Submission) {
	for i, part := range c.split() {
		again = l.store(ctx, []*chain{part})
		if len(again) > 0 {
			return append(again, c.items[i+1:]...)
		}
		if c.lineage.Broken() {
			return nil
		}
	}
	return nil
}

// settle tells the actors what the fence found.
func (l *lane) settle(chains []*chain, f *findings) (again []domain.Submission) {
	taken := map[domain.UserID]int{} // places that this transaction took
	for ix, c := range chains {
		if !f.passed[ix] {
			continue
		}
		if !c.recognized {
			for _, load := range c.load() {
				taken[load.agent] += load.peak
			}
		}
		for i := range c.items {
			c.items[i].Done(domain.Verdict{Outcome: domain.Committed})
		}
	}
	for ix, c := range chains {
		if f.passed[ix] {
			continue
		}
		if full, ok := f.full[ix]; ok && full.room > taken[full.agent] && len(f.duplicates[ix]) == 0 {
			again = append(again, c.items...) // what claimed the room before it didn't pass
			continue
		}
		l.refuse(chains[ix:ix+1], verdict(c, ix, f))
	}
	return again
}

func verdict(c *chain, ix int, f *findings) domain.Verdict {
	if ids := f.duplicates[ix]; len(ids) > 0 {
		return domain.Verdict{Outcome: domain.Duplicate, Duplicates: ids}
	}
	if alias, ok := f.foreign[ix]; ok {
		claim := c.claims()[alias.claim]
		return domain.Verdict{
			Outcome: domain.ForeignAlias, Foreign: domain.MisroutedError{Alias: claim.Alias, Owner: alias.owner},
		}
	}
	if full, ok := f.full[ix]; ok {
		return domain.Verdict{Outcome: domain.OverCapacity, Agent: full.agent}
	}
	return domain.Verdict{Outcome: domain.Conflict}
}

// refuse breaks the lineages of chains. Each is told once, by the first of its
// submissions: the actor knows what it submitted after that.
func (l *lane) refuse(chains []*chain, v domain.Verdict) {
	for _, c := range chains {
		if v.Outcome == domain.Conflict {
			l.writer.metrics.conflicts.Inc()
		}
		c.lineage.Break()
		c.items[0].Done(v)
	}
}
