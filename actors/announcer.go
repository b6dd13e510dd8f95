package actors

import (
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// announceEvery is how often everything is announced.
const announceEvery = 20 * time.Second

// announcer tells the agents' actors, wherever they are, again and again which
// sockets this node has, and has the actors that are here tell the rosters. So
// whatever was lost with a connection between nodes, or with a node, is made
// good: in announceEvery at most, and at once when it is known that something may
// have got lost.
type announcer struct {
	agents  *Agents
	parts   [directoryShards]announcements
	stopped chan struct{}
	ended   sync.Once
	running sync.WaitGroup
}

// announcements is some of this node's sockets. They are announced under the
// lock: the end of one must not be overtaken.
type announcements struct {
	mu      sync.Mutex
	sockets map[string]*announcement
}

type announcement struct {
	announced
	toldTo string // the node that had the agent's actor
}

func newAnnouncer(agents *Agents) *announcer {
	n := &announcer{agents: agents, stopped: make(chan struct{})}
	for i := range n.parts {
		n.parts[i].sockets = make(map[string]*announcement)
	}
	agents.system.router.onChange(n.changed)
	agents.system.router.onLost(n.lost)
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
	p.sockets[c.ID] = &announcement{
		announced: announced{AgentConnection: c, OpenedAt: now, SeenAt: now, Home: n.agents.home()}, toldTo: n.owner(c.Agent),
	}
}

func (n *announcer) seen(c domain.AgentConnection, now time.Time) {
	n.change(c, func(a *announcement) { a.SeenAt = now })
}

func (n *announcer) chosen(c domain.AgentConnection, p domain.Presence, now time.Time) {
	n.change(c, func(a *announcement) { a.Chosen, a.ChosenAt, a.SeenAt = p, now, now })
}

func (n *announcer) change(c domain.AgentConnection, do func(a *announcement)) {
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

// run announces part after part, so that the load is even.
func (n *announcer) run() {
	ticker := time.NewTicker(announceEvery / directoryShards)
	defer ticker.Stop()
	for i := 0; ; i = (i + 1) % directoryShards {
		select {
		case <-n.stopped:
			return
		case <-ticker.C:
		}
		n.announce(i, func(*announcement) bool { return true })
		n.agents.directory.eachOf(i, review{all: true})
		n.agents.rosters.tend(i == 0)
	}
}

// changed is told when the view has changed.
func (n *announcer) changed() {
	for i := range n.parts {
		n.announce(i, func(a *announcement) bool { return a.toldTo != n.owner(a.Agent) })
	}
	n.agents.directory.each(review{})
}

// lost is told when what was sent to a node may not have arrived.
func (n *announcer) lost(addr string) {
	for i := range n.parts {
		n.announce(i, func(a *announcement) bool { return a.toldTo == addr })
	}
	n.agents.directory.each(review{lost: addr})
}

func (n *announcer) announce(i int, which func(a *announcement) bool) {
	p := &n.parts[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.sockets {
		if !which(a) {
			continue
		}
		owner := n.owner(a.Agent)
		if n.agents.directory.Tell(a.Agent, a.announced) == nil {
			a.toldTo = owner
		} // else it is announced again
	}
}

func (n *announcer) owner(agent domain.UserID) string {
	addr, _ := n.agents.system.router.placement.Owner(agent)
	return addr
}
