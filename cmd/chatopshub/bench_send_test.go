package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// benchSends is how many messages one step of the benchmark sends, one to each
// conversation.
const benchSends = 2000

// BenchmarkSend measures messages from the agent's request to SENT, stored:
// three commits and a call each, on a number without a limit. The floors are
// the client of the Graph API alone against the same fake, and a database that
// gets the same rows in large batches; the ratio is to doing both in series.
func BenchmarkSend(b *testing.B) {
	platform, err := graphtest.Start(graphtest.Config{Seed: 1, Accounts: []graphtest.Account{ // it tells nothing back
		{Provider: graphtest.WhatsApp, ID: "5001", Token: testGraphToken}, {Provider: graphtest.WhatsApp, ID: "floor", Token: "EAAfloor"},
	}})
	require.NoError(b, err)
	b.Cleanup(platform.Close)
	s := startBench(b, "META_GRAPH_URL="+platform.URL())
	s.giveToken(s.channel, testGraphToken)
	s.exec(`UPDATE channels SET send_rate = 10000 WHERE id = $1`, s.channel)
	ours := dialClients(b, s.program.url(), *benchClients)
	s.begin(ours)
	ours.expect(b, http.StatusOK, s.commands("accept"))
	database := newBareDatabase(b, s.db)
	var sends, calls, rows series
	sent := 0
	for b.Loop() {
		if *benchFloors {
			calls.add(benchSends, bareSends(b, platform, benchSends))
			rows.add(benchSends, database.store(b, benchSends, (*bareDatabase).outbound))
		}
		requests := s.sendRequests()
		begun := time.Now()
		ours.expect(b, http.StatusCreated, requests)
		sent += benchSends
		require.Eventually(b, func() bool {
			return s.count(`SELECT count(*) FROM messages WHERE organization_id = $1 AND direction = 'OUTBOUND' AND status = 'SENT'`, s.org) == sent
		}, time.Minute, 5*time.Millisecond)
		sends.add(benchSends, time.Since(begun))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(sends.rate(), "sends/s")
	if *benchFloors {
		b.ReportMetric(calls.rate(), "bare-calls/s")
		b.ReportMetric(rows.rate(), "bare-sends/s")
		b.ReportMetric(sends.rate()/inSeries(calls.rate(), rows.rate()), "ratio")
	}
}

// sendRequests is a text to each customer.
func (s *bench) sendRequests() [][]byte {
	requests := make([][]byte, benchSends)
	body, err := json.Marshal(map[string]any{"body": benchText})
	require.NoError(s.b, err)
	for i := range requests {
		thread := i % benchThreads
		path := fmt.Sprintf("/api/conversations/%s/messages", s.conversationOf(benchNumber(thread)))
		requests[i] = rawRequest(path, body, "Content-Type: application/json", "Authorization: Bearer "+s.agents[thread%len(s.agents)].token)
	}
	return requests
}

// bareSends makes n calls with the client alone, as many at a time as a channel
// makes.
func bareSends(b *testing.B, platform *graphtest.Server, n int) time.Duration {
	b.Helper()
	client, err := graph.New(graph.Config{BaseURL: platform.URL()})
	require.NoError(b, err)
	defer client.Close()
	account := graph.Account{Provider: domain.WhatsApp, ID: "floor", Token: "EAAfloor"}
	work := make(chan int)
	var running sync.WaitGroup
	begun := time.Now()
	for range 256 {
		running.Go(func() {
			for i := range work {
				_, err := client.Send(context.Background(), account, domain.Outgoing{
					To: domain.Alias{Kind: domain.AliasNumber, Value: benchNumber(i)}, Content: domain.Content{Type: domain.TypeText, Text: benchText},
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	running.Wait()
	return time.Since(begun)
}

// outbound stores, for each conversation of the share, a message, its claim and
// its outcome with the event: what a send writes, in three steps.
func (d *bareDatabase) outbound(s *floorShare) *pgx.Batch {
	s.seq++
	n := len(s.conversations)
	messages, providerIDs, facts := make([][16]byte, n), make([]string, n), make([]string, n)
	for i := range n {
		id := uuid.Must(uuid.NewV7())
		messages[i], providerIDs[i] = id, "wamid."+id.String()
		facts[i] = fmt.Sprintf(`{"messageId":%q}`, id)
	}
	batch := &pgx.Batch{}
	touch := func() {
		batch.Queue(`UPDATE conversations SET change_id = gen_random_uuid(), version = version + 1, updated_at = now() WHERE id = ANY($1)`, s.conversations)
	}
	touch()
	batch.Queue(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, status, send_state)
		SELECT n.id, $3, $4, n.conversation, 'OUTBOUND', 'text', $5, 'PENDING', 'queued' FROM unnest($1::uuid[], $2::uuid[]) AS n (id, conversation)`,
		messages, s.conversations, d.rows.org, d.rows.channel, benchText)
	touch()
	batch.Queue(`UPDATE messages SET send_state = 'sending', attempts = 1, attempt_started_at = now() WHERE id = ANY($1)`, messages)
	touch()
	batch.Queue(`UPDATE messages m SET send_state = NULL, status = 'SENT', provider_message_id = n.provider_id, provider_timestamp = now()
		FROM unnest($1::uuid[], $2::text[]) AS n (id, provider_id) WHERE m.id = n.id`, messages, providerIDs)
	d.queueEvents(batch, s, "MESSAGE_SENT", nil, facts)
	return batch
}
