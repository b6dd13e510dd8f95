package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// Each benchmark measures the whole program over real HTTP on a PostgreSQL with
// its durability on, and in the same run the floors beneath it: what the same
// machine, at the same time, does for the parts that can't be avoided. The
// ratio is what counts; the rates are those of one machine on one day. Load
// generator, server and database share its cores.

var (
	// Off for a profile of the program alone.
	benchFloors = flag.Bool("floors", true, "measure the floors of the program's benchmarks, too")
	// The more come at once, the more go into one transaction.
	benchClients = flag.Int("clients", 1000, "how many requests are under way at once")
)

const (
	// benchAgents is how many want conversations.
	benchAgents = 1000
	// benchThreads is how many conversations there are, benchStep how many
	// webhooks are measured before the floors have their turn.
	benchThreads = 2000
	benchStep    = 6000
)

// bench is a program under measurement, with an organization in it.
type bench struct {
	*tenantRows
	b       *testing.B
	program *program
	agents  []testAgent
	sent    int // messages
}

// startBench starts the program, with its log as in production but for where it
// goes.
func startBench(b *testing.B, environ ...string) *bench {
	b.Helper()
	db := persistencetest.NewServer(b).New(b)
	s := &bench{tenantRows: newTenantRows(b, db, "bench", "5001"), b: b}
	s.agents = manyAgents(s.tenantRows, benchAgents)
	cfg, _, err := loadConfig(append([]string{
		"PORT=0", "DATA_DIR=" + b.TempDir(), "DATABASE_URL=" + db.URL, "AUTH_SECRET=" + testAuthSecret, "REQUESTS_PER_USER=0", "REQUESTS_PER_ADDRESS=0", "LOG_FORMAT=json",
		"WHATSAPP_APP_SECRET=" + testAppSecret, "MESSENGER_APP_SECRET=" + testAppSecret,
		"WHATSAPP_VERIFY_TOKEN=verify", "MESSENGER_VERIFY_TOKEN=verify",
	}, environ...), "")
	require.NoError(b, err)
	sink, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, sink.Close()) })
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	s.program, err = start(ctx, cfg, newLogger(sink, cfg.Log))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.program.close()) })
	return s
}

// begin lets each customer write once, so that there are benchThreads
// conversations.
func (s *bench) begin(clients clients) { clients.expect(s.b, http.StatusOK, s.messages(benchThreads)) }

func benchNumber(thread int) string { return fmt.Sprint(49151_0000_0000 + thread) }

// messages is signed webhooks with one new message each, of one customer after
// the other.
func (s *bench) messages(n int) [][]byte {
	requests := make([][]byte, n)
	for i := range requests {
		customer := webhooktest.Customer{Name: "Dana", Number: benchNumber(s.sent % benchThreads)}
		body := webhooktest.WhatsAppText(s.account, customer, fmt.Sprint("wamid.", s.sent), benchText, time.Now())
		requests[i] = rawRequest(webhooktest.Path("whatsapp"), body,
			"Content-Type: application/json", "X-Hub-Signature-256: "+webhooktest.Sign(testAppSecret, body))
		s.sent++
	}
	return requests
}

// command is what an agent asks of a conversation.
func (s *bench) command(name string, thread int, by testAgent) []byte {
	path := fmt.Sprintf("/api/conversations/%s/%s", s.conversationOf(benchNumber(thread)), name)
	return rawRequest(path, nil, "Authorization: Bearer "+by.token)
}

// commands is the same of all conversations, the agents taking turns.
func (s *bench) commands(name string) [][]byte {
	requests := make([][]byte, benchThreads)
	for thread := range requests {
		requests[thread] = s.command(name, thread, s.agents[thread%len(s.agents)])
	}
	return requests
}

// manyAgents makes agents in one statement: each has a token.
func manyAgents(n *tenantRows, count int) []testAgent {
	n.exec(`INSERT INTO users (organization_id, email, password_hash, name)
		SELECT $1, 'agent' || g || '@example.com', 'none', 'Agent ' || g FROM generate_series(1, $2::int) AS g`, n.org, count)
	rows, err := n.db.SQL.QueryContext(n.t.Context(), `SELECT id, name FROM users WHERE organization_id = $1`, n.org)
	require.NoError(n.t, err)
	defer rows.Close()
	var agents []testAgent
	for rows.Next() {
		var a testAgent
		require.NoError(n.t, rows.Scan(&a.id, &a.name))
		a.token = n.token(a.id, domain.RoleAgent)
		agents = append(agents, a)
	}
	require.NoError(n.t, rows.Err())
	return agents
}

// series is a measurement that adds up over the steps of a benchmark.
type series struct {
	done int
	took time.Duration
}

func (s *series) add(done int, took time.Duration) {
	s.done += done
	s.took += took
}

func (s *series) rate() float64 { return float64(s.done) / s.took.Seconds() }

