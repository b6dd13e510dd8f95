package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// load is requests that are due at a steady rate, whether or not the server
// keeps up, or, without a rate, as soon as somebody is free to send one.
type load struct {
	rate     float64       // due per second, all workers together; 0: as soon as a worker is free
	warmUp   time.Duration // what is due in it doesn't count
	duration time.Duration // of what counts, after the warm-up
	workers  int           // how many requests may be under way
}

// loadPatience is how long after its end a load still sends what it is late
// with. What is late by more counts as an error, and with its waiting time.
const loadPatience = 10 * time.Second

// errNothingLeft is returned by a request that finds nothing to ask for: the load
// ends early.
var errNothingLeft = errors.New("nothing is left to ask for")

// errIdle is returned by a request that has nothing to ask for just now: it
// counts for nothing.
var errIdle = errors.New("nothing to ask for now")

// outcome is what came of a load.
type outcome struct {
	sent    int64         // requests that were answered as they should, also those that don't count
	done    int64         // of these, those that count
	took    time.Duration // in which they were
	latency *latencies    // of all that count: from when each was due to its answer
	errors  tally
}

// throughput is good answers a second.
func (o *outcome) throughput() float64 {
	if o.took <= 0 {
		return 0
	}
	return float64(o.done) / o.took.Seconds()
}

// run sends requests until the time is over or ctx ends; its error is that of
// ctx. send makes the ith request; it was due at the given time. Latency counts
// from that time, not from when a worker got round to it: a server that stalls
// for a second makes each request late that was due in that second, and that is
// what its clients feel.
func (l load) run(ctx context.Context, send func(worker, i int, due time.Time) error) (*outcome, error) {
	r := &running{load: l, outcome: outcome{latency: newLatencies()}, send: send, begun: time.Now()}
	r.counts, r.ends = r.begun.Add(l.warmUp), r.begun.Add(l.warmUp+l.duration)
	var workers sync.WaitGroup
	for w := range l.workers {
		workers.Go(func() {
			for !r.left.Load() && r.one(ctx, w) {
			}
		})
	}
	workers.Wait()
	r.took, r.done, r.outcome.sent = r.last().Sub(r.counts), r.answered.Load(), r.good.Load()
	return &r.outcome, ctx.Err()
}

// running is a load under way.
type running struct {
	load
	outcome
	send                func(worker, i int, due time.Time) error
	begun, counts, ends time.Time
	next, good          atomic.Int64
	answered            atomic.Int64 // of the good ones, those that count
	newest              atomic.Int64 // ns after begun: when the last that counts was answered
	left                atomic.Bool  // errNothingLeft came
}

// one sends the next request and reports whether there may be another.
func (r *running) one(ctx context.Context, worker int) bool {
	i := int(r.next.Add(1)) - 1
	due := time.Now()
	if r.rate > 0 {
		due = r.begun.Add(time.Duration(float64(i) / r.rate * float64(time.Second)))
	}
	if !due.Before(r.ends) || !wait(ctx, time.Until(due)) {
		return false
	}
	late := time.Since(r.ends) > loadPatience
	var err error
	if late {
		err = errNeverSent
	} else {
		err = r.send(worker, i, due)
	}
	if errors.Is(err, errNothingLeft) {
		r.left.Store(true)
		return false
	}
	now := time.Now()
	if err == nil {
		r.good.Add(1)
	}
	if due.Before(r.counts) || errors.Is(err, errIdle) || ctx.Err() != nil && err != nil {
		return true
	}
	if r.rate == 0 && now.After(r.ends) {
		return true // it belongs to no second of the measurement
	}
	r.latency.record(worker, now.Sub(due))
	if err != nil {
		r.errors.add(kindOf(err), 1)
		return true
	}
	r.answered.Add(1)
	for at := int64(now.Sub(r.begun)); ; {
		newest := r.newest.Load()
		if at <= newest || r.newest.CompareAndSwap(newest, at) {
			return true
		}
	}
}

// last is the end of what was measured: without a rate, the end of the load; with
// one, the answer to the last request, which may be later.
func (r *running) last() time.Time {
	newest := r.begun.Add(time.Duration(r.newest.Load()))
	if r.rate == 0 && !r.left.Load() && time.Now().After(r.ends) || r.rate > 0 && newest.Before(r.ends) && time.Now().After(r.ends) {
		return r.ends
	}
	return newest
}

// wait reports whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// errNeverSent is what became of a request that was late by more than loadPatience.
var errNeverSent = errors.New("never sent")

// statusError is an answer with another status than the one wanted.
type statusError int

func (e statusError) Error() string { return fmt.Sprint("HTTP ", int(e)) }

// want is nil for the status, if err is.
func want(status, got int, err error) error {
	if err == nil && got != status {
		return statusError(got)
	}
	return err
}

// kindOf is what an error is counted as.
func kindOf(err error) string {
	var status statusError
	var network net.Error
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, errNeverSent):
		return "never sent"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection lost"
	case errors.Is(err, syscall.EMFILE):
		return "too many open files"
	}
	return "other: " + err.Error()
}

// tally counts things by name.
type tally struct {
	mu     sync.Mutex
	counts map[string]int64
}

func (t *tally) add(name string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int64{}
	}
	if _, known := t.counts[name]; !known && len(t.counts) >= maxKinds {
		name = "other"
	}
	t.counts[name] += n
}

// maxKinds bounds what a tally tells apart.
const maxKinds = 50

func (t *tally) addAll(other *tally) {
	other.mu.Lock()
	defer other.mu.Unlock()
	for name, n := range other.counts {
		t.add(name, n)
	}
}
