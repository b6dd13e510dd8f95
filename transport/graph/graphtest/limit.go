package graphtest

import (
	"slices"
	"time"
)

// The pair limit of WhatsApp: a burst to one customer, paid back afterwards.
const (
	pairBurst = 45
	pairEvery = 6 * time.Second
)

// pairBucket is what one customer may still get.
type pairBucket struct {
	left float64
	at   time.Time
}

// limited is the error of a message over the account's limits; nil: it is
// within them, and counted. The caller holds the lock.
func (a *account) limited(recipient string, now time.Time) *Error {
	if a.PerSecond > 0 {
		a.recent = slices.DeleteFunc(a.recent, func(t time.Time) bool { return now.Sub(t) >= time.Second })
		if len(a.recent) >= a.PerSecond {
			if a.Provider == Messenger {
				return Failure(613, 0, "Calls to this api have exceeded the rate limit.")
			}
			return Failure(130429, 0, "Rate limit hit")
		}
	}
	if a.PairLimit && a.Provider == WhatsApp {
		bucket, ok := a.pairs[recipient]
		if !ok {
			bucket = pairBucket{left: pairBurst, at: now}
		}
		bucket.left = min(pairBurst, bucket.left+float64(now.Sub(bucket.at))/float64(pairEvery))
		bucket.at = now
		if bucket.left < 1 {
			a.pairs[recipient] = bucket
			return Failure(131056, 0, "(Business Account, Consumer Account) pair rate limit hit")
		}
		bucket.left--
		a.pairs[recipient] = bucket
	}
	if a.PerSecond > 0 {
		a.recent = append(a.recent, now)
	}
	return nil
}

// Peak is the most calls with messages, refused ones included, that an account
// had in any second.
func (s *Server) Peak(accountID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []time.Time
	for _, c := range s.calls.values {
		if c.Account == accountID && c.Kind == KindMessage {
			times = append(times, c.At)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	peak, first := 0, 0
	for i, t := range times {
		for t.Sub(times[first]) >= time.Second {
			first++
		}
		peak = max(peak, i-first+1)
	}
	return peak
}
