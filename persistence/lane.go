package persistence

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
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

	mu    sync.Mutex
	queue []domain.Submission
	wake  chan struct{} // capacity 1: there is something in the queue

	conn      *pgconn.PgConn // the goroutine of run owns it
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

func (l *lane) submit(s domain.Submission) {
	l.writer.queued.Add(1)
	l.writer.bytes.Add(cost(&s))
	l.mu.Lock()
	l.queue = append(l.queue, s)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take is the next submissions in their order, at most max.
func (l *lane) take(most int) []domain.Submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) <= most {
		taken := l.queue
		l.queue = nil
		return taken
	}
	taken := l.queue[:most:most]
	l.queue = l.queue[most:]
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
		taken := l.take(l.writer.cfg.MaxBatch)
		if len(taken) > 0 {
			l.work(ctx, taken)
			continue
		}
		select {
		case <-l.wake:
		case <-look.C: // nobody submits while we are down, and readiness is to know
			l.alive(ctx)
		case <-ctx.Done():
			if l.idle() {
				return nil
			}
		}
	}
}

// alive makes sure of a connection that the server hasn't closed meanwhile: a
// batch that was never sent is certainly not executed.
func (l *lane) alive(ctx context.Context) bool {
	if l.conn != nil && !l.conn.IsClosed() && l.conn.CheckConn() == nil {
		return true
	}
	l.disconnect()
	return l.connect(ctx)
}

func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0
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
	again := l.store(ctx, chains)
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
		for _, part := range chains[0].split() {
			if part.lineage.Broken() {
				return again
			}
			again = append(again, l.store(ctx, []*chain{part})...)
		}
		return again
	}
	l.logger.WarnContext(ctx, "a change was refused by the database", "conversation", chains[0].conversation, "error", err)
	l.writer.metrics.refused.Inc()
	l.refuse(chains, domain.Verdict{
		Outcome: domain.Refused, Blame: chains[0].head, Err: &domain.ValueError{Reason: reason(err)},
	})
	return nil
}

