package main

import (
	"context"
	"crypto/rand"
	"os"
	"time"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// openFeeds has what conversations tell: the feeds, and the assigners, who
// listen on the way there.
func (p *program) openFeeds(context.Context) error {
	a := p.actors
	a.fanout = &lateFanout{}
	a.feeds = actors.NewFeeds(a.system, actors.FeedConfig{
		Fanout: a.fanout, Epoch: rand.Text, History: domain.FeedLimits{Age: p.cfg.Socket.RecoveryWindow},
		Directory: actors.DirectoryConfig{IdleTTL: max(p.cfg.Socket.RecoveryWindow, 10*time.Minute)},
	})
	p.onClose("feeds", a.feeds.Close)
	a.assigners = actors.NewAssigners(a.system, actors.AssignerConfig{
		Queue: p.store.assignments, Wheel: a.wheel, Logger: p.logger.With("part", "assigners"),
		Automatic: p.store.registry.Automatic,
		// Nobody looks before there are agents.
		Commands:  lateCommands{a},
		Available: func(id domain.OrganizationID) []domain.UserID { return a.agents.Available(id) },
	})
	p.onClose("assigners", a.assigners.Close)
	return nil
}

// lateCommands breaks the circle of conversations and assigners: those tell
// what there is to assign, and these ask them to.
type lateCommands struct{ to *actorSystem }

func (l lateCommands) Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error {
	return l.to.inbox.Do(ctx, id, cmd)
}

// openAgents has the agents' actors and what takes conversations from those who
// are gone.
func (p *program) openAgents(context.Context) error {
	a := p.actors
	a.releases = actors.NewReleases(p.store.assignments, a.inbox, p.logger.With("part", "releases"))
	p.keep("releases", a.releases.Run)
	a.agents = actors.NewAgents(a.system, actors.AgentConfig{
		Publisher: a.feeds, Wheel: a.wheel, Sessions: p.store.agentSessions, Releases: a.releases, Available: a.assigners.Look,
		Limits: domain.PresenceLimits{Heartbeat: heartbeatTimeout, Grace: p.cfg.Inbox.AgentGracePeriod},
	})
	p.onClose("agents", a.agents.Close)
	return nil
}

// openReconciliation begins to look for what was forgotten. Sockets are
// accepted by now: grace periods that outlived the program begin here.
func (p *program) openReconciliation(context.Context) error {
	a, logger := p.actors, p.logger.With("part", "reconciler")
	p.keep("reconciler", a.assigners.Run, func(ctx context.Context) error {
		return a.agents.Reconcile(ctx, p.store.agentSessions, logger)
	})
	p.store.registry.OnChange(a.assigners.Look)
	return nil
}

// nodeName names this run of the program: the machine, for people, and what no
// other run has.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/" + rand.Text()
}

// ends tells both of those whom the end of a login or of a user's work concerns.
type ends struct {
	sockets *socket.Server
	agents  *actors.Agents
}

// CloseSession implements persistence.Sockets.
func (e ends) CloseSession(organization domain.OrganizationID, session domain.SessionID) {
	e.sockets.CloseSession(organization, session)
	e.agents.CloseSession(organization, session)
}

// CloseAgent implements persistence.Sockets.
func (e ends) CloseAgent(organization domain.OrganizationID, agent domain.UserID) {
	e.sockets.CloseAgent(organization, agent)
	e.agents.CloseAgent(organization, agent)
}
