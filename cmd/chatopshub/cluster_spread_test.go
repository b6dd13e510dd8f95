package main

import (
	"fmt"
	"slices"
	"time"
)

// spread is what is told of many durations.
type spread struct {
	n        int
	p50, p99 time.Duration
}

func spreadOf(took []time.Duration) spread {
	if len(took) == 0 {
		return spread{}
	}
	slices.Sort(took)
	return spread{len(took), took[len(took)/2], took[len(took)*99/100]}
}

func (s spread) String() string {
	return fmt.Sprintf("p50 %v, p99 %v of %d", s.p50.Round(10*time.Microsecond), s.p99.Round(10*time.Microsecond), s.n)
}
