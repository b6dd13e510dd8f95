package socket

import (
	"sync"
	"time"
)

// The wheel turns by one slot a tick. Deadlines further away than one turn stay
// in their slot until their turn has come.
const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = 512
)

// wheel calls expire on timers whose time has come, late by up to a tick. It
// stands for a runtime timer per deadline and socket.
type wheel struct {
	start time.Time
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	now   int64 // ticks since start that are dealt with
	slots [wheelSlots]*timer
}

// timer is one entry of the wheel, embedded in what it belongs to. The wheel's
// mutex guards it.
type timer struct {
	owner      interface{ expire(now time.Time) }
	due        int64 // tick; 0: not in the wheel
	prev, next *timer
}

// startWheel returns a running wheel; stop ends it.
func startWheel() *wheel {
	w := &wheel{start: time.Now(), quit: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *wheel) run() {
	defer close(w.done)
	ticker := time.NewTicker(wheelTick)
	defer ticker.Stop()
	for {
		select {
		case <-w.quit:
			return
		case now := <-ticker.C:
			w.advance(now)
		}
	}
}

// stop waits until no expire is running or will be called.
func (w *wheel) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.done
}

// schedule makes t expire at the given time instead of any earlier one.
func (w *wheel) schedule(t *timer, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(t)
	ticks := int64((at.Sub(w.start) + wheelTick - 1) / wheelTick) // never early
	t.due = max(ticks, w.now+1)
	head := &w.slots[t.due%wheelSlots]
	t.next = *head
	if t.next != nil {
		t.next.prev = t
	}
	*head = t
}

// cancel takes t out. Its expire may just be running.
func (w *wheel) cancel(t *timer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(t)
}

func (w *wheel) unlink(t *timer) {
	if t.due == 0 {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.due%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.due, t.prev, t.next = 0, nil, nil
}

// advance expires everything that is due at now, outside of the lock: expire
// schedules again.
func (w *wheel) advance(now time.Time) {
	for _, t := range w.takeDue(int64(now.Sub(w.start) / wheelTick)) {
		t.owner.expire(now)
	}
}

func (w *wheel) takeDue(until int64) []*timer {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*timer
	for w.now < until {
		w.now++
		for t := w.slots[w.now%wheelSlots]; t != nil; {
			next := t.next
			if t.due <= w.now {
				w.unlink(t)
				due = append(due, t)
			}
			t = next
		}
	}
	return due
}
