package actors

import (
	"maps"
	"sync"

	"github.com/chatopshub/chatopshub/domain"
)

// presences is the table that agents write and everybody reads. Who isn't in it
// is OFFLINE. The zero value is empty.
type presences struct {
	mu   sync.RWMutex
	orgs map[domain.OrganizationID]map[domain.UserID]domain.AgentPresence
}

// put replaces what is known of an agent.
func (t *presences) put(organization domain.OrganizationID, p domain.AgentPresence) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Status == domain.Offline {
		t.remove(organization, p.Agent)
		return
	}
	if t.orgs == nil {
		t.orgs = make(map[domain.OrganizationID]map[domain.UserID]domain.AgentPresence)
	}
	if t.orgs[organization] == nil {
		t.orgs[organization] = make(map[domain.UserID]domain.AgentPresence)
	}
	t.orgs[organization][p.Agent] = p
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
	return maps.Clone(t.orgs[organization])
}
