package actors

import (
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// agent is the actor of one connected agent. What matters of it is stored: when
// it is lost, by a crash or by panics, heartbeats bring back the connections
// that live, and the reconciler the grace period of those that don't.
type agent struct {
	all          *Agents
	id           domain.UserID
	entry        *Entry
	organization domain.OrganizationID // known from the first message on
	connections  map[string]agentSocket
	last         domain.AgentSession // whose end began the grace period; zero: none runs
	state        domain.PresenceState
	recorded     domain.Presence // in the sessions that are open
	told         domain.Presence // to colleagues; empty: nobody knows what they were told
	chosenAt     time.Time       // when the agent last said ONLINE or AWAY
	version      int64           // of the entry in the roster
	ended        []string        // the newest of the other nodes' connections that are no more
	releasing    int             // releases that haven't ended; colleagues are told of the end after them
	suspending   bool            // one of them is because the agent may not work
	deadline     *Timer          // nil: none
	leaving      bool            // Drain was asked for
}

// agentSocket is an open connection, as the agent's actor knows it.
type agentSocket struct {
	domain.AgentSession `cbor:"1,keyasint"`
	Home                string    `cbor:"2,keyasint,omitempty"` // the address of its node
	Heard               time.Time `cbor:"3,keyasint"`           // when that node last said anything of it
}

// endedMax is how many ended connections an agent's actor remembers, for a
// release that may come before their rows are stored. The oldest is forgotten.
const endedMax = 64

func newAgent(all *Agents, id domain.UserID, entry *Entry) *agent {
	return &agent{
		all: all, id: id, entry: entry, connections: make(map[string]agentSocket),
		recorded: domain.Offline, told: domain.Offline,
	}
}

// Receive implements Behavior.
func (g *agent) Receive(msg any, self Self) {
	switch m := msg.(type) {
	case connected:
		g.connect(m.AgentConnection, m.Home, m.At)
	case heartbeat:
		// Of a connection that we don't know if we had to be made anew.
		g.connect(m.AgentConnection, m.Home, m.At)
		g.heartbeat(m)
	case presenceSet:
		g.connect(m.AgentConnection, m.Home, m.At)
		g.chosenAt = m.At
		g.apply(domain.PresenceSet{At: m.At, Status: m.Status})
	case announced:
		g.announced(m)
	case disconnected:
		g.disconnect(m)
	case loginEnded:
		if g.last.Login == m.Login && len(g.connections) == 0 {
			g.apply(domain.SessionsRevoked{At: m.At})
		}
	case suspended:
		g.suspended(m)
	case absent:
		g.absent(m)
	case released:
		g.released()
	case missed:
		g.missed(m)
	case review:
		g.review()
	case presenceDue:
		g.apply(domain.PresenceTick{At: g.all.system.now()})
	case Failed:
		g.failed(m)
	case Drain:
		g.leaving = true
	}
	g.arm(self)
	if g.leaving || g.state.Status() == domain.Offline && g.releasing == 0 {
		g.all.directory.Passivate(g.id, g.entry)
	}
}

// connect makes a connection known that was opened at that time, or was then
// heard of.
func (g *agent) connect(c domain.AgentConnection, home string, at time.Time) {
	if !g.heard(c) {
		g.open(domain.AgentSession{AgentConnection: c, OpenedAt: at, LastSeenAt: at}, home)
	}
}

// heard notes that the connection lives, if it is known.
func (g *agent) heard(c domain.AgentConnection) bool {
	s, known := g.connections[c.ID]
	if known {
		s.Heard = g.all.system.now()
		g.connections[c.ID] = s
	}
	return known
}

// open has one connection more, and what has happened on it since.
func (g *agent) open(s domain.AgentSession, home string, since ...domain.PresenceEvent) {
	g.organization = s.Organization
	k := agentSocket{AgentSession: s, Home: home, Heard: g.all.system.now()}
	g.connections[s.ID] = k
	event := domain.SocketOpened{At: s.LastSeenAt}
	effect := g.decide(event)
	for _, e := range since {
		g.decide(e) // with a socket nothing is released
	}
	k.Status = g.state.Status()
	g.connections[s.ID] = k
	g.all.config.Sessions.Opened(k.AgentSession)
	g.follow(event, effect)
}

func (g *agent) heartbeat(m heartbeat) {
	s := g.connections[m.ID]
	s.LastSeenAt = m.At
	g.connections[m.ID] = s
	g.all.config.Sessions.Seen(s.AgentSession)
	g.apply(domain.Heartbeat{At: m.At})
}

// disconnect ends a connection. The row of the last one keeps what is shown, so
// that whoever comes after us knows that the grace period runs.
func (g *agent) disconnect(m disconnected) {
	s, known := g.connections[m.ID]
	delete(g.connections, m.ID)
	if !known {
		// We were made anew and no heartbeat has come: we don't know how many others
		// there are. The reconciler will, from the rows.
		s.AgentSession = domain.AgentSession{AgentConnection: m.AgentConnection, Status: domain.Online, OpenedAt: m.At, LastSeenAt: m.At}
	}
	s.EndedAt = m.At
	if len(g.connections) > 0 || m.Revoked {
		s.Status = domain.Offline
	}
	if !known {
		g.all.config.Sessions.Changed(s.AgentSession)
		return
	}
	var event domain.PresenceEvent = domain.SocketClosed{At: m.At}
	if m.Revoked {
		event = domain.SessionsRevoked{At: m.At, Left: len(g.connections)}
	}
	g.end(s, event, true)
}

// end does what the end of a connection means. Stored: its row ends with it.
func (g *agent) end(k agentSocket, event domain.PresenceEvent, stored bool) {
	effect := g.decide(event)
	if stored && k.Home != g.all.home() {
		g.ended = append(g.ended[max(len(g.ended)-endedMax+1, 0):], k.ID)
	}
	s := k.AgentSession
	if !stored {
		s = domain.AgentSession{EndedAt: k.EndedAt}
	}
	if !g.state.LostAt.IsZero() {
		g.last = s
	}
	if stored {
		g.all.config.Sessions.Changed(s)
	}
	g.follow(event, effect)
}

// suspended gives everything back, once, though every node hears of it.
func (g *agent) suspended(m suspended) {
	g.organization = m.Organization
	if g.suspending && len(g.connections) == 0 {
		return
	}
	clear(g.connections) // their sockets are being closed
	g.suspending = true
	g.apply(domain.AgentSuspended{At: m.At})
}

// absent is what the reconciler knows from the database, where we don't know
// better.
func (g *agent) absent(m absent) {
	g.organization = m.Organization
	g.forsake(m)
	switch {
	case g.releasing > 0:
	case m.Suspended:
		g.apply(domain.AgentSuspended{At: m.At})
	case g.state.Status() != domain.Offline:
	case m.Shown == domain.Offline: // the grace period was over, and the releases were not
		g.told = ""
		g.release(domain.ReleaseFor(domain.PresenceTick{}, domain.PresenceEffect{Release: m.LostAt}))
	default:
		g.told = ""
		g.state = domain.RecoveredPresence(m.Shown, m.LastSeenAt, m.since())
		g.last = domain.AgentSession{EndedAt: m.LostAt} // which row it was doesn't matter any more
		g.apply(domain.PresenceTick{At: m.At})
	}
}

// apply decides what event means and does it.
func (g *agent) apply(event domain.PresenceEvent) { g.follow(event, g.decide(event)) }

// decide changes nothing but the state. It comes before all that might panic,
// so that connections and state always agree.
func (g *agent) decide(event domain.PresenceEvent) (effect domain.PresenceEffect) {
	g.state, effect = domain.DecidePresence(g.state, event, g.all.config.Limits)
	return effect
}

func (g *agent) follow(event domain.PresenceEvent, effect domain.PresenceEffect) {
	if !effect.Release.IsZero() {
		g.release(domain.ReleaseFor(event, effect))
	}
	g.grace()
	g.show()
}

// release lets go of what the agent holds.
func (g *agent) release(r domain.AgentRelease) {
	r.Organization, r.Agent, r.Ended = g.organization, g.id, g.ended
	g.ended = nil
	if r.Reason == domain.ReasonGraceOver && !g.last.EndedAt.IsZero() {
		r.TakenBy = g.last.EndedAt // of a recovered one grace began later than that
	}
	g.releasing++
	system, pid := g.all.system, g.entry.pid
	g.all.config.Releases.Begin(r, func() { system.Tell(pid, released{}) })
}

func (g *agent) released() {
	if g.releasing--; g.releasing == 0 {
		g.suspending = false
		g.tell(domain.Offline)
		g.show()
	}
}

// grace keeps what the grace period needs as long as it runs.
func (g *agent) grace() {
	running, known := !g.state.LostAt.IsZero(), g.last.ID != ""
	switch {
	case running && known:
		g.all.inGrace.Store(g.last.Login, g.id)
	case known:
		g.all.inGrace.CompareAndDelete(g.last.Login, g.id)
		g.last.Status = domain.Offline
		g.all.config.Sessions.Changed(g.last)
	}
	if !running {
		g.last = domain.AgentSession{}
	}
}

// show writes the presence where it is looked up and tells whom it concerns if
// it has changed. Of an end colleagues hear when what the agent had is theirs
// to take, and of what has come meanwhile after that.
func (g *agent) show() {
	status := g.state.Status()
	g.enter(status)
	if status != g.recorded {
		g.recorded = status
		g.record()
	}
	if g.releasing == 0 {
		g.tell(status)
	}
}

// record has the rows of the open connections say what is so.
func (g *agent) record() {
	for id, s := range g.connections {
		s.Status = g.recorded
		g.connections[id] = s
		g.all.config.Sessions.Changed(s.AgentSession)
	}
}

// enter writes the presence into the roster.
func (g *agent) enter(status domain.Presence) {
	// While something is taken from the agent nothing is given: the one might hit the other.
	here := g.state.Sockets > 0 && g.releasing == 0
	g.version = max(g.version+1, g.all.system.now().UnixNano())
	g.all.rosters.put(g.organization, entry{Presence: g.presence(status), Here: here, Node: g.all.home(), Version: g.version})
}

func (g *agent) presence(status domain.Presence) domain.AgentPresence {
	return domain.AgentPresence{Agent: g.id, Status: status, LastSeenAt: domain.Timestamp(g.state.LastSeen)}
}

// tell tells the organization, unless it knows.
func (g *agent) tell(status domain.Presence) {
	if status == g.told {
		return
	}
	g.told = status
	g.all.config.Publisher.Publish(g.organization, []domain.Notice{{
		Name: domain.EventAgentPresence, Rooms: []domain.Room{domain.OrgRoom(g.organization)}, Payload: g.presence(status),
	}})
}

// arm sets the timer to the next deadline of the state.
func (g *agent) arm(self Self) {
	g.disarm()
	at := g.state.Deadline(g.all.config.Limits)
	if at.IsZero() || g.leaving {
		return
	}
	system, pid := g.all.system, self.PID
	g.deadline = g.all.config.Wheel.Schedule(at, func() { system.Tell(pid, presenceDue{}) })
}

func (g *agent) disarm() {
	if g.deadline != nil {
		g.deadline.Stop()
		g.deadline = nil
	}
}

// failed forgets the connections when the actor is being stopped, so that
// nobody is shown as present for ever; those that live on bring the agent back
// with their next heartbeat, and the reconciler a grace period that ran.
func (g *agent) failed(f Failed) {
	if f.Decision != Stop {
		return
	}
	clear(g.connections)
	g.state, g.releasing, g.suspending = domain.PresenceState{LastSeen: g.state.LastSeen}, 0, false
	g.all.inGrace.CompareAndDelete(g.last.Login, g.id)
	g.show()
}
