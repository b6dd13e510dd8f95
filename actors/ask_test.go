package actors

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// askPID sends question n to the process of self.
func askPID(s *System, self Self, n int) func(*actor.PID) {
	return func(replyTo *actor.PID) { s.Tell(self.PID, question{n, replyTo}) }
}

// requireNoProcess fails when pid is still known to the engine.
func requireNoProcess(t *testing.T, s *System, pid *actor.PID) {
	t.Helper()
	require.Nil(t, s.engine.Registry.GetPID(askKind, pid.ID[len(askKind)+1:]))
}

// Goal: thousands of asks at once each get their own answer and leave nothing
// behind.
func TestAskConcurrently(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var d *Directory[int]
	d = NewDirectory(s, "test", leaver(&d, func(_ int, msg any, _ Self) {
		q := msg.(question)
		s.Reply(q.to, "answer "+strconv.Itoa(q.n))
	}), DirectoryConfig{})
	var asking sync.WaitGroup
	var pids sync.Map
	for n := range 10_000 {
		asking.Go(func() {
			reply, err := s.Ask(t.Context(), func(replyTo *actor.PID) {
				pids.Store(n, replyTo)
				if err := d.Tell(n%7, question{n, replyTo}); err != nil {
					s.Reply(replyTo, err)
				}
			})
			if err != nil || reply != "answer "+strconv.Itoa(n) {
				t.Errorf("ask %d: %v, %v", n, reply, err)
			}
		})
	}
	asking.Wait()
	pids.Range(func(_, pid any) bool { requireNoProcess(t, s, pid.(*actor.PID)); return true })
	require.Zero(t, testutil.ToFloat64(s.metrics.asks))
	require.NoError(t, d.Close(t.Context()))
}

func TestAskEndsWithContext(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	impatience := errors.New("out of patience")
	var address *actor.PID
	_, err := s.Ask(ctx, func(replyTo *actor.PID) {
		address = replyTo
		cancel(impatience)
	})
	require.ErrorIs(t, err, domain.ErrOutcomeUnknown)
	require.ErrorIs(t, err, impatience)
	requireNoProcess(t, s, address)

	s.Reply(address, "too late")
	require.Eventually(t, func() bool { return testutil.ToFloat64(s.metrics.lateReplies) == 1 }, patience, 1e6)
	require.Zero(t, testutil.ToFloat64(s.metrics.deadLetters), "a late reply is no dead letter")

	_, err = s.Ask(ctx, func(*actor.PID) { t.Error("sent after the end") })
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorIs(t, err, impatience)
}

func TestAskTakesTheFirstReplyOnly(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	reply, err := s.Ask(t.Context(), func(replyTo *actor.PID) {
		for i := range 100 { // a second reply must not block the replier
			s.Reply(replyTo, i)
		}
	})
	require.NoError(t, err)
	require.Equal(t, 0, reply)
	require.EqualValues(t, 99, testutil.ToFloat64(s.metrics.lateReplies))
}

func TestAskReturnsAnErrorReplyAsError(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	refusal := &domain.Refusal{Code: domain.CodeNotHolder}
	reply, err := s.Ask(t.Context(), func(replyTo *actor.PID) { s.Reply(replyTo, refusal) })
	require.Nil(t, reply)
	var got *domain.Refusal
	require.ErrorAs(t, err, &got)
	require.Same(t, refusal, got)
}

func TestAskOfACloseSystem(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	_, err := s.Ask(t.Context(), func(*actor.PID) { require.NoError(t, s.Close(t.Context())) })
	require.ErrorIs(t, err, domain.ErrOutcomeUnknown)
	_, err = s.Ask(t.Context(), func(*actor.PID) { t.Error("sent after Close") })
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, s.Close(t.Context()), "closing again")
}

func TestDeadLettersAreCountedAndAnswered(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	nobody := Self{PID: actor.NewPID(s.engine.Address(), "nobody")}
	_, err := s.Ask(t.Context(), askPID(s, nobody, 1))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.EqualValues(t, 1, testutil.ToFloat64(s.metrics.deadLetters))
	s.Reply(nil, "to nobody who asked")
}
