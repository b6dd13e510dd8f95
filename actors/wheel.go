package actors

import (
	"context"
	"sync"
	"time"
)

// wheelSlots is how many ticks the wheel has around. Timers further away stay
// in their slot for another round.
const wheelSlots = 512

// Wheel keeps the deadlines of a node: any number of them, coarse, with one
// goroutine. A timer never fires early, and at most about a tick late. For
// idle actors there is no timer at all: see Directory.
type Wheel struct {
	tick  time.Duration
	now   func() time.Time
	start time.Time

	mu    sync.Mutex
	hand  int64 // the last tick that was fired, counted from start
	slots [wheelSlots]*Timer
}

// Timer is one deadline on a Wheel.
type Timer struct {
	wheel      *Wheel
	prev, next *Timer
	due        int64 // tick
	fire       func()
	pending    bool
}

// NewWheel makes a wheel that moves every tick; 100 ms is fine enough for what
// people wait for. It moves while Run runs.
func NewWheel(tick time.Duration, now func() time.Time) *Wheel {
	return &Wheel{tick: tick, now: now, start: now()}
}

// Run moves the wheel until ctx ends. What is pending then never fires.
func (w *Wheel) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			for _, t := range w.advance() {
				t.fire()
			}
		}
	}
}

// After calls fire once d has passed: see Schedule.
func (w *Wheel) After(d time.Duration, fire func()) *Timer {
	return w.Schedule(w.now().Add(d), fire)
}

// Schedule calls fire at the time at, or as soon as possible when that is past.
// Fire runs in the wheel's goroutine and does nothing but send a message: who
// blocks here delays all deadlines of the node.
func (w *Wheel) Schedule(at time.Time, fire func()) *Timer {
	due := int64((at.Sub(w.start) + w.tick - 1) / w.tick) // rounded up: never early
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &Timer{wheel: w, due: max(due, w.hand+1), fire: fire}
	w.link(t)
	return t
}

// Stop takes the deadline back. It tells whether that was in time; if not, fire
// has been called or is about to be.
func (t *Timer) Stop() bool {
	t.wheel.mu.Lock()
	defer t.wheel.mu.Unlock()
	if !t.pending {
		return false
	}
	t.wheel.unlink(t)
	return true
}

// advance moves the hand to now and returns what became due.
func (w *Wheel) advance() []*Timer {
	w.mu.Lock()
	defer w.mu.Unlock()
	target := int64(w.now().Sub(w.start) / w.tick)
	// After a long pause one round visits every slot; more would find nothing.
	from := max(w.hand+1, target-wheelSlots+1)
	w.hand = max(w.hand, target)
	var due []*Timer
	for tick := from; tick <= target; tick++ {
		for t := w.slots[tick%wheelSlots]; t != nil; {
			next := t.next
			if t.due <= target {
				w.unlink(t)
				due = append(due, t)
			}
			t = next
		}
	}
	return due
}

func (w *Wheel) link(t *Timer) {
	slot := &w.slots[t.due%wheelSlots]
	if t.next = *slot; t.next != nil {
		t.next.prev = t
	}
	*slot = t
	t.pending = true
}

func (w *Wheel) unlink(t *Timer) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.due%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next, t.pending = nil, nil, false
}
