package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// report counts what became of the simulator's posts.
type report struct {
	mu       sync.Mutex
	begun    time.Time
	outcomes map[string]int
	ok       int
	all      []time.Duration // from when a message was due to its answer
	second   []time.Duration
}

func newReport(begun time.Time) *report {
	return &report{begun: begun, outcomes: map[string]int{}}
}

// note counts one post. The time counts from when the message was due, so that
// a server that stalls can't hide how long its clients waited.
func (r *report) note(outcome string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[outcome]++
	if outcome == "200" {
		r.ok++
	}
	r.all = append(r.all, took)
	r.second = append(r.second, took)
}

// line prints the last second.
func (r *report) line(w io.Writer, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(w, "%4.0fs  %5d posts  p50 %s  p99 %s  %s\n", now.Sub(r.begun).Seconds(), len(r.second),
		quantile(r.second, 0.50), quantile(r.second, 0.99), r.summary())
	r.second = r.second[:0]
}

// total prints the whole run.
func (r *report) total(w io.Writer, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := now.Sub(r.begun)
	fmt.Fprintf(w, "total %d messages in %s: %.1f/s, p50 %s, p99 %s, slowest %s\nanswers: %s\n",
		len(r.all), took.Round(time.Second), float64(len(r.all))/took.Seconds(),
		quantile(r.all, 0.50), quantile(r.all, 0.99), quantile(r.all, 1), r.summary())
}

func (r *report) summary() string {
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(r.outcomes)) {
		parts = append(parts, fmt.Sprintf("%s × %d", outcome, r.outcomes[outcome]))
	}
	return strings.Join(parts, ", ")
}

// quantile is the q-th quantile of took, as text: "-" without any.
func quantile(took []time.Duration, q float64) string {
	if len(took) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(took))
	at := min(int(q*float64(len(sorted))), len(sorted)-1)
	return sorted[at].Round(100 * time.Microsecond).String()
}
