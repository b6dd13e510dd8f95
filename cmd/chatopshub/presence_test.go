package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// shift is a running server with an agent who works, a colleague who watches,
// and customers.
type shift struct {
	*tenantRows
	url       string
	client    *http.Client
	ada, bob  testAgent
	customers int
}

func newShift(t testing.TB, db *persistencetest.Database, slug, account string) *shift {
	n := newTenantRows(t, db, slug, account)
	return &shift{tenantRows: n, client: testClient(t), ada: n.agent("ada", domain.RoleAgent), bob: n.agent("bob", domain.RoleAgent)}
}

// started is the shift on a server in this process.
func started(t testing.TB, environ ...string) (*shift, *program) {
	t.Helper()
	s := newShift(t, persistencetest.New(t), "shift", "6001")
	p := runProgram(t, s.db, environ...)
	s.url = p.url()
	return s, p
}

// writes lets a new customer write.
func (s *shift) writes() domain.ConversationID {
	s.t.Helper()
	s.customers++
	number := fmt.Sprint(4915200000000 + s.customers)
	deliver(s.t, s.client, s.url, webhooktest.WhatsAppText(
		s.account, webhooktest.Customer{Name: "Dana", Number: number}, "wamid."+number, "hello", time.Now()))
	return s.conversationOf(number)
}

// does asks for a command on a conversation.
func (s *shift) does(a testAgent, command string, id domain.ConversationID) {
	s.t.Helper()
	got := call(s.client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/%s", s.url, id, command), a.token, nil)
	require.Equal(s.t, http.StatusOK, got.status, bodyText(got))
}

// takes lets an agent accept conversations of new customers.
func (s *shift) takes(a testAgent, count int) []domain.ConversationID {
	s.t.Helper()
	taken := make([]domain.ConversationID, count)
	for i := range taken {
		taken[i] = s.writes()
		s.does(a, "accept", taken[i])
	}
	return taken
}

func (s *shift) holds(a testAgent) int {
	s.t.Helper()
	return s.count(`SELECT count(*) FROM conversations WHERE assigned_agent_id = $1 AND status = 'ASSIGNED'`, a.id)
}

// presences is what the watcher was told of the agent, in order.
func presences(watcher *socketClient, of testAgent) []string {
	var shown []string
	for _, e := range watcher.named("agent.presence") {
		if e.payload["agentId"] == of.id.String() {
			shown = append(shown, e.payload["status"].(string))
		}
	}
	return shown
}

func awaitPresence(t testing.TB, watcher *socketClient, of testAgent, want ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(presences(watcher, of)) >= len(want) }, time.Minute, 2*time.Millisecond)
	require.Equal(t, want, presences(watcher, of))
}

// hangUp closes a client's connection, as a lost network would.
func (c *socketClient) hangUp() {
	_ = c.conn.NetConn().Close() // the server may have closed it already
	<-c.closed
}

// releasedOnce requires that each conversation was released exactly once
// because its agent was gone, and nothing else happened to it.
func (s *shift) releasedOnce(ids []domain.ConversationID) {
	s.t.Helper()
	for _, id := range ids {
		require.Equal(s.t, 1, s.count(`SELECT count(*) FROM conversation_events WHERE conversation_id = $1 AND event_type = 'AGENT_DISCONNECTED'
			AND actor_id IS NULL AND metadata->>'previousAgentId' = $2`, id, s.ada.id.String()))
		require.Equal(s.t, 1, s.count(`SELECT count(*) FROM conversations WHERE id = $1 AND status = 'PENDING'`, id))
	}
	require.Equal(s.t, len(ids), s.count(`SELECT count(*) FROM conversation_events WHERE event_type = 'AGENT_DISCONNECTED'`))
	s.checkTrail()
}

