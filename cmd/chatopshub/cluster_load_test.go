package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// traffic is a steady load on a fleet: customers write, agents accept and
// release, all through a balancer and with the patience of careful clients,
// which repeat what wasn't answered.
type traffic struct {
	t      testing.TB
	fleet  *fleet
	tenant *tenantRows
	agents []testAgent
	client *http.Client
	pace   time.Duration // between two requests of one worker
	stop   context.CancelFunc

	working sync.WaitGroup

	mu       sync.Mutex
	messages []string                       // that were answered 200
	free     map[domain.ConversationID]bool // that were released last
	asks     []ask
	attempts []attempt
	faults   map[string]int // answers that a client repeats, by what they were
	doubts   map[doubt]bool
	late     int // commands that were done after their client had given them up

	// away tells whose conversations half of the workers leave alone: they show how
	// the others fare among themselves.
	away atomic.Pointer[func(domain.ConversationID) bool]
}

// doubt is that an agent's command on a conversation wasn't answered: it may
// be done later, when its client has long asked somebody else.
type doubt struct {
	conversation domain.ConversationID
	agent        domain.UserID
}

// ask is something that a client wanted, from its first try to the answer.
type ask struct {
	conversation domain.ConversationID
	begun        time.Time
	took         time.Duration
}

// attempt is one request that was answered, by a node.
type attempt struct {
	node  string
	of    domain.ConversationID
	begun time.Time
	took  time.Duration
}

const (
	// attemptPatience is how long a client waits for an answer until it asks another
	// node.
	attemptPatience = 2 * time.Second
	// askPatience is when a test gives up.
	askPatience = time.Minute
)

// startTraffic begins with workers, each with conversations of its own.
func startTraffic(f *fleet, n *tenantRows, r *rand.Rand, workers, conversations int) *traffic {
	tr := &traffic{
		t: f.t, fleet: f, tenant: n, client: clusterClient(f.t),
		pace: 40 * time.Millisecond, free: map[domain.ConversationID]bool{}, faults: map[string]int{}, doubts: map[doubt]bool{},
	}
	for i := range 8 {
		tr.agents = append(tr.agents, n.agent(fmt.Sprint("worker", i), domain.RoleAgent))
	}
	for _, node := range f.all() {
		awaitUsers(f.t, tr.client, node, tr.agents)
	}
	ctx, stop := context.WithCancel(context.Background())
	tr.stop = stop
	for worker := range workers {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		tr.working.Go(func() { tr.work(ctx, own, worker, conversations) })
	}
	f.t.Cleanup(func() {
		stop()
		tr.working.Wait()
	})
	return tr
}

// clusterClient is an HTTP client that asks somebody else when it has to wait.
func clusterClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: refusing{transport}, Timeout: attemptPatience}
}

// refusing answers 503 where nobody listens, as a balancer does: nothing was done.
type refusing struct{ http.RoundTripper }

func (r refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody, Request: req}, nil
	}
	return resp, err
}

// awaitUsers waits until a node knows users that the test has made.
func awaitUsers(t testing.TB, client *http.Client, n *fleetNode, users []testAgent) {
	t.Helper()
	for _, u := range users {
		require.Eventually(t, func() bool {
			return call(client, http.MethodGet, n.process.Load().url+"/api/auth/me", u.token, nil).status == http.StatusOK
		}, 15*time.Second, 10*time.Millisecond, "%s doesn't know %s", n.name, u.name)
	}
}

// work goes through the life of one conversation after the other until ctx ends.
func (tr *traffic) work(ctx context.Context, r *rand.Rand, worker, conversations int) {
	for i := 0; ; i++ {
		number := fmt.Sprint(4940000000 + worker*1000 + r.IntN(conversations))
		if away := tr.away.Load(); away != nil && worker%2 == 0 && (*away)(tr.tenant.conversationOf(number)) {
			select {
			case <-time.After(tr.pace / 10):
				continue
			case <-ctx.Done():
				return
			}
		}
		life := &lifetime{traffic: tr, r: r, number: number, conversation: tr.tenant.conversationOf(number)}
		agent, rival := life.two()
		for step, do := range []func(){
			func() { life.write(fmt.Sprintf("wamid.%d.%d.a", worker, i)) },
			func() { life.accept(agent) },
			func() { life.lose(rival, agent) },
			func() { life.write(fmt.Sprintf("wamid.%d.%d.b", worker, i)) },
			func() { life.release(agent) },
		} {
			// A held conversation isn't accepted again: the worker ends after a release.
			select {
			case <-time.After(tr.pace):
			case <-ctx.Done():
				if step < 2 {
					return
				}
			}
			if tr.t.Failed() {
				return
			}
			do()
		}
	}
}

