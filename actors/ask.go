package actors

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// askKind begins the id of every process that waits for a reply.
const askKind = "ask"

// Ask hands send the address for the reply and waits for that one reply, or
// for the end of ctx. The message that send sends carries the address; what
// can't be sent send answers itself: s.Reply(replyTo, err).
//
// A reply that is an error is returned as one. When ctx ends first the error
// is domain.ErrOutcomeUnknown; when it had ended before anything was sent,
// domain.ErrUnavailable. Replies after the first one, and late ones, are
// dropped and counted.
//
// Hollywood's own Request is not used: it draws its address at random, so that
// two in flight may get each other's answer, and a second reply blocks the
// replier for ever.
func (s *System) Ask(ctx context.Context, send func(replyTo *actor.PID)) (any, error) {
	if err := s.askable(ctx); err != nil {
		return nil, err
	}
	w := &waiter{
		pid:   actor.NewPID(s.engine.Address(), s.name(askKind)),
		reply: make(chan any, 1),
		late:  s.metrics.lateReplies.Inc,
	}
	s.engine.SpawnProc(w)
	defer s.engine.Registry.Remove(w.pid)
	if s.router != nil {
		s.router.waiters.Store(w.pid.GetID(), w)
		defer s.router.waiters.Delete(w.pid.GetID())
	}
	s.metrics.asks.Inc()
	defer s.metrics.asks.Dec()

	send(w.pid)
	select {
	case reply := <-w.reply:
		if err, ok := reply.(error); ok {
			return nil, err
		}
		return reply, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("ask: %w: %w", domain.ErrOutcomeUnknown, context.Cause(ctx))
	case <-s.closed:
		return nil, fmt.Errorf("ask: actor system closed: %w", domain.ErrOutcomeUnknown)
	}
}

func (s *System) askable(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("ask: not sent: %w: %w", domain.ErrUnavailable, context.Cause(ctx))
	case <-s.closed:
		return fmt.Errorf("ask: actor system closed: %w", domain.ErrUnavailable)
	default:
		return nil
	}
}

// waiter is the process that takes the reply to one Ask. It has no mailbox:
// Send runs in the replier's goroutine and never blocks.
type waiter struct {
	pid      *actor.PID
	reply    chan any // takes exactly one
	answered atomic.Bool
	late     func()
	at       atomic.Pointer[string] // the node that is asked; nil: this one
}

// Send takes the first message as the reply.
func (w *waiter) Send(_ *actor.PID, msg any, _ *actor.PID) {
	if w.answered.Swap(true) {
		w.late()
		return
	}
	w.reply <- msg
}

// The rest of actor.Processer.
func (w *waiter) PID() *actor.PID         { return w.pid }
func (w *waiter) Start()                  {}
func (w *waiter) Shutdown()               {}
func (w *waiter) Invoke([]actor.Envelope) {}

// isAsk tells whether pid is, or was, somebody who waits for a reply.
func isAsk(pid *actor.PID) bool { return strings.HasPrefix(pid.GetID(), askKind+"/") }
