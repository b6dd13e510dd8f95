package domain

import "time"

// This file takes what is known of a channel's pace from one owner to another,
// so that a move neither stops it nor lets it exceed what the platform allows.

// PaceState is what a Pace has seen and learned.
type PaceState struct {
	Share    float64     // of the rate that is in use, over 0 to 1
	Counting []time.Time // when the newest departures stop to count, the newest last
	Serial   uint64      // departures so far
	Paused   time.Time
	Strain   int
}

// State is what another Pace needs, to go on at now.
func (p *Pace) State(now time.Time) PaceState {
	s := PaceState{Share: p.share, Serial: p.serial, Paused: p.paused, Strain: p.strain}
	for n := p.rate; n > 0; n-- {
		if until := p.back(n); len(s.Counting) > 0 || until.After(now) {
			s.Counting = append(s.Counting, until)
		}
	}
	return s
}

// Resume goes on where another Pace was, whose rate may have been another one.
func (p *Pace) Resume(s PaceState) {
	least := 1 / float64(p.rate)
	p.share = least
	if s.Share > least {
		p.share = min(s.Share, 1)
	}
	p.serial, p.paused, p.strain = s.Serial, s.Paused, max(s.Strain, 0)
	newest := s.Counting[max(0, len(s.Counting)-p.rate):]
	p.next = copy(p.until, newest) % p.rate
}

// BreakerState is a Breaker's.
type BreakerState struct {
	Failures int
	Open     time.Time
	Trial    bool
}

// State is what another Breaker needs to go on.
func (b *Breaker) State() BreakerState { return BreakerState{b.failures, b.open, b.trial} }

// Breaker is one in that state.
func (s BreakerState) Breaker() Breaker {
	return Breaker{failures: max(s.Failures, 0), open: s.Open, trial: s.Trial}
}

// PairState is a Pair's.
type PairState struct {
	Spent float64
	At    time.Time
}

// State is what another Pair needs to go on.
func (p *Pair) State() PairState { return PairState{p.spent, p.at} }

// Pair is one in that state.
func (s PairState) Pair() Pair {
	return Pair{spent: min(max(s.Spent, 0), pairBurst), at: s.At}
}
