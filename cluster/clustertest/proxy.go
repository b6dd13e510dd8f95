// Package clustertest has networks that fail for tests of several nodes: a TCP
// proxy that stands where a node can be reached, and whose directions can each
// be cut, delayed and healed.
package clustertest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Direction is a way through a Proxy; they may be added.
type Direction uint8

// The ways, as who dials the proxy sees them.
const (
	Forth Direction = 1 << iota // to the target
	Back                        // from it
	Both  = Forth | Back
)

// Proxy forwards TCP connections to a target.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	cut     Direction
	delay   map[Direction]time.Duration
	changed chan struct{} // closed with each change
	closed  bool
	conns   map[net.Conn]bool
}

// NewProxy listens on a free port of this machine, until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{
		target: target, listener: listener, delay: map[Direction]time.Duration{},
		changed: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	p.running.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Addr is where to dial instead of the target.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut stops what goes that way, on all connections and new ones, which stay
// open: as in a network that drops packets, nobody is told, and what was
// written arrives after Heal if its connection is still there.
func (p *Proxy) Cut(d Direction) { p.change(func() { p.cut |= d }) }

// Delay holds back everything that goes that way for so long.
func (p *Proxy) Delay(d Direction, by time.Duration) {
	p.change(func() {
		for _, way := range []Direction{Forth, Back} {
			if d&way != 0 {
				p.delay[way] = by
			}
		}
	})
}

// Heal ends cuts and delays.
func (p *Proxy) Heal() {
	p.change(func() {
		p.cut = 0
		clear(p.delay)
	})
}

// Break closes all connections; new ones are taken.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close() // its other end may have closed it already
	}
}

// Close ends the proxy: nobody listens at its address any more.
func (p *Proxy) Close() {
	_ = p.listener.Close() // a second time says so
	p.change(func() { p.closed = true })
	p.Break()
	p.running.Wait()
}

func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(conn) })
	}
}

// keep takes note of a connection for Break; false when the proxy is closed.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns[conn] = true
	}
	return !p.closed
}

func (p *Proxy) drop(conn net.Conn) {
	_ = conn.Close() // Break may have closed it
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *Proxy) serve(near net.Conn) {
	defer p.drop(near)
	if !p.keep(near) {
		return
	}
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(far)
	if !p.keep(far) {
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { p.forward(Forth, near, far) })
	ways.Go(func() { p.forward(Back, far, near) })
	ways.Wait()
}

// chunk is what was read at once.
type chunk struct {
	data []byte
	at   time.Time
}

// inFlight is how many chunks are on their way before nothing more is read.
const inFlight = 64

func (p *Proxy) forward(way Direction, from, to net.Conn) {
	chunks, gone := make(chan chunk, inFlight), make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(chunks)
		read(from, chunks, gone)
	})
	for c := range chunks {
		if !p.pass(way, c.at) {
			break
		}
		if _, err := to.Write(c.data); err != nil {
			break
		}
	}
	close(gone)
	// Whichever end is closed, so is the other.
	_, _ = from.Close(), to.Close()
	reading.Wait()
}

func read(from io.Reader, chunks chan<- chunk, gone <-chan struct{}) {
	for {
		data := make([]byte, 32<<10)
		n, err := from.Read(data)
		if n > 0 {
			select {
			case chunks <- chunk{data[:n], time.Now()}: //nolint:forbidigo // a network has a clock of its own
			case <-gone:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until what was read at that time may go on; false when it never may.
func (p *Proxy) pass(way Direction, at time.Time) bool {
	for {
		p.mu.Lock()
		cut, closed, changed := p.cut&way != 0, p.closed, p.changed
		left := time.Until(at.Add(p.delay[way])) //nolint:forbidigo // as above
		p.mu.Unlock()
		if closed {
			return false
		}
		if !cut && left <= 0 {
			return true
		}
		var due <-chan time.Time
		if !cut {
			due = time.After(left)
		}
		select {
		case <-due:
		case <-changed:
		}
	}
}
