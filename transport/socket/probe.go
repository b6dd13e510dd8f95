package socket

import (
	"net"
	"net/http"
	"time"

	"github.com/lxzan/gws"
)

// noopInterval is how often a waiting poll is released while a connection is
// probing. The client waits for its last poll to end before it upgrades, and may
// open another before it has seen our 3probe: once would not be enough.
const noopInterval = 100 * time.Millisecond

// acceptProbe takes a WebSocket connection that wants to become the transport
// of a polling session. Until it does, the session doesn't depend on it.
func (s *Server) acceptProbe(w http.ResponseWriter, r *http.Request, k *session) {
	line := &wire{session: k}
	if !s.registry.enter() {
		s.refuse(w, refuseShutdown)
		return
	}
	if !k.beginProbe(line) {
		s.registry.running.Done()
		s.refuse(w, refuseRequest)
		return
	}
	ws := s.handshake(w, r, line, k.dialect)
	if ws == nil {
		k.dropProbe(line)
		s.registry.running.Done()
		return
	}
	go line.read(ws)
}

// take makes conn the connection of w, which may have lost its place meanwhile.
func (w *wire) take(conn net.Conn, unread []byte) {
	if w.session != nil {
		w.session.mu.Lock()
		defer w.session.mu.Unlock()
		if w.session.probe != w {
			_ = conn.Close() // the reader will find it so
		}
	}
	w.Conn, w.unread = conn, unread
}

// beginProbe makes w the one connection that probes; false when there can't be
// one.
func (s *session) beginProbe(w *wire) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen || s.conn != nil || s.probe != nil {
		return false
	}
	s.probe = w
	s.upgradeBy = time.Now().Add(s.server.config.UpgradeTimeout)
	s.reschedule()
	return true
}

// probe handles a message on a connection that is only probing: 2probe, then 5.
// Anything else closes it, and nothing but it.
func (w *wire) probe(message *gws.Message) {
	text := ""
	if message.Opcode == gws.OpcodeText {
		text = string(message.Bytes())
	}
	switch {
	case text == "2probe" && !w.probed:
		w.probed = true
		if _, err := w.Write(probeAnswer); err == nil {
			w.session.beginNoops(w)
			return
		}
	case text == "5" && w.probed && w.session.upgrade(w):
		w.session.server.registry.running.Done() // from now on it counts as the session
		return
	}
	_ = w.Conn.Close() // ends the reader, which cleans up
}

// beginNoops releases a waiting poll, now and from time to time.
func (s *session) beginNoops(w *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe != w {
		return
	}
	s.releasePoll()
	s.noopAt = time.Now().Add(noopInterval)
	s.reschedule()
}

// upgrade makes w the session's transport. The client asks for it when it has
// handled all answers to its polls and got one for all it sent. There is one
// queue for both transports, and it changes hands under the lock: so nothing is
// lost, doubled or overtaken.
func (s *session) upgrade(w *wire) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen || s.probe != w {
		return false
	}
	s.endProbe()
	s.releasePoll()
	s.conn, w.carries = w.Conn, true
	s.flush()
	s.reschedule()
	return true
}

// dropProbe goes on without w.
func (s *session) dropProbe(w *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe == w {
		s.endProbe()
	}
}

// closeProbe ends a probing connection. The caller holds mu.
func (s *session) closeProbe() {
	if s.probe == nil {
		return
	}
	if line := s.probe.Conn; line != nil {
		_ = line.SetDeadline(time.Unix(1, 0)) // its reader ends and closes it, which may take time
	}
	s.endProbe()
}

func (s *session) endProbe() {
	s.probe = nil
	s.upgradeBy, s.noopAt = time.Time{}, time.Time{}
}
