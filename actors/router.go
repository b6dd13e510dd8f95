package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// routerID is the id of every node's router.
	routerID = "router"
	// maxReturns is how often a letter may come back before it is refused: once
	// because we were late, once more because things changed meanwhile.
	maxReturns = 2
	// movingTime is for how long after a change of the view an actor that is made
	// anew asks its key's former owner for its state.
	movingTime = 30 * time.Second
)

// mode says what bounds hold for a message.
type mode uint8

const (
	ordinary   mode = iota // by the mailbox
	insisting              // sent once per thing that was let in under a bound
	concluding             // what an actor waits for, wherever that one is
)

// letter is a message for the actor of a key, on its way to the owner's node.
type letter struct {
	Kind string   `cbor:"1,keyasint"`
	Key  [16]byte `cbor:"2,keyasint"`
	// View is the number of the view by which the node was chosen. Known is that
	// view, while it is new.
	View    int64  `cbor:"3,keyasint,omitempty"`
	Known   []byte `cbor:"7,keyasint,omitempty"`
	Returns int    `cbor:"4,keyasint,omitempty"` // how often it came back
	Mode    mode   `cbor:"5,keyasint,omitempty"`
	Msg     any    `cbor:"6,keyasint"`
}

// returned is a letter that came to a node which knows of another owner.
type returned struct {
	Letter letter `cbor:"1,keyasint"`
	View   []byte `cbor:"2,keyasint"`
}

// fetch asks a key's former owner for the state of its actor; a parcel comes to
// the process To. It brings the view: who gave the state up and still took the
// key for its own would begin a second one.
type fetch struct {
	Kind string     `cbor:"1,keyasint"`
	Key  [16]byte   `cbor:"2,keyasint"`
	To   *actor.PID `cbor:"3,keyasint"`
	View []byte     `cbor:"4,keyasint"`
}

// parcel is the state of an actor that moved. Nil: there is none.
type parcel struct {
	State any `cbor:"1,keyasint"`
	// Stays is the view of a node that owns the key itself: who asked was late.
	Stays []byte `cbor:"2,keyasint,omitempty"`
}

// destination is what letters of a kind are for: a Directory, or what needs no
// actors.
type destination interface {
	// arrive takes a letter, unless another node owns the key: errElsewhere.
	arrive(l letter) error
	// again sends a letter that came back where its key belongs by now.
	again(l letter) error
	// fetched gives an actor's state up, to who asks for it.
	fetched(key [16]byte, to *actor.PID)
	// rebalance has leave what other nodes own by now.
	rebalance()
	// strangers is how many are here whose keys other nodes own.
	strangers() int
}

// router takes what comes from other nodes for the actors of this one, and
// sends what belongs elsewhere there. It is a process without a mailbox: its
// Send runs in the goroutine that reads from the node, and never blocks.
//
// Nodes may disagree about who owns what, and none acts on less than what it was
// told: a letter that comes to a node which knows of another owner comes back
// with that node's view; the sender learns from it and tries again. A node whose
// own view is older than the sender's learns first, from the letter.
type router struct {
	system    *System
	pid       *actor.PID
	remote    Remote
	placement Placement
	changed   atomic.Int64 // Unix nanoseconds of the last change of the view

	mu      sync.RWMutex
	kinds   map[string]destination
	changes []func()
	losses  []func(addr string)
	broken  []string // nodes that the connection to broke; their losses are to be told

	waiters sync.Map // of asks, by id: *waiter

	moves   chan struct{} // has room for one: the view has changed, or a connection broke
	stopped chan struct{}
	running sync.WaitGroup
}

func newRouter(s *System, remote Remote, placement Placement) *router {
	r := &router{
		system: s, remote: remote, placement: placement, kinds: map[string]destination{},
		moves: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	remote.Notify(r.undelivered, r.lost)
	placement.Watch(r.viewChanged)
	return r
}

func (r *router) start() {
	r.pid = actor.NewPID(r.system.engine.Address(), routerID)
	r.changed.Store(r.system.now().UnixNano())
	r.system.engine.SpawnProc(r)
	r.running.Go(r.move)
}

func (r *router) stop() {
	close(r.stopped)
	r.running.Wait()
}

func (r *router) self() string { return r.pid.GetAddress() }

// register makes d the destination of a kind.
func (r *router) register(kind string, d destination) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[kind] = d
}

func (r *router) destination(kind string) (destination, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	d, ok := r.kinds[kind]
	if !ok {
		return nil, fmt.Errorf("no actors of kind %q here: %w", kind, domain.ErrUnavailable)
	}
	return d, nil
}

// elsewhere is the address of the node that owns the key, if that is another.
func (r *router) elsewhere(key [16]byte) (addr string, is bool) {
	addr, ok := r.placement.Owner(key)
	return addr, ok && addr != r.self()
}

// forward sends a letter to the node that owns its key. After an error it was
// certainly not sent.
func (r *router) forward(addr string, l letter) error {
	l.View, l.Known = r.placement.Number(), nil
	if l.Returns > 0 || r.isNew() {
		l.Known = r.placement.Export()
	}
	return r.post(addr, l)
}

func (r *router) post(addr string, l letter) error {
	if w := r.waiter(l.Msg); w != nil {
		w.at.Store(&addr)
	}
	if err := r.remote.Post(actor.NewPID(addr, routerID), l, r.pid); err != nil {
		return fmt.Errorf("%s at %s: %w", l.Kind, addr, err)
	}
	return nil
}

