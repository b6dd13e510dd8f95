package domain

import (
	"slices"
	"time"
)

// This file has the rules of a channel's pace: when its calls may depart. They
// are values that somebody owns; times are given.

// The platforms' usual limits, in messages a second.
const (
	// WhatsAppRate is for one phone number (Cloud API, Throughput).
	WhatsAppRate = 80
	// MessengerRate stays below the 300 calls of a page (Messenger Platform,
	// Rate Limits), which has typing and receipts to send, too.
	MessengerRate = 200
	// MessengerHeavyRate is for audio and video of one page.
	MessengerHeavyRate = 10
)

// paceSlack bounds how long a call counts as on its way: for a platform that
// takes longer to answer the rate may be exceeded by what is on the way that long.
const paceSlack = 100 * time.Millisecond

const (
	firstPause = time.Second // after the platform asks to slow down; doubles
	maxPause   = time.Minute
	recovery   = 0.05 // of the full rate that a second without complaint gives back
)

// Pace keeps a channel within a number of calls in any second, as the platform
// counts them. A call arrives there between its departure and its answer, so it
// counts from the one until a second after the other: whatever the network
// does, no second at the platform has more. When the platform asks to slow
// down, everything pauses and goes on slower, to speed up again with success.
type Pace struct {
	rate   int
	share  float64     // of the rate that is in use, over 0 to 1
	until  []time.Time // ring: when each of the newest departures stops to count
	next   int         // slot of the next departure
	serial uint64      // departures so far
	paused time.Time
	strain int // how often in a row the platform asked to slow down
}

// Slot names a departure.
type Slot uint64

// NewPace is a pace of at most rate calls in any second; rate is at least 1.
func NewPace(rate int) Pace {
	return Pace{rate: max(rate, 1), share: 1, until: make([]time.Time, max(rate, 1))}
}

// Rate is the calls a second that the pace was made for.
func (p *Pace) Rate() int { return p.rate }

// Room is how many calls may depart at now, as far as most.
func (p *Pace) Room(now time.Time, most int) int {
	if now.Before(p.paused) {
		return 0
	}
	allowed := p.allowed()
	most = min(most, allowed)
	for i := range most {
		if p.back(allowed - i).After(now) {
			return i
		}
	}
	return most
}

// At is when the next call may depart: now or later.
func (p *Pace) At(now time.Time) time.Time {
	return latest(now, p.paused, p.back(p.allowed()))
}

// allowed is how many calls a second may have at present.
func (p *Pace) allowed() int { return max(1, int(float64(p.rate)*p.share)) }

// back is when the nth last departure stops to count.
func (p *Pace) back(n int) time.Time {
	return p.until[(p.next-n+2*p.rate)%p.rate]
}

// Depart counts a call that departs at now.
func (p *Pace) Depart(now time.Time) Slot {
	p.until[p.next] = now.Add(paceSlack + time.Second)
	p.next = (p.next + 1) % p.rate
	p.serial++
	return Slot(p.serial)
}

// Arrived notes that a call has been answered at now.
func (p *Pace) Arrived(s Slot, now time.Time) {
	if age := p.serial - uint64(s); age < uint64(p.rate) {
		slot := &p.until[(p.next-1-int(age)+2*p.rate)%p.rate]
		*slot = earliest(*slot, now.Add(time.Second))
	}
}

// Eased notes that the platform took a call.
func (p *Pace) Eased() {
	p.strain = 0
	p.share = min(1, p.share+recovery/float64(p.allowed()))
}

// Strained notes at now that the platform asked to slow down, for that long if
// it said so. Calls that were on their way together complain together: during
// a pause they tell nothing new.
func (p *Pace) Strained(now time.Time, retryAfter time.Duration) {
	pause := now.Add(retryAfter)
	if !now.Before(p.paused) {
		pause = latest(pause, now.Add(min(firstPause<<min(p.strain, 6), maxPause)))
		p.strain++
		p.share = max(p.share/2, 1/float64(p.rate))
	}
	p.paused = latest(p.paused, pause)
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

func earliest(times ...time.Time) time.Time { return slices.MinFunc(times, time.Time.Compare) }

const (
	breakerTrips = 5 // failures in a row
	maxOpen      = time.Minute
)

// Breaker stops the calls of a channel that only fails, and then lets single
// ones try. The zero value lets all through.
type Breaker struct {
	failures int
	open     time.Time // until when nothing is let through
	trial    bool      // a single call is trying
}

// Lets reports whether a call may be made at now, and otherwise when to ask
// again; zero: when the call that tries has been answered.
func (b *Breaker) Lets(now time.Time) (bool, time.Time) {
	switch {
	case b.failures < breakerTrips:
		return true, time.Time{}
	case now.Before(b.open):
		return false, b.open
	}
	return !b.trial, time.Time{}
}

// Tries notes that a call is let through.
func (b *Breaker) Tries() { b.trial = b.failures >= breakerTrips }

// Leaves notes that a call which was let through is not made.
func (b *Breaker) Leaves() { b.trial = false }

// Works notes a call that says the channel is well.
func (b *Breaker) Works() { *b = Breaker{} }

// Fails notes a call that says it isn't. Each further failure opens the breaker
// for twice as long.
func (b *Breaker) Fails(now time.Time) {
	b.failures, b.trial = b.failures+1, false
	if b.failures >= breakerTrips {
		b.open = now.Add(min(time.Second<<min(b.failures-breakerTrips, 6), maxOpen))
	}
}

// The pair limit of WhatsApp: one message every six seconds to the same
// customer, with bursts of up to 45 (Cloud API, About the platform). Some of the
// burst is left to what doesn't go through us.
const (
	pairBurst = 40
	pairEvery = 6 * time.Second
)

// Pair is how many messages one customer may get at once. The zero value is
// full.
type Pair struct {
	spent float64
	at    time.Time
}

// Take takes a message at now; where there is none left, it tells when one is.
func (p *Pair) Take(now time.Time) (bool, time.Time) {
	p.spent = max(0, p.spent-float64(now.Sub(p.at))/float64(pairEvery))
	p.at = now
	if over := p.spent + 1 - pairBurst; over > 0 {
		return false, now.Add(time.Duration(over * float64(pairEvery)))
	}
	p.spent++
	return true, time.Time{}
}

// Give gives back a message that was taken and not sent.
func (p *Pair) Give() { p.spent = max(0, p.spent-1) }

// Full reports whether the pair is at now as if nothing had ever been sent.
func (p *Pair) Full(now time.Time) bool {
	return float64(now.Sub(p.at))/float64(pairEvery) >= p.spent
}
