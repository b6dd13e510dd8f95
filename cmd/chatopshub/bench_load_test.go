package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// stalling is a server that answers in a millisecond, but for a while not at all.
type stalling struct {
	begun       time.Time
	from, until time.Duration
}

func (s *stalling) send(int, int, time.Time) error {
	<-time.After(time.Millisecond)
	if since := time.Since(s.begun); since >= s.from && since < s.until {
		<-time.After(s.until - since)
	}
	return nil
}

// TestAStallShowsInTheLatency: a server that stalls for a second makes all
// requests late that are due in that second, not only the few that are under way.
func TestAStallShowsInTheLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stalling{begun: time.Now(), from: time.Second, until: 2 * time.Second}
		o, err := load{rate: 100, duration: 10 * time.Second, workers: 4}.run(t.Context(), s.send)
		require.NoError(t, err)
		p := percentilesOf(o.latency.total())
		require.EqualValues(t, 1000, p.Count, "none was left out")
		require.EqualValues(t, 1000, o.done)
		require.InDelta(t, 1, p.P50, 1)
		require.Greater(t, p.P99, 880.0, "a tenth of them waited, up to a second, evenly")
		require.InDelta(t, 1000, p.Max, 30)
		require.InDelta(t, 100, o.throughput(), 1)
	})
}

// TestWithoutARateAsManyAsGo: then a request is due when somebody is free.
func TestWithoutARateAsManyAsGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stalling{begun: time.Now()}
		o, err := load{duration: time.Second, workers: 4}.run(t.Context(), s.send)
		require.NoError(t, err)
		require.InDelta(t, 4000, o.throughput(), 10)
		require.InDelta(t, 1, percentilesOf(o.latency.total()).Max, 0.1)
	})
}

func TestWhatIsDueInTheWarmUpDoesntCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stalling{begun: time.Now(), until: 900 * time.Millisecond} // over before anything counts
		o, err := load{rate: 50, warmUp: time.Second, duration: time.Second, workers: 8}.run(t.Context(), s.send)
		require.NoError(t, err)
		require.EqualValues(t, 50, o.done)
		require.Less(t, percentilesOf(o.latency.total()).Max, 5.0)
		require.InDelta(t, 50, o.throughput(), 1)
	})
}

// TestWhatCouldNeverBeSentCounts: a server that doesn't come back leaves nothing
// out, and the load ends all the same.
func TestWhatCouldNeverBeSentCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, err := load{rate: 10, duration: time.Second, workers: 1}.run(t.Context(), func(int, int, time.Time) error {
			<-time.After(answerTimeout)
			return context.DeadlineExceeded
		})
		require.NoError(t, err)
		require.Zero(t, o.done)
		require.Equal(t, map[string]int64{"no answer in time": 1, "never sent": 9}, o.errors.counts)
		p := percentilesOf(o.latency.total())
		require.EqualValues(t, 10, p.Count)
		require.Greater(t, p.P50, 29_000.0)
	})
}

func TestALoadEndsWhenNothingIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stalling{begun: time.Now()}
		o, err := load{rate: atOnce, duration: time.Minute, workers: 10}.run(t.Context(), func(w, i int, due time.Time) error {
			switch {
			case i >= 100:
				return errNothingLeft
			case i%2 == 1:
				return errIdle
			}
			return s.send(w, i, due)
		})
		require.NoError(t, err)
		require.EqualValues(t, 50, o.done)
		require.Less(t, o.took, time.Second)
		require.Positive(t, o.throughput())
	})
}

func TestALoadThatIsStoppedEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := &stalling{begun: time.Now()}
		begun := time.Now()
		o, err := load{rate: 100, duration: time.Hour, workers: 4}.run(ctx, s.send)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.InDelta(t, 100, float64(o.done), 2)
		require.Less(t, time.Since(begun), 2*time.Second)
	})
}

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	require.NoError(t, want(http.StatusOK, http.StatusOK, nil))
	require.Equal(t, "HTTP 503", kindOf(want(http.StatusOK, http.StatusServiceUnavailable, nil)))
	require.Equal(t, "connection lost", kindOf(want(http.StatusOK, 0, errors.Join(errors.New("read answer"), io.EOF))))
	require.Equal(t, "other: what?", kindOf(errors.New("what?")))
	var many tally
	for range 3 {
		for i := range 2 * maxKinds {
			many.add(statusError(i).Error(), 1)
		}
	}
	require.LessOrEqual(t, len(many.counts), maxKinds+1)
	require.EqualValues(t, 3*maxKinds, many.counts["other"], "no kind is forgotten")
}

func TestLatenciesOfManyRecorders(t *testing.T) {
	t.Parallel()
	var recording sync.WaitGroup
	l, other := newLatencies(), newLatencies()
	for r := range 20 {
		recording.Go(func() {
			for i := range 1000 {
				l.record(r, time.Duration(i+1)*time.Millisecond)
			}
		})
	}
	recording.Wait()
	other.record(0, 24*time.Hour)
	other.record(1, -time.Second)
	l.merge(other)
	p := percentilesOf(l.total())
	require.EqualValues(t, 20_002, p.Count)
	require.InEpsilon(t, 500, p.P50, 0.002)
	require.InEpsilon(t, 900, p.P90, 0.002)
	require.InEpsilon(t, 990, p.P99, 0.002)
	require.InEpsilon(t, float64(10*time.Minute/time.Millisecond), p.Max, 0.002, "the longest there is")
}
