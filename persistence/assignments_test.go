package persistence_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestHeldIsWhatTheReleaseMeans(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n, other := newTenant(t, db, "one"), newTenant(t, db, "two")
	ada, bob := n.agent("Ada"), n.agent("Bob")
	assignments := persistence.NewAssignments(openReads(t, db), "us")
	take := func(i int, agent domain.UserID, at time.Time, seq int64) domain.Holding {
		id := n.conversation(number(i), "Dana", 0)
		n.assign(id, agent)
		n.exec(`UPDATE conversations SET assigned_at = $2, assignment_seq = $3 WHERE id = $1`, id, at, seq)
		return domain.Holding{Conversation: id, Assignment: seq}
	}
	before, later, auto := take(1, ada, dawn, 3), take(2, ada, dawn.Add(time.Hour), 4), take(3, ada, dawn.Add(time.Hour), 5)
	n.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, metadata) VALUES ($1, $2, 5, 'REASSIGNED', '{"reason":"auto"}')`,
		uuid.New(), auto.Conversation)
	completed := take(4, ada, dawn, 6)
	n.exec(`UPDATE conversations SET status = 'COMPLETED' WHERE id = $1`, completed.Conversation)
	take(5, bob, dawn, 7)

	held := func(r domain.AgentRelease) []domain.Holding {
		var all []domain.Holding
		var after domain.ConversationID
		for {
			page, err := assignments.Held(t.Context(), r, after)
			require.NoError(t, err)
			if len(page) == 0 {
				return all
			}
			all, after = append(all, page...), page[len(page)-1].Conversation
		}
	}
	require.ElementsMatch(t, []domain.Holding{before, auto}, held(domain.AgentRelease{Organization: n.org, Agent: ada, TakenBy: dawn.Add(time.Minute)}))
	require.ElementsMatch(t, []domain.Holding{before, later, auto}, held(domain.AgentRelease{Organization: n.org, Agent: ada}))
	require.Empty(t, held(domain.AgentRelease{Organization: other.org, Agent: ada}), "another organization's")

	n.exec(`INSERT INTO nodes (id, seen_at) VALUES ('us', now()), ('dead', now() - interval '1 minute'), ('alive', now())`)
	at := func(node string) []domain.Holding {
		n.exec(`INSERT INTO agent_sessions (agent_id, connection_id, node_id) VALUES ($1, $2, $2)`, ada, node)
		return held(domain.AgentRelease{Organization: n.org, Agent: ada, TakenBy: dawn.Add(2 * time.Hour)})
	}
	require.Len(t, at("us"), 3, "we know what we have")
	require.Len(t, at("dead"), 3)
	require.Empty(t, at("alive"), "the agent is there")
	require.Len(t, held(domain.AgentRelease{
		Organization: n.org, Agent: ada, TakenBy: dawn.Add(2 * time.Hour), Ended: []string{"alive", "other"},
	}), 3, "but that has ended, and isn't stored yet")
	require.Len(t, held(domain.AgentRelease{Organization: n.org, Agent: ada}), 3, "which doesn't help who is suspended")
}

func TestSeatsAreWhoMayBeGivenConversations(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n, other := newTenant(t, db, "one"), newTenant(t, db, "two")
	ada, bob, chief, gone, eve := n.agent("Ada"), n.agent("Bob"), n.agent("Chief"), n.agent("Gone"), other.agent("Eve")
	n.exec(`UPDATE users SET assigned_count = 2, max_conversations = 5 WHERE id = $1`, bob)
	n.exec(`UPDATE users SET role = 'ADMIN' WHERE id = $1`, chief)
	n.exec(`UPDATE users SET status = 'SUSPENDED' WHERE id = $1`, gone)
	seats, err := persistence.NewAssignments(openReads(t, db), "us").Seats(t.Context(), n.org, []domain.UserID{ada, bob, chief, gone, eve})
	require.NoError(t, err)
	user := func(id domain.UserID, name string, limit int) domain.User {
		return domain.User{ID: id, Organization: n.org, Name: name, Role: domain.RoleAgent, Status: domain.UserActive, MaxConversations: limit}
	}
	require.Equal(t, []domain.Seat{{Agent: user(ada, "Ada", 0)}, {Agent: user(bob, "Bob", 5), Assigned: 2}}, seats)
}

func TestWaitingIsReadInPagesOldestFirst(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n, other := newTenant(t, db, "one"), newTenant(t, db, "two")
	assignments := persistence.NewAssignments(openReads(t, db), "us")
	other.exec(`UPDATE channels SET assignment_policy = 'AUTO' WHERE id = $1`, other.channel)
	wait := func(n *tenant, i int, since time.Time) domain.ConversationID {
		id := n.conversation(number(i), "Dana", 0)
		n.exec(`UPDATE conversations SET pending_since = $2 WHERE id = $1`, id, since)
		return id
	}
	var want []domain.ConversationID
	for i := range 450 {
		want = append(want, wait(n, i, dawn.Add(time.Duration(i)*time.Second)))
	}
	wait(other, 1000, dawn)
	read := func() (all []domain.Waiting, pages int) {
		var last domain.Waiting
		for {
			page, err := assignments.Waiting(t.Context(), n.org, last)
			require.NoError(t, err)
			if len(page) == 0 {
				return all, pages
			}
			all, last, pages = append(all, page...), page[len(page)-1], pages+1
		}
	}
	none, _ := read()
	require.Empty(t, none, "its channel is manual")
	organizations, err := assignments.WaitingOrganizations(t.Context())
	require.NoError(t, err)
	require.Equal(t, []domain.OrganizationID{other.org}, organizations)

	n.exec(`UPDATE channels SET assignment_policy = 'AUTO' WHERE id = $1`, n.channel)
	agent := n.agent("Ada")
	now := time.Now().Truncate(time.Microsecond)
	n.exec(`UPDATE conversations SET pending_since = $2 WHERE id = $1`, want[0], now)
	n.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, metadata, created_at)
		VALUES ($1, $2, 1, 'RELEASED', jsonb_build_object('previousAgentId', $3::text), $4)`, uuid.New(), want[0], agent.String(), now)
	want = append(want[1:], want[0])
	all, pages := read()
	require.Equal(t, 3, pages)
	require.Len(t, all, len(want))
	for i, w := range all {
		require.Equal(t, want[i], w.Conversation)
	}
	require.Equal(t, domain.Waiting{Conversation: want[449], Since: now.UTC(), GivenBackBy: agent}, all[449])
	require.True(t, all[0].GivenBackBy.IsZero())
}
