package persistence

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// What an attempt can end with beside a value that is refused.
var (
	// errNotExecuted is returned when the chains certainly were not stored.
	errNotExecuted = errors.New("not executed")
	// errUnknown is returned when we have to stop before the database could
	// tell whether the chains were stored.
	errUnknown = errors.New("stopped before the outcome was known")
)

const (
	// maxAborts is how often an aborted batch is repeated: ten seconds at least,
	// which is longer than any lock of ours can last.
	maxAborts = 15
	// lastTries is how often a batch is repeated once we have to stop.
	lastTries = 3
)

// attempt stores chains in one transaction, again and again until the outcome
// is known: nil, errNotExecuted, errUnknown, or the error of a value that is
// refused.
func (l *lane) attempt(ctx context.Context, chains []*chain) (*findings, error) {
	losses, collisions, aborts := 0, 0, 0
	for {
		if err := l.ensure(ctx, chains); err != nil {
			return nil, err
		}
		if err := l.batch.fill(chains); err != nil {
			return nil, err
		}
		found, err := l.transact(ctx, chains)
		stopping := ctx.Err() != nil
		switch classify(err) {
		case stored:
			return found, nil
		case lost:
			l.logger.WarnContext(ctx, "the outcome of a batch is unknown; it is repeated", "error", err)
			l.writer.metrics.unknown.Inc()
			markUncertain(chains)
			l.disconnect()
			if losses++; stopping && losses > lastTries {
				return nil, errUnknown
			}
			pause(ctx, losses)
		case collided:
			// Somebody else inserted the same message or alias meanwhile: the
			// fence finds it now. A third time it is the batch's own fault.
			if collisions++; collisions > 2 {
				return nil, err
			}
		case aborted:
			l.logger.WarnContext(ctx, "a batch was aborted; it is repeated", "error", err)
			aborts++
			if enough := aborts > maxAborts || stopping && aborts > lastTries; enough && !uncertain(chains) {
				return nil, errNotExecuted
			} else if enough && stopping {
				return nil, errUnknown
			}
			l.planned = time.Time{} // it may have taken too long
			if aborts%5 == 0 {
				l.disconnect() // what a new session cures: lost statements
			}
			pause(ctx, aborts)
		case refused:
			return nil, err
		}
	}
}

// uncertain reports whether an earlier transaction may have stored the chains.
func uncertain(chains []*chain) bool {
	return slices.ContainsFunc(chains, func(c *chain) bool { return c.uncertain })
}

func markUncertain(chains []*chain) {
	for _, c := range chains {
		c.uncertain = true
	}
}

// transactionTimeout is what only a dead network or server can reach: the
// server's own time-outs for each statement are shorter.
const transactionTimeout = 15 * time.Second

// planLife is how long a plan is kept. It is made for the tables' sizes of the
// moment, and what is cheap in an empty one is a disaster in a large one. To
// make all anew costs some milliseconds.
const planLife = 5 * time.Second

func (l *lane) transact(ctx context.Context, chains []*chain) (*findings, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
	defer cancel()
	replan := time.Since(l.planned) > planLife
	if replan {
		l.planned = time.Now()
	}
	found, err := l.batch.store(ctx, l.conn, len(chains), replan)
	if err == nil && uncertain(chains) {
		err = l.recognize(ctx, chains, found)
	}
	if err == nil {
		l.answered = time.Now()
	}
	return found, err
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
	r := l.conn.ExecStatement(ctx, s.prepared, s.params(), binaryFormat, binaryFormat)
	for r.NextRow() {
		ix := int(be32(r.Values()[0]))
		f.passed[ix], chains[ix].recognized = true, true
	}
	_, err := r.Close()
	return err
}

// ensure has a connection. While there is none, what waits in the queue is
// refused: it certainly was not executed. The chains are, too, unless their
// outcome is uncertain; then they are held until the database can tell, and so
// is what builds on them.
func (l *lane) ensure(ctx context.Context, chains []*chain) error {
	for try := 0; !l.alive(ctx); try++ {
		l.refuseQueue()
		if !uncertain(chains) {
			return errNotExecuted
		}
		if ctx.Err() != nil {
			return errUnknown
		}
		pause(ctx, try)
	}
	return nil
}

// refuseQueue drops the queue but for what builds on the batch in hand: that
// falls or stands with it.
func (l *lane) refuseQueue() {
	held := make(map[*domain.Lineage]bool, len(l.hand))
	for _, c := range l.hand {
		held[c.lineage] = true
	}
	var keep []domain.Submission
	waiting := l.takeAll()
	for _, s := range waiting {
		if held[s.Lineage] {
			keep = append(keep, s)
			continue
		}
		unavailable(s)
	}
	l.forget(waiting, keep)
	l.putBack(keep)
}

// unavailable refuses a submission that certainly was not executed.
func unavailable(s domain.Submission) {
	if s.Lineage.Broken() {
		return
	}
	s.Lineage.Break()
	s.Done(domain.Verdict{Outcome: domain.Unavailable})
}

// pause waits before the next try: 20 ms, doubling to 1 s, with jitter.
func pause(ctx context.Context, try int) {
	d := min(20*time.Millisecond<<min(try, 10), time.Second)
	d = d/2 + rand.N(d)
	if ctx.Err() != nil {
		d = min(d, 50*time.Millisecond) // stopping: don't spin, but don't tarry either
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
