package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// rosterKind is what letters to rosters are for.
	rosterKind = "roster"
	// rosterSettles is for how long after a change of the view a new roster waits
	// for the agents to tell it who they are before it answers anybody.
	rosterSettles = 2 * time.Second
	// rosterPatience is after how long a roster asks for an agent whose entry is
	// from a node that hasn't got the agent's actor any more.
	rosterPatience = 15 * time.Second
	// rosterTimeout bounds a question to a roster.
	rosterTimeout = 5 * time.Second
	// rosterWaiting is how many questions may wait for rosters to settle. Overflow:
	// domain.ErrOverloaded.
	rosterWaiting = 1024
	// rosterPart is how many entries of an answer go in one list.
	rosterPart = 10_000
)

// rosters is who is present, by organization: a table each, on the node that
// owns the organization, which agents' actors write, wherever they are. Who isn't
// in it is OFFLINE.
//
// Nothing is handed over when an organization gets another owner: the new one is
// told by all actors. Nor is a table told when an actor is lost. It asks for
// agents that it hasn't heard of for too long, and their actors, made anew, say
// what is true.
type rosters struct {
	agents *Agents
	router *router // nil: the node is alone

	mu      sync.RWMutex
	tables  map[domain.OrganizationID]*roster
	waiting []letter // questions that are answered when their roster has settled
}

type roster struct {
	present map[domain.UserID]*present
	settled time.Time // before that it may not know of all
}

// present is what is known of an agent.
type present struct {
	entry
	told  time.Time
	asked time.Time // when the actor was last asked for what is true
}

// entry is what an agent's actor tells the roster.
type entry struct {
	Presence domain.AgentPresence `cbor:"1,keyasint"`
	Here     bool                 `cbor:"2,keyasint"` // has a socket, and nothing is being taken from it
	Node     string               `cbor:"3,keyasint"` // the address of the actor's node
	Version  int64                `cbor:"4,keyasint"` // a later one is greater
}

func (e entry) available() bool { return e.Here && e.Presence.Status == domain.Online }

// rosterAsk asks who is present; rosterAnswer is the reply.
type rosterAsk struct {
	Replies *actor.PID `cbor:"0,keyasint,omitempty"`
}

// ReplyTo implements asker.
func (q rosterAsk) ReplyTo() *actor.PID { return q.Replies }

type rosterAnswer struct {
	Present [][]domain.AgentPresence `cbor:"1,keyasint"`
}

func newRosters(agents *Agents) *rosters {
	r := &rosters{agents: agents, router: agents.system.router, tables: map[domain.OrganizationID]*roster{}}
	if r.router != nil {
		r.router.register(rosterKind, r)
	}
	return r
}

// put tells the organization's roster of an agent.
func (r *rosters) put(organization domain.OrganizationID, e entry) {
	if r.router == nil {
		r.take(organization, e)
		return
	}
	// What is lost is told again.
	_ = r.route(letter{Kind: rosterKind, Key: organization, Mode: insisting, Msg: e})
}

// take writes an entry, unless a later one was faster. It is false when another
// node owns the organization.
func (r *rosters) take(organization domain.OrganizationID, e entry) bool {
	became, ours := r.write(organization, e)
	if became {
		r.agents.config.Available(organization)
	}
	return ours
}

// write tells whether the agent has become available, and whether the roster is
// this node's.
func (r *rosters) write(organization domain.OrganizationID, e entry) (became, ours bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.owns(organization) {
		return false, false
	}
	t := r.table(organization)
	was, known := t.present[e.Presence.Agent]
	if known && e.Version <= was.Version {
		return false, true
	}
	became = e.available() && (!known || !was.available())
	t.present[e.Presence.Agent] = &present{entry: e, told: r.agents.system.now()}
	if r.router == nil && e.Presence.Status == domain.Offline {
		t.forget(e.Presence.Agent)
		r.drop(organization)
	}
	return became, true
}

func (r *rosters) owns(organization domain.OrganizationID) bool {
	if r.router == nil {
		return true
	}
	_, elsewhere := r.router.elsewhere(organization)
	return !elsewhere
}

// table is the organization's. The caller holds the lock.
func (r *rosters) table(organization domain.OrganizationID) *roster {
	t, ok := r.tables[organization]
	if !ok {
		t = &roster{present: map[domain.UserID]*present{}}
		if r.router != nil {
			t.settled = r.router.changedAt().Add(rosterSettles)
		}
		r.tables[organization] = t
	}
	return t
}

func (t *roster) forget(agent domain.UserID) { delete(t.present, agent) }

// drop removes the organization's table if there is nothing in it. The caller
// holds the lock.
func (r *rosters) drop(organization domain.OrganizationID) {
	if len(r.tables[organization].present) == 0 {
		delete(r.tables, organization)
	}
}

// available is who can take a conversation now.
func (r *rosters) available(organization domain.OrganizationID) []domain.UserID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t, ok := r.tables[organization]
	if !ok {
		return nil
	}
	var agents []domain.UserID
	for id, p := range t.present {
		if p.available() {
			agents = append(agents, id)
		}
	}
	return agents
}

// snapshot is who is present.
func (r *rosters) snapshot(ctx context.Context, organization domain.OrganizationID) (map[domain.UserID]domain.AgentPresence, error) {
	found := map[domain.UserID]domain.AgentPresence{}
	lists, err := r.ask(ctx, organization)
	for _, list := range lists {
		for _, p := range list {
			found[p.Agent] = p
		}
	}
	return found, err
}

func (r *rosters) ask(ctx context.Context, organization domain.OrganizationID) ([][]domain.AgentPresence, error) {
	if a, ok := r.read(organization); ok && r.owns(organization) {
		return a.Present, nil
	}
	ctx, cancel := context.WithTimeout(ctx, rosterTimeout)
	defer cancel()
	reply, err := r.agents.system.Ask(ctx, func(to *actor.PID) {
		if err := r.route(letter{Kind: rosterKind, Key: organization, Mode: insisting, Msg: rosterAsk{to}}); err != nil {
			r.agents.system.Reply(to, err)
		}
	})
	switch a, ok := reply.(rosterAnswer); {
	case errors.Is(err, domain.ErrOutcomeUnknown): // it was a question
		return nil, fmt.Errorf("ask who is present: no answer: %w", domain.ErrUnavailable)
	case err != nil:
		return nil, fmt.Errorf("ask who is present: %w", err)
	case !ok:
		return nil, fmt.Errorf("ask who is present: answered with a %T: %w", reply, domain.ErrUnavailable)
	default:
		return a.Present, nil
	}
}

// read is who is present by the table that is here, if it knows of all.
func (r *rosters) read(organization domain.OrganizationID) (a rosterAnswer, settled bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t, ok := r.tables[organization]
	if !ok {
		return a, r.router == nil
	}
	if r.agents.system.now().Before(t.settled) {
		return a, false
	}
	all := make([]domain.AgentPresence, 0, len(t.present))
	for _, p := range t.present {
		if p.Presence.Status != domain.Offline {
			all = append(all, p.Presence)
		}
	}
	a.Present = slices.Collect(slices.Chunk(all, rosterPart))
	return a, true
}
