package webhook

import "sync"

// gate bounds the POSTs in flight, by number and by the bytes of their bodies.
// What doesn't fit is turned away at once.
type gate struct {
	maxPosts int
	maxBytes int64

	mu    sync.Mutex
	posts int
	bytes int64
}

// enter takes a place for a body of that length, -1 where it isn't told, and
// returns what to give back.
func (g *gate) enter(length int64) (size int64, ok bool) {
	if length < 0 {
		length = MaxBody
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.posts >= g.maxPosts || g.bytes+length > g.maxBytes {
		return 0, false
	}
	g.posts++
	g.bytes += length
	return length, true
}

func (g *gate) leave(size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.posts--
	g.bytes -= size
}
