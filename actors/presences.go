package actors

import (
	"sync"

	"github.com/chatopshub/chatopshub/domain"
)

// presences is the table that agents write and everybody reads. Who isn't in it
// is OFFLINE. The zero value is empty.
type presences struct {
	mu   sync.RWMutex
	orgs map[domain.OrganizationID]map[domain.UserID]present
}

// present is an agent that isn't OFFLINE.
type present struct {
	domain.AgentPresence
	here bool // has a socket, and nothing is being taken from it
}

// put replaces what is known of an agent.
func (t *presences) put(organization domain.OrganizationID, p domain.AgentPresence, here bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Status == domain.Offline {
		t.remove(organization, p.Agent)
		return
	}
	if t.orgs == nil {
		t.orgs = make(map[domain.OrganizationID]map[domain.UserID]present)
	}
	if t.orgs[organization] == nil {
		t.orgs[organization] = make(map[domain.UserID]present)
	}
	t.orgs[organization][p.Agent] = present{p, here}
}

func (t *presences) remove(organization domain.OrganizationID, agent domain.UserID) {
	agents := t.orgs[organization]
	delete(agents, agent)
	if len(agents) == 0 {
		delete(t.orgs, organization)
	}
}

func (t *presences) snapshot(organization domain.OrganizationID) map[domain.UserID]domain.AgentPresence {
	t.mu.RLock()
	defer t.mu.RUnlock()
	agents := make(map[domain.UserID]domain.AgentPresence, len(t.orgs[organization]))
	for id, p := range t.orgs[organization] {
		agents[id] = p.AgentPresence
	}
	return agents
}

// available is who can take a conversation now.
func (t *presences) available(organization domain.OrganizationID) []domain.UserID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var agents []domain.UserID
	for id, p := range t.orgs[organization] {
		if p.here && p.Status == domain.Online {
			agents = append(agents, id)
		}
	}
	return agents
}
