package actors

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// leaver passivates whenever it is asked to.
func leaver[K comparable](d **Directory[K], receive func(key K, msg any, self Self)) func(K, *Entry) Behavior {
	return func(key K, entry *Entry) Behavior {
		return behave(func(msg any, self Self) {
			switch msg.(type) {
			case Idle, Drain:
				(*d).Passivate(key, entry)
			default:
				receive(key, msg, self)
			}
		})
	}
}

// Goal: actors that come and go all the time lose no message and handle none
// twice. Method: many senders to few actors that try to leave at every message
// and are swept within milliseconds; the numbers each sender sends to an actor
// must arrive complete and in order, whatever the number of activations.
func TestPassivationLosesNothing(t *testing.T) {
	t.Parallel()
	const senders, keys, each = 16, 32, 6_250 // 100,000 messages
	type numbered struct{ sender, n int }
	var (
		s           = newSystem(t)
		d           *Directory[int]
		activations atomic.Int64
		left        atomic.Int64
		received    [keys][senders][]int // written by one activation at a time
		running     [keys]atomic.Int32
	)
	d = NewDirectory(s, "test", func(key int, entry *Entry) Behavior {
		activations.Add(1)
		return behave(func(msg any, _ Self) {
			if running[key].Add(1) != 1 {
				t.Error("two activations of one actor run at once")
			}
			if m, ok := msg.(numbered); ok {
				received[key][m.sender] = append(received[key][m.sender], m.n)
			}
			running[key].Add(-1)
			if d.Passivate(key, entry) { // from here on the next one may run
				left.Add(1)
			}
		})
	}, DirectoryConfig{IdleTTL: 2 * time.Millisecond})

	var sending sync.WaitGroup
	var sent [senders][keys]int
	for sender := range senders {
		sending.Go(func() {
			for range each {
				key := rand.IntN(keys)
				if err := d.Tell(key, numbered{sender, sent[sender][key]}); err != nil {
					t.Error(err)
				}
				sent[sender][key]++
			}
		})
	}
	sending.Wait()
	require.NoError(t, d.Close(t.Context()))

	for key := range keys {
		for sender := range senders {
			require.Len(t, received[key][sender], sent[sender][key])
			for i, n := range received[key][sender] {
				require.Equal(t, i, n)
			}
		}
	}
	require.Equal(t, activations.Load(), left.Load())
	require.Greater(t, activations.Load(), int64(keys), "actors did not come and go")
	require.Zero(t, d.Len())
	require.Zero(t, d.waiting.Load())
}

func TestIdleActorsLeaveAndReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		var d *Directory[string]
		var made, got atomic.Int32
		d = NewDirectory(s, "test", func(key string, entry *Entry) Behavior {
			made.Add(1)
			return leaver(&d, func(string, any, Self) { got.Add(1) })(key, entry)
		}, DirectoryConfig{IdleTTL: time.Minute})

		require.NoError(t, d.Tell("a", "hello"))
		<-time.After(59 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, d.Len(), "left before its time")
		require.NoError(t, d.Tell("a", "hello"))
		<-time.After(59 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, d.Len(), "a message must keep it")
		<-time.After(20 * time.Second)
		synctest.Wait()
		require.Zero(t, d.Len())

		require.NoError(t, d.Tell("a", "hello"))
		synctest.Wait()
		require.EqualValues(t, 2, made.Load())
		require.EqualValues(t, 3, got.Load())
		require.NoError(t, d.Close(t.Context()))
	})
}

func TestBusyActorStaysUntilItCanLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		var d *Directory[string]
		var idles atomic.Int32
		d = NewDirectory(s, "test", func(key string, entry *Entry) Behavior {
			return behave(func(msg any, _ Self) {
				if _, ok := msg.(Idle); ok && idles.Add(1) == 3 {
					d.Passivate(key, entry)
				}
			})
		}, DirectoryConfig{IdleTTL: time.Minute})
		require.NoError(t, d.Tell("a", "hello"))
		<-time.After(4 * time.Minute)
		synctest.Wait()
		require.EqualValues(t, 3, idles.Load(), "one Idle per TTL")
		require.NoError(t, d.Close(t.Context()))
	})
}

