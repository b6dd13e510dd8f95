package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// raceAgents is how many agents race.
const raceAgents = 160

// TestAgentsOnAllNodesRaceForConversations: many agents want all conversations,
// each by any node. Each conversation is one agent's, and everybody else is told
// whose. Then again, while a node joins and another leaves.
func TestAgentsOnAllNodesRaceForConversations(t *testing.T) {
	t.Parallel()
	conversations := 40
	if rounds(t) > 1 {
		conversations = 400
	}
	r := chance(t)
	f := startFleet(t, fleetConfig{nodes: 3})
	rc := &fleetRace{fleet: f, tenant: newTenantRows(t, f.db, "fleet", "9601"), client: clusterClient(t)}
	rc.agents = manyAgents(rc.tenant, raceAgents)
	for _, n := range f.all() {
		awaitUsers(t, rc.client, n, rc.agents[:1])
	}
	rc.run(r, "in peace", 4950000000, conversations, func() {})
	rc.run(r, "while nodes come and go", 4951000000, conversations, func() {
		first := f.all()[0]
		f.add()
		f.terminate(first)
	})
	f.awaitMembers(3)
	rc.tenant.checkTrail()
}

// fleetRace is agents who all want the same.
type fleetRace struct {
	fleet  *fleet
	tenant *tenantRows
	client *http.Client
	agents []testAgent
	done   atomic.Int64
	asked  atomic.Int64
}

// run lets all race for count new conversations; meanwhile starts at a third.
func (rc *fleetRace) run(r *rand.Rand, how string, first, count int, meanwhile func()) {
	t := rc.tenant.t
	ids := rc.create(r, first, count)
	rc.done.Store(0)
	rc.asked.Store(0)
	won := make([][]domain.ConversationID, len(rc.agents))
	told := make([]map[domain.ConversationID]string, len(rc.agents))
	begun := time.Now()
	var racing sync.WaitGroup
	for i := range rc.agents {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		told[i] = map[domain.ConversationID]string{}
		racing.Go(func() {
			for _, n := range own.Perm(count) {
				if holder, ok := rc.accept(own, ids[n], &rc.agents[i]); ok {
					won[i] = append(won[i], ids[n])
				} else {
					told[i][ids[n]] = holder
				}
				rc.done.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return rc.done.Load() > int64(count*len(rc.agents)/3) }, time.Minute, time.Millisecond)
	meanwhile()
	racing.Wait()
	took := time.Since(begun)
	winners := map[domain.ConversationID]testAgent{}
	for i, ids := range won {
		for _, id := range ids {
			require.NotContains(t, winners, id, "two winners")
			winners[id] = rc.agents[i]
		}
	}
	require.Len(t, winners, count)
	for i := range told {
		for id, holder := range told[i] {
			require.Equal(t, winners[id].id.String(), holder, "%s is told wrong", rc.agents[i].name)
		}
	}
	for id, winner := range winners {
		require.Equal(t, winner.id, rc.tenant.holder(id))
	}
	require.Equal(t, count, rc.tenant.count(`SELECT count(*) FROM conversation_events WHERE event_type = 'ACCEPTED' AND conversation_id = ANY($1)`, ids))
	t.Logf("%s: %d agents for %d conversations in %v, %d of %d requests repeated", how, len(rc.agents), count, took.Round(time.Millisecond),
		rc.asked.Load()-rc.done.Load(), rc.asked.Load())
}

// create makes conversations, by webhooks to all nodes.
func (rc *fleetRace) create(r *rand.Rand, first, count int) []domain.ConversationID {
	ids := make([]domain.ConversationID, count)
	for i := range ids {
		number := fmt.Sprint(first + i)
		_, url := rc.fleet.pick(r)
		deliver(rc.tenant.t, rc.client, url, webhooktest.WhatsAppText(rc.tenant.account, webhooktest.Customer{Name: "N", Number: number}, "wamid."+number, "hello", time.Now()))
		ids[i] = rc.tenant.conversationOf(number)
	}
	return ids
}

// accept asks one node after the other until it is answered: whether the agent
// has the conversation, or else who.
func (rc *fleetRace) accept(r *rand.Rand, id domain.ConversationID, by *testAgent) (holder string, won bool) {
	for begun := time.Now(); ; {
		rc.asked.Add(1)
		_, url := rc.fleet.pick(r)
		a := call(rc.client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/accept", url, id), by.token, nil)
		switch a.status {
		case http.StatusOK:
			return "", true
		case http.StatusConflict:
			told, _ := a.body["holder"].(map[string]any)
			holder, _ := told["id"].(string)
			return holder, false
		case 0, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			rc.tenant.t.Errorf("accept of %s by %s: %d %v", id, by.name, a.status, a.body)
			return "", false
		}
		if time.Since(begun) > askPatience {
			rc.tenant.t.Errorf("accept of %s by %s: never answered", id, by.name)
			return "", false
		}
	}
}
