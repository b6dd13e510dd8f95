package valkey

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const window = 5 * time.Minute

// bench is a throttle whose time the test moves, here and in Valkey.
type bench struct {
	*Throttle
	server *miniredis.Miniredis
	offset atomic.Int64
}

func newBench(t *testing.T) *bench {
	b := &bench{server: miniredis.RunT(t)}
	b.Throttle = b.node(t, b.server.Addr())
	b.shared.patience = 10 * time.Second // the machine may be busy
	return b
}

// node is a throttle of another node.
func (b *bench) node(t *testing.T, addr string) *Throttle {
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return NewThrottle(client, slog.New(slog.DiscardHandler), b.now)
}

func (b *bench) now() time.Time { return time.Unix(1_800_000_000, b.offset.Load()) }

func (b *bench) advance(d time.Duration) {
	b.offset.Add(int64(d))
	b.server.FastForward(d)
}

// onBoth runs test where Valkey counts, and where it is away.
func onBoth(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Run("valkey", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		test(t, b)
		require.Zero(t, b.local.counters.Len(), "counted in memory")
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.server.Close()
		test(t, b)
	})
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		take := func(key string) time.Duration { return b.Take(ctx, key, 3, window) }
		require.Zero(t, take("a"))
		b.advance(time.Minute)
		for range 2 {
			require.Zero(t, take("a"))
		}
		for range 5 {
			require.Equal(t, 4*time.Minute, take("a"), "the window began with the first attempt")
		}
		require.Zero(t, take("b"), "another key")

		b.GiveBack(ctx, "a")
		require.Zero(t, take("a"), "what was given back")
		require.Equal(t, 4*time.Minute, take("a"))
		b.GiveBack(ctx, "nobody's")
		for range 3 {
			require.Zero(t, take("nobody's"), "nothing is owed")
		}
		require.NotZero(t, take("nobody's"))

		b.advance(4*time.Minute - time.Millisecond)
		require.Equal(t, time.Millisecond, take("a"), "refusals don't prolong it")
		b.advance(time.Millisecond)
		b.GiveBack(ctx, "a") // of a window that has passed
		for range 3 {
			require.Zero(t, take("a"))
		}
		require.Equal(t, window, take("a"))
	})
}

func TestManyAttemptsAtOnceAreCountedExactly(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bench) {
		var group sync.WaitGroup
		var passed atomic.Int64
		for range 16 {
			group.Go(func() {
				for range 10 {
					if b.Take(t.Context(), "a", 10, window) == 0 {
						passed.Add(1)
					}
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 10, passed.Load())
	})
}

func TestNodesCountTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.node(t, b.server.Addr())
	other.shared.patience = b.shared.patience
	for range 2 {
		require.Zero(t, b.Take(t.Context(), "a", 3, window))
	}
	require.Zero(t, other.Take(t.Context(), "a", 3, window))
	require.Equal(t, window, b.Take(t.Context(), "a", 3, window))
	require.Equal(t, window, other.Take(t.Context(), "a", 3, window))
}

func TestValkeyKnowsNoNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Take(t.Context(), "ada@example.com", 3, window)
	keys := b.server.Keys()
	require.Len(t, keys, 1)
	require.Regexp(t, `^chatopshub:throttle:[A-Za-z0-9_-]{22}$`, keys[0])
	require.Equal(t, window, b.server.TTL(keys[0]), "no counter lasts for ever")
}

func TestAFlushedValkeyCountsAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Zero(t, b.Take(t.Context(), "a", 1, window))
	b.server.FlushAll()
	require.Zero(t, b.Take(t.Context(), "a", 1, window))
	require.Equal(t, window, b.Take(t.Context(), "a", 1, window))
}

func TestValkeyThatComesBackIsAskedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Zero(t, b.Take(t.Context(), "a", 1, window))
	b.server.SetError("LOADING")
	require.Zero(t, b.Take(t.Context(), "a", 1, window), "memory begins from zero")
	require.NotZero(t, b.Take(t.Context(), "a", 1, window))
	b.server.SetError("")
	b.advance(awayPause - time.Millisecond)
	require.False(t, b.outage.over())
	b.advance(time.Millisecond)
	require.Equal(t, window-awayPause, b.Take(t.Context(), "a", 1, window))
	require.True(t, b.outage.over())
}

// A Valkey that takes connections and says nothing holds up one caller a
// second, for a moment.
func TestAFrozenValkey(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	b := newBench(t)
	frozen := b.node(t, listener.Addr().String())
	began := time.Now()
	for range 3 {
		require.Zero(t, frozen.Take(t.Context(), "a", 3, window))
	}
	frozen.GiveBack(t.Context(), "a")
	require.Less(t, time.Since(began), 20*answerTimeout)
	require.Zero(t, frozen.Take(t.Context(), "a", 3, window))
	require.NotZero(t, frozen.Take(t.Context(), "a", 3, window))
}

func TestACallerWhoIsGoneSaysNothingAboutValkey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Zero(t, b.Take(gone, "a", 1, window))
	require.True(t, b.outage.over())
}

// Not in parallel: it looks at the memory of all.
func TestMemoryIsFlat(t *testing.T) {
	l := newLocal(func() time.Time { return time.Unix(1_800_000_000, 0) })
	fill := func(from int) {
		for i := range 3 * maxLocal {
			l.take(nameOf(fmt.Sprint(from+i)), 1, window)
		}
	}
	fill(0)
	require.Equal(t, maxLocal, l.counters.Len())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	fill(10_000_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Equal(t, maxLocal, l.counters.Len())
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(4<<20))
}
