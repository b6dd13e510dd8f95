package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// statuses counts what a kind of call was answered.
type statuses struct {
	mu    sync.Mutex
	count map[int]int
	acked []string
}

func newStatuses() *statuses { return &statuses{count: map[int]int{}} }

func (s *statuses) note(status int, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[status]++
	if status == http.StatusOK {
		s.acked = append(s.acked, id)
	}
}

func (s *statuses) of(status int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[status]
}

func (s *statuses) all() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.count))
}

// TestPostgreSQLGoesAndComesBack stops the database under load for five
// seconds: callers get 503 and nothing else, readiness tells, everything goes on
// by itself, and nothing that was acknowledged is missing.
func TestPostgreSQLGoesAndComesBack(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	db := server.New(t)
	n := newTenantRows(t, db, "outage", "8001")
	agent := n.agent("agent", domain.RoleAgent)
	p := runProgram(t, db)
	hooks, accepts := newStatuses(), newStatuses()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	for worker := range 8 {
		running.Go(func() { outageLoad(ctx, t, p, n, agent, worker, hooks, accepts) })
	}
	taken := func(s *statuses, more int) {
		t.Helper()
		begun := s.of(http.StatusOK)
		require.Eventually(t, func() bool { return s.of(http.StatusOK) > begun+more }, time.Minute, 10*time.Millisecond)
	}
	taken(hooks, 200)

	stopped := time.Now()
	server.Stop()
	client := testClient(t)
	require.Eventually(t, func() bool {
		a := call(client, http.MethodGet, p.url()+"/readyz", "", nil)
		return a.status == http.StatusServiceUnavailable && strings.Contains(bodyText(a), "postgresql")
	}, 30*time.Second, 50*time.Millisecond, "readiness doesn't tell")
	refused := hooks.of(http.StatusServiceUnavailable)
	require.Eventually(t, func() bool {
		return hooks.of(http.StatusServiceUnavailable) > refused+20 && time.Since(stopped) > 5*time.Second
	}, 30*time.Second, 20*time.Millisecond, "callers aren't told")
	server.Start()

	taken(hooks, 200)
	taken(accepts, 10)
	require.Eventually(t, func() bool {
		return call(client, http.MethodGet, p.url()+"/readyz", "", nil).status == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond)
	stop()
	running.Wait()

	require.Equal(t, []int{http.StatusOK, http.StatusServiceUnavailable}, hooks.all())
	require.Subset(t, []int{http.StatusOK, http.StatusNotFound, http.StatusServiceUnavailable}, accepts.all())
	require.Equal(t, len(hooks.acked), n.count(`SELECT count(*) FROM messages WHERE provider_message_id = ANY($1)`, hooks.acked))
	n.checkTrail()
}

func outageLoad(ctx context.Context, t *testing.T, p *program, n *tenantRows, agent testAgent, worker int, hooks, accepts *statuses) {
	client := testClient(t)
	for i := 0; ctx.Err() == nil; i++ {
		number, id := fmt.Sprint(4930000000+worker*1000+i%200), fmt.Sprintf("wamid.%d.%d", worker, i)
		body := webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "N", Number: number}, id, "hello", time.Now())
		hooks.note(postWebhook(client, p.url(), "whatsapp", testAppSecret, body), id)
		if i%4 == 0 {
			url := fmt.Sprintf("%s/api/conversations/%s/accept", p.url(), n.conversationOf(number))
			accepts.note(call(client, http.MethodPost, url, agent.token, nil).status, id)
		}
	}
}

// TestAValueThatPostgreSQLRefuses: an id that is too long for its index gets
// past the normalizer. That one element becomes a dead letter; its neighbours
// in the POST and in the batch are stored.
func TestAValueThatPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "refused", "8002")
	p := runProgram(t, db)
	client := testClient(t)
	who := webhooktest.Customer{Name: "N", Number: "4931000000"}
	endless := entropyText() + incompressible(9000)
	body := webhooktest.WhatsApp(n.account, webhooktest.WhatsAppContact(who),
		webhooktest.WhatsAppMessage(who, "before", "hello", time.Now()),
		webhooktest.WhatsAppMessage(who, endless, "hello", time.Now()),
		webhooktest.WhatsAppMessage(who, "after", "hello", time.Now()))
	var running sync.WaitGroup
	for i := range 50 {
		running.Go(func() {
			other := webhooktest.Customer{Name: "N", Number: fmt.Sprint(4931000001 + i)}
			deliver(t, client, p.url(), webhooktest.WhatsAppText(n.account, other, fmt.Sprint("other", i), "hello", time.Now()))
		})
	}
	deliver(t, client, p.url(), body)
	running.Wait()
	require.Equal(t, 52, n.count(`SELECT count(*) FROM messages`))
	require.Equal(t, 1, n.count(`SELECT count(*) FROM webhook_dead_letters WHERE organization_id = $1`, n.org))
	n.checkTrail()
}

// incompressible is a text that no index compresses below its limit.
func incompressible(length int) string {
	var b strings.Builder
	for b.Len() < length {
		b.WriteString(entropyText())
	}
	return b.String()
}

// TestStoppingStoresWhatWasTaken: SIGTERM under load ends the program with exit
// code 0, and every message that was answered 200 is there.
func TestStoppingStoresWhatWasTaken(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "stop", "8003")
	s := startProcess(t, "DATABASE_URL="+db.URL)
	hooks := newStatuses()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for worker := range 8 {
		running.Go(func() {
			client := testClient(t)
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("wamid.%d.%d", worker, i)
				body := webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "N", Number: fmt.Sprint(4932000000 + i%50)}, id, "hello", time.Now())
				hooks.note(postWebhook(client, s.url, "whatsapp", testAppSecret, body), id)
			}
		})
	}
	require.Eventually(t, func() bool { return hooks.of(http.StatusOK) > 200 }, time.Minute, 5*time.Millisecond)
	require.Zero(t, s.terminate(), s.stderr.String())
	stop()
	running.Wait()
	require.Equal(t, len(hooks.acked), n.count(`SELECT count(*) FROM messages WHERE provider_message_id = ANY($1)`, hooks.acked))
	n.checkTrail()
}