func TestGraceOverReleasesEachConversationOnce(t *testing.T) {
	t.Parallel()
	s, p := started(t, "AGENT_GRACE_PERIOD=300ms")
	watcher := dialSocket(t, p, s.bob.token)
	tab := dialSocket(t, p, s.ada.token)
	taken := s.takes(s.ada, 5)
	completed := taken[4]
	s.does(s.ada, "complete", completed)
	theirs := s.takes(s.bob, 1)[0]
	awaitPresence(t, watcher, s.ada, "ONLINE")
	tab.hangUp()
	awaitPresence(t, watcher, s.ada, "ONLINE", "OFFLINE")

	s.releasedOnce(taken[:4])
	require.Equal(t, 1, s.holds(s.bob), "a colleague's stay")
	require.Equal(t, 1, s.count(`SELECT count(*) FROM conversations WHERE id = $1 AND status = 'COMPLETED'`, completed))
	require.Equal(t, 1, s.count(`SELECT count(*) FROM conversations WHERE id = $1 AND status = 'ASSIGNED'`, theirs))
	s.toldInOrder(watcher, taken[:4])
	require.Eventually(t, func() bool {
		return s.count(`SELECT count(*) FROM agent_sessions WHERE agent_id = $1 AND status = 'OFFLINE' AND ended_at IS NOT NULL
			AND ip_address = '127.0.0.1' AND created_at <= ended_at`, s.ada.id) == 1
	}, 10*time.Second, 5*time.Millisecond)
}

// toldInOrder: of each conversation assignment.changed and then
// conversation.updated, and of the agent's end after all of them.
func (s *shift) toldInOrder(watcher *socketClient, released []domain.ConversationID) {
	s.t.Helper()
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	step := map[string]int{}
	ended := false
	for _, e := range watcher.events {
		switch {
		case e.name == "assignment.changed" && e.payload["eventType"] == "AGENT_DISCONNECTED":
			require.False(s.t, ended, "OFFLINE came before a release")
			require.Equal(s.t, s.ada.id.String(), e.payload["previousAgentId"])
			require.Nil(s.t, e.payload["assignedAgentId"])
			step[e.payload["conversationId"].(string)]++
		case e.name == "conversation.updated" && e.payload["status"] == "PENDING" && step[fmt.Sprint(e.payload["id"])] == 1:
			require.False(s.t, ended, "OFFLINE came before conversation.updated")
			step[e.payload["id"].(string)]++
		case e.name == "agent.presence" && e.payload["status"] == "OFFLINE":
			ended = true
		}
	}
	for _, id := range released {
		require.Equal(s.t, 2, step[id.String()])
	}
	require.Len(s.t, step, len(released))
}

func TestBackWithinGraceOnAnotherTab(t *testing.T) {
	t.Parallel()
	s, p := started(t, "AGENT_GRACE_PERIOD=2s")
	watcher := dialSocket(t, p, s.bob.token)
	tab := dialSocket(t, p, s.ada.token)
	s.takes(s.ada, 3)
	tab.hangUp()
	<-time.After(time.Second)
	another := testAgent{id: s.ada.id, token: s.token(s.ada.id, domain.RoleAgent)} // another login
	dialSocket(t, p, another.token)
	<-time.After(2 * time.Second)
	require.Equal(t, 3, s.holds(s.ada))
	require.Equal(t, []string{"ONLINE"}, presences(watcher, s.ada))
	require.Zero(t, s.count(`SELECT count(*) FROM conversation_events WHERE event_type = 'AGENT_DISCONNECTED'`))
}

func TestBackWithinGraceAtAnotherNode(t *testing.T) {
	t.Parallel()
	const grace = "AGENT_GRACE_PERIOD=1s"
	s, p := started(t, grace)
	other := runProgram(t, s.db, grace)
	tab := dialSocket(t, p, s.ada.token)
	taken := s.takes(s.ada, 3)
	tab.hangUp()
	there := dialSocket(t, other, s.ada.token)
	<-time.After(7 * time.Second) // grace is over at the first node, and both reconcilers have looked
	require.Equal(t, 3, s.holds(s.ada))
	there.hangUp()
	require.Eventually(t, func() bool { return s.holds(s.ada) == 0 }, 16*time.Second, 5*time.Millisecond)
	s.releasedOnce(taken)
}

