package cluster

import (
	"fmt"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// message waits for the link to its node.
type message struct {
	to, sender *actor.PID // sender may be nil
	msg        any        // as it was posted, for who is told that it wasn't sent
	body       []byte
	size       int // of the encoded message
	since      time.Time
}

// queue holds what waits for one peer, in order and within bounds. Nothing is
// dropped in silence: push refuses, and what it took is either taken or
// handed back by expired or close.
type queue struct {
	maxMessages, maxBytes int

	mu      sync.Mutex
	waiting []message // from head on
	head    int
	bytes   int
	closed  bool
	moved   time.Time     // when something was written last
	wake    chan struct{} // one token: there may be something to take
}

func newQueue(maxMessages, maxBytes int) *queue {
	return &queue{maxMessages: maxMessages, maxBytes: maxBytes, wake: make(chan struct{}, 1)}
}

// push adds m, or says why not: domain.ErrOverloaded at a bound,
// domain.ErrUnavailable when the queue takes nothing more.
func (q *queue) push(m message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch n := len(q.waiting) - q.head; {
	case q.closed:
		return fmt.Errorf("the link to %s is closed: %w", m.to.Address, domain.ErrUnavailable)
	case n >= q.maxMessages || q.bytes+m.size > q.maxBytes:
		return fmt.Errorf("%d messages wait for %s: %w", n, m.to.Address, domain.ErrOverloaded)
	}
	// Half of the array has been taken: move down instead of growing.
	if len(q.waiting) == cap(q.waiting) && q.head > len(q.waiting)/2 {
		n := copy(q.waiting, q.waiting[q.head:])
		clear(q.waiting[n:])
		q.waiting, q.head = q.waiting[:n], 0
	}
	q.waiting = append(q.waiting, m)
	q.bytes += m.size
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take appends to batch what fits into limit bytes, and one message in any case.
func (q *queue) take(limit int, batch []message) []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	end, size := q.head, 0
	for end < len(q.waiting) && (end == q.head || size+q.waiting[end].size <= limit) {
		size += q.waiting[end].size
		end++
	}
	return q.pop(end, batch)
}

// expired takes out what has waited longer than wait while nothing was
// written: a link that writes, however slowly, gets to it.
func (q *queue) expired(now time.Time, wait time.Duration) []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.moved) <= wait {
		return nil
	}
	end := q.head
	for end < len(q.waiting) && now.Sub(q.waiting[end].since) > wait {
		end++
	}
	return q.pop(end, nil)
}

// pop takes what is before end. The caller holds the lock.
func (q *queue) pop(end int, batch []message) []message {
	batch = append(batch, q.waiting[q.head:end]...)
	for i := q.head; i < end; i++ {
		q.bytes -= q.waiting[i].size
	}
	clear(q.waiting[q.head:end])
	if q.head = end; q.head == len(q.waiting) {
		q.waiting, q.head = q.waiting[:0], 0
		if cap(q.waiting) > 4096 { // a burst is over
			q.waiting = nil
		}
	}
	return batch
}

// wrote notes that the link moves.
func (q *queue) wrote(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.moved = now
}

// close lets nothing in any more; what is there can still be taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// done reports whether nothing is left and nothing can come.
func (q *queue) done() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && q.head == len(q.waiting)
}

// rest takes all.
func (q *queue) rest() []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pop(len(q.waiting), nil)
}

func (q *queue) load() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) - q.head, q.bytes
}
