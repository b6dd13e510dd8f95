package valkey

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxLocal bounds the counters in memory, at some 150 bytes each. When there are
// more, the one that was used longest ago is forgotten.
const maxLocal = 50_000

// local counts in memory.
type local struct {
	now func() time.Time

	mu       sync.Mutex
	counters *simplelru.LRU[name, counter]
}

type counter struct {
	count int
	ends  time.Time
}

func newLocal(now func() time.Time) *local {
	counters, err := simplelru.NewLRU[name, counter](maxLocal, nil)
	if err != nil { // only for a size below one
		panic(fmt.Sprintf("valkey: make %d counters: %v", maxLocal, err))
	}
	return &local{now: now, counters: counters}
}

func (l *local) take(n name, limit int, window time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	c, found := l.counters.Get(n)
	if !found || !now.Before(c.ends) {
		c = counter{ends: now.Add(window)}
	}
	if c.count >= limit {
		return c.ends.Sub(now)
	}
	c.count++
	l.counters.Add(n, c)
	return 0
}

func (l *local) giveBack(n name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, found := l.counters.Peek(n); found && c.count > 0 {
		c.count--
		l.counters.Add(n, c)
	}
}
