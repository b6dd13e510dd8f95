package actors

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// Behavior is what an actor does with a message. Receive is called for one
// message at a time, in the order of the mailbox, and never blocks: what takes
// time is done elsewhere and comes back as a message. A panic costs the
// message in hand, nothing else: see Policy.
type Behavior interface {
	Receive(msg any, self Self)
}

// Self is what a behaviour may know of the process that runs it. (Hollywood's
// own context is used again for the next message, so it is never handed out.)
type Self struct {
	PID *actor.PID // where messages reach this activation of the actor
}

// Entry is an actor's place in its directory.
type Entry struct {
	pid      *actor.PID
	lastUsed int64        // Unix nanoseconds; guarded by the shard's lock
	waiting  atomic.Int32 // messages of the directory in the mailbox; raised under the shard's lock
	gone     bool         // out of the directory; only for the actor itself
	moved    bool         // gone to another node; only for the actor itself
	ended    bool         // its process was told to stop; only for the actor itself
	stopped  bool         // only for the actor itself
}

// resident is one activation of an actor: its entry, and the receiver that
// stands between Hollywood and the behaviour. One value has all of it, as there
// may be a million.
type resident[K comparable] struct {
	Entry
	key       K
	directory *Directory[K]
	behavior  Behavior
	failures  []time.Time
	moving    *moving // nil: it is here to stay
}

// Receive implements actor.Receiver. Nothing that happens in a behaviour may
// get out of it as a panic: Hollywood loses the message, sleeps half a second
// with the mailbox closed, and at the fourth time ends the program.
func (r *resident[K]) Receive(c *actor.Context) {
	switch msg := c.Message().(type) {
	case actor.Initialized, actor.Started:
		// These run in the goroutine of the sender, under the directory's lock.
		// Our actors begin with their first message instead.
	case actor.Stopped:
		r.leave()
	default:
		// The sender marks what came through the directory: nothing to allocate.
		marked := c.Sender() == r.directory.mark
		if marked {
			r.waiting.Add(-1)
			r.directory.waiting.Add(-1)
		}
		r.handle(msg, marked, Self{PID: c.PID()})
	}
}

func (r *resident[K]) handle(msg any, marked bool, self Self) {
	if !r.gone && (r.moving != nil || r.directory.placing != nil) && r.meet(msg, self) {
		r.end()
		return
	}
	r.work(msg, marked, self)
}

// work handles msg. Marked tells that it came through the directory.
func (r *resident[K]) work(msg any, marked bool, self Self) {
	if r.gone {
		// Sent while we were on the way out; certainly not executed.
		err := fmt.Errorf("%s has stopped: %w", r.directory.kind, domain.ErrUnavailable)
		if r.moved && marked {
			err = r.follow(msg)
		}
		if err != nil {
			r.directory.system.refuse(msg, err)
		}
		return
	}
	if m, is := msg.(moveOut); is {
		r.moveOut(m, self)
	} else if failure := r.guarded(msg, self); failure != nil {
		r.failed(msg, self, failure)
	}
	if r.moving != nil {
		r.departing(self)
	}
	r.end()
}

// end stops the process of an actor that is out of the directory: the engine
// does so behind what is in its mailbox already.
func (r *resident[K]) end() {
	if r.gone && !r.ended {
		r.ended = true
		if r.moving != nil && r.moving.to != nil && !r.moved {
			r.directory.giveLeftover(r.key, r.moving.to)
		}
		r.directory.system.engine.Stop(r.pid)
	}
}

// guarded lets the behaviour handle msg and returns its panic, if any.
func (r *resident[K]) guarded(msg any, self Self) *panicError {
	return r.guard(func() { r.behavior.Receive(msg, self) })
}

// guard runs f and returns its panic, if any. The behaviour is made here too,
// so that none of its code runs unguarded.
func (r *resident[K]) guard(f func()) (failure *panicError) {
	defer func() {
		if v := recover(); v != nil {
			failure = newPanicError(v)
		}
	}()
	if r.behavior == nil {
		r.behavior = r.directory.spawn(r.key, &r.Entry)
	}
	f()
	return nil
}

// failed drops the poisoned message, tells who asked, and goes on as the policy
// decides.
func (r *resident[K]) failed(msg any, self Self, failure *panicError) {
	d := r.directory
	r.report(msg, failure)
	d.system.refuse(msg, fmt.Errorf("%s panicked: %w", d.kind, domain.ErrFailed))

	now := d.system.now()
	r.failures = append(recent(r.failures, now), now)
	switch Policy(r.failures, now) {
	case Resume:
	case Reload:
		if !r.told(Failed{Reload, failure}, self) {
			r.stop(failure, self)
		}
	case Stop:
		r.stop(failure, self)
	}
}

// told tells the behaviour of its failures, and whether it could bear that.
func (r *resident[K]) told(note Failed, self Self) bool {
	failure := r.guarded(note, self)
	if failure != nil {
		r.report(note, failure)
	}
	return failure == nil
}

func (r *resident[K]) stop(failure *panicError, self Self) {
	r.told(Failed{Stop, failure}, self)
	r.directory.evict(r)
}

// report counts and logs a panic: what kind of message and where, never what
// was in the message.
func (r *resident[K]) report(msg any, failure *panicError) {
	d := r.directory
	d.system.metrics.panics.WithLabelValues(d.kind).Inc()
	d.system.log.Error("actor panicked", "actor", r.pid.GetID(), "message", fmt.Sprintf("%T", msg),
		"error", failure, "stack", string(failure.stack))
}

// leave makes room for others; the process is out of the engine by now. The
// engine may say so more than once.
func (r *resident[K]) leave() {
	if !r.stopped {
		r.stopped = true
		r.directory.left()
	}
}

// panicError is a panic as an error.
type panicError struct {
	reason string
	stack  []byte
}

func newPanicError(v any) *panicError {
	e := &panicError{reason: fmt.Sprintf("panic with a %T", v), stack: debug.Stack()}
	if err, ok := v.(runtime.Error); ok {
		e.reason = err.Error() // says index and length, or types; other values may quote a message
	}
	return e
}

func (e *panicError) Error() string { return e.reason }
