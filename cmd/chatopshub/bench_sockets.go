package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// deskSockets is the sockets of many agents. To wake a goroutine for each event
// at each of a thousand sockets would take more of the machine than the server
// has left; so a few readers look at all sockets in turn, every few milliseconds.
// What comes meanwhile waits in the kernel, and that counts as latency.
type deskSockets struct {
	all       []*benchSocket
	take      func(socket int, packet []byte)
	delivered atomic.Int64 // events
	lost      tally        // connections that ended before they were let go
	leaving   chan struct{}
	readers   sync.WaitGroup
}

const (
	// connectAtOnce is how many connections are being made at a time when that
	// isn't what is measured.
	connectAtOnce = 32
	// sweepers is how many read.
	sweepers = 4
	// sweepEvery is how often they do; at most a look every sweepLook at the many
	// sockets that do nothing.
	sweepEvery = 5 * time.Millisecond
	sweepLook  = 5 * time.Microsecond
)

// errNothingYet is what a socket that is looked at has when nothing has come.
var errNothingYet = errors.New("nothing has come yet")

// gatherSockets connects a socket at each door. take gets each packet, of one
// socket one after the other.
func gatherSockets(ctx context.Context, doors []socketDoor, take func(socket int, packet []byte)) (*deskSockets, error) {
	all := make([]*benchSocket, len(doors))
	var connecting sync.WaitGroup
	errs := make([]error, connectAtOnce)
	for w := range connectAtOnce {
		connecting.Go(func() {
			for i := w; i < len(doors) && errs[w] == nil && ctx.Err() == nil; i += connectAtOnce {
				all[i], errs[w] = connectSocket(ctx, doors[i], "", nil)
			}
		})
	}
	connecting.Wait()
	d := readSockets(all, take)
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		d.leave()
		return nil, fmt.Errorf("connect %d sockets: %w", len(doors), err)
	}
	return d, nil
}

// readSockets reads from connected sockets, of which some may be nil.
func readSockets(all []*benchSocket, take func(socket int, packet []byte)) *deskSockets {
	d := &deskSockets{all: all, take: take, leaving: make(chan struct{})}
	var swept []int
	for i, s := range all {
		if s == nil {
			continue
		}
		if conn, ok := s.conn.(*net.TCPConn); ok && s.glance(conn) {
			swept = append(swept, i)
			continue
		}
		d.readers.Go(func() { d.look(i) }) // TLS can't be looked at without waiting
	}
	pause := max(sweepEvery, time.Duration(len(swept))*sweepLook)
	for n := range sweepers {
		d.readers.Go(func() { d.sweep(swept, n, pause) })
	}
	return d
}

// glance has the socket's reader no longer wait for what comes.
func (s *benchSocket) glance(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	buffered, err := s.reader.Peek(s.reader.Buffered())
	if err != nil {
		return false
	}
	before := bytes.NewReader(bytes.Clone(buffered)) // came with the answer to the login
	s.reader.Reset(&glancing{before: before, raw: raw})
	return true
}

// glancing reads what is there, and never waits.
type glancing struct {
	before  *bytes.Reader
	raw     syscall.RawConn
	drained bool // the last look took all there was
}

// Read implements io.Reader.
func (g *glancing) Read(p []byte) (n int, err error) {
	if g.before.Len() > 0 {
		return g.before.Read(p)
	}
	if g.drained {
		g.drained = false
		return 0, errNothingYet
	}
	var failed error
	err = g.raw.Read(func(fd uintptr) bool {
		n, failed = syscall.Read(int(fd), p)
		return true // whatever came of it
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(failed, syscall.EAGAIN), errors.Is(failed, syscall.EINTR):
		return 0, errNothingYet
	case failed != nil:
		return 0, failed
	case n == 0:
		return 0, net.ErrClosed
	}
	g.drained = n < len(p)
	return n, nil
}

// sweep looks at every nth of the sockets, again and again.
func (d *deskSockets) sweep(sockets []int, n int, pause time.Duration) {
	var mine []int
	for i := n; i < len(sockets); i += sweepers {
		mine = append(mine, sockets[i])
	}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for len(mine) > 0 {
		select {
		case <-d.leaving:
			return
		case <-ticker.C:
		}
		kept := mine[:0]
		for _, i := range mine {
			if d.look(i) {
				kept = append(kept, i)
			}
		}
		mine = kept
	}
}

// look takes what has come to a socket, and reports whether more may come.
func (d *deskSockets) look(i int) bool {
	err := d.all[i].listen(func(packet []byte) {
		if bytes.HasPrefix(packet, []byte("42")) {
			d.delivered.Add(1)
		}
		d.take(i, packet)
	})
	if errors.Is(err, errNothingYet) {
		return true
	}
	select {
	case <-d.leaving:
	default:
		d.lost.add("socket lost: "+kindOf(err), 1)
	}
	return false
}

// leave closes all.
func (d *deskSockets) leave() {
	close(d.leaving)
	for _, s := range d.all {
		if s != nil {
			_ = s.conn.Close() // whatever is still on its way
		}
	}
	d.readers.Wait()
}