// waiter is who of this node waits for the answer to msg; nil: nobody.
func (r *router) waiter(msg any) *waiter {
	m, ok := msg.(asker)
	if !ok || m.ReplyTo() == nil {
		return nil
	}
	w, ok := r.waiters.Load(m.ReplyTo().GetID())
	if !ok {
		return nil
	}
	return w.(*waiter)
}

// Send takes what comes from other nodes.
func (r *router) Send(_ *actor.PID, msg any, sender *actor.PID) {
	switch m := msg.(type) {
	case letter:
		r.receive(m, sender)
	case returned:
		r.placement.Offer(m.View)
		r.retry(m.Letter)
	case fetch:
		r.placement.Offer(m.View)
		d, err := r.destination(m.Kind)
		if err != nil {
			r.system.Reply(m.To, parcel{})
			return
		}
		d.fetched(m.Key, m.To)
	default:
		r.system.metrics.deadLetters.Inc()
	}
}

func (r *router) receive(l letter, sender *actor.PID) {
	if l.View > r.placement.Number() {
		r.placement.Offer(l.Known)
	}
	d, err := r.destination(l.Kind)
	switch {
	case err != nil:
	case l.View > r.placement.Number():
		err = errElsewhere // as far as we know; the sender will tell
	default:
		err = d.arrive(l)
	}
	if errors.Is(err, errElsewhere) {
		r.system.engine.SendWithSender(sender, returned{Letter: l, View: r.placement.Export()}, r.pid)
		return
	}
	if err != nil {
		r.refuse(l, err)
	}
}

// retry sends a letter again that wasn't taken.
func (r *router) retry(l letter) {
	d, err := r.destination(l.Kind)
	if l.Returns++; err == nil && l.Returns > maxReturns {
		err = fmt.Errorf("nobody owns the %s: %w", l.Kind, domain.ErrUnavailable)
	}
	if err == nil {
		err = d.again(l)
	}
	if err != nil {
		r.refuse(l, err)
	}
}

// refuse is for a letter that nobody takes.
func (r *router) refuse(l letter, err error) {
	if !errors.Is(err, domain.ErrOverloaded) {
		r.system.metrics.deadLetters.Inc()
	}
	r.system.log.Debug("message is refused", "kind", l.Kind, "message", fmt.Sprintf("%T", l.Msg), "error", err)
	r.system.refuse(l.Msg, err)
}

// undelivered is told of what was not sent in the end. Its key may have another
// owner by now.
func (r *router) undelivered(to *actor.PID, msg any) {
	switch m := msg.(type) {
	case letter:
		if addr, ok := r.placement.Owner(m.Key); ok && addr != to.GetAddress() {
			r.retry(m)
			return
		}
		r.refuse(m, fmt.Errorf("%s is not reached: %w", to.GetAddress(), domain.ErrUnavailable))
	case fetch:
		r.system.Reply(m.To, parcel{})
	}
}

// lost tells those who wait for answers from a node that nobody knows what
// became of their questions, and soon whom else it concerns.
func (r *router) lost(addr string) {
	err := fmt.Errorf("the connection to %s broke: %w", addr, domain.ErrOutcomeUnknown)
	r.waiters.Range(func(_, v any) bool {
		if w := v.(*waiter); w.at.Load() != nil && *w.at.Load() == addr {
			w.Send(nil, err, nil)
		}
		return true
	})
	r.mu.Lock()
	if !slices.Contains(r.broken, addr) {
		r.broken = append(r.broken, addr)
	}
	r.mu.Unlock()
	r.wake()
}

// Unreadable tells who waits for the answer to a message of another node that
// this one can't read: it was certainly not executed. Err is the Codec's.
func (s *System) Unreadable(err error) {
	if e, ok := errors.AsType[*UnreadableError](err); ok {
		s.Reply(e.Replies, fmt.Errorf("%w: %w", domain.ErrUnavailable, e))
	}
}

func (r *router) destinations() []destination {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]destination, 0, len(r.kinds))
	for _, d := range r.kinds {
		all = append(all, d)
	}
	return all
}

// lookAgain is how often Vacated counts who is left.
const lookAgain = 20 * time.Millisecond

// Vacated returns when nobody is on this node whose key another node owns, or
// when ctx ends. A node alone is always vacated.
func (s *System) Vacated(ctx context.Context) error {
	if s.router == nil {
		return nil
	}
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		left := 0
		for _, d := range s.router.destinations() {
			left += d.strangers()
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d actors are still on their way: %w", left, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// former is who may have the state of the key's actor.
func (r *router) former(key [16]byte) (addr string, ok bool) {
	if !r.isNew() {
		return "", false
	}
	return r.placement.Former(key)
}

// isNew reports whether the view has changed so lately that others may not know
// it, or that actors are still on their way.
func (r *router) isNew() bool { return r.system.now().Sub(r.changedAt()) < movingTime }

// changedAt is when the view last changed.
func (r *router) changedAt() time.Time { return time.Unix(0, r.changed.Load()) }

// The rest of actor.Processer.
func (r *router) PID() *actor.PID         { return r.pid }
func (r *router) Start()                  {}
func (r *router) Shutdown()               {}
func (r *router) Invoke([]actor.Envelope) {}
