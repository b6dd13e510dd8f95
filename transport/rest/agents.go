package rest

import (
	"context"
	"fmt"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

type agentsOutput struct{ Body agentsBody }

type agentsBody struct {
	Data []domain.AgentView `json:"data"`
}

// listAgents joins who there is, from the storage, with who is there, from the
// memory of the node that knows.
func (s *server) listAgents(ctx context.Context, _ *struct{}) (*agentsOutput, error) {
	org := callerOf(ctx).Organization
	rows, err := s.Users.Agents(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	present, err := s.Presences.Snapshot(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	agents := append([]domain.AgentView{}, rows...)
	for i := range agents {
		agents[i].Presence = domain.Offline
		if p, ok := present[agents[i].ID]; ok {
			agents[i].Presence = p.Status
			if !time.Time(p.LastSeenAt).IsZero() {
				agents[i].LastSeenAt = p.LastSeenAt
			}
		}
	}
	return &agentsOutput{Body: agentsBody{Data: agents}}, nil
}
