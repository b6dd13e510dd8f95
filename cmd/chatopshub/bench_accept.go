package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// atOnce is a rate at which everything is due when the load begins.
const atOnce = 1e9

// racesPerRound is how often all agents want the same conversation in one round.
const racesPerRound = 5

// acceptRace measures decisions: all agents want one conversation, each on a
// connection of its own; one gets it, the others are told who. The floor is an
// endpoint that checks the token and answers as much.
func acceptRace(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	clients, bare := s.clientsOf(s.agents), s.floors.clientsOf(s.agents)
	defer clients.close()
	defer bare.close()
	customer, err := s.begin(ctx, clients[:1], 1)
	if err != nil {
		return err
	}
	if err := s.floorAnswersAccept(ctx, clients[0], customer); err != nil {
		return err
	}
	for range s.rounds(ctx) {
		answers, err := s.floorOf(ctx, bare, func(_, i int) []byte { return s.floorCommand(i) })
		if err != nil {
			return err
		}
		decided, took := int64(0), time.Duration(0)
		for range racesPerRound {
			o, winner, err := s.race(ctx, clients, customer)
			if err != nil {
				return err
			}
			decided, took = decided+o.done, took+o.took
			s.timed("from the start of the race to the answer", o.latency)
			release := func(int) []byte { return s.target.command(s.target.agents[winner], customer, "release") }
			if err := clients[:1].each(ctx, http.StatusOK, 1, release); err != nil {
				return fmt.Errorf("release: %w", err)
			}
		}
		f := s.figure("decisions", "decisions/s")
		f.goal = "≥ 8,000"
		f.add(float64(decided) / took.Seconds())
		f.beside("bare command", answers)
	}
	return nil
}

// race lets all agents accept at once, and says who won.
func (s *stage) race(ctx context.Context, clients httpClients, customer int) (*outcome, int, error) {
	var winner, winners atomic.Int64
	o, err := s.run(ctx, "race", load{rate: atOnce, duration: s.duration, workers: len(clients)}, func(w, i int, _ time.Time) error {
		if i >= s.agents {
			return errNothingLeft
		}
		status, err := clients[w].do(ctx, s.target.command(s.target.agents[i], customer, "accept"))
		if err == nil && status == http.StatusOK {
			winner.Store(int64(i))
			winners.Add(1)
			return nil
		}
		return want(http.StatusConflict, status, err)
	})
	if err == nil && winners.Load() != 1 {
		err = fmt.Errorf("%d agents won the race for one conversation: %v", winners.Load(), o.errors.counts)
	}
	return o, int(winner.Load()), err
}

// floorAnswersAccept has the floor answer what an accept is answered.
func (s *stage) floorAnswersAccept(ctx context.Context, client *rawClient, customer int) error {
	one := httpClients{client}
	agent := s.target.agents[0]
	if err := one.each(ctx, http.StatusOK, 1, func(int) []byte { return s.target.command(agent, customer, "accept") }); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	answer := slices.Clone(client.body)
	if err := one.each(ctx, http.StatusOK, 1, func(int) []byte { return s.target.command(agent, customer, "release") }); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return s.floors.setAnswer(ctx, http.StatusOK, answer)
}

// setAnswer has the bare command answer that.
func (f *floor) setAnswer(ctx context.Context, status int, body []byte) error {
	client := newRawClient(f.base)
	defer client.close()
	got, err := client.do(ctx, rawCall(http.MethodPut, fmt.Sprint("/answer?status=", status), body))
	if err := want(http.StatusOK, got, err); err != nil {
		return fmt.Errorf("tell the floor what to answer: %w", err)
	}
	return nil
}

// floorCommand is the ith agent's call of the bare command.
func (s *stage) floorCommand(i int) []byte {
	return rawRequest("/command", nil, bearer(s.floors.tokens[i%len(s.floors.tokens)]))
}

// floorTokens is how many different tokens the floor gets to see.
const floorTokens = 100

func makeFloorTokens(key []byte) ([]string, error) {
	issuer := auth.Issuer{Key: key, TTL: 24 * time.Hour, Now: time.Now}
	tokens := make([]string, floorTokens)
	var err error
	for i := range tokens {
		if tokens[i], err = issuer.Issue(auth.Principal{
			User: domain.UserID(entropy()), Organization: domain.OrganizationID(entropy()), Session: domain.SessionID(entropy()), Role: domain.RoleAgent,
		}); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// accepts measures accepts of different conversations, the agents taking turns.
// The floors are an endpoint that checks the token and answers as much, and a
// database that gets the same rows in large batches.
func accepts(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	clients, bare := s.clientsOf(s.clients), s.floors.clientsOf(s.clients)
	defer clients.close()
	defer bare.close()
	first, err := s.begin(ctx, clients, s.conversations)
	if err != nil {
		return err
	}
	if err := s.floorAnswersAccept(ctx, clients[0], first); err != nil {
		return err
	}
	return s.withBareDatabase(ctx, func(database *bareDatabase) error {
		for range s.rounds(ctx) {
			answers, err := s.floorOf(ctx, bare, func(_, i int) []byte { return s.floorCommand(i) })
			if err != nil {
				return err
			}
			peak, err := s.acceptFor(ctx, "throughput", 0, clients, first)
			if err != nil {
				return err
			}
			f := s.figure("accepts", "accepts/s")
			f.goal = "≥ 4,000"
			f.add(peak.throughput())
			calm, err := s.acceptFor(ctx, "latency", s.offered(peak.throughput()), clients, first)
			if err != nil {
				return err
			}
			s.timed(s.atRate("accept"), calm.latency)
			if err := s.besideSeries(ctx, f, "bare command", answers, database, (*bareDatabase).assign); err != nil {
				return err
			}
		}
		return nil
	})
}

// acceptFor accepts all conversations and releases them, again and again. The
// accepts alone are measured, and those of the first time don't count.
func (s *stage) acceptFor(ctx context.Context, what string, rate float64, clients httpClients, first int) (*outcome, error) {
	total := &outcome{latency: newLatencies()}
	call := func(name string, i int) []byte {
		return s.target.command(s.target.agents[i%s.agents], first+i, name)
	}
	for pass := 0; total.took < s.duration; pass++ {
		o, err := s.run(ctx, what, load{rate: rate, duration: s.duration, workers: len(clients)}, func(w, i int, _ time.Time) error {
			if i >= s.conversations {
				return errNothingLeft
			}
			status, err := clients[w].do(ctx, call("accept", i))
			return want(http.StatusOK, status, err)
		})
		if err != nil {
			return nil, err
		}
		if err := s.releaseAll(ctx, clients, call); err != nil {
			return nil, err
		}
		if pass > 0 || o.took >= s.duration {
			total.done, total.took = total.done+o.done, total.took+o.took
			total.latency.merge(o.latency)
		}
	}
	return total, nil
}

// releaseAll puts all conversations back. Those whose accept failed are nobody's.
func (s *stage) releaseAll(ctx context.Context, clients httpClients, call func(name string, i int) []byte) error {
	_, err := load{duration: time.Minute, workers: len(clients)}.run(ctx, func(w, i int, _ time.Time) error {
		if i >= s.conversations {
			return errNothingLeft
		}
		status, err := clients[w].do(ctx, call("release", i))
		return want(http.StatusOK, status, err)
	})
	return err
}
