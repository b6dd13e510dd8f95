package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/jobs"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/rest"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// agentDesk is what stands behind the sockets: it brings what clients do there
// to the actors.
type agentDesk struct {
	node          string
	agents        *actors.Agents
	feeds         *actors.Feeds
	conversations rest.Conversations
	errands       *jobs.Errands
	logger        *slog.Logger
}

// connection is a socket as the agents' actors know it.
func (d *agentDesk) connection(c socket.Connection) domain.AgentConnection {
	agent := domain.AgentConnection{
		ID: c.ID, Node: d.node, Organization: c.Principal.Organization, Agent: c.Principal.User, Login: c.Principal.Session, UserAgent: c.UserAgent,
	}
	if c.RemoteAddr.IsValid() {
		agent.IP = c.RemoteAddr.String()
	}
	return agent
}

// Connected implements socket.Application. An agent whose actor had no room is
// shown as present with the next heartbeat.
func (d *agentDesk) Connected(ctx context.Context, c socket.Connection) {
	if err := d.agents.Connected(d.connection(c)); err != nil {
		d.logger.WarnContext(ctx, "an agent's connection isn't shown yet", "agent", c.Principal.User, "error", err)
	}
}

// Disconnected implements socket.Application.
func (d *agentDesk) Disconnected(_ context.Context, c socket.Connection, reason socket.Reason) {
	d.agents.Disconnected(d.connection(c), reason == socket.ReasonRevoked)
}

// Heartbeat implements socket.Application.
func (d *agentDesk) Heartbeat(_ context.Context, c socket.Connection) {
	d.agents.Heartbeat(d.connection(c))
}

// SetPresence implements socket.Application.
func (d *agentDesk) SetPresence(_ context.Context, c socket.Connection, presence domain.Presence) error {
	return d.agents.SetPresence(d.connection(c), presence)
}

// MayJoin implements socket.Application: whoever belongs to the organization
// may watch its conversations.
func (d *agentDesk) MayJoin(ctx context.Context, p auth.Principal, id domain.ConversationID) error {
	_, err := d.see(ctx, p, id)
	return err
}

// see is the conversation, if the agent may see it.
func (d *agentDesk) see(ctx context.Context, p auth.Principal, id domain.ConversationID) (domain.ConversationView, error) {
	view, err := d.conversations.Get(ctx, p.Organization, id)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return view, socket.ErrNotFound
	case err != nil:
		return view, fmt.Errorf("look up the conversation: %w", err)
	}
	return view, nil
}

// Typing implements socket.Application. Everybody's is shown in the room; the
// holder's to the customer, too.
func (d *agentDesk) Typing(ctx context.Context, p auth.Principal, id domain.ConversationID, on bool) error {
	view, err := d.see(ctx, p, id)
	if err != nil {
		return err
	}
	d.feeds.Publish(p.Organization, []domain.Notice{{
		Name: domain.EventTyping, Rooms: []domain.Room{domain.ConversationRoom(id)},
		Payload: domain.Typing{Conversation: id, Agent: p.User, On: on},
	}})
	d.typing(view, p.User, on)
	return nil
}
