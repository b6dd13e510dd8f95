package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/cluster"
)

// membership is what a node knows of who is there; cluster.Member is it.
type membership interface {
	Self() cluster.Node
	View() *cluster.View
	Renewed() time.Time
	Healthy() error
}

// clusterReport is the answer of GET /cluster: the cluster as this node sees it.
type clusterReport struct {
	Node   nodeReport              `json:"node"`
	View   viewReport              `json:"view"`
	Nodes  []memberReport          `json:"nodes"`
	Actors map[string]actorsReport `json:"actors"` // of this node, by kind
	Peers  []peerReport            `json:"peers"`
}

type nodeReport struct {
	Name     string `json:"name"`
	Address  string `json:"address"` // of its node-to-node listener
	Version  string `json:"version"`
	Draining bool   `json:"draining"`
	Problem  string `json:"problem,omitempty"` // why it isn't ready, as a member
}

type viewReport struct {
	Number     int64     `json:"number"`
	RenewedAt  time.Time `json:"renewedAt"`
	RenewedAgo float64   `json:"renewedSecondsAgo"`
}

type memberReport struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	Draining bool   `json:"draining"`
	Shards   int    `json:"shards"`
}

type actorsReport struct {
	Resident        int `json:"resident"`
	MailboxMessages int `json:"mailboxMessages"`
}

// peerReport is the link from this node to another one.
type peerReport struct {
	Address        string    `json:"address"`
	Node           string    `json:"node,omitempty"` // who was last there; absent: nobody has answered yet
	Connected      bool      `json:"connected"`
	Since          time.Time `json:"since"` // that it is connected, or isn't
	QueuedMessages int       `json:"queuedMessages"`
	QueuedBytes    int       `json:"queuedBytes"`
	Sent           uint64    `json:"sentMessages"`
	Received       uint64    `json:"receivedMessages"`
	Undelivered    uint64    `json:"undeliveredMessages"`
	LastError      string    `json:"lastError,omitempty"`
}

// clusterPages is what operators and balancers see of a node's part in the
// cluster.
type clusterPages struct {
	member  membership
	peers   func() []peerReport
	metrics prometheus.Gatherer
	leaving *atomic.Bool // the node has begun to drain
	logger  *slog.Logger
	now     func() time.Time
}

// check is the readiness of a member. It fails from the moment the node begins
// to drain, so that balancers send what is new elsewhere, and when its lease ran
// out, which it says and otherwise goes on.
func (p *clusterPages) check(context.Context) error {
	if p.leaving.Load() {
		return errors.New("this node is about to leave the cluster")
	}
	return p.member.Healthy()
}

// ServeHTTP answers GET /cluster.
func (p *clusterPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report, err := p.report()
	if err != nil {
		p.logger.ErrorContext(r.Context(), "GET /cluster", "error", err)
		http.Error(w, "the metrics can't be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ") // people read it
	if err := encoder.Encode(report); err != nil {
		p.logger.DebugContext(r.Context(), "answer GET /cluster", "error", err)
	}
}

func (p *clusterPages) report() (clusterReport, error) {
	actors, err := p.actors()
	if err != nil {
		return clusterReport{}, err
	}
	self, view, renewed := p.member.Self(), p.member.View(), p.member.Renewed()
	report := clusterReport{
		Node: nodeReport{Name: self.Name, Address: self.Addr, Version: buildVersion(), Draining: p.leaving.Load()},
		View: viewReport{
			Number: view.Number(), RenewedAt: renewed.UTC(), RenewedAgo: math.Round(1000*p.now().Sub(renewed).Seconds()) / 1000,
		},
		Nodes: []memberReport{}, Actors: actors, Peers: p.peers(),
	}
	if err := p.member.Healthy(); err != nil {
		report.Node.Problem = err.Error()
	}
	share := view.Share()
	for _, n := range view.Nodes() {
		report.Nodes = append(report.Nodes, memberReport{Name: n.Name, Address: n.Addr, Draining: n.Draining, Shards: share[n.Name]})
	}
	return report, nil
}

// actors reads what the actors tell of themselves from their metrics: there
// these numbers are kept.
func (p *clusterPages) actors() (map[string]actorsReport, error) {
	families, err := p.metrics.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	kinds := map[string]actorsReport{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "chatopshub_actors_") {
			continue
		}
		for _, metric := range family.GetMetric() {
			kind, n := "", int(metric.GetGauge().GetValue())
			for _, label := range metric.GetLabel() {
				if label.GetName() == "kind" {
					kind = label.GetValue()
				}
			}
			of := kinds[kind]
			switch family.GetName() {
			case "chatopshub_actors_resident":
				of.Resident = n
			case "chatopshub_actors_mailbox_messages":
				of.MailboxMessages = n
			default:
				continue
			}
			kinds[kind] = of
		}
	}
	return kinds, nil
}

// peersOf is what the links of a node tell of themselves.
func peersOf(remote interface{ Status() []cluster.PeerStatus }) func() []peerReport {
	return func() []peerReport {
		reports := []peerReport{}
		for _, s := range remote.Status() {
			reports = append(reports, peerReport{
				Address: s.Addr, Node: s.Node, Connected: s.Connected, Since: s.Since.UTC(), LastError: s.LastError,
				QueuedMessages: s.QueueMessages, QueuedBytes: s.QueueBytes, Sent: s.Sent, Received: s.Received, Undelivered: s.Undelivered,
			})
		}
		return reports
	}
}