func TestFlappingReleasesNothing(t *testing.T) {
	t.Parallel()
	s, p := started(t, "AGENT_GRACE_PERIOD=2s")
	watcher := dialSocket(t, p, s.bob.token)
	tab := dialSocket(t, p, s.ada.token)
	taken := s.takes(s.ada, 3)
	for range 100 {
		tab.hangUp()
		tab = dialSocket(t, p, s.ada.token)
	}
	require.Equal(t, 3, s.holds(s.ada))
	require.Equal(t, []string{"ONLINE"}, presences(watcher, s.ada))
	tab.hangUp()
	awaitPresence(t, watcher, s.ada, "ONLINE", "OFFLINE")
	s.releasedOnce(taken)
	require.Eventually(t, func() bool {
		return s.count(`SELECT count(*) FROM agent_sessions WHERE agent_id = $1 AND ended_at IS NOT NULL`, s.ada.id) == 101
	}, 10*time.Second, 5*time.Millisecond)
}

// Goal: a grace period that ends while the database is away ends when it is
// back, and its releases are done then.
func TestGraceOverWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	s := newShift(t, server.New(t), "away", "6004")
	p := runProgram(t, s.db, "AGENT_GRACE_PERIOD=500ms")
	s.url = p.url()
	watcher := dialSocket(t, p, s.bob.token)
	tab := dialSocket(t, p, s.ada.token)
	taken := s.takes(s.ada, 3)
	server.Stop()
	tab.hangUp()
	require.Eventually(t, func() bool {
		present, err := p.actors.agents.Snapshot(t.Context(), s.org)
		return err == nil && present[s.ada.id].Status == ""
	}, 10*time.Second, time.Millisecond)
	<-time.After(3 * time.Second)
	require.Equal(t, []string{"ONLINE"}, presences(watcher, s.ada), "told when it is true")
	server.Start()
	awaitPresence(t, watcher, s.ada, "ONLINE", "OFFLINE")
	s.releasedOnce(taken)
	s.toldInOrder(watcher, taken)
}

func TestWhoWorksByRESTAloneHasNoGrace(t *testing.T) {
	t.Parallel()
	s, p := started(t, "AGENT_GRACE_PERIOD=100ms")
	watcher := dialSocket(t, p, s.bob.token)
	dialSocket(t, p, s.ada.token).hangUp()
	awaitPresence(t, watcher, s.ada, "ONLINE", "OFFLINE")
	s.takes(s.ada, 2)
	<-time.After(6 * time.Second) // the reconciler has looked
	require.Equal(t, 2, s.holds(s.ada))
}

