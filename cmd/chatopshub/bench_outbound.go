package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph"
)

// outboundWindow is how many answers may wait for the platform: more would only
// make the outboxes longer, which are bounded.
const outboundWindow = 1024

// platformLog counts what the platform is asked to take, and how long after it
// was due each answer came there.
type platformLog struct {
	first int // the customer with the first number
	due   []guarded[[]time.Time]
	arrivals
}

// taken is called by the platform for each message.
func (p *platformLog) taken(recipient string) {
	customer := customerOf(recipient) - p.first
	if customer < 0 || customer >= len(p.due) {
		return
	}
	p.due[customer].with(func(waiting *[]time.Time) {
		if len(*waiting) == 0 {
			return
		}
		due := (*waiting)[0]
		*waiting = (*waiting)[1:]
		p.arrived(customer, due)
	})
}

// customerOf is whose number it is; -1: nobody's.
func customerOf(number string) int {
	if len(number) != 15 {
		return -1
	}
	customer, err := strconv.Atoi(number[8:])
	if err != nil {
		return -1
	}
	return customer
}

// outbound measures answers from the agent's request to the platform's call: two
// commits are between them, and a third follows. The floors are the client of the
// Graph API alone against the same platform, and a database that gets the same
// rows in large batches.
func outbound(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	clients := s.clientsOf(s.clients)
	defer clients.close()
	first, err := s.begin(ctx, clients, s.conversations)
	if err != nil {
		return err
	}
	holder := func(i int) *benchAgent { return s.target.agents[i%s.conversations%s.agents] }
	if err := clients.each(ctx, http.StatusOK, s.conversations, func(i int) []byte {
		return s.target.command(holder(i), first+i, "accept")
	}); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	at := &platformLog{first: first, due: make([]guarded[[]time.Time], s.conversations)}
	s.target.own.onSend.Store(at)
	defer s.target.own.onSend.Store(nil)
	send, err := s.answering(ctx, clients, at, holder)
	if err != nil {
		return err
	}
	return s.withBareDatabase(ctx, func(database *bareDatabase) error {
		for range s.rounds(ctx) {
			if err := s.outboundRound(ctx, database, at, send); err != nil {
				return err
			}
		}
		return nil
	})
}

// answering is the ith answer, each customer getting one in turn.
func (s *stage) answering(ctx context.Context, clients httpClients, at *platformLog, holder func(int) *benchAgent) (func(w, i int, due time.Time) error, error) {
	body, err := json.Marshal(map[string]string{"body": benchText})
	var posted atomic.Int64
	return func(w, i int, due time.Time) error {
		if !eventually(ctx, answerTimeout, func() bool { return posted.Load()-outboundWindow < at.seen.Load() }) {
			return fmt.Errorf("the platform: %w", context.DeadlineExceeded)
		}
		posted.Add(1)
		waiting := &at.due[i%s.conversations]
		waiting.with(func(all *[]time.Time) { *all = append(*all, due) })
		status, err := clients[w].do(ctx, s.target.answer(holder(i), at.first+i%s.conversations, body))
		if err = want(http.StatusCreated, status, err); err != nil {
			posted.Add(-1)
			waiting.with(func(all *[]time.Time) { *all = (*all)[:max(len(*all)-1, 0)] })
		}
		return err
	}, err
}

func (s *stage) outboundRound(ctx context.Context, database *bareDatabase, at *platformLog, send func(w, i int, due time.Time) error) error {
	before := at.seen.Load()
	at.count(time.Now().Add(s.warmUp()))
	peak, err := s.run(ctx, "throughput", load{warmUp: s.warmUp(), duration: s.duration, workers: s.clients}, send)
	if err != nil {
		return err
	}
	s.settle(ctx, &at.arrivals, before+peak.sent)
	throughput := at.rate()
	f := s.figure("answers at the platform", "answers/s")
	f.add(throughput)
	before = at.seen.Load()
	latency := at.count(time.Now().Add(s.warmUp()))
	calm, err := s.run(ctx, "latency", load{rate: s.offered(throughput), warmUp: s.warmUp(), duration: s.duration, workers: s.clients}, send)
	if err != nil {
		return err
	}
	s.settle(ctx, &at.arrivals, before+calm.sent)
	s.timed(s.atRate("answer to 201"), calm.latency)
	s.timed(s.atRate("answer to the platform"), latency)
	calls := max(int(throughput*s.floorTime().Seconds()), 100)
	took, err := bareSends(ctx, s.target.own.platform.URL(), graph.Account{Provider: domain.WhatsApp, ID: floorAccount.ID, Token: graph.Secret(floorAccount.Token)}, calls)
	if err != nil {
		return err
	}
	return s.besideSeries(ctx, f, "bare calls", float64(calls)/took.Seconds(), database, (*bareDatabase).outbound)
}
