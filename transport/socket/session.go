package socket

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lxzan/gws"

	"github.com/chatopshub/chatopshub/transport/socket/engineio"
)

// closeTimeout is how long a closing session may take to send what is queued
// and to see the client close.
const closeTimeout = 2 * time.Second

type state uint8

const (
	stateOpen    state = iota
	stateClosing       // a close frame is queued; nothing more is sent or handled
	stateClosed        // nothing is sent any more
)

// due is what a session has to do about its deadlines.
type due uint8

const (
	dueNothing due = iota
	duePing        // time for a ping
	duePong        // the pong did not come
	dueConnect     // no socket was connected
	dueCut         // the client did not take part in closing
)

// session is one Engine.IO session: what outlives its transport and carries at
// most one socket at a time. Its mutex guards state, queue and deadlines; the
// goroutine that reads its connection owns the rest and ends it.
type session struct {
	server *Server
	sid    string // secret
	conn   net.Conn
	remote netip.Addr
	agent  string // User-Agent of the client

	// The reader's own.
	flood          bucket
	trusted        bool // a socket was connected
	anonymousBytes int  // read before that
	ending         error

	mu           sync.Mutex
	state        state
	awaitingPong bool
	writing      bool // the writer goroutine runs
	reason       Reason
	socket       *socket // nil before CONNECT and after it left; only the reader sets it
	out          outbox
	drained      chan struct{} // closed when the writer ends, if somebody waits for it
	timer        timer
	beatBy       time.Time // next ping, or the end of the wait for a pong
	connectBy    time.Time // a socket must be there by then; zero: it is
	closeBy      time.Time // the connection is cut then; zero: not closing
}

// open starts the session: open packet, heartbeat, connect timeout.
func (s *session) open() {
	s.send(s.server.openFrame(s.sid))
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beatBy = now.Add(s.server.config.PingInterval)
	s.connectBy = now.Add(s.server.config.ConnectTimeout)
	s.reschedule()
}

// send queues f. It is false when the client is so slow that the queue is
// full: then nothing more goes out, not even what is queued, since a hole in
// the events would never be noticed. The caller must cut the session, after
// releasing its locks.
func (s *session) send(f frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return true
	}
	if !s.out.push(f, &s.server.config.Limits) {
		s.state, s.reason = stateClosed, ReasonSlowConsumer
		s.out.drop()
		return false
	}
	s.startWriter()
	return true
}

// reply is send for those that hold no lock.
func (s *session) reply(f frame) {
	if !s.send(f) {
		s.cut(ReasonSlowConsumer)
	}
}

func (s *session) startWriter() {
	if !s.writing && len(s.out.queue) > 0 {
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

// shut ends the session in order: what is queued goes out, then last, then a
// close frame that names the reason.
func (s *session) shut(reason Reason, last ...frame) {
	s.finishWith(reason, append(last, closeFrame(reason))...)
}

// finishWith makes last the end of what is sent. The first caller's reason
// counts; without one it is named when the reading has ended.
func (s *session) finishWith(reason Reason, last ...frame) {
	s.mu.Lock()
	if s.state != stateOpen {
		s.mu.Unlock()
		return
	}
	s.state, s.reason = stateClosing, reason
	for _, f := range last {
		s.out.pushLast(f)
	}
	s.startWriter()
	s.closeBy = time.Now().Add(closeTimeout)
	s.reschedule()
	socket := s.socket
	s.mu.Unlock()
	if socket != nil {
		s.server.hub.detach(socket)
	}
}

// cut ends the session at once: what is queued is lost.
func (s *session) cut(reason Reason) {
	s.mu.Lock()
	if s.reason == reasonUnnamed {
		s.reason = reason
	}
	s.state = stateClosed
	s.out.drop()
	socket := s.socket
	s.mu.Unlock()
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log("close connection", slog.Any("error", err))
	}
	if socket != nil {
		s.server.hub.detach(socket)
	}
}

// expire is called by the wheel.
func (s *session) expire(now time.Time) {
	switch due := s.due(now); due {
	case dueNothing:
	case duePing:
		s.reply(s.server.pingFrame)
	case dueCut:
		s.cut(ReasonConnectionLost)
	case duePong:
		s.shut(ReasonPingTimeout)
	case dueConnect:
		s.shut(ReasonConnectTimeout)
	}
}

// due looks at the deadlines again, now under the lock, and sets the next one.
func (s *session) due(now time.Time) due {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state == stateClosed:
		return dueNothing
	case s.state == stateClosing && !now.Before(s.closeBy):
		return dueCut
	case s.state == stateClosing:
	case !s.connectBy.IsZero() && !now.Before(s.connectBy):
		return dueConnect
	case now.Before(s.beatBy):
	case s.awaitingPong:
		return duePong
	default:
		s.awaitingPong = true
		s.beatBy = now.Add(s.server.config.PingTimeout)
		s.reschedule()
		return duePing
	}
	s.reschedule()
	return dueNothing
}

// reschedule sets the timer to the earliest deadline.
func (s *session) reschedule() {
	at := s.beatBy
	if !s.connectBy.IsZero() && s.connectBy.Before(at) {
		at = s.connectBy
	}
	if s.state == stateClosing {
		at = s.closeBy
	}
	s.server.wheel.schedule(&s.timer, at)
}

// pong is the client's answer to a ping. Without one it means nothing.
func (s *session) pong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awaitingPong {
		s.awaitingPong = false
		s.beatBy = time.Now().Add(s.server.config.PingInterval)
		s.reschedule()
	}
}

func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateOpen
}

// finish is the end of the reader: it waits for the writer, closes the
// connection and leaves every place that knows the session.
func (s *session) finish() {
	s.finishWith(reasonOf(s.ending))
	reason := s.drain()
	s.cut(reason)
	s.server.wheel.cancel(&s.timer)
	anonymous := s.socket == nil
	s.leave(reason)
	s.server.metrics.ended.WithLabelValues(reason.String()).Inc()
	s.log("session ended", slog.String("reason", reason.String()), slog.Any("error", s.ending))
	s.server.registry.remove(s, anonymous)
}

// drain waits until the writer has ended, for closeTimeout at most, and tells
// why the session ends.
func (s *session) drain() Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == reasonUnnamed {
		s.reason = reasonOf(s.ending)
	}
	if s.writing {
		drained := make(chan struct{})
		s.drained = drained
		s.mu.Unlock()
		<-drained
		s.mu.Lock()
	}
	return s.reason
}

// log never names the sid: whoever knows it can take the session over.
func (s *session) log(message string, attrs ...any) {
	s.server.config.Logger.Debug(message, append(attrs, slog.Any("remote", s.remote))...)
}

// openFrame is the first packet of a session.
func (s *Server) openFrame(sid string) frame {
	h := engineio.Handshake{
		SID: sid, PingInterval: s.config.PingInterval, PingTimeout: s.config.PingTimeout, MaxPayload: s.config.MaxPayload,
	}
	return textFrame(128, h.Append)
}

func newPingFrame() frame {
	return textFrame(1, func(dst []byte) []byte { return append(dst, byte(engineio.Ping)) })
}

// pongFrame answers a WebSocket ping, which is not the Engine.IO one, with its
// payload (RFC 6455, section 5.5.3).
func pongFrame(payload []byte) frame { return controlFrame(gws.OpcodePong, payload) }
