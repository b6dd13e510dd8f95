package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

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
			took, err := bareSends(b.Context(), platform.URL(), graph.Account{Provider: domain.WhatsApp, ID: "floor", Token: "EAAfloor"}, benchSends)
			require.NoError(b, err)
			calls.add(benchSends, took)
			rows.add(benchSends, storeRows(b, database, benchSends, (*bareDatabase).outbound))
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
