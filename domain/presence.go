package domain

import "time"

// Presence is how present an agent is to colleagues.
type Presence string

// The presences of an agent.
const (
	Online  Presence = "ONLINE"
	Away    Presence = "AWAY"
	Offline Presence = "OFFLINE"
)

// PresenceLimits are the times that presence goes by.
type PresenceLimits struct {
	Heartbeat time.Duration // without a heartbeat from any socket for this long, the agent shows AWAY
	Grace     time.Duration // how long after the last socket the conversations stay
}

// PresenceState is what is known of an agent's connections. What colleagues
// see follows from it (Status), so the two can't disagree. The zero value is an
// agent who is OFFLINE.
type PresenceState struct {
	Sockets    int       // open ones, on all nodes
	ManualAway bool      // the agent said so, for all tabs
	AutoAway   bool      // no socket gave a heartbeat in time
	LastSeen   time.Time // the newest sign of life
	LostAt     time.Time // when the last socket went and grace began; zero: not in grace
}

// Status is what colleagues see.
func (s PresenceState) Status() Presence {
	switch {
	case s.Sockets == 0 && s.LostAt.IsZero():
		return Offline
	case s.ManualAway || s.AutoAway:
		return Away
	}
	return Online
}

// Deadline is when a PresenceTick is due; zero: never.
func (s PresenceState) Deadline(limits PresenceLimits) time.Time {
	switch {
	case !s.LostAt.IsZero():
		return s.LostAt.Add(limits.Grace)
	case s.Status() == Online:
		return s.LastSeen.Add(limits.Heartbeat)
	}
	return time.Time{}
}

// RecoveredPresence is the state of an agent whose sessions outlived the node
// that knew of them: shown as before, in grace from when sockets are accepted
// again.
func RecoveredPresence(shown Presence, lastSeen, acceptedAgain time.Time) PresenceState {
	if shown == Offline {
		return PresenceState{LastSeen: lastSeen}
	}
	// Whether the agent or the clock said AWAY is forgotten; a heartbeat may end it.
	return PresenceState{AutoAway: shown == Away, LastSeen: lastSeen, LostAt: acceptedAgain}
}

// PresenceEvent is something that may change an agent's presence. The concrete
// types are listed in this file.
type PresenceEvent interface{ when() time.Time }

// The events of presence. At is when it happened.
type (
	// SocketOpened adds a socket.
	SocketOpened struct{ At time.Time }
	// SocketClosed takes one away.
	SocketClosed struct{ At time.Time }
	// PresenceSet is the agent's own word, ONLINE or AWAY.
	PresenceSet struct {
		At     time.Time
		Status Presence
	}
	// Heartbeat is a sign of life of any socket.
	Heartbeat struct{ At time.Time }
	// PresenceTick says that time has passed.
	PresenceTick struct{ At time.Time }
	// SessionsRevoked says that logins of the agent were ended, and their
	// sockets with them. Left is how many others stay open.
	SessionsRevoked struct {
		At   time.Time
		Left int
	}
	// AgentSuspended says that the agent may not work any more: nothing of the
	// agent's stays, whatever sockets there were.
	AgentSuspended struct{ At time.Time }
)

func (e SocketOpened) when() time.Time    { return e.At }
func (e SocketClosed) when() time.Time    { return e.At }
func (e PresenceSet) when() time.Time     { return e.At }
func (e Heartbeat) when() time.Time       { return e.At }
func (e PresenceTick) when() time.Time    { return e.At }
func (e SessionsRevoked) when() time.Time { return e.At }
func (e AgentSuspended) when() time.Time  { return e.At }

// PresenceEffect is what an event means to others.
type PresenceEffect struct {
	Changed bool // colleagues see another status than before
	// Release asks to give back, each by ReleaseIf, the conversations that the
	// agent took at this time or before. Later ones were taken without any
	// socket (by REST alone): nothing that could be lost held them. Zero: none.
	Release time.Time
}

// DecidePresence applies an event: the table "Presence" of docs/rules.md. A
// grace that is over has ended before whatever comes after it, however late
// the tick: what happens doesn't depend on timers being punctual.
func DecidePresence(s PresenceState, event PresenceEvent, limits PresenceLimits) (PresenceState, PresenceEffect) {
	before, effect := s.Status(), PresenceEffect{}
	at := event.when()
	if !s.LostAt.IsZero() && !at.Before(s.LostAt.Add(limits.Grace)) {
		effect.Release = s.LostAt
		s = s.gone()
	}
	switch e := event.(type) {
	case SocketOpened:
		s.Sockets++
		s.LostAt = time.Time{}
		s.seen(at)
	case SocketClosed:
		if s.Sockets == 1 {
			s.LostAt = at
		}
		s.Sockets = max(s.Sockets-1, 0)
	case PresenceSet:
		if s.Status() != Offline {
			s.ManualAway, s.AutoAway = e.Status == Away, false
			s.seen(at)
		}
	case Heartbeat:
		if s.Sockets > 0 {
			s.AutoAway = false
			s.seen(at)
		}
	case PresenceTick:
		late := !at.Before(s.LastSeen.Add(limits.Heartbeat))
		s.AutoAway = s.AutoAway || late && s.Sockets > 0 && !s.ManualAway
	case SessionsRevoked:
		if e.Left > 0 {
			s.Sockets = min(s.Sockets, e.Left)
		} else if s.Status() != Offline {
			effect.Release = at
			s = s.gone()
		}
	case AgentSuspended:
		effect.Release = at
		s = s.gone()
	}
	effect.Changed = s.Status() != before
	return s, effect
}

// gone is the state once grace is over: only when the agent was last seen stays.
func (s PresenceState) gone() PresenceState { return PresenceState{LastSeen: s.LastSeen} }

func (s *PresenceState) seen(at time.Time) {
	if at.After(s.LastSeen) {
		s.LastSeen = at
	}
}