// BenchmarkIngest measures signed webhooks with one message each, answered
// when it is durable. The floors are an endpoint that verifies and reads the
// same webhooks, and a database that gets the same rows in large batches; the
// ratio is to doing both in series.
func BenchmarkIngest(b *testing.B) {
	s := startBench(b)
	ours := dialClients(b, s.program.url(), *benchClients)
	s.begin(ours)
	endpoint := httptest.NewServer(bareWebhook(testAppSecret))
	b.Cleanup(endpoint.Close)
	bare, database := dialClients(b, endpoint.URL, *benchClients), newBareDatabase(b, s.db)
	var messages, posts, rows series
	for b.Loop() {
		requests := s.messages(benchStep)
		if *benchFloors {
			posts.add(benchStep, bare.expect(b, http.StatusOK, requests))
			rows.add(benchStep, storeRows(b, database, benchStep, (*bareDatabase).inbound))
		}
		messages.add(benchStep, ours.expect(b, http.StatusOK, requests))
	}
	require.Equal(b, s.sent, s.count(`SELECT count(*) FROM messages WHERE organization_id = $1`, s.org))
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(messages.rate(), "msgs/s")
	if *benchFloors {
		b.ReportMetric(posts.rate(), "bare-POST/s")
		b.ReportMetric(rows.rate(), "bare-rows/s")
		b.ReportMetric(messages.rate()/inSeries(posts.rate(), rows.rate()), "ratio")
	}
}

// BenchmarkAccept measures accepts of different conversations. The floors are
// an endpoint that authenticates and answers as much, and a database that gets
// the same rows in large batches; the ratio is to doing both in series.
func BenchmarkAccept(b *testing.B) {
	s := startBench(b)
	ours := dialClients(b, s.program.url(), *benchClients)
	s.begin(ours)
	accept, release := s.commands("accept"), s.commands("release")
	bare, database := s.bareCommands(accept[0], release[0], *benchClients), newBareDatabase(b, s.db)
	var accepts, answers, rows series
	for b.Loop() {
		if *benchFloors {
			answers.add(benchThreads, bare.expect(b, http.StatusOK, accept))
			rows.add(benchThreads, storeRows(b, database, benchThreads, (*bareDatabase).assign))
		}
		accepts.add(benchThreads, ours.expect(b, http.StatusOK, accept))
		ours.expect(b, http.StatusOK, release)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(accepts.rate(), "accepts/s")
	if *benchFloors {
		b.ReportMetric(answers.rate(), "bare-answers/s")
		b.ReportMetric(rows.rate(), "bare-rows/s")
		b.ReportMetric(accepts.rate()/inSeries(answers.rate(), rows.rate()), "ratio")
	}
}

// BenchmarkAcceptRace measures decisions: 1,000 agents, each on a connection of
// its own, want one conversation; one gets it, and the others are told who. The
// floor is an endpoint that authenticates and answers as much.
func BenchmarkAcceptRace(b *testing.B) {
	const races = 5
	s := startBench(b)
	ours := dialClients(b, s.program.url(), benchAgents)
	s.begin(ours)
	accept := make([][]byte, benchAgents)
	for i, agent := range s.agents {
		accept[i] = s.command("accept", 0, agent)
	}
	bare := s.bareCommands(accept[0], s.command("release", 0, s.agents[0]), benchAgents)
	var decisions, answers series
	for b.Loop() {
		for range races {
			if *benchFloors {
				answers.add(benchAgents, bare.expect(b, http.StatusOK, accept))
			}
			statuses, took := ours.drive(b, accept)
			decisions.add(benchAgents, took)
			winner := slices.Index(statuses, http.StatusOK)
			slices.Sort(statuses)
			require.Equal(b, http.StatusOK, statuses[0])
			require.Equal(b, http.StatusConflict, statuses[1])
			require.Equal(b, http.StatusConflict, statuses[benchAgents-1])
			ours[:1].expect(b, http.StatusOK, [][]byte{s.command("release", 0, s.agents[winner])})
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(decisions.rate(), "decisions/s")
	if *benchFloors {
		b.ReportMetric(answers.rate(), "bare-answers/s")
		b.ReportMetric(decisions.rate()/answers.rate(), "ratio")
	}
}

// bareCommands is clients of an endpoint that answers everybody what an accept
// is answered.
func (s *bench) bareCommands(accept, release []byte, n int) clients {
	s.b.Helper()
	one := dialClients(s.b, s.program.url(), 1)
	one.expect(s.b, http.StatusOK, [][]byte{accept})
	answer := slices.Clone(one[0].body)
	one.expect(s.b, http.StatusOK, [][]byte{release})
	endpoint := httptest.NewServer(bareCommand(auth.DeriveKey([]byte(testAuthSecret), auth.AccessTokenLabel),
		func() (int, []byte) { return http.StatusOK, answer }))
	s.b.Cleanup(endpoint.Close)
	return dialClients(s.b, endpoint.URL, n)
}
