package main

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

func entropyText() string {
	e := entropy()
	return hex.EncodeToString(e[:4])
}

// TestAThousandAgentsRaceForOneConversation: one gets it, and 999 are told who.
func TestAThousandAgentsRaceForOneConversation(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "race", "2001")
	agents := make([]testAgent, 1000)
	for i := range agents {
		agents[i] = n.agent(fmt.Sprint("agent", i), domain.RoleAgent)
	}
	p := runProgram(t, db)
	client := testClient(t)
	number := "4915112345678"
	body := webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "Dana", Number: number}, "wamid.race", "hello", time.Now())
	require.Equal(t, http.StatusOK, postWebhook(client, p.url(), "whatsapp", testAppSecret, body))
	conversation := n.conversationOf(number)
	watcher := dialSocket(t, p, agents[0].token)

	answers := make([]answer, len(agents))
	var running sync.WaitGroup
	begin := make(chan struct{})
	for i, agent := range agents {
		running.Go(func() {
			<-begin
			answers[i] = call(client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/accept", p.url(), conversation), agent.token, nil)
		})
	}
	close(begin)
	running.Wait()

	winner := -1
	for i, a := range answers {
		if a.status == http.StatusOK {
			require.Equal(t, -1, winner, "two winners")
			winner = i
		}
	}
	require.NotEqual(t, -1, winner, "no winner: %v", answers[0])
	for i, a := range answers {
		if i == winner {
			continue
		}
		require.Equal(t, http.StatusConflict, a.status, bodyText(a))
		require.Equal(t, "conversation_already_assigned", a.body["code"])
		require.Equal(t, map[string]any{"id": agents[winner].id.String(), "name": agents[winner].name}, a.body["holder"])
		require.NotEmpty(t, a.body["assignedAt"])
	}
	require.Equal(t, 1, n.count(`SELECT count(*) FROM conversation_events WHERE conversation_id = $1 AND event_type = 'ACCEPTED'`, conversation))
	n.checkTrail()
	n.settle(p, watcher)
	require.Len(t, watcher.named("assignment.changed"), 1)
}

// TestTheSameWebhookManyTimesAtOnce: whatever is repeated, alone or among
// others, every message is there once, and nobody hears of a duplicate.
func TestTheSameWebhookManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "again", "3001")
	watcher := n.agent("watcher", domain.RoleAgent)
	p := runProgram(t, db)
	client := testClient(t)
	socket := dialSocket(t, p, watcher.token)
	customers := []webhooktest.Customer{
		{Name: "One", Number: "4915100000001"}, {Name: "Two", Number: "4915100000002", UserID: "DE.2"}, {Name: "Three", UserID: "DE.3"},
	}
	var running sync.WaitGroup
	times := func(n int, body []byte) {
		for range n {
			running.Go(func() { deliver(t, client, p.url(), body) })
		}
	}
	for i, c := range customers {
		for m := range 5 {
			id := fmt.Sprintf("wamid.%d.%d", i, m)
			alone := 5
			if m == 0 {
				alone = 50
			}
			times(alone, webhooktest.WhatsAppText(n.account, c, id, "hello", time.Now()))
			times(5, webhooktest.WhatsApp(n.account, webhooktest.WhatsAppContact(c),
				webhooktest.WhatsAppMessage(c, id, "hello", time.Now()),
				webhooktest.WhatsAppMessage(c, fmt.Sprintf("wamid.%d.%d", i, (m+1)%5), "hello", time.Now())))
		}
	}
	running.Wait()
	require.Equal(t, 15, n.count(`SELECT count(*) FROM messages`))
	require.Equal(t, 3, n.count(`SELECT count(*) FROM conversations`))
	require.Equal(t, 15, n.count(`SELECT sum(unread_count) FROM conversations`))
	n.checkTrail()
	n.settle(p, socket)
	require.Len(t, socket.named("conversation.created"), 3)
}
