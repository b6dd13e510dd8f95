package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// automatic is a shift whose channel assigns by policy, with an admin who
// watches and gets nothing.
func automatic(t testing.TB, environ ...string) (*shift, *program, *socketClient) {
	t.Helper()
	s, p := started(t, environ...)
	s.policy("AUTO")
	require.Eventually(t, func() bool { return p.store.registry.Automatic(s.org) }, 10*time.Second, time.Millisecond)
	admin := s.agent("chief", domain.RoleAdmin)
	awaitAgent(t, p, s.tenantRows, admin)
	return s, p, dialSocket(t, p, admin.token)
}

func (s *shift) policy(policy string) {
	s.exec(`UPDATE channels SET assignment_policy = $2::assignment_policy WHERE id = $1`, s.channel, policy)
}

func (s *shift) limit(a testAgent, limit int) {
	s.exec(`UPDATE users SET max_conversations = $2 WHERE id = $1`, a.id, limit)
}

// awaitHolds waits until the agent has that many conversations, for less time
// than it takes until somebody looks for what was overlooked.
func (s *shift) awaitHolds(a testAgent, want int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.holds(a) == want }, 4*time.Second, 2*time.Millisecond,
		"%s doesn't get %d conversations at once", a.name, want)
}

func (s *shift) waiting() int {
	s.t.Helper()
	return s.count(`SELECT count(*) FROM conversations WHERE status = 'PENDING'`)
}

// TestAssignmentByPolicyIsImmediate walks through everything that may make an
// assignment possible.
func TestAssignmentByPolicyIsImmediate(t *testing.T) {
	t.Parallel()
	s, p, watcher := automatic(t, "AGENT_GRACE_PERIOD=200ms")
	s.limit(s.ada, 2)
	s.limit(s.bob, 2)

	first := s.writes()
	second := s.writes()
	require.Equal(t, 2, s.waiting(), "nobody is there but an admin")
	ada := dialSocket(t, p, s.ada.token) // somebody comes online
	s.awaitHolds(s.ada, 2)
	third, fourth := s.writes(), s.writes()
	require.Equal(t, 2, s.waiting(), "the limit")
	s.does(s.ada, "complete", first) // somebody becomes free
	s.awaitHolds(s.ada, 2)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM conversations WHERE id = $1 AND status = 'ASSIGNED'`, third), "the oldest")
	s.limit(s.ada, 3) // the limit changes
	s.awaitHolds(s.ada, 3)
	require.Zero(t, s.waiting())

	s.does(s.ada, "release", fourth) // not to her again, as long as there is nobody else
	<-time.After(time.Second)
	require.Equal(t, 2, s.holds(s.ada))
	dialSocket(t, p, s.bob.token)
	s.awaitHolds(s.bob, 1)
	s.writes() // a conversation comes: to the one with the fewest
	s.awaitHolds(s.bob, 2)
	s.does(s.bob, "reopen", first) // one is reopened
	s.awaitHolds(s.ada, 3)

	s.limit(s.bob, 9)
	ada.hangUp() // her grace is over: all three go on
	s.awaitHolds(s.bob, 5)
	require.Zero(t, s.waiting())
	require.Equal(t, 1, s.count(`SELECT count(*) FROM conversations WHERE id = $1 AND assigned_agent_id = $2`, second, s.bob.id))
	s.policy("MANUAL")
	require.Eventually(t, func() bool { return !p.store.registry.Automatic(s.org) }, 10*time.Second, time.Millisecond)
	s.writes()
	<-time.After(300 * time.Millisecond)
	require.Equal(t, 1, s.waiting())
	s.policy("AUTO") // the policy changes
	s.awaitHolds(s.bob, 6)

	require.NotZero(t, s.count(`SELECT count(*) FROM conversation_events WHERE event_type = 'REASSIGNED' AND actor_id IS NULL AND metadata->>'reason' = 'auto'`))
	s.checkTrail()
	for _, e := range watcher.await(t, "assignment.changed", 1)[:1] {
		require.Equal(t, "REASSIGNED", e.payload["eventType"])
		require.Equal(t, s.ada.id.String(), e.payload["assignedAgentId"])
	}
}

// TestAssignmentByPolicyNeverExceedsCapacity lets customers, agents, logins and
// limits do what they like at the same time. No limit is ever exceeded, and
// when all is quiet nothing waits while somebody has room.
func TestAssignmentByPolicyNeverExceedsCapacity(t *testing.T) {
	t.Parallel()
	s, p, _ := automatic(t, "AGENT_GRACE_PERIOD=100ms")
	s.exec(`CREATE FUNCTION never_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.assigned_count > OLD.assigned_count AND NEW.assigned_count > NEW.max_conversations THEN RAISE EXCEPTION 'over capacity'; END IF;
		RETURN NEW; END $$`)
	s.exec(`CREATE TRIGGER never_over BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION never_over()`)
	agents := []testAgent{s.ada, s.bob, s.agent("cleo", domain.RoleAgent), s.agent("dan", domain.RoleAgent)}
	for i, a := range agents {
		s.limit(a, 1+i)
		awaitAgent(t, p, s.tenantRows, a)
	}
	sockets := map[domain.UserID]*socketClient{}
	var known []domain.ConversationID
	for range 300 {
		a := agents[rand.IntN(len(agents))]
		switch what := rand.IntN(10); {
		case what < 4 || len(known) == 0:
			known = append(known, s.writes())
		case what < 7:
			command := []string{"accept", "release", "complete", "reopen"}[rand.IntN(4)]
			got := call(s.client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/%s", s.url, known[rand.IntN(len(known))], command), a.token, nil)
			require.Contains(t, []int{http.StatusOK, http.StatusForbidden, http.StatusConflict}, got.status, bodyText(got))
		case what < 9:
			if tab := sockets[a.id]; tab != nil {
				tab.hangUp()
				delete(sockets, a.id)
			} else {
				sockets[a.id] = dialSocket(t, p, a.token)
			}
		default:
			s.limit(a, 1+rand.IntN(6))
		}
	}
	if len(sockets) == 0 {
		sockets[s.ada.id] = dialSocket(t, p, s.ada.token)
	}
	// What somebody gave back less than a minute ago may wait for that one.
	const overlooked = `SELECT count(*) FROM conversations c, users u WHERE c.status = 'PENDING' AND u.id = ANY ($1)
		AND u.assigned_count < u.max_conversations AND NOT EXISTS (SELECT FROM conversation_events e WHERE e.conversation_id = c.id
			AND e.event_type = 'RELEASED' AND e.created_at = c.pending_since AND e.metadata->>'previousAgentId' = u.id::text)`
	var here []string
	for id := range sockets {
		here = append(here, id.String())
	}
	require.Eventually(t, func() bool { return s.count(overlooked, here) == 0 }, 10*time.Second, 5*time.Millisecond)
	require.NotZero(t, s.count(`SELECT count(*) FROM conversation_events WHERE metadata->>'reason' = 'auto'`))
	s.checkTrail()
}
