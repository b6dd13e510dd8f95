package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// reconnectStorm measures how long it takes until all sockets that are cut at
// once are back, with what they missed. They come back at once, which real
// clients don't; after a refusal they wait as socket.io-client does. The floor is
// as many handshakes with bare gws.
func reconnectStorm(ctx context.Context, s *stage) error {
	if err := s.target.staff(ctx, s.agents); err != nil {
		return err
	}
	clients := s.clientsOf(1)
	defer clients.close()
	for range s.rounds(ctx) {
		bare, err := s.bareStorm(ctx)
		if err != nil {
			return err
		}
		if err := s.storm(ctx, clients, bare); err != nil {
			return err
		}
	}
	return nil
}

// storm is one round.
func (s *stage) storm(ctx context.Context, clients httpClients, floor time.Duration) error {
	sockets, err := gatherSockets(ctx, s.target.doors(s.agents), func(int, []byte) {})
	if err != nil {
		return err
	}
	defer func() { sockets.leave() }()
	before := sockets.delivered.Load()
	if _, err := s.begin(ctx, clients, 1); err != nil { // an event for everybody: then all have an offset
		return err
	}
	if !eventually(ctx, answerTimeout, func() bool { return sockets.delivered.Load() >= before+int64(s.agents) }) {
		return errors.New("an event didn't come to all sockets")
	}
	sockets.leave()
	back := &returning{doors: s.target.doors(s.agents), former: sockets.all, sockets: make([]*benchSocket, s.agents), latency: newLatencies()}
	done := s.progress.begin(fmt.Sprintf("%s %d/%d: all come back", s.scenario.name, s.round+1, s.repeats), 0)
	took, err := back.all(ctx, &s.errors)
	done()
	sockets = readSockets(back.sockets, func(int, []byte) {})
	if err != nil {
		return err
	}
	f := s.figure("time until all are back", "s")
	f.add(took.Seconds())
	f.beside("bare handshakes", floor.Seconds())
	s.figure("back in their old session", "of all").add(float64(back.recovered.Load()) / float64(s.agents))
	s.timed("cut to connected", back.latency)
	return nil
}

// returning is sockets on their way back.
type returning struct {
	doors     []socketDoor
	former    []*benchSocket // nil: they come for the first time
	sockets   []*benchSocket
	recovered atomic.Int64
	latency   *latencies
}

// all connects all at once and returns how long that took.
func (r *returning) all(ctx context.Context, refused *tally) (time.Duration, error) {
	errs := make([]error, len(r.doors))
	var coming sync.WaitGroup
	begun := time.Now()
	for i := range r.doors {
		coming.Go(func() { errs[i] = r.one(ctx, i, begun, refused) })
	}
	coming.Wait()
	return time.Since(begun), errors.Join(errs...)
}

// maxReturns is how often one tries: for a minute or so.
const maxReturns = 15

func (r *returning) one(ctx context.Context, i int, begun time.Time, refused *tally) (err error) {
	var pid string
	var offset []byte
	if r.former != nil {
		pid, offset = r.former[i].pid, r.former[i].offset
	}
	for try := range maxReturns {
		if r.sockets[i], err = connectSocket(ctx, r.doors[i], pid, offset); err == nil {
			r.latency.record(i, time.Since(begun))
			if pid != "" && r.sockets[i].pid == pid {
				r.recovered.Add(1)
			}
			return nil
		}
		r.sockets[i] = nil
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var status statusError
		if errors.As(err, &status) && int(status) == http.StatusServiceUnavailable {
			refused.add("refused for now (503)", 1)
		} else {
			refused.add("socket: "+kindOf(err), 1)
		}
		delay := min(time.Second<<min(try, 3), 5*time.Second)
		if !wait(ctx, delay/2+rand.N(delay)) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("a socket didn't come back: %w", err)
}

// bareStorm is the floor: handshakes of as many at once.
func (s *stage) bareStorm(ctx context.Context) (time.Duration, error) {
	r := &returning{doors: s.floors.doors(s.agents), sockets: make([]*benchSocket, s.agents), latency: newLatencies()}
	took, err := r.all(ctx, &s.errors)
	for _, socket := range r.sockets {
		if socket != nil {
			_ = socket.conn.Close() // nothing was said on it
		}
	}
	return took, err
}
