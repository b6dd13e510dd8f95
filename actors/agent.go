package actors

import (
	"context"

	"github.com/chatopshub/chatopshub/domain"
)

// AgentConfig is what the actors of connected agents need.
type AgentConfig struct {
	Publisher Publisher
	Wheel     *Wheel
	Limits    domain.PresenceLimits
	// Directory bounds the agents. An IdleTTL isn't needed: an agent leaves
	// when it is OFFLINE.
	Directory DirectoryConfig
}

// Agents has one actor per connected agent, which owns the agent's connections
// and tells colleagues of its presence. The rules are domain.DecidePresence.
type Agents struct {
	directory *Directory[domain.UserID]
	system    *System
	config    AgentConfig
	presences presences
}

// NewAgents makes the directory of agents. Close it.
func NewAgents(s *System, cfg AgentConfig) *Agents {
	a := &Agents{system: s, config: cfg}
	a.directory = NewDirectory(s, "agent", func(id domain.UserID, entry *Entry) Behavior {
		return &agent{all: a, id: id, entry: entry, connections: make(map[string]struct{})}
	}, cfg.Directory)
	return a
}

// Connected says that the agent has a new connection, of an id that no other
// has. It returns domain.ErrOverloaded or domain.ErrUnavailable when the agent
// can't be known; the connection is then not to be served. Disconnected
// follows, exactly once.
func (a *Agents) Connected(organization domain.OrganizationID, user domain.UserID, connection string) error {
	return a.directory.Tell(user, connected{organization, connection, domain.SocketOpened{At: a.system.now()}})
}

// Heartbeat says that the agent's client gave a sign of life.
func (a *Agents) Heartbeat(organization domain.OrganizationID, user domain.UserID, connection string) {
	// A lost one is made good by the next.
	_ = a.directory.Tell(user, heartbeat{organization, connection, domain.Heartbeat{At: a.system.now()}})
}

// SetPresence is the agent's own word, ONLINE or AWAY, for all connections. It
// returns domain.ErrOverloaded or domain.ErrUnavailable when it wasn't heard.
func (a *Agents) SetPresence(organization domain.OrganizationID, user domain.UserID, connection string, p domain.Presence) error {
	return a.directory.Tell(user, presenceSet{organization, connection, domain.PresenceSet{At: a.system.now(), Status: p}})
}

// Disconnected says that the connection is no more.
func (a *Agents) Disconnected(user domain.UserID, connection string) {
	// Refused only when closed.
	_ = a.directory.insist(user, disconnected{connection, domain.SocketClosed{At: a.system.now()}})
}

// Snapshot is the presence of all agents of the organization that are not
// OFFLINE. It asks nobody.
func (a *Agents) Snapshot(organization domain.OrganizationID) map[domain.UserID]domain.AgentPresence {
	return a.presences.snapshot(organization)
}

// Close forgets all agents without telling anybody: their clients come back to
// another node, or to us after the restart.
func (a *Agents) Close(ctx context.Context) error { return a.directory.Close(ctx) }

// What agents are told.
type (
	connected struct {
		organization domain.OrganizationID
		connection   string
		event        domain.SocketOpened
	}
	heartbeat struct {
		organization domain.OrganizationID
		connection   string
		event        domain.Heartbeat
	}
	presenceSet struct {
		organization domain.OrganizationID
		connection   string
		event        domain.PresenceSet
	}
	disconnected struct {
		connection string
		event      domain.SocketClosed
	}
	presenceDue struct{}
)

// agent is the actor of one connected agent.
type agent struct {
	all          *Agents
	id           domain.UserID
	entry        *Entry
	organization domain.OrganizationID // known from the first connection on
	connections  map[string]struct{}
	state        domain.PresenceState
	deadline     *Timer // nil: none
	leaving      bool   // Drain was asked for
}

// Receive implements Behavior.
func (g *agent) Receive(msg any, self Self) {
	switch m := msg.(type) {
	case connected:
		g.connect(m.organization, m.connection, m.event)
	case heartbeat:
		// Of a connection that we don't know if we had to be made anew.
		g.connect(m.organization, m.connection, domain.SocketOpened(m.event))
		g.apply(m.event)
	case presenceSet:
		g.connect(m.organization, m.connection, domain.SocketOpened{At: m.event.At})
		g.apply(m.event)
	case disconnected:
		if _, ok := g.connections[m.connection]; ok {
			delete(g.connections, m.connection)
			g.apply(m.event)
		}
	case presenceDue:
		g.apply(domain.PresenceTick{At: g.all.system.now()})
	case Failed:
		g.failed(m)
	case Drain:
		g.leaving = true
	}
	g.arm(self)
	if g.leaving || g.state.Status() == domain.Offline {
		g.all.directory.Passivate(g.id, g.entry)
	}
}

func (g *agent) connect(organization domain.OrganizationID, connection string, event domain.SocketOpened) {
	if _, ok := g.connections[connection]; ok {
		return
	}
	g.organization = organization
	g.connections[connection] = struct{}{}
	g.apply(event)
}

// apply decides what event means and shows it to colleagues.
func (g *agent) apply(event domain.PresenceEvent) {
	var effect domain.PresenceEffect
	g.state, effect = domain.DecidePresence(g.state, event, g.all.config.Limits)
	g.show(effect.Changed)
}

// show writes the presence where it is looked up and, if it has changed, tells
// the organization.
func (g *agent) show(changed bool) {
	p := domain.AgentPresence{
		Agent: g.id, Status: g.state.Status(), LastSeenAt: domain.Timestamp(g.state.LastSeen),
	}
	g.all.presences.put(g.organization, p)
	if changed {
		g.all.config.Publisher.Publish(g.organization, []domain.Notice{{
			Name: domain.EventAgentPresence, Rooms: []domain.Room{domain.OrgRoom(g.organization)}, Payload: p,
		}})
	}
}

// arm sets the timer to the next deadline of the state.
func (g *agent) arm(self Self) {
	if g.deadline != nil {
		g.deadline.Stop()
		g.deadline = nil
	}
	at := g.state.Deadline(g.all.config.Limits)
	if at.IsZero() || g.leaving {
		return
	}
	system, pid := g.all.system, self.PID
	g.deadline = g.all.config.Wheel.Schedule(at, func() { system.Tell(pid, presenceDue{}) })
}

// failed forgets the connections when the actor is being stopped, so that
// nobody is shown as present for ever; those that live on bring the agent back
// with their next heartbeat.
func (g *agent) failed(f Failed) {
	if f.Decision != Stop {
		return
	}
	was := g.state.Status()
	clear(g.connections)
	g.state = domain.PresenceState{LastSeen: g.state.LastSeen}
	g.show(was != domain.Offline)
}
