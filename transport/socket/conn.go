package socket

import (
	"bytes"
	"fmt"
	"net"
	"time"

	"github.com/lxzan/gws"
)

// readBufferSize is small because every idle connection has one.
const readBufferSize = 1 << 10

// anonymousBytesMax is what a client may send before it has shown a good token:
// far more than handshakes need, far less than MaxPayload.
const anonymousBytesMax = 64 << 10

// newUpgrader answers WebSocket handshakes and reads frames. We use gws for
// nothing else: what it would write itself is written by our sessions. Clients
// must offer one of the subprotocols, if there are any.
func newUpgrader(maxPayload int, subprotocols ...string) *gws.Upgrader {
	return gws.NewUpgrader(reader{}, &gws.ServerOption{
		ParallelEnabled:    false, // one message at a time, in order
		CheckUtf8Enabled:   true,
		ReadMaxPayloadSize: maxPayload,
		ReadBufferSize:     readBufferSize,
		SubProtocols:       subprotocols,
		NewSession:         func() gws.SessionStorage { return nil }, // the wire leads to our session
	})
}

// wire is the connection as gws sees it. Once it carries a session, gws writes
// only close frames and then closes the connection; the wire hands the frame to
// the session, whose writer is the only one that writes, and leaves closing to
// the end of the reader. During the handshake, and while it is only probing, it
// is a connection like any other.
type wire struct {
	net.Conn
	unread  []byte     // what the client sent right behind its handshake
	session *session   // nil during the handshake
	hello   credential // of a bare client

	// The reader's own.
	carries bool // it is the session's transport
	probed  bool // 3probe was sent
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
	if w.carries {
		w.session.finishWith(bytes.Clone(p)) // gws uses p again
		return len(p), nil
	}
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

func (w *wire) Close() error {
	if w.carries {
		return nil
	}
	return w.Conn.Close()
}

// finishWith makes gws's close frame the end of what is sent. The reason is
// named when the reading has ended.
func (s *session) finishWith(closing frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen {
		s.endWith(reasonUnnamed, closing)
	}
}

// read reads the connection until it ends. gws panics on a frame header whose
// length has the top bit set, which anybody can send before showing a token,
// and its Recovery option does not cover that.
func (w *wire) read(ws *gws.Conn) {
	defer w.ended()
	defer func() {
		if p := recover(); p != nil && w.carries {
			w.session.fail(fmt.Errorf("%w: %v", errPanic, p))
		}
	}()
	ws.ReadLoop()
}

// ended is the end of the reader.
func (w *wire) ended() {
	if w.carries {
		w.session.finishReading()
		return
	}
	w.session.dropProbe(w)
	_ = w.Conn.Close() // closed already, most likely
	w.session.server.registry.running.Done()
}

// reader passes what gws reads to the session of the connection. gws calls it
// on the goroutine of read.
type reader struct{}

func wireOf(ws *gws.Conn) *wire { return ws.NetConn().(*wire) }

func (reader) OnOpen(ws *gws.Conn) {
	if w := wireOf(ws); w.carries {
		w.session.open(w)
	}
}

func (reader) OnClose(ws *gws.Conn, err error) {
	w := wireOf(ws)
	if w.carries {
		w.session.mu.Lock()
		defer w.session.mu.Unlock()
		w.session.blame(err)
	}
}

func (reader) OnPong(ws *gws.Conn, _ []byte) {
	if w := wireOf(ws); w.carries && w.session.dialect == bare {
		w.session.pong()
	}
}

func (reader) OnPing(ws *gws.Conn, payload []byte) {
	w := wireOf(ws)
	s := w.session
	s.in.Lock()
	defer s.in.Unlock()
	switch {
	case !s.isOpen():
	case !s.allowed():
		s.fail(errRateLimited)
	case w.carries:
		s.push(pongFrame(payload))
	default:
		_ = ws.WritePong(payload) // a failure ends the reader
	}
}

func (reader) OnMessage(ws *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }() // gives the buffer back, can't fail
	w := wireOf(ws)
	if !w.carries {
		w.probe(message)
		return
	}
	s := w.session
	s.in.Lock()
	defer s.in.Unlock()
	if !s.isOpen() {
		return // the client goes on until it has read our close frame
	}
	err := errBinary
	if message.Opcode == gws.OpcodeText {
		err = s.dialect.receive(s, message.Bytes())
	}
	if err != nil {
		s.fail(err)
	}
}

// open begins a session on a connection of its own.
func (s *session) open(w *wire) {
	s.begin()
	if s.dialect != bare {
		s.push(s.server.openPacket(s.sid, false))
		return
	}
	s.in.Lock()
	defer s.in.Unlock()
	if err := s.enter(w.hello); err != nil {
		s.fail(err)
	}
}
