package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// scenario is something that is measured.
type scenario struct {
	name    string
	summary string
	ownOnly bool // it needs the Graph API that is played for a server of ours
	play    func(context.Context, *stage) error
}

// scenarios are all there are, in the order in which they are played: those
// that leave most behind come last.
func scenarios() []scenario {
	return []scenario{
		{name: "idle-memory", summary: "memory of the server for each connected socket that does nothing", play: idleMemory},
		{name: "reconnect-storm", summary: "all sockets are cut at once and come back", play: reconnectStorm},
		{name: "accept-race", summary: "all agents want the same conversation", play: acceptRace},
		{name: "accepts", summary: "accepts of different conversations", play: accepts},
		{name: "ingest", summary: "signed webhooks of one message, answered when it is durable", play: ingest},
		{name: "list", summary: "the first page of the inbox", play: list},
		{name: "fan-out", summary: "messages of a conversation that all agents look at", play: fanOut},
		{name: "outbound", summary: "answers of agents, until the platform has taken them", ownOnly: true, play: outbound},
		{name: "day", summary: "a mixed day: customers write, agents accept, answer, complete and look around", play: day},
	}
}

// stage is where a scenario is played: what it may use, and where it puts what it
// finds.
type stage struct {
	benchPlan
	target   *target
	floors   *floor
	progress *progress
	scenario scenario
	round    int

	figures   []*figure
	latencies []*timing
	errors    tally
	notes     []string
	memory    float64 // bytes; the most that the server had
}

// figure is something that is counted in each round, beside its floor.
type figure struct {
	name, unit, goal string
	floorName        string
	rounds, floors   []float64
}

// timing is how long something took, over all rounds.
type timing struct {
	name, goal string
	total      *hdrhistogram.Histogram
}

// rounds yields the number of each round, until ctx ends. After each the memory
// of the server is looked at.
func (s *stage) rounds(ctx context.Context) iter.Seq[int] {
	return func(yield func(int) bool) {
		for n := range s.repeats {
			s.round = n
			if ctx.Err() != nil || !yield(n) {
				return
			}
			s.lookAtMemory(ctx)
		}
	}
}

// figure is the one of that name, made when it is first asked for.
func (s *stage) figure(name, unit string) *figure {
	if i := slices.IndexFunc(s.figures, func(f *figure) bool { return f.name == name }); i >= 0 {
		return s.figures[i]
	}
	f := &figure{name: name, unit: unit}
	s.figures = append(s.figures, f)
	return f
}

func (f *figure) add(value float64) { f.rounds = append(f.rounds, value) }

// beside puts a floor beside the figure's newest value.
func (f *figure) beside(name string, value float64) {
	f.floorName, f.floors = name, append(f.floors, value)
}

// timed adds latencies to those of that name.
func (s *stage) timed(name string, l *latencies) *timing {
	i := slices.IndexFunc(s.latencies, func(t *timing) bool { return t.name == name })
	if i < 0 {
		i = len(s.latencies)
		s.latencies = append(s.latencies, &timing{name: name, total: newHistogram()})
	}
	s.latencies[i].total.Merge(l.total())
	return s.latencies[i]
}

// note keeps a remark, once.
func (s *stage) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.notes, text) {
		s.notes = append(s.notes, text)
	}
}

// warmUp is how long a load runs before it counts.
func (s *stage) warmUp() time.Duration { return min(s.duration/4, 3*time.Second) }

// run plays a load under a name that the progress shows.
func (s *stage) run(ctx context.Context, what string, l load, send func(worker, i int, due time.Time) error) (*outcome, error) {
	defer s.progress.begin(fmt.Sprintf("%s %d/%d: %s", s.scenario.name, s.round+1, s.repeats, what), l.warmUp+l.duration)()
	o, err := l.run(ctx, send)
	s.errors.addAll(&o.errors)
	return o, err
}

// httpClients is n connections to a server.
type httpClients []*rawClient

func (s *stage) clientsOf(n int) httpClients { return newClients(n, s.target) }

func newClients(n int, t *target) httpClients {
	all := make(httpClients, n)
	for i := range all {
		all[i] = newRawClient(t.base)
	}
	return all
}

func (f *floor) clientsOf(n int) httpClients {
	all := make(httpClients, n)
	for i := range all {
		all[i] = newRawClient(f.base)
	}
	return all
}

func (c httpClients) close() {
	for _, client := range c {
		client.close()
	}
}

// each sends n requests, as many at a time as there are clients, outside any
// measurement; all must be answered with status.
func (c httpClients) each(ctx context.Context, status, n int, request func(i int) []byte) error {
	running, ctx := errgroup.WithContext(ctx)
	for w, client := range c {
		running.Go(func() error {
			for i := w; i < n; i += len(c) {
				got, err := client.do(ctx, request(i))
				if err := want(status, got, err); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return running.Wait()
}

// floorTime is how long a floor is measured.
func (s *stage) floorTime() time.Duration {
	return min(max(s.duration/4, 250*time.Millisecond), 3*time.Second)
}

// floorOf is how many requests a second the bare endpoint answers.
func (s *stage) floorOf(ctx context.Context, clients httpClients, request func(worker, i int) []byte) (float64, error) {
	o, err := s.run(ctx, "floor", load{duration: s.floorTime(), workers: len(clients)}, func(w, i int, _ time.Time) error {
		status, err := clients[w].do(ctx, request(w, i))
		return want(http.StatusOK, status, err)
	})
	return o.throughput(), err
}

// begin has n new customers write once, so that each has a conversation, and
// returns the first.
func (s *stage) begin(ctx context.Context, clients httpClients, n int) (first int, err error) {
	first = s.target.newCustomers(n)
	base := s.target.serials(n)
	err = clients.each(ctx, http.StatusOK, n, func(i int) []byte { return s.target.message(base+int64(i), first+i, time.Now()) })
	if err != nil {
		return 0, fmt.Errorf("have customers write: %w", err)
	}
	return first, nil
}

// serials is the first of n numbers of messages that nobody else has.
func (t *target) serials(n int) int64 { return t.sent.Add(int64(n)) - int64(n) }

// offered is the rate for measuring latency: the one that was asked for, or half
// of what the server has just shown that it can do.
func (s *stage) offered(throughput float64) float64 { return cmp.Or(s.rate, max(throughput/2, 1)) }

// atRate names a latency by the rate it was measured at.
func (s *stage) atRate(what string) string {
	if s.rate > 0 {
		return fmt.Sprintf("%s, at %g/s", what, s.rate)
	}
	return what + ", at half the throughput"
}

// inSeries is the rate of doing two things one after the other.
func inSeries(a, b float64) float64 { return 1 / (1/a + 1/b) }

// together runs several things until the first fails or all are done.
func together(ctx context.Context, do ...func(context.Context) error) error {
	running, ctx := errgroup.WithContext(ctx)
	for _, one := range do {
		running.Go(func() error { return one(ctx) })
	}
	return running.Wait()
}

// eventually waits for something to become true.
func eventually(ctx context.Context, patience time.Duration, is func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !is() {
		if !wait(ctx, 2*time.Millisecond) {
			return false
		}
	}
	return true
}

// guarded is a value that several goroutines change.
type guarded[T any] struct {
	mu    sync.Mutex
	value T
}

func (g *guarded[T]) with(do func(*T)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do(&g.value)
}
