package socket

import "time"

// bucket is a token bucket.
type bucket struct {
	tokens float64
	filled time.Time // zero: full
}

// take takes one token, of those that come in at rate a second up to burst.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.filled.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+now.Sub(b.filled).Seconds()*rate)
	}
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
