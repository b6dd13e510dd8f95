package graphtest

import (
	"bytes"
	"container/heap"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// inFlight bounds the webhooks that are being posted at a time.
const inFlight = 32

// courier posts webhooks at their time, and again until each is answered 200.
// One goroutine waits for what is due; each post in flight has one of its own.
// close ends them all.
type courier struct {
	retry  time.Duration
	client *http.Client
	ctx    context.Context // of the courier's life: posts end with it
	cancel context.CancelFunc
	work   sync.WaitGroup
	slots  chan struct{}
	wake   chan struct{}

	mu      sync.Mutex
	due     dueHeap
	order   uint64
	pending int           // posts that weren't answered 200 yet
	changed chan struct{} // closed and renewed whenever one was
}

// letter is one webhook.
type letter struct {
	url   string
	key   string // it is signed with
	body  []byte
	due   time.Time
	order uint64 // among those due at the same time
	tries int
	taken chan struct{} // closed once it was answered 200
	then  []*letter     // posted after it, whenever they are due; guarded by the courier's lock
}

func newCourier(retry time.Duration) *courier {
	ctx, cancel := context.WithCancel(context.Background())
	c := &courier{
		retry: retry, ctx: ctx, cancel: cancel,
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			MaxIdleConnsPerHost: inFlight, IdleConnTimeout: 30 * time.Second,
		}},
		slots: make(chan struct{}, inFlight), wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	c.work.Go(c.run)
	return c
}

// add has a webhook posted at a time, and not before another was taken; nil:
// it waits for none.
func (c *courier) add(url, key string, at time.Time, body []byte, after *letter) *letter {
	l := &letter{url: url, key: key, body: body, due: at, taken: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending++
	if after != nil && !after.isTaken() {
		after.then = append(after.then, l)
		return l
	}
	c.queue(l)
	return l
}

func (l *letter) isTaken() bool {
	select {
	case <-l.taken:
		return true
	default:
		return false
	}
}

// queue puts a letter among the waiting ones. The caller holds the lock.
func (c *courier) queue(l *letter) {
	c.order++
	l.order = c.order
	heap.Push(&c.due, l)
	select {
	case c.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run hands out what is due.
func (c *courier) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l, wait := c.next(time.Now())
		if l != nil {
			select {
			case c.slots <- struct{}{}:
			case <-c.ctx.Done():
				return
			}
			c.work.Go(func() {
				c.deliver(l)
				<-c.slots
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-c.wake:
		case <-c.ctx.Done():
			return
		}
	}
}

// next is a letter that is due, or how long to wait for one.
func (c *courier) next(now time.Time) (*letter, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.due) == 0 {
		return nil, time.Hour
	}
	if wait := c.due[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&c.due).(*letter), 0
}

// deliver posts once; what wasn't taken is queued again, a little later each time.
func (c *courier) deliver(l *letter) {
	err := c.post(l)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		l.tries++
		l.due = time.Now().Add(min(c.retry<<min(l.tries-1, 10), 50*c.retry))
		c.queue(l)
		return
	}
	close(l.taken)
	for _, next := range l.then {
		c.queue(next)
	}
	c.pending--
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *courier) post(l *letter) error {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, l.url, bytes.NewReader(l.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	mac := hmac.New(sha256.New, []byte(l.key))
	mac.Write(l.body)
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK { // anything else is a failure, 204 included
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	return nil
}

func (c *courier) backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending
}

// drain waits until everything was taken.
func (c *courier) drain(ctx context.Context) error {
	for {
		c.mu.Lock()
		pending, changed := c.pending, c.changed
		c.mu.Unlock()
		if pending == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("graphtest: %d webhooks were not taken: %w", pending, ctx.Err())
		}
	}
}

func (c *courier) close() {
	c.cancel()
	c.work.Wait()
	c.client.CloseIdleConnections()
}

// dueHeap orders letters by when they are due.
type dueHeap []*letter

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].order < h[j].order
	}
	return h[i].due.Before(h[j].due)
}

func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *dueHeap) Push(l any) { *h = append(*h, l.(*letter)) }

// Pop is heap.Interface's.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}
