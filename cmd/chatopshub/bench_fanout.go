package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// arrivals is what sockets get to see of messages, and how long it took them from
// when the customer's message was due.
type arrivals struct {
	seen    atomic.Int64 // all
	counted atomic.Int64 // those that count
	from    atomic.Int64 // µs: what was due earlier doesn't count
	last    atomic.Int64 // µs: when the newest of those that count came
	latency atomic.Pointer[latencies]
}

// count begins to count what is due from then on.
func (a *arrivals) count(from time.Time) *latencies {
	l := newLatencies()
	a.counted.Store(0)
	a.from.Store(from.UnixMicro())
	a.last.Store(0)
	a.latency.Store(l)
	return l
}

// arrived is for each that came.
func (a *arrivals) arrived(recorder int, due time.Time) {
	if l := a.latency.Load(); l != nil && due.UnixMicro() >= a.from.Load() {
		now := time.Now()
		l.record(recorder, now.Sub(due))
		a.last.Store(now.UnixMicro())
		a.counted.Add(1)
	}
	a.seen.Add(1)
}

// rate is how many came in a second, until the last of those that count was there.
func (a *arrivals) rate() float64 {
	took := time.Duration(a.last.Load()-a.from.Load()) * time.Microsecond
	if took <= 0 {
		return 0
	}
	return float64(a.counted.Load()) / took.Seconds()
}

// take is for each packet of each socket.
func (a *arrivals) take(socket int, packet []byte) {
	if due, ok := stampOf(packet); ok {
		a.arrived(socket, due)
	}
}

// fanOutWindow is how many messages may be on their way to the sockets: more
// would only wait in the sockets' queues, which are bounded.
const fanOutWindow = 32

// fanOutWorkers is how many messages of the conversation may be on their way to
// the server.
const fanOutWorkers = 16

// fanOut measures messages of a customer whose conversation all agents look at:
// each is posted as a webhook, stored, and delivered to every socket. The floor is
// gws's own way to send a text that is posted without a signature to all sockets,
// with nothing stored.
func fanOut(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	clients, bare := s.clientsOf(fanOutWorkers), s.floors.clientsOf(fanOutWorkers)
	defer clients.close()
	defer bare.close()
	customer, err := s.begin(ctx, clients[:1], 1)
	if err != nil {
		return err
	}
	for range s.rounds(ctx) {
		floor, err := s.broadcast(ctx, bare)
		if err != nil {
			return err
		}
		if err := s.watched(ctx, clients, customer, floor); err != nil {
			return err
		}
	}
	return nil
}

// watched is one round: all agents come, look at the conversation, and leave.
func (s *stage) watched(ctx context.Context, clients httpClients, customer int, floor float64) error {
	a := &arrivals{}
	joined := make(chan struct{}, s.agents)
	sockets, err := gatherSockets(ctx, s.target.doors(s.agents), func(socket int, packet []byte) {
		if len(packet) > 2 && packet[0] == '4' && packet[1] == '3' { // the answer to the join
			joined <- struct{}{}
			return
		}
		a.take(socket, packet)
	})
	if err != nil {
		return err
	}
	defer sockets.leave()
	if err := join(ctx, sockets, fmt.Sprintf(`420["join:conversation",{"conversationId":"%s"}]`, s.target.conversation(customer)), joined); err != nil {
		return err
	}
	post := func(w, _ int, due time.Time) error {
		status, err := clients[w].do(ctx, s.target.message(s.target.serials(1), customer, due))
		return want(http.StatusOK, status, err)
	}
	peak, err := s.deliver(ctx, "throughput", a, post)
	if err != nil {
		return err
	}
	f := s.figure("deliveries", "deliveries/s")
	f.add(peak)
	f.goal = "≥ 0.70 of the floor"
	f.beside("bare broadcast", floor)
	rate := s.offered(peak / float64(s.agents))
	latency := a.count(time.Now().Add(s.warmUp()))
	before := a.seen.Load()
	calm, err := s.run(ctx, "latency", load{rate: rate, warmUp: s.warmUp(), duration: s.duration, workers: fanOutWorkers}, post)
	if err != nil {
		return err
	}
	s.settle(ctx, a, before+calm.sent*int64(s.agents))
	s.timed(s.atRate("webhook to socket"), latency)
	s.errors.addAll(&sockets.lost)
	return nil
}

// join sends each socket's command and waits for all answers.
func join(ctx context.Context, sockets *deskSockets, command string, joined <-chan struct{}) error {
	for _, s := range sockets.all {
		if err := s.send([]byte(command)); err != nil {
			return fmt.Errorf("join the conversation: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for range sockets.all {
		select {
		case <-joined:
		case <-ctx.Done():
			return fmt.Errorf("join the conversation: %w", ctx.Err())
		}
	}
	return nil
}

// deliver posts as fast as deliveries keep up, and returns deliveries a second.
func (s *stage) deliver(ctx context.Context, what string, a *arrivals, post func(w, i int, due time.Time) error) (float64, error) {
	a.count(time.Now().Add(s.warmUp()))
	var posted atomic.Int64
	before := a.seen.Load()
	l := load{warmUp: s.warmUp(), duration: s.duration, workers: fanOutWorkers}
	o, err := s.run(ctx, what, l, func(w, i int, due time.Time) error {
		allowed := eventually(ctx, answerTimeout, func() bool {
			return (posted.Load()-fanOutWindow)*int64(s.agents) < a.seen.Load()-before
		})
		if !allowed {
			return fmt.Errorf("deliveries: %w", context.DeadlineExceeded)
		}
		posted.Add(1)
		return post(w, i, due)
	})
	s.settle(ctx, a, before+o.sent*int64(s.agents))
	return a.rate(), err
}

// settle waits until as many have come in all as are expected.
func (s *stage) settle(ctx context.Context, a *arrivals, expected int64) {
	if !eventually(ctx, answerTimeout, func() bool { return a.seen.Load() >= expected }) && ctx.Err() == nil {
		s.errors.add("never arrived", expected-a.seen.Load())
	}
}

// broadcast is the floor: deliveries a second to as many sockets.
func (s *stage) broadcast(ctx context.Context, clients httpClients) (float64, error) {
	a := &arrivals{}
	sockets, err := gatherSockets(ctx, s.floors.doors(s.agents), a.take)
	if err != nil {
		return 0, err
	}
	defer sockets.leave()
	rate, err := s.deliver(ctx, "floor", a, func(w, _ int, due time.Time) error {
		status, err := clients[w].do(ctx, rawRequest("/broadcast", floorEvent(due)))
		return want(http.StatusOK, status, err)
	})
	s.errors.addAll(&sockets.lost)
	return rate, err
}

// floorEvent is as long as the event of a new message, and begins like one.
func floorEvent(due time.Time) []byte {
	return fmt.Appendf(nil, `42["message.created",{"id":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e","conversationId":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e",`+
		`"direction":"INBOUND","agentId":null,"body":"%s%s","mediaUrl":null,"mediaType":null,"type":"text","status":"DELIVERED",`+
		`"providerTimestamp":"2026-01-01T12:00:00.000Z","createdAt":"2026-01-01T12:00:00.123Z"},"0123456789abcdef:100000"]`, stamp(due), benchText)
}
