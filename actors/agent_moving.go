package actors

import (
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// This file is what an agent's actor does because there are several nodes.

const (
	// unheardMax is after how long an open connection counts as gone that its node
	// doesn't announce any more: its end was lost on the way.
	unheardMax = 60 * time.Second
	// unreachedMax is the same of a connection whose node isn't reached.
	unreachedMax = announceEvery + 5*time.Second
)

// agentState is what an agent's actor takes along to another node.
type agentState struct {
	Organization domain.OrganizationID `cbor:"1,keyasint"`
	Sockets      []agentSocket         `cbor:"2,keyasint"`
	Last         domain.AgentSession   `cbor:"3,keyasint"`
	State        domain.PresenceState  `cbor:"4,keyasint"`
	Recorded     domain.Presence       `cbor:"5,keyasint"`
	Told         domain.Presence       `cbor:"6,keyasint"`
	ChosenAt     time.Time             `cbor:"7,keyasint,omitzero"`
	Version      int64                 `cbor:"8,keyasint"`
}

// Depart implements Mover. What is being released ends where it began.
func (g *agent) Depart() (any, bool) {
	if g.releasing > 0 {
		return nil, false
	}
	g.disarm()
	g.all.inGrace.CompareAndDelete(g.last.Login, g.id)
	if g.state.Status() == domain.Offline {
		return nil, true
	}
	s := agentState{
		Organization: g.organization, Last: g.last, State: g.state, Recorded: g.recorded, Told: g.told,
		ChosenAt: g.chosenAt, Version: g.version, Sockets: make([]agentSocket, 0, len(g.connections)),
	}
	for _, k := range g.connections {
		s.Sockets = append(s.Sockets, k)
	}
	return s, true
}

// Arrive implements Mover. Without a state, its node died with it: announcements
// bring the connections back, and the reconciler a grace period.
func (g *agent) Arrive(state any, self Self) {
	s, ok := state.(agentState)
	if !ok {
		return
	}
	g.organization, g.last, g.state = s.Organization, s.Last, s.State
	g.recorded, g.told, g.chosenAt, g.version = s.Recorded, s.Told, s.ChosenAt, s.Version
	for _, k := range s.Sockets {
		k.Heard = g.all.system.now()
		g.connections[k.ID] = k
	}
	g.grace()
	g.show()
	g.arm(self)
}

// announced makes good what was lost of a connection that is open.
func (g *agent) announced(m announced) {
	var since []domain.PresenceEvent
	if m.ChosenAt.After(g.chosenAt) {
		g.chosenAt = m.ChosenAt
		since = append(since, domain.PresenceSet{At: m.ChosenAt, Status: m.Chosen})
	}
	if !g.heard(m.AgentConnection) {
		s := domain.AgentSession{AgentConnection: m.AgentConnection, OpenedAt: m.OpenedAt, LastSeenAt: m.SeenAt}
		g.open(s, m.Home, append(since, domain.PresenceTick{At: g.all.system.now()})...)
		return
	}
	for _, e := range since {
		g.apply(e)
	}
	if m.SeenAt.After(g.state.LastSeen) {
		g.heartbeat(heartbeat{AgentConnection: m.AgentConnection, At: m.SeenAt, Home: m.Home})
	}
}

// review looks for connections that are no more, and tells the roster again.
func (g *agent) review() {
	g.lapse()
	g.enter(g.state.Status())
}

// lapse drops the connections that nobody announces any more. The rows of those
// whose node isn't reached stay: who reaches the database may have them for good.
func (g *agent) lapse() {
	now := g.all.system.now()
	for id, k := range g.connections {
		silent, reached := now.Sub(k.Heard), g.all.reaches(k.Home)
		if silent <= unreachedMax || reached && silent <= unheardMax {
			continue
		}
		delete(g.connections, id)
		k.EndedAt = now
		if len(g.connections) > 0 {
			k.Status = domain.Offline
		}
		g.end(k, domain.SocketClosed{At: now}, reached)
	}
}

// forsake drops, when by what is stored no connection is left, those whose node
// isn't reached: it is that node that died. The rows of the others are stored
// again; theirs couldn't say that it runs.
func (g *agent) forsake(m absent) {
	if m.Suspended {
		return
	}
	for id, k := range g.connections {
		if !g.all.reaches(k.Home) {
			delete(g.connections, id)
			k.EndedAt = m.LostAt
			g.end(k, domain.SocketClosed{At: m.since()}, false)
		}
	}
	g.record()
}

// since is when the grace period of an absent agent begins.
func (m absent) since() time.Time {
	if m.LostAt.Before(m.Accepted) {
		return m.Accepted
	}
	return m.LostAt
}

// missed is for a roster that hasn't heard of the agent for long, from nobody
// or from a node that hasn't got the actor any more.
func (g *agent) missed(m missed) {
	g.organization = m.Organization
	if g.state.Status() == domain.Offline {
		g.told = "" // it was another actor that told, and that one was lost
	}
	g.show()
}
