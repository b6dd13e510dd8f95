package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// oldMessages is what the clean-up has before it: more than it gets done.
const oldMessages = 200_000

// BenchmarkCleanupUnderLoad measures the slowest hundredth of webhooks and
// accepts without and with a clean-up that takes old messages away, in turns.
func BenchmarkCleanupUnderLoad(b *testing.B) {
	s := startBench(b)
	s.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, provider_message_id, status, created_at)
		SELECT (left(message_id_floor(at)::text, 14) || '7' || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12))::uuid,
			$1, $2, gen_random_uuid(), 'INBOUND', 'text', 'an old message of a usual length, which nobody needs any more', 'old.' || n, 'READ', at
		FROM generate_series(1, $3::int) n, LATERAL (SELECT now() - interval '400 days' + n * interval '1 second' AS at) AS t`, s.org, s.channel, oldMessages)
	s.exec(`INSERT INTO aggregated_days VALUES (current_date - 1)`)
	s.begin(dialClients(b, s.program.url(), 50))
	cleanup := persistence.NewCleanup(s.program.store.reads, s.program.blobs, time.Now, 365*24*time.Hour)
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, when := range []string{"without", "with", "without", "with"} {
			ctx, stop := context.WithCancel(b.Context())
			var cleaning sync.WaitGroup
			if when == "with" {
				cleaning.Go(func() { _, _ = cleanup.Run(ctx) }) // it is broken off
			}
			for name, all := range s.steadily(3 * time.Second) {
				took[name+"-"+when] = append(took[name+"-"+when], all...)
			}
			stop()
			cleaning.Wait()
		}
	}
	for name, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
	left := s.count(`SELECT count(*) FROM messages WHERE provider_message_id LIKE 'old.%'`)
	require.Less(b, left, oldMessages)
	b.ReportMetric(float64(oldMessages-left), "messages-removed")
}

// steadily has 8 customers and 8 agents at work, 25 calls a second each, and
// returns how long each call took from when it was due.
func (s *bench) steadily(lasts time.Duration) map[string][]time.Duration {
	took := map[string][]time.Duration{}
	var (
		mu      sync.Mutex
		working sync.WaitGroup
	)
	client := testClient(s.b)
	for worker := range 16 {
		name := []string{"webhook", "accept"}[worker%2]
		working.Go(func() {
			tick := time.NewTicker(40 * time.Millisecond)
			defer tick.Stop()
			for i := range int(lasts / (40 * time.Millisecond)) {
				due := <-tick.C
				thread := worker*100 + i%100
				if name == "webhook" {
					body := webhooktest.WhatsAppText(s.account, webhooktest.Customer{Name: "Dana", Number: benchNumber(thread)}, entropyText(), benchText, time.Now())
					postWebhook(client, s.program.url(), "whatsapp", testAppSecret, body)
				} else {
					what := []string{"accept", "release"}[i/100%2]
					call(client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/%s", s.program.url(), s.conversationOf(benchNumber(thread)), what), s.agents[worker].token, nil)
				}
				mu.Lock()
				took[name] = append(took[name], time.Since(due))
				mu.Unlock()
			}
		})
	}
	working.Wait()
	return took
}
