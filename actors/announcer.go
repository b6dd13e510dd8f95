package actors

import (
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// announceEvery is how often everything is announced, and hurry how fast when
	// something may have got lost: spread, so that the queues to other nodes have
	// room for what else is going on.
	announceEvery = 20 * time.Second
	hurry         = 640 * time.Millisecond
)

// announcer tells the agents' actors, wherever they are, again and again which
// sockets this node has, and has the actors that are here tell the rosters. So
// whatever was lost with a connection between nodes, or with a node, is made
// good: in announceEvery at most, and in a hurry when the view has changed or a
// connection broke.
type announcer struct {
	agents    *Agents
	parts     [directoryShards]announcements
	disturbed chan struct{} // has room for one: something may have got lost
	stopped   chan struct{}
	ended     sync.Once
	running   sync.WaitGroup
}

// announcements is some of this node's sockets. They are announced under the
// lock: the end of one must not be overtaken.
type announcements struct {
	mu      sync.Mutex
	sockets map[string]*announced
}

func newAnnouncer(agents *Agents) *announcer {
	n := &announcer{agents: agents, disturbed: make(chan struct{}, 1), stopped: make(chan struct{})}
	for i := range n.parts {
		n.parts[i].sockets = make(map[string]*announced)
	}
	agents.system.router.onDisturbance(n.disturb)
	n.running.Go(n.run)
	return n
}

// stop ends the announcements. Nil: there are none.
func (n *announcer) stop() {
	if n != nil {
		n.ended.Do(func() { close(n.stopped) })
		n.running.Wait()
	}
}

// opened knows of one socket more. Nil, here and below: nothing is announced.
func (n *announcer) opened(c domain.AgentConnection, now time.Time) {
	if n == nil {
		return
	}
	p := n.part(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets[c.ID] = &announced{AgentConnection: c, OpenedAt: now, SeenAt: now, Home: n.agents.home()}
}

func (n *announcer) seen(c domain.AgentConnection, now time.Time) {
	n.change(c, func(a *announced) { a.SeenAt = now })
}

func (n *announcer) chosen(c domain.AgentConnection, p domain.Presence, now time.Time) {
	n.change(c, func(a *announced) { a.Chosen, a.ChosenAt, a.SeenAt = p, now, now })
}

func (n *announcer) change(c domain.AgentConnection, do func(a *announced)) {
	if n == nil {
		return
	}
	p := n.part(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.sockets[c.ID]; ok {
		do(a)
	}
}

func (n *announcer) closed(c domain.AgentConnection) {
	if n == nil {
		return
	}
	p := n.part(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sockets, c.ID)
}

func (n *announcer) part(c domain.AgentConnection) *announcements {
	return &n.parts[c.Agent[len(c.Agent)-1]%directoryShards]
}

// disturb has everything announced in a hurry.
func (n *announcer) disturb() {
	select {
	case n.disturbed <- struct{}{}:
	default: // it will be
	}
}

// run announces part after part, so that the load is even.
func (n *announcer) run() {
	const pace = announceEvery / directoryShards
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	part, hurried := 0, 0 // how many parts more are announced in a hurry
	for {
		select {
		case <-n.stopped:
			return
		case <-n.disturbed:
			hurried = directoryShards
			ticker.Reset(hurry / directoryShards)
			continue
		case <-ticker.C:
		}
		n.announce(part)
		n.agents.directory.eachOf(part, review{})
		n.agents.rosters.tend(part == 0)
		part = (part + 1) % directoryShards
		if hurried > 0 {
			if hurried--; hurried == 0 {
				ticker.Reset(pace)
			}
		}
	}
}

func (n *announcer) announce(part int) {
	p := &n.parts[part]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.sockets {
		// What can't be told now is told again.
		_ = n.agents.directory.Tell(a.Agent, *a)
	}
}
