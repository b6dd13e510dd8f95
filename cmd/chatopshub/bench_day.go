package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// dayRate is how many messages customers write in a second of a busy day.
const dayRate = 200

// What agents do, beside each message of a customer.
const (
	dayAnswers   = 0.25
	dayAccepts   = 0.10
	dayCompletes = 0.10
	dayLists     = 0.10
)

// dayWorkers is how many calls of a kind may be under way: more than there are at
// these rates unless the server stalls.
const dayWorkers = 64

// day measures a busy day of a centre: all agents are connected, customers write
// at a steady rate, and agents accept, answer, complete and look at the list at
// rates of their own. What counts is how long it takes from when a customer's
// message is due at our door until the agent who has the conversation sees it.
// It has no floor of its own: it does all that the others do, together.
func day(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	clients := s.clientsOf(dayWorkers)
	defer clients.close()
	first, err := s.begin(ctx, clients, s.conversations)
	if err != nil {
		return err
	}
	w := &workday{stage: s, first: first, desk: newDesk(s.conversations), rate: cmp.Or(s.rate, dayRate)}
	if w.body, err = json.Marshal(map[string]string{"body": benchText}); err != nil {
		return err
	}
	if err := w.open(ctx, clients); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	sockets, err := gatherSockets(ctx, s.target.doors(s.agents), w.arrivals.take)
	if err != nil {
		return err
	}
	defer sockets.leave()
	for range s.rounds(ctx) {
		if err := w.live(ctx, sockets); err != nil {
			return err
		}
	}
	s.errors.addAll(&sockets.lost)
	return nil
}

// workday is a day under way.
type workday struct {
	*stage
	desk     *desk
	arrivals arrivals
	first    int // customer
	rate     float64
	body     []byte
	stale    atomic.Int64 // conversations that weren't as the desk thought
}

// open has every second conversation accepted before the day begins.
func (w *workday) open(ctx context.Context, clients httpClients) error {
	held := w.conversations / 2
	for i := range w.conversations {
		if i < held {
			w.desk.hold(i, i%w.agents)
		} else {
			w.desk.wait(i)
		}
	}
	return clients.each(ctx, http.StatusOK, held, func(i int) []byte {
		return w.target.command(w.target.agents[i%w.agents], w.first+i, "accept")
	})
}

// activity is one kind of call of the day.
type activity struct {
	name string
	rate float64
	do   func(context.Context, *rawClient, time.Time) error
}

// live is one round.
func (w *workday) live(ctx context.Context, sockets *deskSockets) error {
	defer w.progress.begin(fmt.Sprintf("%s %d/%d: %g messages/s", w.scenario.name, w.round+1, w.repeats, w.rate), w.warmUp()+w.duration)()
	seen := w.arrivals.count(time.Now().Add(w.warmUp()))
	delivered, begun, cpuUsed := sockets.delivered.Load(), time.Now(), w.cpuUsed(ctx)
	kinds := []activity{
		{"customer's message", w.rate, w.write},
		{"answer", w.rate * dayAnswers, w.answer},
		{"accept", w.rate * dayAccepts, w.accept},
		{"complete", w.rate * dayCompletes, w.complete},
		{"list", w.rate * dayLists, w.look},
	}
	outcomes := make([]*outcome, len(kinds))
	var parts []func(context.Context) error
	for n, kind := range kinds {
		parts = append(parts, func(ctx context.Context) (err error) {
			clients := w.clientsOf(dayWorkers)
			defer clients.close()
			l := load{rate: kind.rate, warmUp: w.warmUp(), duration: w.duration, workers: dayWorkers}
			outcomes[n], err = l.run(ctx, func(worker, _ int, due time.Time) error { return kind.do(ctx, clients[worker], due) })
			return err
		})
	}
	if err := together(ctx, parts...); err != nil {
		return err
	}
	took := time.Since(begun)
	for n, kind := range kinds {
		w.figure(kind.name, "/s").add(outcomes[n].throughput())
	}
	w.figure("deliveries to sockets", "/s").add(float64(sockets.delivered.Load()-delivered) / took.Seconds())
	cpuUsed(took)
	w.quiet(ctx)
	w.timed(fmt.Sprintf("webhook to agent, at %g messages/s", w.rate), seen).goal = "p99 ≤ 150 ms"
	for n, kind := range kinds {
		w.errors.addAll(&outcomes[n].errors)
		w.timed(kind.name, outcomes[n].latency)
	}
	w.note("%d sockets connected", len(sockets.all))
	if stale := w.stale.Swap(0); stale > 0 {
		w.figure("refused because the other had been faster", "").add(float64(stale))
	}
	return nil
}

// quiet waits until nothing arrives any more: nobody knows how many messages found
// a holder.
func (w *workday) quiet(ctx context.Context) {
	last, since := w.arrivals.seen.Load(), time.Now()
	eventually(ctx, answerTimeout, func() bool {
		if now := w.arrivals.seen.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
}

// write is a customer's message.
func (w *workday) write(ctx context.Context, c *rawClient, due time.Time) error {
	i := rand.IntN(w.conversations)
	status, err := c.do(ctx, w.target.message(w.target.serials(1), w.first+i, due))
	if err := want(http.StatusOK, status, err); err != nil {
		return err
	}
	w.desk.wrote(i)
	return nil
}

// accept is an agent's, of somebody who waits.
func (w *workday) accept(ctx context.Context, c *rawClient, _ time.Time) error {
	i, _, ok := w.desk.take(&w.desk.pending)
	if !ok {
		return errIdle
	}
	agent := rand.IntN(w.agents)
	status, err := c.do(ctx, w.target.command(w.target.agents[agent], w.first+i, "accept"))
	switch err := want(http.StatusOK, status, err); {
	case err == nil:
		w.desk.hold(i, agent)
		return nil
	case errors.Is(err, statusError(http.StatusConflict)): // it was completed after all
		w.stale.Add(1)
		w.desk.finish(i)
		return nil
	default:
		w.desk.wait(i)
		return err
	}
}

// answer is that of an agent who has a conversation.
func (w *workday) answer(ctx context.Context, c *rawClient, _ time.Time) error {
	return w.withHeld(func(i, holder int) error {
		status, err := c.do(ctx, w.target.answer(w.target.agents[holder], w.first+i, w.body))
		w.desk.hold(i, holder)
		return want(http.StatusCreated, status, err)
	})
}

// complete ends a conversation.
func (w *workday) complete(ctx context.Context, c *rawClient, _ time.Time) error {
	return w.withHeld(func(i, holder int) error {
		status, err := c.do(ctx, w.target.command(w.target.agents[holder], w.first+i, "complete"))
		if err := want(http.StatusOK, status, err); err != nil {
			w.desk.hold(i, holder)
			return err
		}
		w.desk.finish(i)
		return nil
	})
}

// withHeld is for a conversation that somebody has.
func (w *workday) withHeld(do func(i, holder int) error) error {
	i, holder, ok := w.desk.take(&w.desk.held)
	if !ok {
		return errIdle
	}
	return do(i, holder)
}

// look is an agent's look at who waits.
func (w *workday) look(ctx context.Context, c *rawClient, _ time.Time) error {
	agent := w.target.agents[rand.IntN(w.agents)]
	status, err := c.do(ctx, rawCall(http.MethodGet, inboxPage, nil, bearer(agent.token)))
	return want(http.StatusOK, status, err)
}
