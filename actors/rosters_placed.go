package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// This file is what rosters do because there are several nodes.

// route sends a letter to the node that owns the organization. After an error it
// was certainly not taken.
func (r *rosters) route(l letter) error {
	for range maxReturns {
		if addr, is := r.router.elsewhere(l.Key); is {
			return r.router.forward(addr, l)
		}
		if err := r.arrive(l); !errors.Is(err, errElsewhere) {
			return err
		}
	}
	return fmt.Errorf("nobody owns the %s: %w", rosterKind, domain.ErrUnavailable)
}

// arrive implements destination.
func (r *rosters) arrive(l letter) error {
	switch m := l.Msg.(type) {
	case entry:
		if !r.take(l.Key, m) {
			return errElsewhere
		}
		return nil
	case rosterAsk:
		return r.answer(l, m)
	}
	return fmt.Errorf("%s is sent a %T: %w", rosterKind, l.Msg, domain.ErrUnavailable)
}

// answer says who is present, now or when the roster has settled.
func (r *rosters) answer(l letter, m rosterAsk) error {
	a, ok, err := r.readOrWait(l)
	if ok {
		r.agents.system.Reply(m.Replies, a)
	}
	return err
}

func (r *rosters) readOrWait(l letter) (a rosterAnswer, ok bool, err error) {
	r.mu.Lock()
	owns := r.owns(l.Key)
	if owns {
		r.table(l.Key)
	}
	r.mu.Unlock()
	if !owns {
		return a, false, errElsewhere
	}
	if a, ok = r.read(l.Key); ok {
		return a, true, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) >= rosterWaiting {
		return a, false, fmt.Errorf("too many wait for a %s: %w", rosterKind, domain.ErrOverloaded)
	}
	r.waiting = append(r.waiting, l)
	return a, false, nil
}

// again implements destination.
func (r *rosters) again(l letter) error {
	if w := r.router.waiter(l.Msg); w != nil {
		w.at.Store(nil)
	}
	return r.route(l)
}

// fetched implements destination: there is nothing to hand over.
func (r *rosters) fetched(_ [16]byte, to *actor.PID) { r.agents.system.Reply(to, parcel{}) }

// rebalance implements destination.
func (r *rosters) rebalance() {
	r.mu.Lock()
	for organization := range r.tables {
		if !r.owns(organization) {
			delete(r.tables, organization)
		}
	}
	r.mu.Unlock()
	r.resume()
}

// strangers implements destination: nothing that is here has to get elsewhere.
func (r *rosters) strangers() int { return 0 }

// resume looks again at the questions that wait.
func (r *rosters) resume() {
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	for _, l := range waiting {
		if err := r.again(l); err != nil {
			r.router.refuse(l, err)
		}
	}
}

// tend answers what can be answered by now, and, when thoroughly, looks after
// all entries.
func (r *rosters) tend(thoroughly bool) {
	r.resume()
	if !thoroughly {
		return
	}
	for _, x := range r.unsure() {
		// Who can't be told now is asked again.
		_ = r.agents.directory.Tell(x.agent, missed{x.organization})
	}
}

type member struct {
	organization domain.OrganizationID
	agent        domain.UserID
}

// unsure is the agents of whom it isn't sure that their entries are true. What
// nobody needs is forgotten.
func (r *rosters) unsure() []member {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, changed := r.agents.system.now(), r.router.changedAt()
	var found []member
	for organization, t := range r.tables {
		for agent, p := range t.present {
			switch {
			case p.Presence.Status == domain.Offline:
				if now.Sub(p.told) > unheardMax { // nothing older comes any more
					t.forget(agent)
				}
			case r.doubts(p, now, changed) && now.Sub(p.asked) > rosterPatience:
				p.asked = now
				found = append(found, member{organization, agent})
			}
		}
		if now.After(t.settled) {
			r.drop(organization)
		}
	}
	return found
}

// doubts reports whether an entry may be of an actor that is no more.
func (r *rosters) doubts(p *present, now, changed time.Time) bool {
	if now.Sub(p.told) > unheardMax {
		return true
	}
	owner, _ := r.router.placement.Owner(p.Presence.Agent)
	return owner != p.Node && now.Sub(p.told) > rosterPatience && now.Sub(changed) > rosterPatience
}