func TestPassivateStaysWhenMessagesWait(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var d *Directory[string]
	entered, release, results := make(chan struct{}), make(chan struct{}), make(chan bool, 2)
	d = NewDirectory(s, "test", func(key string, entry *Entry) Behavior {
		return behave(func(msg any, _ Self) {
			if msg == "first" {
				close(entered)
				<-release
			}
			results <- d.Passivate(key, entry)
		})
	}, DirectoryConfig{})
	require.NoError(t, d.Tell("a", "first"))
	<-entered
	require.NoError(t, d.Tell("a", "second"))
	close(release)
	require.False(t, <-results, "a message was on its way")
	require.True(t, <-results)
	require.NoError(t, d.Close(t.Context()))
}

func TestDirectoryBounds(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var d *Directory[int]
	entered, release := make(chan struct{}, 2), make(chan struct{})
	d = NewDirectory(s, "test", leaver(&d, func(int, any, Self) {
		entered <- struct{}{}
		<-release
	}), DirectoryConfig{MaxResidents: 2, MaxWaiting: 3})
	require.NoError(t, d.Tell(1, "in hand"))
	require.NoError(t, d.Tell(2, "in hand"))
	<-entered
	<-entered
	require.ErrorIs(t, d.Tell(3, "no room"), domain.ErrOverloaded)
	for range 3 {
		require.NoError(t, d.Tell(1, "waits"))
	}
	require.ErrorIs(t, d.Tell(1, "mailbox full"), domain.ErrOverloaded)
	require.NoError(t, d.Tell(2, "another's mailbox"))
	require.Equal(t, 2, d.Len())

	close(release)
	go func() { // the four that wait come through entered too
		for range 4 {
			<-entered
		}
	}()
	require.NoError(t, d.Close(t.Context()))
	require.ErrorIs(t, d.Tell(1, "closed"), domain.ErrUnavailable)
}

func TestCloseWaitsForTheUnwilling(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var d *Directory[string]
	drained := make(chan Self, 2)
	d = NewDirectory(s, "test", func(key string, entry *Entry) Behavior {
		return behave(func(msg any, self Self) {
			switch msg {
			case Drain{}:
				drained <- self
			case "done":
				d.Passivate(key, entry)
			}
		})
	}, DirectoryConfig{})
	require.NoError(t, d.Tell("a", "work"))

	ctx, cancel := context.WithCancelCause(t.Context())
	closing := make(chan error)
	go func() { closing <- d.Close(ctx) }()
	self := <-drained
	cancel(context.DeadlineExceeded)
	require.ErrorIs(t, <-closing, context.DeadlineExceeded)
	require.Equal(t, 1, d.Len())

	go func() { closing <- d.Close(t.Context()) }()
	<-drained
	s.Tell(self.PID, "done")
	require.NoError(t, <-closing)
	require.NoError(t, d.Close(t.Context()), "closing again")
}

// Goal: what is sent to an activation that has gone is answered, not lost in
// silence.
func TestMessageToAFormerActivationIsRefused(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var d *Directory[string]
	selves := make(chan Self, 1)
	d = NewDirectory(s, "test", leaver(&d, func(_ string, _ any, self Self) { selves <- self }), DirectoryConfig{})
	require.NoError(t, d.Tell("a", "hello"))
	self := <-selves
	require.NoError(t, d.Close(t.Context()))

	_, err := s.Ask(t.Context(), askPID(s, self, 1))
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

func TestSweepPaceCoversAllShardsInTime(t *testing.T) {
	t.Parallel()
	for _, ttl := range []time.Duration{
		time.Nanosecond, time.Millisecond, 2 * time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute, time.Hour,
	} {
		tick, shards := sweepPace(ttl)
		require.GreaterOrEqual(t, tick, time.Millisecond)
		require.LessOrEqual(t, shards, directoryShards)
		ticks := (directoryShards + shards - 1) / shards
		require.LessOrEqual(t, time.Duration(ticks)*tick, max(ttl/sweepsPerTTL, time.Millisecond), "ttl %s", ttl)
	}
}
