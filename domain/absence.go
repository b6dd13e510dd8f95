package domain

import "time"

// This file is the language between those who know who is here (sockets, agent
// actors) and those who store it: none of them imports another.

// AgentConnection is one connected socket of an agent.
type AgentConnection struct {
	ID           string // unique for ever
	Node         string // the run of the program that has the socket; unique for ever
	Organization OrganizationID
	Agent        UserID
	Login        SessionID // that the socket came with
	IP           string
	UserAgent    string // at most 512 bytes, valid UTF-8
}

// AgentSession is what is stored of a connection.
type AgentSession struct {
	AgentConnection
	// Status is the agent's presence as long as the connection lasts. Afterwards
	// it is OFFLINE, but for the agent's last connection: that one keeps what is
	// shown until the grace period is over.
	Status     Presence
	OpenedAt   time.Time
	LastSeenAt time.Time
	EndedAt    time.Time // zero: it lasts
}

// Absence is an agent who holds conversations and, by what is stored, has
// nobody to look after them: no connection is left, or the agent may not work.
type Absence struct {
	Organization OrganizationID
	Agent        UserID
	Suspended    bool      // may not work; the rest doesn't matter then
	Shown        Presence  // of the last connection; OFFLINE: the grace period was over
	LastSeenAt   time.Time // likewise
	LostAt       time.Time // when it ended
}

// Holding is an ASSIGNED conversation of an agent; Assignment is the
// conversation's own.
type Holding struct {
	Conversation ConversationID
	Assignment   int64
}

// AgentRelease asks to give back, each by ReleaseIf, what an agent holds.
type AgentRelease struct {
	Organization OrganizationID
	Agent        UserID
	// TakenBy spares what the agent took later, by REST alone: nothing that could
	// be lost held it. Zero: nothing is spared, nor is what was assigned by policy.
	TakenBy time.Time
	// Ended is connections, by their ids, that are known to be no more, whatever is
	// stored of them so far.
	Ended  []string
	Event  AuditType
	Reason string
}

// Why conversations are taken from an agent, as the audit trail says it.
const (
	ReasonGraceOver      = "grace_over"
	ReasonSessionRevoked = "session_revoked"
	ReasonSuspended      = "suspended"
)

// ReleaseFor is the release that a presence's effect asks for after event.
func ReleaseFor(event PresenceEvent, effect PresenceEffect) AgentRelease {
	switch event.(type) {
	case AgentSuspended:
		return AgentRelease{Event: AuditReleased, Reason: ReasonSuspended}
	case SessionsRevoked:
		return AgentRelease{TakenBy: effect.Release, Event: AuditAgentDisconnected, Reason: ReasonSessionRevoked}
	}
	return AgentRelease{TakenBy: effect.Release, Event: AuditAgentDisconnected, Reason: ReasonGraceOver}
}
