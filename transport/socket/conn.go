package socket

import (
	"bytes"
	"fmt"
	"net"
	"time"

	"github.com/lxzan/gws"

	"github.com/chatopshub/chatopshub/transport/socket/engineio"
	"github.com/chatopshub/chatopshub/transport/socket/socketio"
)

// readBufferSize is small because every idle connection has one.
const readBufferSize = 1 << 10

// anonymousBytesMax is what a client may send before it has shown a good token:
// far more than handshakes need, far less than MaxPayload.
const anonymousBytesMax = 64 << 10

// newUpgrader answers WebSocket handshakes and reads frames. We use gws for
// nothing else: what it would write itself is written by our sessions.
func newUpgrader(maxPayload int) *gws.Upgrader {
	return gws.NewUpgrader(reader{}, &gws.ServerOption{
		ParallelEnabled:    false, // one message at a time, in order
		CheckUtf8Enabled:   true,
		ReadMaxPayloadSize: maxPayload,
		ReadBufferSize:     readBufferSize,
		NewSession:         func() gws.SessionStorage { return nil }, // the wire leads to our session
	})
}

// wire is the connection as gws sees it. Once the handshake is answered, gws
// writes only close frames and then closes the connection; the wire hands the
// frame to the session, whose writer is the only one that writes, and leaves
// closing to the end of the reader.
type wire struct {
	net.Conn
	unread  []byte   // what the client sent right behind its handshake
	session *session // nil during the handshake
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.unread) > 0 {
		n := copy(p, w.unread)
		w.unread = w.unread[n:]
		return n, nil
	}
	n, err := w.Conn.Read(p)
	if w.session != nil {
		if spent := w.session.spend(n); spent != nil {
			return 0, spent
		}
	}
	return n, err // not wrapped: gws tells errors of net and io apart
}

func (w *wire) Write(p []byte) (int, error) {
	if w.session == nil {
		return w.Conn.Write(p)
	}
	w.session.finishWith(reasonUnnamed, bytes.Clone(p)) // gws uses p again
	return len(p), nil
}

func (w *wire) Close() error {
	if w.session == nil {
		return w.Conn.Close()
	}
	return nil
}

// run reads the connection until it ends. gws panics on a frame header whose
// length has the top bit set, which anybody can send before showing a token,
// and its Recovery option does not cover that.
func (s *session) run(ws *gws.Conn) {
	defer s.finish()
	defer func() {
		if p := recover(); p != nil {
			s.ending = fmt.Errorf("%w: %v", errPanic, p)
			s.shut(ReasonProtocol)
		}
	}()
	ws.ReadLoop()
}

// reader passes what gws reads to the session of the connection. gws calls it
// on the goroutine of run.
type reader struct{}

func sessionOf(ws *gws.Conn) *session { return ws.NetConn().(*wire).session }

func (reader) OnOpen(ws *gws.Conn) { sessionOf(ws).open() }

func (reader) OnClose(ws *gws.Conn, err error) {
	if s := sessionOf(ws); s.ending == nil {
		s.ending = err
	}
}

func (reader) OnPong(*gws.Conn, []byte) {}

func (reader) OnPing(ws *gws.Conn, payload []byte) {
	s := sessionOf(ws)
	if !s.isOpen() {
		return
	}
	if !s.allowed() {
		s.fail(errRateLimited)
		return
	}
	s.reply(pongFrame(payload))
}

func (reader) OnMessage(ws *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }() // gives the buffer back, can't fail
	s := sessionOf(ws)
	if !s.isOpen() {
		return // the client goes on until it has read our close frame
	}
	if err := s.receive(message.Opcode, message.Bytes()); err != nil {
		s.fail(err)
	}
}

// spend counts bytes that were read, until the client has shown a token.
func (s *session) spend(n int) error {
	if s.trusted {
		return nil
	}
	if s.anonymousBytes += n; s.anonymousBytes <= anonymousBytesMax {
		return nil
	}
	s.fail(errAnonymousBytes)
	return errAnonymousBytes
}

// fail ends the session because of what the client sent.
func (s *session) fail(err error) {
	s.ending = err
	s.shut(reasonOf(err))
}

// allowed takes one packet off the client's allowance.
func (s *session) allowed() bool {
	l := s.server.config.Limits
	return s.flood.take(time.Now(), float64(l.PacketsPerSecond), float64(l.PacketBurst))
}

// receive handles one message of the client. An error ends the session.
func (s *session) receive(op gws.Opcode, text []byte) error {
	if op != gws.OpcodeText {
		return errBinary
	}
	p, err := engineio.Decode(text)
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if !s.allowed() {
		s.refuseFlood(p)
		return errRateLimited
	}
	switch p.Type {
	case engineio.Message:
		return s.message(p.Data)
	case engineio.Pong:
		s.pong()
	case engineio.Ping:
		return errClientPing
	case engineio.Close:
		s.shut(ReasonClosed)
	case engineio.Open, engineio.Noop, engineio.Upgrade:
		// Legal, and without meaning here.
	}
	return nil
}

// refuseFlood answers the packet that was one too many, if it wants an answer.
func (s *session) refuseFlood(p engineio.Packet) {
	if p.Type != engineio.Message {
		return
	}
	if e, err := socketio.Decode(p.Data); err == nil && e.Type == socketio.Event {
		s.acknowledge(e.ID, answer{Code: codeRateLimited})
	}
}
