package actors

import (
	"context"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// SessionLog keeps what is known of agents' connections, for the figures and
// for whoever comes after us. Nothing waits for it, and it never blocks.
type SessionLog interface {
	// Opened records a connection that is new.
	Opened(s domain.AgentSession)
	// Changed records what is different about it.
	Changed(s domain.AgentSession)
	// Seen records a sign of life.
	Seen(s domain.AgentSession)
}

// Releaser takes conversations from an agent and calls done, elsewhere, when
// they are somebody else's to take. Releases is it.
type Releaser interface {
	Begin(r domain.AgentRelease, done func())
}

// AgentConfig is what the actors of connected agents need.
type AgentConfig struct {
	Publisher Publisher
	Wheel     *Wheel
	Sessions  SessionLog
	Releases  Releaser
	// Available is told when one of the organization's agents becomes able to
	// take conversations: ONLINE, with a socket. It must not block.
	Available func(domain.OrganizationID)
	Limits    domain.PresenceLimits
	// Directory bounds the agents. An IdleTTL isn't needed: an agent leaves
	// when it is OFFLINE.
	Directory DirectoryConfig
}

// Agents has one actor per connected agent, which owns the agent's connections,
// tells colleagues of its presence, and gives its conversations back when it
// is gone for good. The rules are domain.DecidePresence.
type Agents struct {
	directory *Directory[domain.UserID]
	system    *System
	config    AgentConfig
	presences presences

	// inGrace is whose grace period a login's last connection has begun: who logs
	// out then is gone at once. The key is a domain.SessionID, the value a
	// domain.UserID.
	inGrace sync.Map
}

// NewAgents makes the directory of agents. Close it.
func NewAgents(s *System, cfg AgentConfig) *Agents {
	a := &Agents{system: s, config: cfg}
	a.directory = NewDirectory(s, "agent", func(id domain.UserID, entry *Entry) Behavior {
		return newAgent(a, id, entry)
	}, cfg.Directory)
	return a
}

// Connected says that the agent has a new connection, of an id that no other
// has. It returns domain.ErrOverloaded or domain.ErrUnavailable when the agent
// can't be known; the next heartbeat makes up for it. Disconnected follows,
// exactly once.
func (a *Agents) Connected(c domain.AgentConnection) error {
	return a.directory.Tell(c.Agent, connected{c, a.system.now()})
}

// Heartbeat says that the agent's client gave a sign of life.
func (a *Agents) Heartbeat(c domain.AgentConnection) {
	// A lost one is made good by the next.
	_ = a.directory.Tell(c.Agent, heartbeat{c, a.system.now()})
}

// SetPresence is the agent's own word, ONLINE or AWAY, for all connections. It
// returns domain.ErrOverloaded or domain.ErrUnavailable when it wasn't heard.
func (a *Agents) SetPresence(c domain.AgentConnection, p domain.Presence) error {
	return a.directory.Tell(c.Agent, presenceSet{c, a.system.now(), p})
}

// Disconnected says that the connection is no more; revoked, that its login has
// ended and the agent isn't expected back with it.
func (a *Agents) Disconnected(c domain.AgentConnection, revoked bool) {
	// Refused only when closed.
	_ = a.directory.insist(c.Agent, disconnected{c, a.system.now(), revoked})
}

// CloseSession says that a login has ended before its time. Its sockets are
// closed by their server, which says so by Disconnected; here it matters for an
// agent whose last socket was gone already.
func (a *Agents) CloseSession(_ domain.OrganizationID, login domain.SessionID) {
	if user, ok := a.inGrace.Load(login); ok {
		// Refused only when closed.
		_ = a.directory.insist(user.(domain.UserID), loginEnded{login, a.system.now()})
	}
}

// CloseAgent says that the agent may not work any more: everything it holds is
// given back, whatever sockets there were.
func (a *Agents) CloseAgent(organization domain.OrganizationID, user domain.UserID) {
	// What is refused the reconciler finds.
	_ = a.directory.Tell(user, suspended{organization, a.system.now()})
}

// Snapshot is the presence of all agents of the organization that are not
// OFFLINE. It asks nobody.
func (a *Agents) Snapshot(organization domain.OrganizationID) map[domain.UserID]domain.AgentPresence {
	return a.presences.snapshot(organization)
}

// Available is the agents of the organization that are ONLINE with a socket:
// who is in the grace period is shown as before and isn't given anything, nor is
// who has just come back too late until the releases are done. It asks nobody.
func (a *Agents) Available(organization domain.OrganizationID) []domain.UserID {
	return a.presences.available(organization)
}

// Close forgets all agents without telling anybody: their clients come back to
// another node, or to us after the restart.
func (a *Agents) Close(ctx context.Context) error { return a.directory.Close(ctx) }

// What agents are told.
type (
	connected struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time `cbor:"2,keyasint"`
	}
	heartbeat struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time `cbor:"2,keyasint"`
	}
	presenceSet struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time       `cbor:"2,keyasint"`
		Status                 domain.Presence `cbor:"3,keyasint"`
	}
	disconnected struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time `cbor:"2,keyasint"`
		Revoked                bool      `cbor:"3,keyasint"`
	}
	loginEnded struct {
		Login domain.SessionID `cbor:"1,keyasint"`
		At    time.Time        `cbor:"2,keyasint"`
	}
	suspended struct {
		Organization domain.OrganizationID `cbor:"1,keyasint"`
		At           time.Time             `cbor:"2,keyasint"`
	}
	absent struct {
		domain.Absence `cbor:"1,keyasint"`
		Accepted       time.Time `cbor:"2,keyasint"` // when sockets were accepted again
		At             time.Time `cbor:"3,keyasint"`
	}
	released    struct{}
	presenceDue struct{}
)
