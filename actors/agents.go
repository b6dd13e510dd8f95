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
	// Available is told, on the node that owns the organization, when one of its
	// agents becomes able to take conversations: ONLINE, with a socket. It must
	// not block.
	Available func(domain.OrganizationID)
	Limits    domain.PresenceLimits
	// Directory bounds the agents. An IdleTTL isn't needed: an agent leaves
	// when it is OFFLINE.
	Directory DirectoryConfig
}

// Agents has one actor per connected agent, which owns the agent's connections,
// tells colleagues of its presence, and gives its conversations back when it
// is gone for good. The rules are domain.DecidePresence.
//
// Of several nodes one has the actor, the owner of the user's id, and any the
// sockets: see announcer for what makes good what gets lost between them. Who is
// present stands in a table at the owner of the organization: see rosters.
type Agents struct {
	directory *Directory[domain.UserID]
	system    *System
	config    AgentConfig
	rosters   *rosters
	announcer *announcer // nil: the node is alone

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
	place(a.directory, placing[domain.UserID]{})
	a.rosters = newRosters(a)
	if s.router != nil {
		a.announcer = newAnnouncer(a)
	}
	return a
}

// home is where this node's sockets are; empty: the node is alone.
func (a *Agents) home() string {
	if a.system.router == nil {
		return ""
	}
	return a.system.router.self()
}

// reaches reports whether the node at home is there, as far as the connection to
// it tells.
func (a *Agents) reaches(home string) bool {
	return home == a.home() || a.system.router.remote.Reaches(home)
}

// Connected says that the agent has a new connection, of an id that no other
// has. It returns domain.ErrOverloaded or domain.ErrUnavailable when the agent
// can't be known; the next heartbeat makes up for it, or announcement.
// Disconnected follows, exactly once.
func (a *Agents) Connected(c domain.AgentConnection) error {
	now := a.system.now()
	a.announcer.opened(c, now)
	return a.directory.Tell(c.Agent, connected{c, now, a.home()})
}

// Heartbeat says that the agent's client gave a sign of life.
func (a *Agents) Heartbeat(c domain.AgentConnection) {
	now := a.system.now()
	a.announcer.seen(c, now)
	// A lost one is made good by the next.
	_ = a.directory.Tell(c.Agent, heartbeat{c, now, a.home()})
}

// SetPresence is the agent's own word, ONLINE or AWAY, for all connections. It
// returns domain.ErrOverloaded or domain.ErrUnavailable when it wasn't heard.
func (a *Agents) SetPresence(c domain.AgentConnection, p domain.Presence) error {
	now := a.system.now()
	err := a.directory.Tell(c.Agent, presenceSet{c, now, p, a.home()})
	if err == nil {
		a.announcer.chosen(c, p, now)
	}
	return err
}

// Disconnected says that the connection is no more; revoked, that its login has
// ended and the agent isn't expected back with it.
func (a *Agents) Disconnected(c domain.AgentConnection, revoked bool) {
	a.announcer.closed(c)
	// What is refused, when closed or on the way to another node, is noticed there
	// when the connection isn't announced any more.
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
// OFFLINE, as the node that owns the organization knows it. That node may be
// asked, and one that has only just become the owner answers when it has heard of
// all: domain.ErrUnavailable or domain.ErrOverloaded when the answer can't be had
// in 5 seconds, or before ctx ends.
func (a *Agents) Snapshot(ctx context.Context, organization domain.OrganizationID) (map[domain.UserID]domain.AgentPresence, error) {
	return a.rosters.snapshot(ctx, organization)
}

// Available is the agents of the organization that are ONLINE with a socket:
// who is in the grace period is shown as before and isn't given anything, nor is
// who has just come back too late until the releases are done. It asks nobody: on
// a node that doesn't own the organization nobody is available.
func (a *Agents) Available(organization domain.OrganizationID) []domain.UserID {
	return a.rosters.available(organization)
}

// Close forgets all agents without telling anybody: their clients come back to
// another node, or to us after the restart.
func (a *Agents) Close(ctx context.Context) error {
	a.announcer.stop()
	return a.directory.Close(ctx)
}

// What agents are told. Home is the address of the node that has the socket;
// empty: that node is alone.
type (
	connected struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time `cbor:"2,keyasint"`
		Home                   string    `cbor:"4,keyasint,omitempty"`
	}
	heartbeat struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time `cbor:"2,keyasint"`
		Home                   string    `cbor:"4,keyasint,omitempty"`
	}
	presenceSet struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time       `cbor:"2,keyasint"`
		Status                 domain.Presence `cbor:"3,keyasint"`
		Home                   string          `cbor:"4,keyasint,omitempty"`
	}
	disconnected struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		At                     time.Time `cbor:"2,keyasint"`
		Revoked                bool      `cbor:"3,keyasint"`
	}
	// announced says again what its node knows of a socket that is open.
	announced struct {
		domain.AgentConnection `cbor:"1,keyasint"`
		OpenedAt               time.Time       `cbor:"2,keyasint"`
		Home                   string          `cbor:"4,keyasint"`
		SeenAt                 time.Time       `cbor:"5,keyasint"`           // the client's last sign of life
		Chosen                 domain.Presence `cbor:"6,keyasint,omitempty"` // the agent's own word there, and when
		ChosenAt               time.Time       `cbor:"7,keyasint,omitzero"`
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
	// missed asks for the agent's entry in the roster, of which nothing was heard.
	missed struct {
		Organization domain.OrganizationID `cbor:"1,keyasint"`
	}
	// review asks for what has to be done from time to time, and when something
	// may have got lost.
	review      struct{}
	released    struct{}
	presenceDue struct{}
)
