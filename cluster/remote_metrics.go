package cluster

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PeerStatus is what this node knows of its link to another. Counts are of
// this process, since the peer was first met.
type PeerStatus struct {
	Addr          string
	Node          string // who was last there; empty: nobody has answered yet
	Connected     bool
	Since         time.Time // that it is connected, or isn't
	QueueMessages int
	QueueBytes    int
	Frames        uint64 // handed to links
	Sent          uint64 // messages handed to links
	Received      uint64
	Undelivered   uint64 // were in the queue, and not sent
	LastError     string // why there is no link
}

// Status is all peers, by address.
func (r *Remote) Status() []PeerStatus {
	r.mu.RLock()
	all := make([]PeerStatus, 0, len(r.peers))
	for _, p := range r.peers {
		all = append(all, p.status())
	}
	r.mu.RUnlock()
	slices.SortFunc(all, func(a, b PeerStatus) int { return cmp.Compare(a.Addr, b.Addr) })
	return all
}

func (p *peer) status() PeerStatus {
	s := PeerStatus{
		Addr: p.addr, Frames: p.frames.Load(), Sent: p.sent.Load(), Received: p.received.Load(), Undelivered: p.undelivered.Load(),
	}
	s.QueueMessages, s.QueueBytes = p.queue.load()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Node, s.Connected, s.Since = p.node, p.link != nil, p.since
	if p.err != nil {
		s.LastError = p.err.Error()
	}
	return s
}

// peerMetrics shows Status to Prometheus. A peer that left takes its series along.
type peerMetrics struct{ r *Remote }

func peerMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("chatopshub_peer_"+name, help, []string{"peer"}, nil)
}

var (
	peerUp            = peerMetric("up", "1 while there is a link to the peer.")
	peerQueueMessages = peerMetric("queue_messages", "Messages that wait for the link to the peer.")
	peerQueueBytes    = peerMetric("queue_bytes", "Their size.")
	peerFrames        = peerMetric("frames_total", "Frames handed to links to the peer; each carries many messages.")
	peerSent          = peerMetric("sent_total", "Messages handed to links to the peer.")
	peerReceived      = peerMetric("received_total", "Messages that came from the peer.")
	peerUndelivered   = peerMetric("undelivered_total", "Messages that waited for the peer and certainly were not sent.")
	unreadable        = prometheus.NewDesc("chatopshub_peers_unreadable_total", "Messages of peers that this release can't read.", nil, nil)
)

// Describe implements prometheus.Collector.
func (peerMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		peerUp, peerQueueMessages, peerQueueBytes, peerFrames, peerSent, peerReceived, peerUndelivered, unreadable,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m peerMetrics) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(unreadable, prometheus.CounterValue, float64(m.r.unreadable.Load()))
	for _, s := range m.r.Status() {
		up := 0.0
		if s.Connected {
			up = 1
		}
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.Addr)
		}
		gauge(peerUp, up)
		gauge(peerQueueMessages, float64(s.QueueMessages))
		gauge(peerQueueBytes, float64(s.QueueBytes))
		count := func(d *prometheus.Desc, n uint64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), s.Addr)
		}
		count(peerFrames, s.Frames)
		count(peerSent, s.Sent)
		count(peerReceived, s.Received)
		count(peerUndelivered, s.Undelivered)
	}
}
