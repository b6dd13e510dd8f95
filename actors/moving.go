package actors

import (
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// This file moves an actor whose state is in memory alone from node to node.
//
// The former owner, when it learns of the new one, sends the state there by
// itself. The new owner, when somebody needs the actor before that has come,
// asks for it, and holds what comes for the actor meanwhile. So it doesn't
// matter who learns of the change first. What reaches the former owner after
// the state has left is sent on.

// arrivalTime is how long an actor waits for the state that another node has of
// it. Then it begins without.
const arrivalTime = 2 * time.Second

// What an actor that moves is told.
type (
	// moveOut asks an actor to leave this node; to: who asks for its state, nil:
	// nobody yet.
	moveOut struct{ to *actor.PID }
	// arrivalDue: the former owner doesn't answer.
	arrivalDue struct{}
)

// moving is what an actor holds while it comes or goes.
type moving struct {
	timer   *time.Timer // nil: it doesn't wait for its state
	held    []any       // what came before the state
	leaving bool
	to      *actor.PID // who asked for the state; nil: nobody
}

// meet handles the first message, and those that come before the state does. It
// is false for what is to be handled as usual.
func (r *resident[K]) meet(msg any, self Self) bool {
	switch p, isParcel := msg.(parcel); {
	case r.moving != nil && r.moving.timer != nil:
		r.await(msg, self)
		return true
	case isParcel:
		if r.behavior == nil {
			r.arrive(p.State, self)
		} else if p.State != nil {
			r.meetRival(p.State, self)
		}
		return true
	case r.behavior == nil && r.fetch(self):
		r.moving.held = append(r.moving.held, msg)
		return true
	}
	return false
}

// fetch asks the key's former owner for the state. It is false when there is
// nobody to ask, or nothing to ask for.
func (r *resident[K]) fetch(self Self) bool {
	d := r.directory
	if d.placing == nil {
		return false
	}
	key := d.placing.bytes(r.key)
	addr, ok := d.system.router.former(key)
	if !ok || r.guard(func() {}) != nil {
		return false
	}
	if _, moves := r.behavior.(Mover); !moves {
		return false
	}
	ask := fetch{Kind: d.kind, Key: key, To: self.PID, View: d.system.router.placement.Export()}
	if d.system.router.remote.Post(actor.NewPID(addr, routerID), ask, self.PID) != nil {
		return false
	}
	system, pid := d.system, self.PID
	r.moving = &moving{timer: time.AfterFunc(arrivalTime, func() { system.Tell(pid, arrivalDue{}) })}
	return true
}

// await holds what comes before the state.
func (r *resident[K]) await(msg any, self Self) {
	m := r.moving
	switch msg := msg.(type) {
	case parcel:
		r.directory.system.router.placement.Offer(msg.Stays)
		if msg.Stays != nil && !r.directory.owns(r.key) {
			r.turnAway(self)
			return
		}
		r.arrived(msg.State, self)
	case arrivalDue:
		r.arrived(nil, self)
	case moveOut:
		m.leaving = true
		if msg.to != nil {
			m.to = msg.to
		}
	default:
		if len(m.held) >= r.directory.config.MaxWaiting {
			r.directory.system.refuse(msg, fmt.Errorf("%s is on its way here: %w", r.directory.kind, domain.ErrOverloaded))
			return
		}
		m.held = append(m.held, msg)
	}
}

// arrived goes on with the state, and with what was held.
func (r *resident[K]) arrived(state any, self Self) {
	m := r.moving
	m.timer.Stop()
	held := m.held
	m.timer, m.held = nil, nil
	if !m.leaving {
		r.moving = nil
	}
	r.arrive(state, self)
	for _, msg := range held {
		r.work(msg, true, self)
	}
}

// turnAway ends an actor that was made on the wrong node, and sends on what came
// for it.
func (r *resident[K]) turnAway(self Self) {
	m := r.moving
	m.timer.Stop()
	m.timer = nil
	r.directory.evict(r)
	r.moved = true
	r.directory.system.Reply(m.to, parcel{})
	for _, msg := range m.held {
		r.work(msg, true, self)
	}
	r.end()
}

func (r *resident[K]) arrive(state any, self Self) {
	failure := r.guard(func() {
		if m, moves := r.behavior.(Mover); moves {
			m.Arrive(state, self)
		}
	})
	if failure != nil {
		r.failed(parcel{}, self, failure)
	}
	if r.moving == nil && !r.directory.owns(r.key) {
		r.moving = &moving{leaving: true} // it has come to a node that isn't the owner any more
	}
	r.departing(self)
}

// meetRival tells an actor that is here already of one that was active elsewhere.
func (r *resident[K]) meetRival(state any, self Self) {
	a, is := r.behavior.(Rival)
	if !is {
		return
	}
	if failure := r.guard(func() { a.Meet(state, self) }); failure != nil {
		r.failed(parcel{}, self, failure)
	}
}

// moveOut has the actor leave this node: one with a state of its own takes it
// along, any other finishes what it has.
func (r *resident[K]) moveOut(msg moveOut, self Self) {
	if _, moves := r.behavior.(Mover); !moves {
		r.directory.system.Reply(msg.to, parcel{})
		r.work(Drain{}, false, self)
		return
	}
	if r.moving == nil {
		r.moving = &moving{}
	}
	r.moving.leaving = true
	if msg.to != nil {
		r.moving.to = msg.to
	}
	r.departing(self)
}

// departing leaves for another node, if that was asked for and the actor is
// ready.
func (r *resident[K]) departing(self Self) {
	if r.gone || r.moving == nil || !r.moving.leaving || r.moving.timer != nil {
		return
	}
	d, to := r.directory, r.moving.to
	addr, is := d.elsewhere(r.key)
	if to == nil && !is {
		r.moving = nil // it is ours again
		return
	}
	var state any
	ready := false
	failure := r.guard(func() { state, ready = r.behavior.(Mover).Depart() })
	if failure != nil {
		r.failed(moveOut{}, self, failure)
		return
	}
	if !ready {
		return
	}
	r.handOver(addr, state)
}

// handOver leaves the directory and sends the state, in one step: who asks for
// it after that is answered after it.
func (r *resident[K]) handOver(addr string, state any) {
	d := r.directory
	s := d.shard(r.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.remove(s, r.key, &r.Entry)
	r.moved = true
	switch {
	case r.moving.to != nil:
		d.system.Reply(r.moving.to, parcel{State: state})
	case state != nil:
		l := letter{Kind: d.kind, Key: d.placing.bytes(r.key), Mode: insisting, Msg: parcel{State: state}}
		if err := d.system.router.forward(addr, l); err != nil {
			d.system.log.Warn("state of an actor can't be handed over", "actor", r.pid.GetID(), "error", err)
		}
	}
}

// follow sends on what came after the actor has left for another node.
func (r *resident[K]) follow(msg any) error {
	switch msg.(type) {
	case Idle, Drain, moveOut, parcel, missing:
		return nil
	}
	return r.directory.tell(r.key, msg, insisting)
}
