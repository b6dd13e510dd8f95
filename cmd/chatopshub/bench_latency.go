package main

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds, to three digits, up to ten minutes; longer
// ones count as that.
const (
	latencyUnit    = time.Microsecond
	longestLatency = int64(10 * time.Minute / latencyUnit)
	latencyDigits  = 3
	latencyShards  = 8
)

// latencies is a histogram into which many goroutines record.
type latencies struct{ shards [latencyShards]latencyShard }

// latencyShard is a part of it with a lock of its own.
type latencyShard struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram // nil until something is recorded
}

func newLatencies() *latencies { return &latencies{} }

// record records one. Recorders with different numbers rarely wait for one
// another.
func (l *latencies) record(recorder int, d time.Duration) {
	s := &l.shards[uint(recorder)%latencyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.histogram == nil {
		s.histogram = newHistogram()
	}
	_ = s.histogram.RecordValue(min(max(int64(d/latencyUnit), 0), longestLatency)) // within its range
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longestLatency, latencyDigits)
}

// total is all that was recorded.
func (l *latencies) total() *hdrhistogram.Histogram {
	all := newHistogram()
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		if s.histogram != nil {
			all.Merge(s.histogram) // of the same range: nothing is dropped
		}
		s.mu.Unlock()
	}
	return all
}

// percentiles is the part of a histogram that is shown, in milliseconds.
type percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

// percentileNames is how they are called, in the order of values.
var percentileNames = []string{"p50", "p90", "p99", "p99.9", "max"}

func (p *percentiles) values() []float64 { return []float64{p.P50, p.P90, p.P99, p.P999, p.Max} }

func percentilesOf(h *hdrhistogram.Histogram) percentiles {
	at := func(percent float64) float64 { return milliseconds(h.ValueAtPercentile(percent)) }
	return percentiles{Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: milliseconds(h.Max())}
}

func milliseconds(units int64) float64 {
	return float64(time.Duration(units)*latencyUnit) / float64(time.Millisecond)
}

// merge adds all that another has.
func (l *latencies) merge(other *latencies) {
	total := other.total()
	s := &l.shards[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.histogram == nil {
		s.histogram = newHistogram()
	}
	s.histogram.Merge(total) // of the same range: nothing is dropped
}
