package actors

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// network is several nodes in one process. What goes over its links is encoded
// and decoded; each link keeps the order and can be cut.
type network struct {
	t     testing.TB
	mu    sync.Mutex
	nodes map[string]*node
}

func newNetwork(t testing.TB) *network { return &network{t: t, nodes: map[string]*node{}} }

// node is one of them. It is its own Remote and Placement.
type node struct {
	net    *network
	addr   string
	system *System
	engine *actor.Engine

	undelivered func(*actor.PID, any)
	lost        func(string)
	watch       []func()

	stale atomic.Bool                        // isn't Fresh
	loses atomic.Pointer[func(msg any) bool] // of what is posted, without a word; nil: nothing

	mu    sync.Mutex
	view  testView
	cut   map[string]bool // peers that this one doesn't reach
	wakes int             // posted
	links map[string]chan envelope
	ended chan struct{}
	group sync.WaitGroup
}

type envelope struct {
	to, sender *actor.PID
	msg        any
}

// testView places keys by their last byte.
type testView struct {
	Number int64
	Nodes  []string // own something
	Going  []string // are there and own nothing
}

func (v testView) owner(key [16]byte, but string) (string, bool) {
	all := slices.Clone(v.Nodes)
	if but != "" {
		all = append(all, v.Going...)
		all = slices.DeleteFunc(all, func(n string) bool { return n == but })
	}
	if len(all) == 0 {
		return "", false
	}
	best, top := "", -1
	for _, n := range all { // as rendezvous hashing does: who comes or goes changes nothing else
		h := int(key[15]) + 31*int(n[0])
		if h = h * 2654435761 % 65536; h > top {
			best, top = n, h
		}
	}
	return best, true
}

func (n *network) node(addr string) *node {
	o := &node{net: n, addr: addr, cut: map[string]bool{}, links: map[string]chan envelope{}, ended: make(chan struct{})}
	var err error
	o.system, err = NewSystem(SystemConfig{
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now, Remote: o, Placement: o,
	})
	require.NoError(n.t, err)
	n.t.Cleanup(func() { require.NoError(n.t, o.system.Close(n.t.Context())) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[addr] = o
	return o
}

// setView has the nodes learn of a view, those that are named; nobody named: all.
func (n *network) setView(v testView, who ...string) {
	n.mu.Lock()
	if len(who) == 0 {
		who = slices.Sorted(maps.Keys(n.nodes))
	}
	var nodes []*node
	for _, w := range who {
		nodes = append(nodes, n.nodes[w])
	}
	n.mu.Unlock()
	for _, o := range nodes {
		o.adopt(v)
	}
}

func (o *node) adopt(v testView) {
	o.mu.Lock()
	newer := v.Number > o.view.Number
	if newer {
		o.view = v
	}
	o.mu.Unlock()
	if newer {
		for _, f := range o.watch {
			f()
		}
	}
}

// cutTo has nothing get from o to a peer any more, or again.
func (o *node) cutTo(peer string, cut bool) {
	o.mu.Lock()
	o.cut[peer] = cut
	o.mu.Unlock()
	if cut {
		o.lost(peer)
	}
}

func (o *node) Address() string { return o.addr }

func (o *node) Start(e *actor.Engine) error {
	o.engine = e
	return nil
}

func (o *node) Stop() *sync.WaitGroup {
	close(o.ended)
	return &o.group
}

func (o *node) Send(to *actor.PID, msg any, sender *actor.PID) {
	if o.Post(to, msg, sender) != nil {
		o.undelivered(to, msg)
	}
}

func (o *node) Post(to *actor.PID, msg any, sender *actor.PID) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cut[to.GetAddress()] {
		return domain.ErrUnavailable
	}
	if l, ok := msg.(letter); ok && l.Msg == (wake{}) {
		o.wakes++
	}
	if data, err := (Codec{}).Encode(msg); err == nil { // the tests have messages of their own, too
		msg, err = Codec{}.Decode(data)
		require.NoError(o.net.t, err)
	}
	if loses := o.loses.Load(); loses != nil && (*loses)(msg) {
		return nil
	}
	link := o.links[to.GetAddress()]
	if link == nil {
		link = make(chan envelope, 100_000)
		o.links[to.GetAddress()] = link
		o.group.Go(func() { o.carry(to.GetAddress(), link) })
	}
	link <- envelope{to, sender, msg}
	return nil
}

func (o *node) carry(addr string, link chan envelope) {
	for {
		select {
		case <-o.ended:
			return
		case e := <-link:
			o.net.mu.Lock()
			peer := o.net.nodes[addr]
			o.net.mu.Unlock()
			peer.engine.SendLocal(e.to, e.msg, e.sender)
		}
	}
}

func (o *node) Reaches(addr string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.cut[addr]
}

func (o *node) Notify(undelivered func(*actor.PID, any), lost func(string)) {
	o.undelivered, o.lost = undelivered, lost
}

func (o *node) current() testView {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.view
}

func (o *node) Owner(key [16]byte) (string, bool)  { return o.current().owner(key, "") }
func (o *node) Former(key [16]byte) (string, bool) { return o.current().owner(key, o.addr) }
func (o *node) Fresh() bool                        { return !o.stale.Load() }
func (o *node) Number() int64                      { return o.current().Number }
func (o *node) Watch(f func())                     { o.watch = append(o.watch, f) }

func (o *node) Export() []byte {
	view, err := json.Marshal(o.current())
	require.NoError(o.net.t, err)
	return view
}

func (o *node) Offer(view []byte) {
	var v testView
	if json.Unmarshal(view, &v) == nil {
		o.adopt(v)
	}
}