func TestRevocationAndSuspensionReleaseAtOnce(t *testing.T) {
	t.Parallel()
	s, p := started(t, "AGENT_GRACE_PERIOD=10m")
	watcher := dialSocket(t, p, s.bob.token)
	end := func() {
		got := call(s.client, http.MethodPost, s.url+"/api/auth/logout", s.ada.token, map[string]string{"refreshToken": "x"})
		require.Equal(t, http.StatusOK, got.status, bodyText(got))
	}
	login := func() {
		session := domain.SessionID(entropy())
		s.exec(`INSERT INTO sessions (id, user_id, refresh_hash, family, expires_at) VALUES ($1, $2, $3, $1, now() + interval '1 day')`,
			session, s.ada.id, session[:])
		s.ada.token = s.tokenOf(s.ada.id, session, domain.RoleAgent)
	}
	login()
	dialSocket(t, p, s.ada.token)
	taken := s.takes(s.ada, 2)
	end()
	awaitPresence(t, watcher, s.ada, "ONLINE", "OFFLINE")
	s.releasedOnce(taken)

	login()
	tab := dialSocket(t, p, s.ada.token)
	for _, id := range taken {
		s.does(s.ada, "accept", id)
	}
	tab.hangUp()
	require.Eventually(t, func() bool { return len(p.actors.agents.Available(s.org)) == 1 }, 10*time.Second, time.Millisecond, "bob alone")
	end() // while grace runs
	awaitPresence(t, watcher, s.ada, "ONLINE", "OFFLINE", "ONLINE", "OFFLINE")
	require.Zero(t, s.holds(s.ada))

	login()
	for _, id := range taken { // by REST alone
		s.does(s.ada, "accept", id)
	}
	s.exec(`UPDATE users SET status = 'SUSPENDED' WHERE id = $1`, s.ada.id)
	require.Eventually(t, func() bool { return s.holds(s.ada) == 0 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, 2, s.count(`SELECT count(*) FROM conversation_events WHERE event_type = 'RELEASED' AND actor_id IS NULL
		AND metadata->>'reason' = 'suspended'`))
	s.checkTrail()
}

// TestGraceOutlivesACrash kills the program while the grace period runs, and
// with sockets open. After the restart each conversation is released exactly
// once, not before the grace period from then is over and not 15 s after it.
func TestGraceOutlivesACrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		open bool
	}{{"during grace", false}, {"with the socket open", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const grace = 4 * time.Second
			db := persistencetest.New(t)
			s := newShift(t, db, "crash", "6002")
			first := startProcess(t, "DATABASE_URL="+db.URL, "AGENT_GRACE_PERIOD="+grace.String())
			s.url = first.url
			tab := dialSocketAt(t, first.url, s.ada.token)
			taken := s.takes(s.ada, 5)
			sessions := `SELECT count(*) FROM agent_sessions WHERE agent_id = $1 AND (ended_at IS NULL) = $2`
			require.Eventually(t, func() bool { return s.count(sessions, s.ada.id, true) == 1 }, 10*time.Second, time.Millisecond)
			if !c.open {
				tab.hangUp()
				require.Eventually(t, func() bool { return s.count(sessions, s.ada.id, false) == 1 }, 10*time.Second, time.Millisecond)
			}
			first.kill()
			require.Equal(t, 5, s.holds(s.ada))
			second := startProcess(t, "DATABASE_URL="+db.URL, "AGENT_GRACE_PERIOD="+grace.String())
			accepted := time.Now()
			watcher := dialSocketAt(t, second.url, s.bob.token)
			require.Eventually(t, func() bool { return s.holds(s.ada) == 0 }, grace+30*time.Second, 10*time.Millisecond)
			took := time.Since(accepted)
			require.Less(t, took, grace+15*time.Second)
			// The process accepted sockets a moment before we saw that.
			require.Greater(t, took, grace-time.Second, "the agent had no time to come back")
			t.Logf("released %v after sockets were accepted again", took)
			require.Eventually(t, func() bool {
				shown := presences(watcher, s.ada)
				return len(shown) > 0 && shown[len(shown)-1] == "OFFLINE"
			}, 10*time.Second, 5*time.Millisecond)
			s.releasedOnce(taken)
			require.Zero(t, s.count(sessions, s.ada.id, true), "what the crash left open has ended")
		})
	}
}

func TestBackAfterACrashKeepsEverything(t *testing.T) {
	t.Parallel()
	const grace = 3 * time.Second
	db := persistencetest.New(t)
	s := newShift(t, db, "return", "6003")
	first := startProcess(t, "DATABASE_URL="+db.URL, "AGENT_GRACE_PERIOD="+grace.String())
	s.url = first.url
	dialSocketAt(t, first.url, s.ada.token)
	s.takes(s.ada, 3)
	first.kill()
	second := startProcess(t, "DATABASE_URL="+db.URL, "AGENT_GRACE_PERIOD="+grace.String())
	dialSocketAt(t, second.url, s.ada.token)
	<-time.After(grace + 12*time.Second) // the former run counts as dead, and the reconciler has looked
	require.Equal(t, 3, s.holds(s.ada))
}
