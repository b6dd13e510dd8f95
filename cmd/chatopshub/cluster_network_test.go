package main

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// The ends of a network that aren't nodes.
const (
	atPostgres = "postgres"
	atValkey   = "valkey"
)

// way is from one end of a network to another.
type way struct{ from, to string }

// network is what lies between the nodes of a fleet, PostgreSQL and Valkey:
// doors to each that nodes dial instead. What goes one way can be cut without a
// word to either end, as where packets are dropped; it needs no privileges and
// no kernel but the machine's own.
type network struct {
	running sync.WaitGroup

	mu      sync.Mutex
	nodes   map[string]string // by the address that a node says hello with
	cuts    map[way]bool
	changed chan struct{} // closed with each change
	closed  bool
	opened  []interface{ Close() error }
}

func newNetwork(t testing.TB) *network {
	n := &network{nodes: map[string]string{}, cuts: map[way]bool{}, changed: make(chan struct{})}
	t.Cleanup(n.close)
	return n
}

// door is an address that leads from an end of the network to target, which is
// at another end.
func (n *network) door(t testing.TB, from, to, target string) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.keep(listener)
	n.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.running.Go(func() { n.lead(conn, target, from, to) })
		}
	})
	return listener.Addr().String()
}

// peerDoor is a door to a node for all others. Who comes through it is known by
// the hello with which nodes begin; before that it is anybody.
func (n *network) peerDoor(t testing.TB, to, target string) (addr string) {
	t.Helper()
	addr = n.door(t, "", to, target)
	n.change(func() { n.nodes[addr] = to })
	return addr
}

// urlDoor is the URL whose server is reached through a door.
func (n *network) urlDoor(t testing.TB, from, to, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	u.Host = n.door(t, from, to, u.Host)
	return u.String()
}

// cut stops what goes those ways from now on.
func (n *network) cut(ways ...way) {
	n.change(func() {
		for _, w := range ways {
			n.cuts[w] = true
		}
	})
}

// heal lets everything through: what waited, too, where its connection is still
// there.
func (n *network) heal() { n.change(func() { clear(n.cuts) }) }

func (n *network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *network) close() {
	n.change(func() { n.closed = true })
	n.mu.Lock()
	for _, c := range n.opened {
		_ = c.Close() // its other end may have closed it
	}
	n.mu.Unlock()
	n.running.Wait()
}

// keep has c closed with the network.
func (n *network) keep(c interface{ Close() error }) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened = append(n.opened, c)
	if n.closed {
		_ = c.Close() // nobody needs it any more
	}
}

// passage is one connection through a door.
type passage struct {
	network *network
	to      string
	from    atomic.Pointer[string] // "": not known yet
	own     string                 // the address of the door
	seen    []byte                 // what it was known by, or not yet
}

func (n *network) lead(near net.Conn, target, from, to string) {
	n.keep(near)
	defer near.Close()
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	n.keep(far)
	defer far.Close()
	p := &passage{network: n, to: to, own: near.LocalAddr().String()}
	p.from.Store(&from)
	var ways sync.WaitGroup
	ways.Go(func() { p.carry(near, far, true) })
	ways.Go(func() { p.carry(far, near, false) })
	ways.Wait()
}

// carry brings what one end sends to the other until either closes.
func (p *passage) carry(src, dst net.Conn, forth bool) {
	defer src.Close()
	defer dst.Close()
	data := make([]byte, 32<<10)
	for {
		got, err := src.Read(data)
		if forth {
			p.recognize(data[:got])
		}
		if got > 0 && !p.pass(forth) {
			return
		}
		if _, writeErr := dst.Write(data[:got]); err != nil || writeErr != nil {
			return
		}
	}
}

// greetingMost is within how many bytes a node has said hello.
const greetingMost = 8 << 10

// recognize looks for a hello.
func (p *passage) recognize(data []byte) {
	if *p.from.Load() != "" || len(p.seen) > greetingMost {
		return
	}
	p.seen = append(p.seen, data...)
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	for addr, node := range p.network.nodes {
		if addr != p.own && bytes.Contains(p.seen, []byte(addr)) {
			p.from.Store(&node)
		}
	}
}

// pass waits until that way is open; false when it never will be.
func (p *passage) pass(forth bool) bool {
	n := p.network
	for {
		w := way{*p.from.Load(), p.to}
		if !forth {
			w.from, w.to = w.to, w.from
		}
		n.mu.Lock()
		cut, closed, changed := n.cuts[w], n.closed, n.changed
		n.mu.Unlock()
		if !cut || closed {
			return !closed
		}
		<-changed
	}
}
