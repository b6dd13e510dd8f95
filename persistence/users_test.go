package persistence_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestUsersByEmailAreOfAllOrganizationsWhateverTheCase(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newTenant(t, database, "a"), newTenant(t, database, "b")
	one, two := a.agent("Ada"), b.agent("ada")
	a.agent("Alan")
	b.exec(`UPDATE users SET status = 'SUSPENDED', max_conversations = 2 WHERE id = $1`, two)
	users := persistence.NewUsers(openReads(t, database))

	found, err := users.ByEmail(t.Context(), "ADA@Example.com")
	require.NoError(t, err)
	require.Equal(t, []domain.LoginUser{
		{
			User:             domain.User{ID: one, Organization: a.org, Email: "Ada@example.com", Name: "Ada", Role: domain.RoleAgent, Status: domain.UserActive},
			OrganizationSlug: "a", PasswordHash: "hash of Ada",
		},
		{
			User: domain.User{ID: two, Organization: b.org, Email: "ada@example.com", Name: "ada", Role: domain.RoleAgent,
				Status: domain.UserSuspended, MaxConversations: 2},
			OrganizationSlug: "b", PasswordHash: "hash of ada",
		},
	}, found)
	for _, nobody := range []string{"", "%", "ada@example.com\x00", "\xff", "' OR true --"} {
		found, err := users.ByEmail(t.Context(), nobody)
		require.NoError(t, err)
		require.Empty(t, found)
	}
}

func TestUsersByEmailAreBounded(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	for _, slug := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		newTenant(t, database, slug).agent("Ada")
	}
	found, err := persistence.NewUsers(openReads(t, database)).ByEmail(t.Context(), "ada@example.com")
	require.NoError(t, err)
	require.Len(t, found, 8)
	require.Equal(t, "a", found[0].OrganizationSlug, "the oldest first")
}

func TestAgentsAreTheActiveUsersByName(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	grace, ada, gone := n.agent("Grace"), n.agent("Ada"), n.agent("Edsger")
	n.exec(`UPDATE users SET status = 'INACTIVE' WHERE id = $1`, gone)
	n.exec(`UPDATE users SET assigned_count = 2, max_conversations = 5, avatar_url = 'https://a.example/1' WHERE id = $1`, ada)
	n.exec(`INSERT INTO agent_sessions (agent_id, connection_id, node_id, last_seen_at, created_at)
		VALUES ($1, 'old', 'node', $2, $2), ($1, 'new', 'node', $3, $3)`, ada, dawn, dawn.Add(time.Hour))
	agents, err := persistence.NewUsers(openReads(t, database)).Agents(t.Context(), n.org)
	require.NoError(t, err)
	avatar, limit := "https://a.example/1", 5
	require.Equal(t, []domain.AgentView{
		{ID: ada, Name: "Ada", AvatarURL: &avatar, AssignedCount: 2, MaxConversations: &limit, LastSeenAt: domain.Timestamp(dawn.Add(time.Hour))},
		{ID: grace, Name: "Grace"},
	}, agents)
}
