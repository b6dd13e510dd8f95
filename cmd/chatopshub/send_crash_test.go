package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// fullSize is whether the long tests of sending run at their full size: make
// torture.
func fullSize() bool { return os.Getenv("TORTURE") != "" }

// Goal: a fifth of the sends lose their answer, and the process is killed again
// and again. No customer gets a text twice or out of order, what a customer
// got ends as READ, what none got as FAILED, and nothing stays PENDING.
func TestNoCustomerGetsATextTwiceOverCrashes(t *testing.T) {
	t.Parallel()
	rounds, each, customers := 2, 8, 24
	if fullSize() {
		rounds, each = 10, 3
	}
	d := openCrashDesk(t, customers)
	for round := range rounds {
		s := d.start()
		if round == 0 {
			d.begin(s)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range d.people {
			running.Go(func() { d.write(ctx, s, i, (round+1)*each) })
		}
		was := len(d.platform.Taken())
		require.Eventually(t, func() bool { return len(d.platform.Taken()) > was+10 }, 30*time.Second, time.Millisecond)
		afterRandom(150 * time.Millisecond)
		s.kill()
		stop()
		running.Wait()
	}
	s := d.start()
	for i := range d.people {
		d.write(t.Context(), s, i, rounds*each)
	}
	d.platform.drain(t)
	require.Eventually(t, func() bool {
		return d.count(`SELECT count(*) FROM messages WHERE status = 'PENDING'`) == 0
	}, 60*time.Second, 50*time.Millisecond, "messages stay PENDING")
	d.platform.drain(t)
	d.check(customers * rounds * each)
}

// crashDesk is an agent who writes to many people, by a server that gets killed.
type crashDesk struct {
	*tenantRows
	platform *fakePlatform
	client   *http.Client
	agent    testAgent
	people   []*writing
}

// writing is what was written to a customer.
type writing struct {
	who  graphtest.Customer
	id   domain.ConversationID
	done int // texts that were answered 201
}

func openCrashDesk(t *testing.T, customers int) *crashDesk {
	db := persistencetest.New(t)
	d := &crashDesk{
		tenantRows: newTenantRows(t, db, "crash", testNumber), client: testClient(t),
		platform: newPlatform(t, graphtest.Config{
			Seed: 11, Accounts: []graphtest.Account{{Provider: graphtest.WhatsApp, ID: testNumber, Token: testGraphToken}},
			Plan: graphtest.Share(11, 0.2, graphtest.Dropped), Habits: graphtest.Habits{Reads: 1, Delay: [2]time.Duration{0, 300 * time.Millisecond}},
		}),
	}
	d.giveToken(d.channel, testGraphToken)
	d.agent = d.tenantRows.agent("Ada", domain.RoleAgent)
	for i := range customers {
		who := customer(i)
		d.people = append(d.people, &writing{who: who, id: d.conversationOf(who.Number)})
	}
	return d
}

func (d *crashDesk) start() *serverProcess {
	s := startProcess(d.t, "DATABASE_URL="+d.db.URL, d.platform.environ(), "SEND_UNCERTAIN_TIMEOUT=2s")
	d.platform.relay.lead(d.t, s.url)
	return s
}

// begin has everybody write once, and the agent accept.
func (d *crashDesk) begin(s *serverProcess) {
	for _, p := range d.people {
		_, err := d.platform.Write(testNumber, p.who, "hello")
		require.NoError(d.t, err)
	}
	d.platform.drain(d.t)
	for _, p := range d.people {
		a := call(d.client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/accept", s.url, p.id), d.agent.token, nil)
		require.Equal(d.t, http.StatusOK, a.status, bodyText(a))
	}
}

// write has the agent write to a customer until there are upTo texts or the
// server is gone. A text that got no answer is asked for again, with its key.
func (d *crashDesk) write(ctx context.Context, s *serverProcess, person, upTo int) {
	p := d.people[person]
	for p.done < upTo && ctx.Err() == nil {
		text := fmt.Sprintf("text %d to %d", p.done, person)
		switch a := sendKeyed(d.client, s.url, p.id, d.agent, text, text); a.status {
		case http.StatusCreated:
			p.done++
		case 0, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			d.t.Errorf("a send was answered %d: %v", a.status, a.body)
			return
		}
	}
}

// check compares what was stored with what the customers got.
func (d *crashDesk) check(messages int) {
	d.t.Helper()
	got := map[string]bool{}
	for person, p := range d.people {
		require.Equal(d.t, messages/len(d.people), p.done)
		var texts, want []string
		for _, taken := range d.platform.TakenBy(p.who.Number) {
			require.False(d.t, got[taken.Text], "%s came twice", taken.Text)
			got[taken.Text] = true
			texts = append(texts, taken.Text)
		}
		for i := range p.done {
			if text := fmt.Sprintf("text %d to %d", i, person); slices.Contains(texts, text) {
				want = append(want, text)
			}
		}
		require.Equal(d.t, want, texts, "in the agent's order")
	}
	rows, err := d.db.SQL.QueryContext(context.Background(), `SELECT body, status, coalesce(error_code, '') FROM messages WHERE direction = 'OUTBOUND'`)
	require.NoError(d.t, err)
	defer rows.Close()
	stored, unsure := 0, 0
	for rows.Next() {
		var text, status, code string
		require.NoError(d.t, rows.Scan(&text, &status, &code))
		stored++
		if got[text] {
			require.Equal(d.t, "READ", status, "%q reached its customer", text)
			continue
		}
		require.Equal(d.t, "FAILED send_uncertain", status+" "+code, "%q reached nobody", text)
		unsure++
	}
	require.NoError(d.t, rows.Err())
	require.Equal(d.t, messages, stored)
	d.t.Logf("%d messages: %d reached their customers once, %d never", stored, len(got), unsure)
	d.checkTrail()
}
