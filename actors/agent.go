package actors

import "github.com/chatopshub/chatopshub/domain"

// agent is the actor of one connected agent. What matters of it is stored: when
// it is lost, by a crash or by panics, heartbeats bring back the connections
// that live, and the reconciler the grace period of those that don't.
type agent struct {
	all          *Agents
	id           domain.UserID
	entry        *Entry
	organization domain.OrganizationID // known from the first message on
	connections  map[string]domain.AgentSession
	last         domain.AgentSession // whose end began the grace period; zero: none runs
	state        domain.PresenceState
	recorded     domain.Presence // in the sessions that are open
	told         domain.Presence // to colleagues; empty: nobody knows what they were told
	available    bool
	releasing    int    // releases that haven't ended; colleagues are told of the end after them
	deadline     *Timer // nil: none
	leaving      bool   // Drain was asked for
}

func newAgent(all *Agents, id domain.UserID, entry *Entry) *agent {
	return &agent{
		all: all, id: id, entry: entry, connections: make(map[string]domain.AgentSession),
		recorded: domain.Offline, told: domain.Offline,
	}
}

// Receive implements Behavior.
func (g *agent) Receive(msg any, self Self) {
	switch m := msg.(type) {
	case connected:
		g.connect(m.AgentConnection, domain.SocketOpened{At: m.At})
	case heartbeat:
		// Of a connection that we don't know if we had to be made anew.
		g.connect(m.AgentConnection, domain.SocketOpened{At: m.At})
		g.heartbeat(m)
	case presenceSet:
		g.connect(m.AgentConnection, domain.SocketOpened{At: m.At})
		g.apply(domain.PresenceSet{At: m.At, Status: m.Status})
	case disconnected:
		g.disconnect(m)
	case loginEnded:
		if g.last.Login == m.Login && len(g.connections) == 0 {
			g.apply(domain.SessionsRevoked{At: m.At})
		}
	case suspended:
		g.organization = m.Organization
		clear(g.connections) // their sockets are being closed
		g.apply(domain.AgentSuspended{At: m.At})
	case absent:
		g.absent(m)
	case released:
		g.released()
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

func (g *agent) connect(c domain.AgentConnection, event domain.SocketOpened) {
	if _, ok := g.connections[c.ID]; ok {
		return
	}
	g.organization = c.Organization
	s := domain.AgentSession{AgentConnection: c, OpenedAt: event.At, LastSeenAt: event.At}
	g.connections[c.ID] = s
	effect := g.decide(event)
	s.Status = g.state.Status()
	g.connections[c.ID] = s
	g.all.config.Sessions.Opened(s)
	g.follow(event, effect)
}

func (g *agent) heartbeat(m heartbeat) {
	s := g.connections[m.ID]
	s.LastSeenAt = m.At
	g.connections[m.ID] = s
	g.all.config.Sessions.Seen(s)
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
		s = domain.AgentSession{AgentConnection: m.AgentConnection, Status: domain.Online, OpenedAt: m.At, LastSeenAt: m.At}
	}
	s.EndedAt = m.At
	if len(g.connections) > 0 || m.Revoked {
		s.Status = domain.Offline
	}
	if !known {
		g.all.config.Sessions.Changed(s)
		return
	}
	var event domain.PresenceEvent = domain.SocketClosed{At: m.At}
	if m.Revoked {
		event = domain.SessionsRevoked{At: m.At, Left: len(g.connections)}
	}
	effect := g.decide(event)
	if !g.state.LostAt.IsZero() {
		g.last = s
	}
	g.all.config.Sessions.Changed(s)
	g.follow(event, effect)
}

// absent is what the reconciler knows from the database, where we don't know
// better.
func (g *agent) absent(m absent) {
	g.organization = m.Organization
	switch {
	case g.releasing > 0:
	case m.Suspended:
		g.apply(domain.AgentSuspended{At: m.At})
	case g.state.Status() != domain.Offline:
	case m.Shown == domain.Offline: // the grace period was over, and the releases were not
		g.told = ""
		g.release(domain.ReleaseFor(domain.PresenceTick{}, domain.PresenceEffect{Release: m.LostAt}))
	default:
		lost := m.LostAt
		if lost.Before(m.Accepted) {
			lost = m.Accepted
		}
		g.told = ""
		g.state = domain.RecoveredPresence(m.Shown, m.LastSeenAt, lost)
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
	r.Organization, r.Agent = g.organization, g.id
	if r.Reason == domain.ReasonGraceOver && !g.last.EndedAt.IsZero() {
		r.TakenBy = g.last.EndedAt // of a recovered one grace began later than that
	}
	g.releasing++
	system, pid := g.all.system, g.entry.pid
	g.all.config.Releases.Begin(r, func() { system.Tell(pid, released{}) })
}

func (g *agent) released() {
	if g.releasing--; g.releasing == 0 {
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
	// While something is taken from the agent nothing is given: the one might hit the other.
	status, here := g.state.Status(), g.state.Sockets > 0 && g.releasing == 0
	g.all.presences.put(g.organization, g.presence(status), here)
	if status != g.recorded {
		g.recorded = status
		for id, s := range g.connections {
			s.Status = status
			g.connections[id] = s
			g.all.config.Sessions.Changed(s)
		}
	}
	if g.releasing == 0 {
		g.tell(status)
	}
	was := g.available
	g.available = here && status == domain.Online
	if g.available && !was {
		g.all.config.Available(g.organization)
	}
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
// with their next heartbeat, and the reconciler a grace period that ran.
func (g *agent) failed(f Failed) {
	if f.Decision != Stop {
		return
	}
	clear(g.connections)
	g.state, g.releasing = domain.PresenceState{LastSeen: g.state.LastSeen}, 0
	g.all.inGrace.CompareAndDelete(g.last.Login, g.id)
	g.show()
}
