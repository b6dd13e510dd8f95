package actors

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// sendWindow is how many messages may be under way to a feed, firstWindow how
	// many of those that are sent again; with each acknowledgement it doubles. So
	// a feed that is behind isn't kept from catching up by repeats.
	sendWindow  = 256
	firstWindow = 16
	// sendAgain is after how long without an acknowledgement they are sent again.
	// It doubles, too, up to sendAgainMax.
	sendAgain    = time.Second
	sendAgainMax = 8 * time.Second
	// sourceBytes bounds what a source keeps for a feed on another node. The
	// number of messages is bounded by the directory's MaxWaiting.
	sourceBytes = 8 << 20
	// publishBytes bounds the payloads of one message on the way.
	publishBytes = 2 << 20
	// queueKept is how many messages an empty source keeps room for.
	queueKept = 512
)

// source is what a node publishes to the feed of one organization, wherever that
// is. It numbers its messages and keeps each until the feed has acknowledged it;
// when it isn't known whether the feed has got them it sends them again, and the
// feed takes each number once, in order.
//
// Overflow: what there is no room for is dropped, and the feed told as soon as
// there is room again that something is missing.
type source struct {
	station      *station
	organization domain.OrganizationID

	mu      sync.Mutex
	last    uint64 // the number of the newest message
	acked   uint64 // up to here the feed has taken all
	sent    uint64 // up to here all was sent
	queue   []kept // acked+1 … last, after what was taken
	taken   int    // of queue
	bytes   int    // of what is packed
	lost    time.Time
	waiting time.Time     // since when nothing was acknowledged, though something was sent
	patient time.Duration // how long that may be
	window  uint64
	owner   string // of the feed, when something was sent; "": this node
}

// kept is a message, and how long its payloads are; 0: they aren't encoded.
type kept struct {
	msg  publish
	size int
}

func (s *source) publish(notices []domain.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isFull() {
		if s.lost.IsZero() {
			s.lost = s.station.now()
			s.station.feeds.system.log.Warn("feed isn't reached or is overloaded; clients will be told to fetch again",
				"organization", s.organization)
		}
		return
	}
	s.add(publish{Notices: notices})
	s.pump()
}

func (s *source) isFull() bool {
	return s.last-s.acked >= uint64(s.station.feeds.directory.config.MaxWaiting) || s.bytes >= sourceBytes
}

// add queues m. The caller holds the lock.
func (s *source) add(m publish) {
	s.last++
	m.Source, m.Number = s.station.pid, s.last
	if s.last == s.acked+1 {
		s.waiting = s.station.now()
	}
	s.queue = append(s.queue, kept{msg: m})
	if s.owner != "" { // so that it counts
		s.pack(&s.queue[len(s.queue)-1])
	}
}

// pump sends what may be sent. The caller holds the lock.
func (s *source) pump() {
	addr, isElsewhere := s.station.feeds.directory.elsewhere(s.organization)
	if addr == s.station.pid.GetAddress() || !isElsewhere {
		addr = ""
	}
	s.owner = addr
	for s.sent < s.last && s.sent-s.acked < s.window {
		k := &s.queue[s.taken+int(s.sent-s.acked)]
		if isElsewhere {
			s.pack(k)
		}
		k.msg.Oldest = s.acked + 1
		if s.station.feeds.directory.insist(s.organization, k.msg) != nil {
			return // there is no way, or not now: tick tries again
		}
		s.sent++
	}
}

// pack encodes the payloads of k, once for all the times that it is sent. What
// can't be sent is announced as lost.
func (s *source) pack(k *kept) {
	if k.size > 0 {
		return
	}
	k.size = 1
	notices := make([]domain.Notice, 0, len(k.msg.Notices))
	for _, n := range k.msg.Notices {
		data, err := payloadJSON(n.Payload)
		if err != nil || k.size+len(data) > publishBytes {
			s.station.feeds.system.log.Error("event can't be sent to its feed; clients are told to fetch again",
				"organization", s.organization, "event", n.Name, "bytes", len(data), "error", err)
			k.msg.Lost = s.station.now()
			continue
		}
		n.Payload = data
		notices = append(notices, n)
		k.size += len(data)
	}
	k.msg.Notices = notices
	s.bytes += k.size
}

// payloadJSON is a payload as the sockets will get it.
func payloadJSON(payload any) (json.RawMessage, error) {
	if data, ok := payload.(json.RawMessage); ok {
		return data, nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(payload); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// acknowledged drops what the feed has taken, and sends what there is room for.
func (s *source) acknowledged(m ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Through > s.acked && m.Through <= s.last {
		s.drop(int(m.Through - s.acked))
		s.acked = m.Through
		s.sent = max(s.sent, s.acked)
		s.waiting, s.patient = s.station.now(), sendAgain
		s.window = min(2*s.window, sendWindow)
	}
	if m.Again && m.Through == s.acked {
		s.turnBack()
	}
	if !s.lost.IsZero() && !s.isFull() {
		s.add(publish{Lost: s.lost})
		s.lost = time.Time{}
	}
	s.pump()
}

// turnBack has all be sent again that isn't acknowledged, the first of it first.
func (s *source) turnBack() {
	s.sent, s.window = s.acked, firstWindow
}

func (s *source) drop(n int) {
	taken := s.queue[s.taken : s.taken+n]
	for i := range taken {
		s.bytes -= taken[i].size
	}
	clear(taken)
	if s.taken += n; s.taken == len(s.queue) {
		if s.queue, s.taken = s.queue[:0], 0; cap(s.queue) > queueKept {
			s.queue = nil
		}
	}
}

// tick sends again what has been waiting for too long; disturbed: at once what
// may not have arrived.
func (s *source) tick(disturbed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == s.acked {
		return
	}
	now := s.station.now()
	overdue := now.Sub(s.waiting) >= s.patient
	if overdue {
		s.patient = min(2*s.patient, sendAgainMax)
	}
	if overdue || disturbed && s.mayBeGone() {
		s.waiting = now
		s.turnBack()
		s.pump()
	}
}

// mayBeGone reports whether what was sent may have gone astray when the view has
// changed or a connection broke: not if the feed was, and is, here.
func (s *source) mayBeGone() bool {
	_, isElsewhere := s.station.feeds.directory.elsewhere(s.organization)
	return isElsewhere || s.owner != ""
}

// end tells the feed that nothing will come any more.
func (s *source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last > 0 {
		s.add(publish{Last: true})
		s.pump()
	}
}

func (s *source) isSettled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last == s.acked
}
