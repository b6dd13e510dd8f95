package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// TestNothingAcknowledgedIsLostByACrash drives webhooks and accepts against the
// real program and kills it at random moments. After each restart, every
// message that was answered 200 is there exactly once, every accept that was
// answered 200 holds, the audit trails are linear and nothing is half done.
func TestNothingAcknowledgedIsLostByACrash(t *testing.T) {
	t.Parallel()
	const rounds = 20
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "crash", "1001")
	var agents []testAgent
	for i := range 8 {
		agents = append(agents, n.agent(fmt.Sprint("agent", i), domain.RoleAgent))
	}
	acked := &ledger{holders: map[domain.ConversationID]testAgent{}}
	for round := range rounds {
		s := startProcess(t, "DATABASE_URL="+db.URL)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for worker := range 16 {
			running.Go(func() { acked.drive(ctx, t, s, n, agents, round, worker) })
		}
		awaitProgress(t, acked)
		afterRandom(150 * time.Millisecond)
		s.kill()
		stop()
		running.Wait()
		acked.check(t, n)
	}
	t.Logf("%d messages and %d accepts were acknowledged over %d crashes", len(acked.messages), len(acked.holders), rounds)
}

// ledger is what the server has answered with 200.
type ledger struct {
	mu       sync.Mutex
	messages []string
	holders  map[domain.ConversationID]testAgent
	progress int
}

// drive writes and accepts until ctx ends.
func (l *ledger) drive(ctx context.Context, t *testing.T, s *serverProcess, n *tenantRows, agents []testAgent, round, worker int) {
	client := testClient(t)
	for i := 0; ctx.Err() == nil; i++ {
		number := fmt.Sprint(4900000000 + rand.IntN(400))
		id := fmt.Sprintf("wamid.%d.%d.%d", round, worker, i)
		body := webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "N", Number: number}, id, "hello", time.Now())
		if postWebhook(client, s.url, "whatsapp", testAppSecret, body) == http.StatusOK {
			l.message(id)
		}
		if i%3 != 0 {
			continue
		}
		agent, conversation := agents[rand.IntN(len(agents))], n.conversationOf(number)
		a := call(client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/accept", s.url, conversation), agent.token, nil)
		if a.status == http.StatusOK {
			l.accept(conversation, agent)
		}
	}
}

func (l *ledger) message(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, id)
	l.progress++
}

func (l *ledger) accept(c domain.ConversationID, a testAgent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders[c] = a
	l.progress++
}

func (l *ledger) done() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.progress
}

// awaitProgress waits until the server has answered some more.
func awaitProgress(t *testing.T, l *ledger) {
	t.Helper()
	begun := l.done()
	require.Eventually(t, func() bool { return l.done() > begun+50 }, 30*time.Second, 5*time.Millisecond)
}

// afterRandom waits for a random part of d: the moment of a crash is nobody's
// choice.
func afterRandom(d time.Duration) { <-time.After(rand.N(d)) }

func (l *ledger) check(t *testing.T, n *tenantRows) {
	t.Helper()
	for begin := 0; begin < len(l.messages); begin += 1000 {
		part := l.messages[begin:min(begin+1000, len(l.messages))]
		require.Equal(t, len(part), n.count(`SELECT count(*) FROM messages WHERE provider_message_id = ANY($1)`, part),
			"an acknowledged message is missing")
	}
	for c, agent := range l.holders {
		require.Equal(t, 1, n.count(`SELECT count(*) FROM conversations WHERE id = $1 AND status = 'ASSIGNED' AND assigned_agent_id = $2`,
			c, agent.id), "an acknowledged accept doesn't hold")
	}
	n.checkTrail()
}
