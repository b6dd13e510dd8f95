package actors

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// ask asks the actor of key through the directory.
func askDirectory[K comparable](t testing.TB, s *System, d *Directory[K], key K, n int) (any, error) {
	t.Helper()
	return s.Ask(t.Context(), func(replyTo *actor.PID) {
		if err := d.Tell(key, question{n, replyTo}); err != nil {
			s.Reply(replyTo, err)
		}
	})
}

// Goal: however often a behaviour panics, the program lives, who asked gets an
// answer, and the actor takes the next message. (The engine alone would end the
// program at the fourth panic.)
func TestPanicsCostOneMessageEach(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var made int
	var notes []Decision
	var d *Directory[string]
	d = NewDirectory(s, "test", func(key string, entry *Entry) Behavior {
		made++
		return behave(func(msg any, _ Self) {
			switch m := msg.(type) {
			case Failed:
				notes = append(notes, m.Decision)
			case Drain:
				d.Passivate(key, entry)
			case question:
				if m.n < 0 {
					panic("poisoned")
				}
				s.Reply(m.to, m.n)
			}
		})
	}, DirectoryConfig{})

	for n := 1; n <= 100; n++ {
		_, err := askDirectory(t, s, d, "a", -n)
		require.ErrorIs(t, err, domain.ErrFailed)
		reply, err := askDirectory(t, s, d, "a", n)
		require.NoError(t, err)
		require.Equal(t, n, reply)
	}
	require.EqualValues(t, 100, testutil.ToFloat64(s.metrics.panics.WithLabelValues("test")))
	require.NoError(t, d.Close(t.Context()))
	require.Equal(t, 100/stopAt+1, made, "each tenth failure makes a new one")
	round := []Decision{Reload, Reload, Reload, Reload, Reload, Reload, Reload, Stop}
	require.Equal(t, round, notes[:len(round)])
	require.Len(t, notes, len(round)*100/stopAt)
}

// Goal: an actor that is stopped for its failures refuses what waits for it,
// and whoever comes later meets a new one.
func TestStoppedActorRefusesWhatWaits(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var d *Directory[string]
	d = NewDirectory(s, "test", func(key string, entry *Entry) Behavior {
		return behave(func(msg any, _ Self) {
			switch m := msg.(type) {
			case Drain:
				d.Passivate(key, entry)
			case question:
				s.Reply(m.to, "alive")
			case string:
				if m == "wait" {
					close(entered)
					<-release
				}
				panic(m)
			}
		})
	}, DirectoryConfig{})
	for range stopAt - 1 {
		require.NoError(t, d.Tell("a", "panic"))
	}
	require.NoError(t, d.Tell("a", "wait"))
	<-entered
	_, err := s.Ask(t.Context(), func(replyTo *actor.PID) {
		require.NoError(t, d.Tell("a", question{1, replyTo}))
		close(release)
	})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	reply, err := askDirectory(t, s, d, "a", 2)
	require.NoError(t, err)
	require.Equal(t, "alive", reply)
	require.NoError(t, d.Close(t.Context()))
	require.Zero(t, d.waiting.Load())
}

func TestPanicWhileToldOfFailuresStops(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var d *Directory[string]
	gone := make(chan struct{}, 1)
	d = NewDirectory(s, "test", func(string, *Entry) Behavior {
		return behave(func(msg any, _ Self) {
			if _, ok := msg.(Failed); ok {
				gone <- struct{}{}
			}
			panic(msg)
		})
	}, DirectoryConfig{})
	for range reloadAt {
		require.NoError(t, d.Tell("a", "poison"))
	}
	<-gone
	require.Eventually(t, func() bool { return d.Len() == 0 }, patience, time.Millisecond)
	require.NoError(t, d.Close(t.Context()))
}

func TestPanicInSpawnIsAnswered(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	d := NewDirectory(s, "test", func(string, *Entry) Behavior { panic("no behaviour") }, DirectoryConfig{})
	_, err := askDirectory(t, s, d, "a", 1)
	require.ErrorIs(t, err, domain.ErrFailed)
	// Asked to drain, it panics again, and again when told of that.
	require.NoError(t, d.Tell("a", "poison"))
	require.NoError(t, d.Close(t.Context()))
}

func TestPanicReportHidesContents(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	var d *Directory[string]
	d = NewDirectory(s, "test", leaver(&d, func(_ string, msg any, _ Self) {
		panic(errors.New("can't handle " + msg.(string)))
	}), DirectoryConfig{})
	require.NoError(t, d.Tell("a", "a customer's secret"))
	require.NoError(t, d.Close(t.Context()))
	require.Contains(t, log.String(), "actor panicked")
	require.Contains(t, log.String(), "message=string")
	require.Contains(t, log.String(), "receiver_test.go")
	require.NotContains(t, log.String(), "secret")
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	failures := func(n int, age time.Duration) []time.Time {
		times := make([]time.Time, n)
		for i := range times {
			times[i] = now.Add(-age)
		}
		return times
	}
	for name, c := range map[string]struct {
		failures []time.Time
		want     Decision
	}{
		"first":              {failures(1, 0), Resume},
		"second":             {failures(2, time.Second), Resume},
		"third":              {failures(3, failureWindow), Reload},
		"ninth":              {failures(9, 0), Reload},
		"tenth":              {failures(10, 0), Stop},
		"old ones forgotten": {append(failures(20, failureWindow+1), failures(2, 0)...), Resume},
		"none":               {nil, Resume},
	} {
		require.Equal(t, c.want, Policy(c.failures, now), name)
	}
	require.Equal(t, "resume reload stop", Resume.String()+" "+Reload.String()+" "+Stop.String())
}