// lifetime is one conversation, from a message to its release.
type lifetime struct {
	*traffic
	r            *rand.Rand
	number       string
	conversation domain.ConversationID
}

// two are agents of whom nothing is under way that could still come true.
func (l *lifetime) two() (agent, rival *testAgent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var free []*testAgent
	for _, i := range l.r.Perm(len(l.agents)) {
		if a := &l.agents[i]; !l.doubts[doubt{l.conversation, a.id}] {
			free = append(free, a)
		}
	}
	if len(free) < 2 {
		l.t.Errorf("%s: too much wasn't answered", l.conversation)
		return &l.agents[0], &l.agents[1]
	}
	return free[0], free[1]
}

func (l *lifetime) write(id string) {
	body := webhooktest.WhatsAppText(l.tenant.account, webhooktest.Customer{Name: "N", Number: l.number}, id, "hello", time.Now())
	l.until("webhook", nil, func(url string) (answer, bool) {
		a := answer{status: postWebhook(l.client, url, "whatsapp", testAppSecret, body)}
		return a, a.status == http.StatusOK
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, id)
}

func (l *lifetime) post(url string, by *testAgent, command string) answer {
	return call(l.client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/%s", url, l.conversation, command), by.token, nil)
}

func (l *lifetime) accept(agent *testAgent) {
	l.until("accept", agent, func(url string) (answer, bool) {
		a := l.post(url, agent, "accept")
		return a, a.status == http.StatusOK
	})
	l.isFree(false)
}

func (l *lifetime) isFree(free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if free {
		l.free[l.conversation] = true
	} else {
		delete(l.free, l.conversation)
	}
}

// lose has somebody else accept, who must be told who was first.
func (l *lifetime) lose(rival, holder *testAgent) {
	l.until("rival", rival, func(url string) (answer, bool) {
		a := l.post(url, rival, "accept")
		told, _ := a.body["holder"].(map[string]any)
		return a, a.status == http.StatusConflict && told["id"] == holder.id.String()
	})
}

func (l *lifetime) release(agent *testAgent) {
	l.until("release", agent, func(url string) (answer, bool) {
		a := l.post(url, agent, "release")
		return a, a.status == http.StatusOK || l.doubted(agent) && (a.body["code"] == string(domain.CodeNotAssigned) || a.body["code"] == string(domain.CodeNotHolder))
	})
	l.isFree(true)
}

func (l *lifetime) doubted(by *testAgent) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubts[doubt{l.conversation, by.id}]
}

// until asks one node after the other until try says that the answer is right.
func (l *lifetime) until(kind string, by *testAgent, try func(url string) (answer, bool)) {
	begun := time.Now()
	for {
		if node, url := l.fleet.pick(l.r); node != nil {
			at := time.Now()
			a, right := try(url)
			if right {
				l.note(node, at, begun, l.conversation)
				return
			}
			if !l.repeatable(kind, by, a) && !l.undoLate(url, kind, a) {
				l.t.Errorf("%s of %s (%s) by %s, %v after its first try: %d %v", kind, l.conversation, l.number, node.name, time.Since(begun), a.status, a.body)
				return
			}
		}
		if time.Since(begun) > askPatience {
			l.t.Errorf("%s of %s: never answered", kind, l.conversation)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// repeatable reports whether a client asks again: it got no answer, or one that
// says so.
func (l *lifetime) repeatable(kind string, by *testAgent, a answer) bool {
	switch a.status {
	case 0, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[fmt.Sprint(kind, " ", a.status, " ", a.body["code"])]++
	// 503 says that nothing was done.
	if by != nil && a.status != http.StatusServiceUnavailable {
		l.doubts[doubt{l.conversation, by.id}] = true
	}
	return true
}

// undoLate has an agent release what an accept of theirs got that nobody waited
// for any more. It is false when there was none.
func (l *lifetime) undoLate(url, kind string, a answer) bool {
	told, _ := a.body["holder"].(map[string]any)
	if kind != "accept" || a.status != http.StatusConflict {
		return false
	}
	for i := range l.agents {
		by := &l.agents[i]
		if told["id"] != by.id.String() || !l.doubted(by) {
			continue
		}
		if a := l.post(url, by, "release"); a.status == http.StatusOK {
			l.mu.Lock()
			l.late++
			l.mu.Unlock()
		}
		return true // if it couldn't be undone, it is seen again
	}
	return false
}

func (tr *traffic) note(n *fleetNode, at, begun time.Time, c domain.ConversationID) {
	now := time.Now()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.attempts = append(tr.attempts, attempt{n.name, c, at, now.Sub(at)})
	tr.asks = append(tr.asks, ask{c, begun, now.Sub(begun)})
}

func (tr *traffic) answered() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.asks)
}

// flows waits until so many more are answered.
func (tr *traffic) flows(more int) {
	tr.t.Helper()
	begun := tr.answered()
	require.Eventually(tr.t, func() bool { return tr.t.Failed() || tr.answered() >= begun+more }, askPatience, 5*time.Millisecond)
}

// end lets the workers finish what they have begun.
func (tr *traffic) end() {
	tr.stop()
	tr.working.Wait()
}

// check compares what was answered with what is stored.
func (tr *traffic) check() {
	tr.t.Helper()
	n := tr.tenant
	require.Equal(tr.t, len(tr.messages), n.count(`SELECT count(*) FROM messages WHERE provider_message_id = ANY($1)`, tr.messages),
		"an acknowledged message is missing, or there twice")
	for c := range tr.free {
		require.Contains(tr.t, tr.mayHold(c), n.holder(c), "%s was released, and is somebody's", c)
	}
	n.checkTrail()
	require.Zero(tr.t, n.count(`SELECT count(*) FROM (
		SELECT event_type, lag(event_type) OVER (PARTITION BY conversation_id ORDER BY seq) AS before
		FROM conversation_events WHERE event_type IN ('ACCEPTED', 'RELEASED')) q
		WHERE event_type = before OR before IS NULL AND event_type = 'RELEASED'`), "a conversation with two holders")
}

// mayHold is who may have a conversation that was released: nobody, or an agent
// whose accept was never answered.
func (tr *traffic) mayHold(c domain.ConversationID) []domain.UserID {
	may := []domain.UserID{{}}
	for d := range tr.doubts {
		if d.conversation == c {
			may = append(may, d.agent)
		}
	}
	return may
}

// holder is who has a conversation, by the database; zero: nobody.
func (n *tenantRows) holder(c domain.ConversationID) (id domain.UserID) {
	n.t.Helper()
	var holder sql.Null[domain.UserID]
	require.NoError(n.t, n.db.SQL.QueryRowContext(context.Background(), `SELECT assigned_agent_id FROM conversations WHERE id = $1`, c).Scan(&holder))
	return holder.V
}

// longest is the longest time that anything about one conversation took, from
// the first try on, of what was asked between two moments.
func (tr *traffic) longest(from, to time.Time) (took time.Duration, c domain.ConversationID) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, a := range tr.asks {
		if a.took > took && a.begun.Before(to) && a.begun.Add(a.took).After(from) {
			took, c = a.took, a.conversation
		}
	}
	return took, c
}

// latency is how long answers of other nodes than one took that were asked
// between two moments, about conversations that away doesn't name.
func (tr *traffic) latency(except string, away func(domain.ConversationID) bool, from, to time.Time) spread {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var took []time.Duration
	for _, a := range tr.attempts {
		if a.node != except && !away(a.of) && !a.begun.Before(from) && a.begun.Before(to) {
			took = append(took, a.took)
		}
	}
	return spreadOf(took)
}
