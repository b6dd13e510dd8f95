package actors

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// turning runs f in a bubble of fake time with a wheel that turns.
func turning(t *testing.T, f func(w *Wheel)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := NewWheel(100*time.Millisecond, time.Now)
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		f(w)
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestWheelFiresNeverEarlyAndAtMostATickLate(t *testing.T) {
	turning(t, func(w *Wheel) {
		delays := []time.Duration{
			-time.Hour, 0, 1, 99 * time.Millisecond, 100 * time.Millisecond, 101 * time.Millisecond, time.Second,
			wheelSlots * 100 * time.Millisecond, wheelSlots*100*time.Millisecond + 1, 10 * time.Minute, 3 * time.Hour,
		}
		start, fired := time.Now(), make(map[time.Duration]time.Duration)
		for _, d := range delays {
			w.After(d, func() { fired[d] = time.Since(start) })
		}
		<-time.After(4 * time.Hour)
		synctest.Wait()
		require.Len(t, fired, len(delays))
		for d, at := range fired {
			require.GreaterOrEqual(t, at, d)
			require.LessOrEqual(t, at, max(d, 0)+w.tick)
		}
	})
}

func TestWheelStop(t *testing.T) {
	turning(t, func(w *Wheel) {
		var fired []string
		at := func(name string) *Timer { return w.After(time.Second, func() { fired = append(fired, name) }) }
		first, middle, last := at("first"), at("middle"), at("last")
		require.True(t, middle.Stop())
		require.False(t, middle.Stop())
		<-time.After(2 * time.Second)
		synctest.Wait()
		require.ElementsMatch(t, []string{"first", "last"}, fired)
		require.False(t, first.Stop())
		require.False(t, last.Stop())
	})
}

func TestWheelFiresWhatIsScheduledFromATimer(t *testing.T) {
	turning(t, func(w *Wheel) {
		var fired []time.Duration
		start := time.Now()
		w.After(time.Second, func() {
			w.After(time.Second, func() { fired = append(fired, time.Since(start)) })
		})
		<-time.After(3 * time.Second)
		synctest.Wait()
		require.Equal(t, []time.Duration{2 * time.Second}, fired)
	})
}

// Goal: whatever is scheduled and stopped and however irregularly the wheel is
// moved, each timer fires exactly once, at the first move at or after its time.
func TestWheelAgainstASortedList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		w := NewWheel(time.Millisecond, func() time.Time { return now })
		due := make(map[int]time.Time) // when at the earliest; nothing is due before it is scheduled
		timers := make(map[int]*Timer)
		for n := range 60 {
			d := time.Duration(rapid.IntRange(-10, 3000).Draw(t, "delay")) * time.Millisecond / 2
			due[n] = now.Add(max(d, 0))
			timers[n] = w.Schedule(now.Add(d), func() {
				if now.Before(due[n]) {
					t.Fatalf("timer %d fired %s early", n, due[n].Sub(now))
				}
				delete(due, n)
			})
			if rapid.Bool().Draw(t, "stop") {
				stop := rapid.IntRange(0, n).Draw(t, "which")
				_, pending := due[stop]
				if timers[stop].Stop() != pending {
					t.Fatalf("stop of timer %d, pending %t", stop, pending)
				}
				delete(due, stop)
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 700).Draw(t, "step")) * time.Millisecond)
			for _, timer := range w.advance() {
				timer.fire()
			}
			for n, at := range due {
				if now.Sub(at) >= 2*w.tick {
					t.Fatalf("timer %d is %s late", n, now.Sub(at))
				}
			}
		}
	})
}

func BenchmarkWheel(b *testing.B) {
	w := NewWheel(100*time.Millisecond, time.Now)
	for range 100_000 {
		w.After(time.Hour, func() {})
	}
	for b.Loop() {
		w.After(30*time.Second, func() {}).Stop()
	}
}
