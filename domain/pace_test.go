package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestNoSecondHasMore lets calls take any time within the slack to arrive and to
// be answered, and counts as the platform does: at their arrival.
func TestNoSecondHasMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 12).Draw(t, "rate")
		pace := NewPace(rate)
		now := testStart
		type answer struct {
			slot Slot
			at   time.Time
		}
		var arrivals []time.Time
		var answers []answer
		for range rapid.IntRange(1, 80).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "idle")) * time.Millisecond)
			now = pace.At(now)
			answers = slices.DeleteFunc(answers, func(a answer) bool {
				if a.at.After(now) {
					return false
				}
				pace.Arrived(a.slot, a.at)
				return true
			})
			now = pace.At(now)
			if rapid.IntRange(0, 4).Draw(t, "moves") == 0 {
				moved := NewPace(rate)
				moved.Resume(pace.State(now))
				pace = moved
				require.Equal(t, now, pace.At(now), "a move costs no time")
			}
			require.Positive(t, pace.Room(now, 1000))
			slot := pace.Depart(now)
			takes := time.Duration(rapid.IntRange(0, 100).Draw(t, "takes")) * time.Millisecond
			arrives := time.Duration(rapid.Int64Range(0, int64(takes)).Draw(t, "arrives"))
			arrivals = append(arrivals, now.Add(arrives))
			answers = append(answers, answer{slot, now.Add(takes)})
		}
		slices.SortFunc(arrivals, time.Time.Compare)
		for i := rate; i < len(arrivals); i++ {
			require.GreaterOrEqual(t, arrivals[i].Sub(arrivals[i-rate]), time.Second, "%d calls in less than a second", rate+1)
		}
	})
}

// TestAMovedPaceGoesOnAtAnotherRate keeps what it learned.
func TestAMovedPaceGoesOnAtAnotherRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 3, 5, 20} {
		was, now := NewPace(5), testStart
		for range 5 {
			was.Depart(now)
		}
		was.Strained(now, time.Minute)
		is := NewPace(rate)
		is.Resume(was.State(now))
		require.Equal(t, now.Add(time.Minute), is.At(now))
		require.Equal(t, max(1, rate/2), is.Room(now.Add(2*time.Minute), 100), "rate %d", rate)
	}
	var hostile PaceState
	hostile.Share, hostile.Strain = -1, -1
	pace := NewPace(4)
	pace.Resume(hostile)
	pace.Strained(testStart, 0)
	require.Equal(t, testStart.Add(firstPause), pace.At(testStart))
}

func TestABreakerAndAPairMove(t *testing.T) {
	t.Parallel()
	var breaker Breaker
	for range breakerTrips {
		breaker.Fails(testStart)
	}
	moved := breaker.State().Breaker()
	require.Equal(t, breaker, moved)
	var pair Pair
	for range pairBurst {
		pair.Take(testStart)
	}
	other := pair.State().Pair()
	ok, _ := other.Take(testStart)
	require.False(t, ok)
}

func TestPaceUsesItsRate(t *testing.T) {
	t.Parallel()
	pace, now, calls := NewPace(5), testStart, 0
	for end := now.Add(60 * time.Second); ; calls++ {
		if now = pace.At(now); now.After(end) {
			break
		}
		pace.Arrived(pace.Depart(now), now.Add(20*time.Millisecond))
	}
	require.GreaterOrEqual(t, calls, 60*5*95/100)
}

func TestStrainPausesAndSlows(t *testing.T) {
	t.Parallel()
	pace, now := NewPace(80), testStart
	require.Equal(t, 80, pace.Room(now, 1000))
	pace.Strained(now, 0)
	require.Zero(t, pace.Room(now, 1000))
	require.Equal(t, now.Add(time.Second), pace.At(now))
	pace.Strained(now, 0)
	require.Equal(t, now.Add(time.Second), pace.At(now), "what was on its way together says nothing new")
	pace.Strained(now, 5*time.Second)
	require.Equal(t, now.Add(5*time.Second), pace.At(now), "but the platform may ask for more")
	now = now.Add(5 * time.Second)
	require.Equal(t, 40, pace.Room(now, 1000))
	pace.Strained(now, 0)
	require.Equal(t, now.Add(2*time.Second), pace.At(now), "twice as long the second time")
	for range 12 {
		now = pace.At(now).Add(time.Hour)
		pace.Strained(now, 0)
	}
	require.Equal(t, now.Add(maxPause), pace.At(now))
	now = now.Add(maxPause)
	require.Equal(t, 1, pace.Room(now, 1000), "it never stops altogether")
	for range 20_000 {
		pace.Eased()
	}
	require.Equal(t, 80, pace.Room(now.Add(time.Hour), 1000))
	pace.Strained(now.Add(time.Hour), 0)
	require.Equal(t, now.Add(time.Hour+time.Second), pace.At(now), "success forgives")
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	var b Breaker
	now := testStart
	lets := func() bool { ok, _ := b.Lets(now); return ok }
	for range breakerTrips - 1 {
		b.Tries()
		b.Fails(now)
		require.True(t, lets())
	}
	b.Fails(now)
	ok, again := b.Lets(now)
	require.False(t, ok)
	require.Equal(t, now.Add(time.Second), again)
	now = again
	require.True(t, lets())
	b.Tries()
	require.False(t, lets(), "one tries at a time")
	b.Leaves()
	require.True(t, lets(), "the one that tried was not made")
	b.Tries()
	b.Fails(now)
	_, again = b.Lets(now)
	require.Equal(t, now.Add(2*time.Second), again)
	for range 100 {
		b.Fails(now)
	}
	_, again = b.Lets(now)
	require.Equal(t, now.Add(maxOpen), again)
	b.Works()
	require.True(t, lets())
}

func TestPair(t *testing.T) {
	t.Parallel()
	var p Pair
	now := testStart
	require.True(t, p.Full(now))
	for range pairBurst {
		ok, _ := p.Take(now)
		require.True(t, ok)
	}
	ok, again := p.Take(now)
	require.False(t, ok)
	require.Equal(t, now.Add(pairEvery), again)
	p.Give()
	ok, _ = p.Take(now)
	require.True(t, ok, "given back")
	ok, again = p.Take(now.Add(5 * time.Second))
	require.False(t, ok)
	require.Equal(t, now.Add(pairEvery), again.Round(time.Millisecond))
	ok, _ = p.Take(now.Add(pairEvery))
	require.True(t, ok)
	require.False(t, p.Full(now.Add(time.Minute)))
	require.True(t, p.Full(now.Add(5*time.Minute)))
}
