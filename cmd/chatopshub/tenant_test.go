package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// ownSecret gives the tenant's channel the secret of a Meta app of its own.
func (n *tenantRows) ownSecret(p *program, secret string) {
	n.t.Helper()
	sealer, err := newSealer(p.cfg)
	require.NoError(n.t, err)
	n.exec(`UPDATE channels SET webhook_secret = $2 WHERE id = $1`, n.channel, sealer.Seal(n.channel, persistence.FieldWebhookSecret, secret))
	require.Eventually(n.t, func() bool {
		_, own, _ := p.store.registry.Receiving(domain.WhatsApp, n.account)
		return string(own) == secret
	}, 10*time.Second, 5*time.Millisecond)
}

// TestASecretOpensOnlyItsOwnChannels: two tenants on one Meta app, and one with
// an app of its own. What is signed with one's secret can put nothing into the
// other's channel, not even a dead letter that the other could see.
func TestASecretOpensOnlyItsOwnChannels(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	shared, sharing, own := newTenantRows(t, db, "shared", "5001"), newTenantRows(t, db, "sharing", "5002"), newTenantRows(t, db, "own", "5003")
	p := runProgram(t, db)
	const ownSecret = "the secret of the third tenant's own Meta app"
	own.ownSecret(p, ownSecret)
	client := testClient(t)
	customer := webhooktest.Customer{Name: "N", Number: "4918000001"}
	post := func(n *tenantRows, id, secret string) int {
		return postWebhook(client, p.url(), "whatsapp", secret, webhooktest.WhatsAppText(n.account, customer, id, "hello", time.Now()))
	}
	stored := func(n *tenantRows) int {
		return n.count(`SELECT count(*) FROM messages WHERE channel_id = $1`, n.channel)
	}

	require.Equal(t, http.StatusOK, post(shared, "a", testAppSecret))
	require.Equal(t, http.StatusOK, post(sharing, "b", testAppSecret))
	require.Equal(t, http.StatusOK, post(own, "c", ownSecret))
	require.Equal(t, []int{1, 1, 1}, []int{stored(shared), stored(sharing), stored(own)})

	require.Equal(t, http.StatusUnauthorized, post(shared, "d", "a secret that nobody has"))
	require.Equal(t, http.StatusUnauthorized, post(shared, "e", ownSecret), "no channel that the POST names has that secret")
	require.Equal(t, http.StatusOK, post(own, "f", testAppSecret), "it verifies, but isn't the channel's")
	require.Equal(t, []int{1, 1, 1}, []int{stored(shared), stored(sharing), stored(own)})

	// Both in one POST, signed by the third: only its own element is taken.
	both := joined(t,
		webhooktest.WhatsAppText(own.account, customer, "g", "hello", time.Now()),
		webhooktest.WhatsAppText(shared.account, customer, "h", "hello", time.Now()))
	require.Equal(t, http.StatusOK, postWebhook(client, p.url(), "whatsapp", ownSecret, both))
	require.Equal(t, []int{1, 1, 2}, []int{stored(shared), stored(sharing), stored(own)})
	require.Equal(t, 2, own.count(`SELECT count(*) FROM webhook_dead_letters`))
	require.Zero(t, own.count(`SELECT count(*) FROM webhook_dead_letters WHERE organization_id IS NOT NULL`),
		"what wasn't trusted is shown to no organization")
}

// joined is one POST with the entries of all.
func joined(t *testing.T, bodies ...[]byte) []byte {
	t.Helper()
	var all map[string]any
	for _, body := range bodies {
		var one map[string]any
		require.NoError(t, json.Unmarshal(body, &one))
		if all == nil {
			all = one
			continue
		}
		all["entry"] = append(all["entry"].([]any), one["entry"].([]any)...)
	}
	body, err := json.Marshal(all)
	require.NoError(t, err)
	return body
}

