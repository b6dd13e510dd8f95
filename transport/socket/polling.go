package socket

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chatopshub/chatopshub/transport/socket/engineio"
)

// bodyTimeout is how long the body of a POST may take.
const bodyTimeout = 10 * time.Second

// polling is the transport that needs nothing but HTTP: the client asks for
// what is queued by GET and sends by POST. The session's mutex guards it.
type polling struct {
	poll    chan []frame  // the GET that waits, one answer fits in; nil: none
	marks   []string      // that the last polls carried, newest last
	posting bool          // a POST is being read
	gone    chan struct{} // closed when no poll is answered any more; nil: never polled
	probe   *wire         // a connection that is about to replace polling
}

// flushPoll gives a waiting poll what is queued, and to a closing session's its
// end. The caller holds mu.
func (s *session) flushPoll() {
	switch {
	case s.poll == nil:
	case s.state == stateClosing:
		s.answerPoll(append(s.out.takeAll(), closePacket))
		s.close()
	case len(s.out.queue) > 0:
		s.answerPoll(s.out.takeAll())
	}
}

// answerPoll ends the waiting poll. The caller holds mu.
func (s *session) answerPoll(packets []frame) {
	s.poll <- packets
	s.poll = nil
}

// releasePoll ends a waiting poll without anything. The caller holds mu.
func (s *session) releasePoll() {
	if s.poll != nil {
		s.answerPoll([]frame{noopPacket})
	}
}

// closePolling tells a waiting poll that the session is over. The caller holds
// mu.
func (s *session) closePolling() {
	if s.poll != nil {
		s.answerPoll([]frame{closePacket})
	}
	if s.gone != nil {
		close(s.gone)
	}
}

// serveGet answers with all that is queued, or waits until there is something.
func (s *session) serveGet(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	// The server's deadlines are for answers that don't wait. What can't be set
	// (by a writer that isn't net/http's) isn't enforced either.
	_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})
	answer, no := s.beginPoll(r.URL.Query().Get("t"))
	if no != nil {
		s.server.refuse(w, *no)
		return
	}
	select {
	case packets := <-answer:
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // as above
		if err := writePayload(w, packets); err != nil || r.Context().Err() != nil {
			s.lostPoll() // perhaps the client didn't get them
		}
	case <-r.Context().Done():
		s.lostPoll()
	}
}

// lostPoll ends a session whose client has left its poll. One that has moved to
// a WebSocket needs none.
func (s *session) lostPoll() {
	s.mu.Lock()
	upgraded := s.conn != nil
	s.mu.Unlock()
	if !upgraded {
		s.cut(ReasonConnectionLost)
	}
}

const (
	// marksKept is how many polls may come before one that was sent earlier, on
	// a connection that is lost, is read at last.
	marksKept = 16
	// markMax is how long a mark is that is kept, in bytes; clients use a dozen.
	markMax = 64
)

// repeated reports whether a poll with this mark came before, and whether that
// was the last one. HTTP stacks repeat a GET whose connection was lost, without
// telling anybody. The mark, which clients put there against caches, tells such
// a poll from a new one. The caller holds mu.
func (p *polling) repeated(mark string) (before, last bool) {
	if mark == "" || len(mark) > markMax {
		return false, false
	}
	if i := slices.Index(p.marks, mark); i >= 0 {
		return true, i == len(p.marks)-1
	}
	if len(p.marks) == marksKept {
		p.marks = slices.Delete(p.marks, 0, 1)
	}
	p.marks = append(p.marks, strings.Clone(mark)) // the request's memory goes
	return false, false
}

// beginPoll makes the caller the poll that waits, or says why it can't be.
func (s *session) beginPoll(mark string) (<-chan []frame, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, last := s.repeated(mark)
	switch {
	case last: // whoever answered the first has answered nobody
		s.blame(errRepeated)
		s.end(ReasonConnectionLost)
		return nil, &refuseSession
	case before: // the client has got its answer and moved on
		return nil, &refuseRequest
	case s.conn != nil:
		return nil, &refuseRequest // upgraded meanwhile
	case s.state == stateClosed:
		return nil, &refuseSession
	case s.poll != nil:
		s.blame(errOverlap)
		s.end(ReasonProtocol)
		return nil, &refuseOverlap
	}
	answer := make(chan []frame, 1)
	s.poll = answer
	s.flush()
	return answer, nil
}

// writePayload answers a poll.
func writePayload(w http.ResponseWriter, packets []frame) error {
	size := len(packets) - 1
	for _, p := range packets {
		size += len(p.payload())
	}
	writePollHeader(w, size)
	for i, p := range packets {
		if i > 0 {
			if _, err := w.Write([]byte{engineio.Separator}); err != nil {
				return fmt.Errorf("answer poll: %w", err)
			}
		}
		if _, err := w.Write(p.payload()); err != nil {
			return fmt.Errorf("answer poll: %w", err)
		}
	}
	return nil
}

func writePollHeader(w http.ResponseWriter, size int) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(size))
}

// servePost takes packets of the client. It answers when they are handled: the
// client sends more only then, so that their order is kept.
func (s *session) servePost(w http.ResponseWriter, r *http.Request) {
	if no := s.beginPost(); no != nil {
		s.server.refuse(w, *no)
		return
	}
	defer s.endPost()
	body, no := s.readBody(w, r)
	if no != nil {
		s.server.refuse(w, *no)
		return
	}
	s.handlePayload(body)
	h := w.Header()
	h.Set("Content-Type", "text/html")
	h.Set("Content-Length", "2")
	_, _ = io.WriteString(w, "ok") // a client that is gone shows by its polls
}

func (s *session) beginPost() *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn != nil:
		return &refuseRequest
	case s.state != stateOpen:
		return &refuseSession
	case s.posting:
		s.blame(errOverlap)
		s.end(ReasonProtocol)
		return &refuseOverlap
	}
	s.posting = true
	return nil
}

func (s *session) endPost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posting = false
}

// readBody reads a payload of at most MaxPayload bytes; of one who has shown no
// token, less.
func (s *session) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		s.fail(errBinary)
		return nil, &refuseRequest
	}
	limit := s.server.config.MaxPayload
	if !s.trusted.Load() {
		limit = min(limit, anonymousBytesMax)
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // what can't be set isn't enforced
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	_ = control.SetReadDeadline(time.Time{}) // or else it would end the request later
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &refuseTooLarge
	case err != nil:
		s.cut(ReasonConnectionLost)
		return nil, &refuseRequest
	}
	if err := s.spend(len(body)); err != nil {
		return nil, &refuseTooLarge
	}
	return body, nil
}

// handlePayload handles the packets in order. What follows a bad one doesn't
// count.
func (s *session) handlePayload(body []byte) {
	s.in.Lock()
	defer s.in.Unlock()
	if !utf8.Valid(body) {
		s.fail(errNotUTF8)
		return
	}
	for p, err := range engineio.DecodePayload(body) {
		if !s.isOpen() {
			return
		}
		if err == nil {
			err = s.packet(p)
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}
