package persistence_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy is a network between a writer and PostgreSQL that a test can break at
// any message of the protocol (PostgreSQL, "Frontend/Backend Protocol").
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	away  bool // who comes is turned away
	slow  bool // what clients send trickles
	watch func(packet) fate
	links map[*link]bool
}

// packet is a message on its way.
type packet struct {
	fromServer bool
	kind       byte // its first byte
	body       []byte
}

// fate is what the network does to a packet.
type fate int

const (
	pass        fate = iota
	cut              // the packet is lost, and so is the connection
	cutHalf          // half of it arrives
	freezeHalf       // half of it arrives, then nothing moves; nobody is told
	freezeAfter      // it arrives, then nothing moves
)

// The packets at which the outcome of a transaction hangs.
func isCommit(p packet) bool {
	return !p.fromServer && p.kind == 'P' && string(p.body) == "\x00COMMIT\x00\x00\x00"
}
func isCommitted(p packet) bool {
	return p.fromServer && p.kind == 'C' && string(p.body) == "COMMIT\x00"
}

// isBind reports whether p carries the parameters of a statement of the writer.
func isBind(p packet, statement string) bool {
	prefix := "\x00" + statement + "\x00"
	return !p.fromServer && p.kind == 'B' && len(p.body) > len(prefix) && string(p.body[:len(prefix)]) == prefix
}

// newProxy is a proxy for as long as the test runs, and the address of the
// database behind it.
func newProxy(t testing.TB, database string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, target: u.Host, links: map[*link]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		p.turnAway(true)
		p.cutLinks()
		p.running.Wait()
	})
	u.Host = listener.Addr().String()
	return p, u.String()
}

// onPacket has each packet of the connections' clients and servers decided by
// watch; nil: all pass.
func (p *proxy) onPacket(watch func(packet) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = watch
}

// turnAway lets nobody in any more, or everybody again.
func (p *proxy) turnAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// trickle makes what clients send from now on arrive slowly, and hardly
// anything be on its way: it is still with the client.
func (p *proxy) trickle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = true
}

func (p *proxy) cutLinks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// thaw lets go on what is frozen.
func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.freeze(false)
	}
}

func (p *proxy) fate(m packet) fate {
	p.mu.Lock()
	watch := p.watch
	p.mu.Unlock()
	if watch == nil {
		return pass
	}
	return watch(m)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	l := &link{client: client, server: server, ended: make(chan struct{})}
	defer l.cut()
	p.mu.Lock()
	if p.away {
		p.mu.Unlock()
		return
	}
	p.links[l] = true
	slow := p.slow
	p.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() {
		defer l.cut()
		if slow {
			drip(client, server)
			return
		}
		p.pump(l, client, server, false)
	})
	pumps.Go(func() { defer l.cut(); p.pump(l, server, client, true) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pump carries packets until its connection ends.
func (p *proxy) pump(l *link, from io.Reader, to io.Writer, fromServer bool) {
	r := bufio.NewReaderSize(from, 1<<16)
	if !fromServer {
		// The first packet of a client has no kind.
		if _, err := carry(r, to); err != nil {
			return
		}
	}
	for {
		header := make([]byte, 5)
		if _, err := io.ReadFull(r, header); err != nil {
			return
		}
		m := packet{fromServer: fromServer, kind: header[0], body: make([]byte, binary.BigEndian.Uint32(header[1:])-4)}
		if _, err := io.ReadFull(r, m.body); err != nil {
			return
		}
		if err := l.deliver(to, append(header, m.body...), p.fate(m)); err != nil {
			return
		}
	}
}

// drip copies some 30 MB a second.
func drip(from, to net.Conn) {
	if tcp, ok := from.(*net.TCPConn); !ok || tcp.SetReadBuffer(16<<10) != nil {
		return
	}
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for {
		if _, err := io.CopyN(to, from, 32<<10); err != nil {
			return
		}
		<-pace.C
	}
}

// carry moves a packet without kind.
func carry(r io.Reader, to io.Writer) (int64, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, err
	}
	if _, err := to.Write(size[:]); err != nil {
		return 0, err
	}
	return io.CopyN(to, r, int64(binary.BigEndian.Uint32(size[:]))-4)
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	once           sync.Once
	ended          chan struct{}

	mu     sync.Mutex
	frozen chan struct{} // closed when it thaws; nil: it isn't frozen
}

func (l *link) cut() {
	l.once.Do(func() {
		close(l.ended)
		l.client.Close()
		l.server.Close()
	})
}

func (l *link) freeze(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case on && l.frozen == nil:
		l.frozen = make(chan struct{})
	case !on && l.frozen != nil:
		close(l.frozen)
		l.frozen = nil
	}
}

var errCut = errors.New("the connection was cut")

// flow returns when the link isn't frozen.
func (l *link) flow() error {
	l.mu.Lock()
	frozen := l.frozen
	l.mu.Unlock()
	if frozen == nil {
		return nil
	}
	select {
	case <-frozen:
		return nil
	case <-l.ended:
		return errCut
	}
}

func (l *link) deliver(to io.Writer, m []byte, f fate) error {
	if err := l.flow(); err != nil {
		return err
	}
	sent := len(m)
	if f == cut || f == cutHalf || f == freezeHalf {
		sent /= 2
	}
	if f != cut {
		if _, err := to.Write(m[:sent]); err != nil {
			return err
		}
	}
	switch f {
	case cut, cutHalf:
		return errCut
	case freezeHalf, freezeAfter:
		l.freeze(true)
		if err := l.flow(); err != nil {
			return err
		}
		_, err := to.Write(m[sent:])
		return err
	}
	return nil
}
