package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// clusterStep is how many webhooks are measured at a time.
const clusterStep = 2000

// BenchmarkCluster measures 1, 2 and 3 nodes, each a process, on the cores and
// the PostgreSQL of one machine, with TLS between them: what being several
// costs, not what more machines bring. The ratio is to the single node.
func BenchmarkCluster(b *testing.B) {
	var messages, accepts float64 // per second, of one node
	for _, nodes := range []int{1, 2, 3} {
		b.Run(fmt.Sprint("nodes=", nodes), func(b *testing.B) {
			s, f := startClusterBench(b, nodes)
			var all clients
			for _, n := range f.all() {
				all = append(all, dialClients(b, n.process.Load().url, 300/nodes)...)
			}
			s.begin(all)
			accept, release := s.commands("accept"), s.commands("release")
			var took, took2 series
			for b.Loop() {
				took.add(clusterStep, all.expect(b, http.StatusOK, s.messages(clusterStep)))
				took2.add(benchThreads, all.expect(b, http.StatusOK, accept))
				all.expect(b, http.StatusOK, release)
			}
			if nodes == 1 {
				messages, accepts = took.rate(), took2.rate()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(took.rate(), "msgs/s")
			b.ReportMetric(took2.rate(), "accepts/s")
			if messages > 0 { // one size alone may be asked for
				b.ReportMetric(took.rate()/messages, "msgs-ratio")
				b.ReportMetric(took2.rate()/accepts, "accepts-ratio")
			}
		})
	}
}

// startClusterBench starts nodes on a durable PostgreSQL.
func startClusterBench(b *testing.B, nodes int) (*bench, *fleet) {
	b.Helper()
	f := startFleet(b, fleetConfig{db: persistencetest.NewServer(b).New(b), nodes: nodes})
	s := &bench{tenantRows: newTenantRows(b, f.db, "bench", "5001"), b: b}
	s.agents = manyAgents(s.tenantRows, benchAgents)
	client := clusterClient(b)
	for _, n := range f.all() {
		awaitUsers(b, client, n, s.agents[:1])
	}
	return s, f
}

// BenchmarkHop measures what a command on a conversation takes, one at a time,
// when the node that is asked owns it and when another one does.
func BenchmarkHop(b *testing.B) {
	s, f := startClusterBench(b, 2)
	first := f.all()[0]
	client := dialClients(b, first.process.Load().url, 1)
	s.begin(dialClients(b, first.process.Load().url, 100))
	owned := f.owned(first)
	var here, there []time.Duration
	for b.Loop() {
		for thread := range 500 {
			by := s.agents[thread]
			for _, command := range []string{"accept", "release"} {
				took := client.expect(b, http.StatusOK, [][]byte{s.command(command, thread, by)})
				if owned(s.conversationOf(benchNumber(thread))) {
					here = append(here, took)
				} else {
					there = append(there, took)
				}
			}
		}
	}
	require.NotEmpty(b, here)
	require.NotEmpty(b, there)
	own, hop := spreadOf(here), spreadOf(there)
	b.ReportMetric(0, "ns/op")
	for name, took := range map[string]time.Duration{"own-p50-µs": own.p50, "own-p99-µs": own.p99, "hop-p50-µs": hop.p50, "hop-p99-µs": hop.p99} {
		b.ReportMetric(float64(took.Microseconds()), name)
	}
}