// TestOrganizationsNeverSeeEachOther: for an agent of another organization
// nothing of ours exists, and no event of ours comes.
func TestOrganizationsNeverSeeEachOther(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	a, b := newTenantRows(t, db, "a", "6001"), newTenantRows(t, db, "b", "6002")
	ours, stranger, boss := a.agent("ours", domain.RoleAgent), b.agent("stranger", domain.RoleAgent), b.agent("boss", domain.RoleAdmin)
	p := runProgram(t, db)
	client := testClient(t)
	spy, friend := dialSocket(t, p, stranger.token), dialSocket(t, p, ours.token)
	number := "4919000001"
	conversation := a.conversationOf(number)
	write := func(id string) {
		deliver(t, client, p.url(), webhooktest.WhatsAppText(a.account, webhooktest.Customer{Name: "N", Number: number}, id, "hello", time.Now()))
	}
	write("m1")
	spy.send(t, fmt.Sprintf(`421["join:conversation",{"conversationId":"%s"}]`, conversation))
	friend.send(t, fmt.Sprintf(`421["join:conversation",{"conversationId":"%s"}]`, conversation))
	require.Eventually(t, func() bool { return spy.has(`431[{"ok":false,"code":"not_found"`) && friend.has(`431[{"ok":true`) }, 10*time.Second, 2*time.Millisecond)

	for _, caller := range []testAgent{stranger, boss} {
		for _, get := range []string{"", "/messages", "/events"} {
			require.Equal(t, http.StatusNotFound, call(client, http.MethodGet, fmt.Sprintf("%s/api/conversations/%s%s", p.url(), conversation, get), caller.token, nil).status, get)
		}
		for _, post := range []string{"accept", "release", "complete", "reopen", "read"} {
			require.Equal(t, http.StatusNotFound, call(client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/%s", p.url(), conversation, post), caller.token, nil).status, post)
		}
		reassigned := call(client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/reassign", p.url(), conversation), caller.token, map[string]any{"agentId": stranger.id})
		require.Equal(t, http.StatusNotFound, reassigned.status)
		list := call(client, http.MethodGet, p.url()+"/api/conversations", caller.token, nil)
		require.Equal(t, http.StatusOK, list.status)
		require.Empty(t, list.body["data"])
		agents := call(client, http.MethodGet, p.url()+"/api/agents", caller.token, nil)
		require.NotContains(t, bodyText(agents), ours.id.String())
	}
	require.Equal(t, http.StatusOK, call(client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/accept", p.url(), conversation), ours.token, nil).status)
	// Nor can one of theirs be given a conversation of ours.
	given := call(client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/reassign", p.url(), conversation), ours.token, map[string]any{"agentId": stranger.id})
	require.Equal(t, http.StatusUnprocessableEntity, given.status, bodyText(given))
	write("m2")

	friend.await(t, "conversation.created", 1)
	friend.await(t, "message.created", 1)
	b.settle(p, spy)
	for _, e := range spy.events {
		require.Equal(t, "agent.presence", e.name)
		require.NotContains(t, fmt.Sprint(e.payload), ours.id.String())
	}
}

// TestConversationsComeAndGoUnderTraffic: with an idle time of a millisecond
// conversations leave memory all the time. No message is lost, none handled
// twice.
func TestConversationsComeAndGoUnderTraffic(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "come and go", "7001")
	p := runProgram(t, db, "CONVERSATION_IDLE_TTL=1ms")
	client := testClient(t)
	const customers, each, parallel = 10, 30, 8
	var running sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for m := range each {
		for c := range customers {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				deliver(t, client, p.url(), webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "N", Number: fmt.Sprint(4920000000 + c)},
					fmt.Sprintf("wamid.%d.%d", c, m), "hello", time.Now()))
			})
		}
	}
	running.Wait()
	require.Equal(t, customers*each, n.count(`SELECT count(*) FROM messages`))
	require.Equal(t, customers*each, n.count(`SELECT sum(unread_count) FROM conversations`))
	n.checkTrail()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for p.actors.conversations.Len() > 0 {
		require.NoError(t, ctx.Err(), "idle conversations stay in memory")
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}