// settle tells the actors what the fence found.
func (l *lane) settle(chains []*chain, f *findings) (again []domain.Submission) {
	taken := map[domain.UserID]int{} // places that passed chains of this batch took
	for ix, c := range chains {
		if !f.passed[ix] {
			continue
		}
		for _, load := range c.load() {
			taken[load.agent] += load.peak
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

// What an attempt can end with beside a value that is refused.
var (
	// errNotExecuted is returned when the chains certainly were not stored.
	errNotExecuted = errors.New("not executed")
	// errUnknown is returned when we have to stop before the database could
	// tell whether the chains were stored.
	errUnknown = errors.New("stopped before the outcome was known")
)

// maxAborts is how often an aborted batch is tried: some ten seconds, which is
// longer than any lock of ours can last.
const maxAborts = 15

// attempt stores chains in one transaction, again and again until the outcome
// is known: nil, errNotExecuted, or the error of a value that is refused.
func (l *lane) attempt(ctx context.Context, chains []*chain) (*findings, error) {
	uncertain, collisions, aborts := false, 0, 0
	for {
		if err := l.ensure(ctx, chains, uncertain); err != nil {
			return nil, err
		}
		if err := l.batch.fill(chains); err != nil {
			return nil, err
		}
		found, err := l.transact(ctx, len(chains))
		if err == nil && uncertain {
			err = l.recognize(ctx, chains, found)
		}
		switch classify(err) {
		case stored:
			return found, nil
		case lost:
			l.logger.WarnContext(ctx, "the outcome of a batch is unknown; it is repeated", "error", err)
			l.writer.metrics.unknown.Inc()
			uncertain = true
			l.disconnect()
		case collided:
			// Somebody else inserted the same message or alias meanwhile: the
			// fence finds it now. A third time it is the batch's own fault.
			if collisions++; collisions > 2 {
				return nil, err
			}
		case aborted:
			l.logger.WarnContext(ctx, "a batch was aborted; it is repeated", "error", err)
			if aborts++; aborts > maxAborts && !uncertain {
				return nil, errNotExecuted
			}
			if aborts%5 == 0 {
				l.disconnect() // what a new session cures: lost statements, stale plans
			}
			pause(ctx, aborts)
		case refused:
			return nil, err
		}
	}
}

// transact runs the filled batch under a deadline that only a dead network or
// server can reach: the server's own time-outs are shorter.
func (l *lane) transact(ctx context.Context, n int) (*findings, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return l.batch.store(ctx, l.conn, n)
}

// ensure has a connection. While there is none, what waits in the queue is
// refused: it certainly was not executed. The batch in hand is, too, unless its
// outcome is uncertain; then it is held until the database can tell, and so is
// what builds on it.
func (l *lane) ensure(ctx context.Context, inHand []*chain, uncertain bool) error {
	for try := 0; !l.alive(ctx); try++ {
		if !uncertain {
			return errNotExecuted
		}
		if ctx.Err() != nil {
			return errUnknown
		}
		l.refuseQueue(inHand)
		pause(ctx, try)
	}
	return nil
}

// refuseQueue drops the queue but for what builds on the chains in hand.
func (l *lane) refuseQueue(inHand []*chain) {
	held := make(map[*domain.Lineage]bool, len(inHand))
	for _, c := range inHand {
		held[c.lineage] = true
	}
	var keep []domain.Submission
	waiting := l.take(int(^uint(0) >> 1))
	for _, s := range waiting {
		switch {
		case held[s.Lineage]:
			keep = append(keep, s)
		case !s.Lineage.Broken():
			s.Lineage.Break()
			s.Done(domain.Verdict{Outcome: domain.Unavailable})
		}
	}
	l.forget(waiting, keep)
	l.putBack(keep)
}

func (l *lane) connect(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.ConnectTimeout)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, l.config)
	if err == nil {
		if err = l.batch.prepare(ctx, conn); err != nil {
			l.close(conn)
		}
	}
	if err != nil {
		if !l.down.Swap(true) {
			l.logger.ErrorContext(ctx, "the writer has no database", "error", redactConnect(err))
		}
		return false
	}
	if l.down.Swap(false) {
		l.logger.InfoContext(ctx, "the writer has its database back")
	}
	l.conn = conn
	l.connected.Store(true)
	return true
}

func (l *lane) disconnect() {
	l.connected.Store(false)
	if l.conn != nil {
		l.close(l.conn)
		l.conn = nil
	}
}

// close ends a connection; there is nobody left to tell about an error.
func (l *lane) close(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		l.logger.Debug("close the writer's connection", "error", err)
	}
}

// recognize finds, after a commit of unknown outcome, the chains that the
// fence refused because they are stored already.
func (l *lane) recognize(ctx context.Context, chains []*chain, f *findings) error {
	s := l.batch.recognize
	s.reset()
	for ix, c := range chains {
		if f.passed[ix] || !c.changes() {
			continue
		}
		event, message := c.marks()
		s.columns[0].int4(ix)
		s.columns[1].uuid(c.conversation)
		s.columns[2].uuid(c.head)
		s.columns[3].uuid(event.ID)
		s.columns[4].int8(event.Seq)
		s.columns[5].uuid(message)
	}
	if s.empty() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r := l.conn.ExecStatement(ctx, s.prepared, s.params(), binaryFormat, binaryFormat)
	for r.NextRow() {
		f.passed[int(be32(r.Values()[0]))] = true
	}
	_, err := r.Close()
	return err
}

// marks is what a stored chain can be recognized by beside its head.
func (c *chain) marks() (event domain.AuditEvent, message domain.MessageID) {
	for i := range c.items {
		if audit := c.items[i].Change.Audit; len(audit) > 0 {
			event = audit[len(audit)-1]
		}
		for _, m := range c.items[i].Change.Inserts {
			message = m.ID
		}
	}
	return event, message
}

// pause waits before the next try: 20 ms, doubling to 1 s, with jitter.
func pause(ctx context.Context, try int) {
	d := min(20*time.Millisecond<<min(try, 10), time.Second)
	d = d/2 + rand.N(d)
	select {
	case <-time.After(d):
	case <-ctx.Done():
		time.Sleep(min(d, 50*time.Millisecond)) // shutting down: don't spin
	}
}
