package persistence_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func newAgentSessions(t testing.TB, db *persistencetest.Database, node string) *persistence.AgentSessions {
	return persistence.NewAgentSessions(openReads(t, db), node, slog.New(slog.DiscardHandler))
}

func session(n *tenant, agent domain.UserID, id string) domain.AgentSession {
	return domain.AgentSession{
		AgentConnection: domain.AgentConnection{ID: id, Node: "node 1", Organization: n.org, Agent: agent, IP: "192.0.2.7", UserAgent: "Browser\x00 1.0"},
		Status:          domain.Online, OpenedAt: dawn, LastSeenAt: dawn,
	}
}

func ended(s domain.AgentSession, at time.Time) domain.AgentSession {
	s.EndedAt = at
	return s
}

func (n *tenant) eventually(want int, query string, args ...any) {
	n.t.Helper()
	require.Eventually(n.t, func() bool { return count(n.t, n.db, query, args...) == want }, 20*time.Second, 5*time.Millisecond, query)
}

func TestAgentSessionsAreStoredWithoutAnybodyWaiting(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "one")
	ada := n.agent("Ada")
	sessions := newAgentSessions(t, db, "node 1")
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- sessions.Run(ctx) }()

	s := session(n, ada, "c1")
	sessions.Opened(s)
	sessions.Opened(session(n, domain.UserID{9}, "of a user who is no more"))
	n.eventually(1, `SELECT count(*) FROM agent_sessions WHERE agent_id = $1 AND connection_id = 'c1' AND node_id = 'node 1'
		AND status = 'ONLINE' AND ip_address = '192.0.2.7' AND user_agent = 'Browser 1.0' AND created_at = $2 AND last_seen_at = $2
		AND ended_at IS NULL`, ada, dawn)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM agent_sessions`))
	s.Status = domain.Away
	sessions.Changed(s)
	n.eventually(1, `SELECT count(*) FROM agent_sessions WHERE status = 'AWAY'`)
	s.LastSeenAt = dawn.Add(time.Minute)
	sessions.Seen(s)
	for i := range 1200 { // more than a batch
		sessions.Opened(session(n, ada, fmt.Sprint("many ", i)))
		sessions.Changed(ended(session(n, ada, fmt.Sprint("many ", i)), dawn.Add(time.Second)))
	}
	stop()
	require.NoError(t, <-stopped)
	require.Equal(t, 1200, count(t, db, `SELECT count(*) FROM agent_sessions WHERE ended_at = $1`, dawn.Add(time.Second)), "what is left is stored at the end")
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM agent_sessions WHERE last_seen_at = $1`, dawn.Add(time.Minute)))
	require.Zero(t, count(t, db, `SELECT count(*) FROM nodes`), "and the node takes leave")
}

func TestAgentSessionsOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "one")
	ada := n.agent("Ada")
	n.exec(`ALTER TABLE agent_sessions RENAME TO elsewhere`)
	sessions := newAgentSessions(t, db, "node 1")
	running(t, sessions.Run)
	s := session(n, ada, "c1")
	sessions.Opened(s)
	n.eventually(1, `SELECT count(*) FROM nodes`)
	sessions.Changed(ended(s, dawn.Add(time.Hour)))
	n.exec(`ALTER TABLE elsewhere RENAME TO agent_sessions`)
	n.eventually(1, `SELECT count(*) FROM agent_sessions WHERE ended_at = $1`, dawn.Add(time.Hour))
}

func TestAbsentIsWhoHoldsConversationsAndIsntHere(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "one")
	sessions := newAgentSessions(t, db, "us")
	n.exec(`INSERT INTO nodes (id, seen_at) VALUES ('alive', now()), ('dead', now() - interval '1 minute')`)
	serial := 0
	// who has a session on the node that ended then (0: never) and a conversation taken at dawn.
	agent := func(name, node string, lost time.Duration) domain.UserID {
		serial++
		id := n.agent(name)
		conversation := n.conversation(number(serial), name, 0)
		n.assign(conversation, id)
		n.exec(`UPDATE users SET assigned_count = 1 WHERE id = $1`, id)
		if node != "" {
			n.exec(`INSERT INTO agent_sessions (agent_id, connection_id, node_id, status, last_seen_at, created_at, ended_at) VALUES ($1, $2, $3, 'AWAY', $4, $4, $5)`,
				id, name, node, dawn, orNull(map[bool]time.Time{true: dawn.Add(lost)}[lost != 0]))
		}
		return id
	}
	gone := agent("gone", "alive", time.Hour)
	twoTabs := agent("one of two tabs is left", "alive", time.Hour)
	n.exec(`INSERT INTO agent_sessions (agent_id, connection_id, node_id) VALUES ($1, 'second tab', 'alive')`, twoTabs)
	agent("here", "alive", 0)
	agent("here with us, who haven't said yet that we run", "us", 0)
	agent("by REST alone", "", 0)
	agent("by REST alone since", "alive", -time.Hour)
	auto := agent("given by policy since", "alive", -time.Hour)
	n.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, metadata)
		SELECT gen_random_uuid(), id, assignment_seq, 'REASSIGNED', '{"reason":"auto"}' FROM conversations WHERE assigned_agent_id = $1`, auto)
	orphan := agent("whose node died", "dead", 0)
	stranger := agent("whose node nobody knows", "never seen", 0)
	suspended := agent("suspended", "alive", 0)
	n.exec(`UPDATE users SET status = 'SUSPENDED' WHERE id = $1`, suspended)
	idle := n.agent("idle")
	n.exec(`INSERT INTO agent_sessions (agent_id, connection_id, node_id, ended_at) VALUES ($1, 'idle', 'alive', now())`, idle)

	found := map[domain.UserID]domain.Absence{}
	var after domain.UserID
	for {
		page, err := sessions.Absent(t.Context(), after)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, x := range page {
			require.Equal(t, n.org, x.Organization)
			found[x.Agent], after = x, x.Agent
		}
	}
	require.Equal(t, domain.Absence{Organization: n.org, Agent: gone, Shown: domain.Away, LastSeenAt: dawn, LostAt: dawn.Add(time.Hour)}, found[gone])
	require.Contains(t, found, auto)
	require.WithinDuration(t, time.Now().Add(-time.Minute), found[orphan].LostAt, 15*time.Second, "its sessions ended with it")
	require.Equal(t, dawn.Add(6*time.Second), found[stranger].LostAt)
	require.True(t, found[suspended].Suspended)
	require.Len(t, found, 5)
}
