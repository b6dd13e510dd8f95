package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/cluster"
)

// aMember is a node of three, of which one leaves.
type aMember struct {
	renewed time.Time
	trouble error
}

func (aMember) Self() cluster.Node { return cluster.Node{Name: "a/1", Addr: "10.0.0.1:7001"} }

func (aMember) View() *cluster.View {
	return cluster.NewView(17, []cluster.Node{
		{Name: "b/1", Addr: "10.0.0.2:7001"}, {Name: "a/1", Addr: "10.0.0.1:7001"}, {Name: "c/1", Addr: "10.0.0.3:7001", Draining: true},
	})
}

func (m aMember) Renewed() time.Time { return m.renewed }
func (m aMember) Healthy() error     { return m.trouble }

type aLink cluster.PeerStatus

func (l aLink) Status() []cluster.PeerStatus { return []cluster.PeerStatus{cluster.PeerStatus(l)} }

func TestOperatorsSeeTheCluster(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	metrics := prometheus.NewRegistry()
	system, err := actors.NewSystem(actors.SystemConfig{Logger: slog.New(slog.DiscardHandler), Registerer: metrics, Now: time.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, system.Close(t.Context())) })
	resident := prometheus.NewGauge(prometheus.GaugeOpts{Name: "chatopshub_actors_resident", ConstLabels: prometheus.Labels{"kind": "conversation"}})
	waiting := prometheus.NewGauge(prometheus.GaugeOpts{Name: "chatopshub_actors_mailbox_messages", ConstLabels: prometheus.Labels{"kind": "conversation"}})
	metrics.MustRegister(resident, waiting)
	resident.Set(12)
	waiting.Set(3)
	pages := &clusterPages{
		member: aMember{renewed: now.Add(-400 * time.Millisecond)}, metrics: metrics, leaving: &atomic.Bool{},
		logger: slog.New(slog.DiscardHandler), now: func() time.Time { return now },
		peers: peersOf(aLink{Addr: "10.0.0.2:7001", Node: "b/1", Connected: true, Since: now, QueueMessages: 2, QueueBytes: 512, Sent: 9, Received: 8}),
	}
	look := func() (report clusterReport) {
		answer := httptest.NewRecorder()
		pages.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/cluster", nil))
		require.Equal(t, http.StatusOK, answer.Code)
		require.Equal(t, "application/json", answer.Header().Get("Content-Type"))
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &report))
		return report
	}
	report := look()
	require.Equal(t, nodeReport{Name: "a/1", Address: "10.0.0.1:7001", Version: buildVersion()}, report.Node)
	require.Equal(t, viewReport{Number: 17, RenewedAt: now.Add(-400 * time.Millisecond), RenewedAgo: 0.4}, report.View)
	require.Equal(t, map[string]actorsReport{"conversation": {Resident: 12, MailboxMessages: 3}}, report.Actors)
	require.Len(t, report.Nodes, 3)
	shards := 0
	for _, n := range report.Nodes {
		shards += n.Shards
		require.Equal(t, n.Name == "c/1", n.Draining)
		require.Equal(t, n.Draining, n.Shards == 0)
	}
	require.Equal(t, cluster.Shards, shards)
	require.Equal(t, []peerReport{
		{Address: "10.0.0.2:7001", Node: "b/1", Connected: true, Since: now, QueuedMessages: 2, QueuedBytes: 512, Sent: 9, Received: 8},
	}, report.Peers)
	require.NoError(t, pages.check(t.Context()))

	pages.member = aMember{trouble: errors.New("renewed 7s ago")}
	require.EqualError(t, pages.check(t.Context()), "renewed 7s ago")
	require.Equal(t, "renewed 7s ago", look().Node.Problem)
	pages.member = aMember{}
	pages.leaving.Store(true)
	require.ErrorContains(t, pages.check(t.Context()), "about to leave")
	require.True(t, look().Node.Draining)
}

func TestAlarmsKnowTheMembership(t *testing.T) {
	t.Parallel()
	now := time.Now()
	metrics, m := prometheus.NewPedanticRegistry(), aMember{renewed: now.Add(-2 * time.Second)}
	require.NoError(t, watchMembership(metrics, m, func() time.Time { return now }))
	families, err := metrics.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, f := range families {
		values[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	require.Equal(t, map[string]float64{
		"chatopshub_cluster_nodes": 3, "chatopshub_cluster_shards": float64(m.View().Share()["a/1"]), "chatopshub_cluster_lease_age_seconds": 2,
	}, values)
}
