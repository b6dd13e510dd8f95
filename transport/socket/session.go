package socket

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// closeTimeout is how long a closing session may take to send what is queued
	// and to see the client close.
	closeTimeout = 2 * time.Second
	// lingerTimeout is the same over polling: the client gets the rest with its
	// next poll, for which it may need a new connection.
	lingerTimeout = 30 * time.Second
)

type state uint8

const (
	stateOpen    state = iota
	stateClosing       // the end is queued; nothing more is taken or handled
	stateClosed        // nothing is sent any more
)

// session is one client: what outlives a change of its transport and carries at
// most one socket at a time.
//
// Its transport is a WebSocket connection, whose reader ends the session, or,
// while conn is nil, polling: then a goroutine ends it that is started for that.
type session struct {
	server  *Server
	dialect dialect
	sid     string // secret
	remote  netip.Addr
	agent   string // User-Agent of the client

	trusted        atomic.Bool  // a socket was connected
	anonymousBytes atomic.Int64 // read before that

	// in is held while something of the client is handled, and makes that and
	// the end of the socket one at a time. It is taken before mu.
	in    sync.Mutex
	flood bucket

	mu      sync.Mutex
	socket  *socket // nil before CONNECT and after it left; set under in, too
	state   state
	reason  Reason
	cause   error // for the log
	out     outbox
	conn    net.Conn      // nil: polling. It never changes again
	writing bool          // the writer goroutine runs
	drained chan struct{} // closed when the writer ends, if somebody waits for it
	polling               // the other transport
	deadlines
}

// push queues frames that belong together and come without a hole. A client
// that was over its limits before is too slow: nothing more goes out, not even
// what is queued, since a hole would never be noticed; it comes back and
// recovers. So a burst in one piece doesn't cut those who are up to date.
func (s *session) push(frames ...frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return
	}
	if s.out.over(&s.server.config.Limits) {
		s.out.drop()
		s.end(ReasonSlowConsumer)
		return
	}
	s.out.push(frames...)
	s.flush()
}

// replay queues what the client missed. It doesn't count as being slow: a
// client that missed much would otherwise be cut whenever it comes back.
func (s *session) replay(frames []frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen {
		s.out.excuse(frames)
		s.flush()
	}
}

// flush hands what is queued to the transport. The caller holds mu.
func (s *session) flush() {
	switch {
	case s.conn == nil:
		s.flushPoll()
	case !s.writing && len(s.out.queue) > 0:
		s.writing = true
		go s.write()
	}
}

// write sends what is queued and ends when there is nothing left.
func (s *session) write() {
	var batch []frame
	for {
		s.mu.Lock()
		batch = s.out.take(batch)
		if len(batch) == 0 {
			s.writing = false
			if s.drained != nil {
				close(s.drained)
			}
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if err := s.server.gatherer.write(s.conn, batch); err != nil {
			s.cut(reasonOf(err))
		}
	}
}

// shut ends the session in order: what is queued goes out, then last, then the
// reason. The first reason counts.
func (s *session) shut(reason Reason, last ...frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(reason, last...)
}

// shutDown is shut for the end of the server: nobody would answer another poll.
func (s *session) shutDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(ReasonShutdown)
	if s.conn == nil && s.state == stateClosing {
		s.close()
	}
}

// end is shut for who holds mu.
func (s *session) end(reason Reason, last ...frame) {
	if s.state != stateOpen {
		return
	}
	if s.conn != nil {
		last = append(last, closeFrame(reason))
	}
	s.endWith(reason, last...)
}

// endWith makes last the end of what is sent. The caller holds mu, and the
// session is open.
func (s *session) endWith(reason Reason, last ...frame) {
	s.state, s.reason = stateClosing, reason
	s.out.push(last...)
	s.closeProbe()
	if s.conn != nil {
		s.closeBy = time.Now().Add(closeTimeout)
		s.flush()
		s.reschedule()
		return
	}
	s.closeBy = time.Now().Add(lingerTimeout)
	s.reschedule()
	s.flush()
	go s.finishPolling()
}

// cut ends the session at once: what is queued is lost.
func (s *session) cut(reason Reason) {
	s.mu.Lock()
	if s.reason == reasonUnnamed {
		s.reason = reason
	}
	if s.state == stateOpen && s.conn == nil {
		go s.finishPolling()
	}
	s.close()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return
	}
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log("close connection", slog.Any("error", err))
	}
}

// close takes and gives nothing any more. The caller holds mu.
func (s *session) close() {
	s.out.drop()
	s.closeProbe()
	if s.state != stateClosed {
		s.state = stateClosed
		s.closePolling()
	}
}

// fail ends the session because of what the client sent.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blame(err)
	s.end(reasonOf(err))
}

// blame keeps the first cause of the end. The caller holds mu.
func (s *session) blame(err error) {
	if s.cause == nil {
		s.cause = err
	}
}

func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateOpen
}

// allowed takes one packet off the client's allowance. The caller holds in.
func (s *session) allowed() bool {
	l := s.server.config.Limits
	return s.flood.take(time.Now(), float64(l.PacketsPerSecond), float64(l.PacketBurst))
}

// spend counts bytes that were read, until the client has shown a token.
func (s *session) spend(n int) error {
	if s.trusted.Load() || s.anonymousBytes.Add(int64(n)) <= anonymousBytesMax {
		return nil
	}
	s.fail(errAnonymousBytes)
	return errAnonymousBytes
}

// finishReading is the end of the reader of a connection: it waits for the
// writer, closes the connection and leaves every place that knows the session.
func (s *session) finishReading() {
	s.mu.Lock()
	if s.state == stateOpen {
		s.endWith(reasonOf(s.cause), closeFrame(reasonOf(s.cause)))
	}
	if s.reason == reasonUnnamed {
		s.reason = reasonOf(s.cause)
	}
	reason := s.reason
	if s.writing {
		drained := make(chan struct{})
		s.drained = drained
		s.mu.Unlock()
		<-drained
	} else {
		s.mu.Unlock()
	}
	s.cut(reason)
	s.depart(reason)
	s.forget(reason)
}

// finishPolling is the end of a session without a connection. The client may
// still fetch the rest.
func (s *session) finishPolling() {
	s.mu.Lock()
	reason := s.reason
	s.mu.Unlock()
	s.depart(reason)
	<-s.gone
	s.forget(reason)
}

// depart ends the socket; from now on none can be connected.
func (s *session) depart(reason Reason) {
	s.in.Lock()
	defer s.in.Unlock()
	s.leave(reason)
}

// forget takes the session out of the places that know it.
func (s *session) forget(reason Reason) {
	s.server.wheel.cancel(&s.timer)
	s.server.metrics.ended.WithLabelValues(reason.String()).Inc()
	s.mu.Lock()
	cause := s.cause
	s.mu.Unlock()
	s.log("session ended", slog.String("reason", reason.String()), slog.Any("error", cause))
	s.server.registry.remove(s)
}

// log never names the sid: whoever knows it can take the session over.
func (s *session) log(message string, attrs ...any) {
	s.server.config.Logger.Debug(message, append(attrs, slog.Any("remote", s.remote))...)
}
