package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestAMessageAndItsSender(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	for _, sender := range []*actor.PID{nil, actor.NewPID(a.Address(), "ask/1"), actor.NewPID("10.0.0.3:7000", "ask/2")} {
		require.NoError(t, a.Post(b.sink(), "hello", sender))
		got := within(t, b.got, "hello")
		require.Equal(t, "hello", got.msg)
		if sender == nil {
			require.Nil(t, got.sender)
		} else {
			require.True(t, sender.Equals(got.sender), got.sender)
		}
	}
	// An engine finds its way by itself, and so does the answer.
	pid := b.process("echo", func(msg any, sender *actor.PID) { b.engine.Send(sender, msg) })
	a.engine.SendWithSender(pid, "there and back", a.sink())
	a.receives(t, "there and back")
	require.True(t, a.Reaches(b.Address()))
	require.False(t, a.Reaches("127.0.0.1:1"), "no member")
}

// TestMessagesArriveInTheOrderOfPosts under load, both ways, with messages of
// all sizes.
func TestMessagesArriveInTheOrderOfPosts(t *testing.T) {
	t.Parallel()
	const posters, each = 8, 3000
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	var posting sync.WaitGroup
	for _, way := range [][2]*node{{a, b}, {b, a}} {
		for poster := range posters {
			posting.Go(func() {
				for i := range each {
					text := fmt.Sprintf("%d %d %s", poster, i, strings.Repeat("x", i*7%1000))
					for way[0].Post(way[1].sink(), text, nil) != nil { // its queue is full
						<-time.After(time.Millisecond)
					}
				}
			})
		}
	}
	for _, n := range []*node{a, b} {
		var next [posters]int
		for range posters * each {
			var poster, i int
			_, err := fmt.Sscan(within(t, n.got, "a message").msg.(string), &poster, &i)
			require.NoError(t, err)
			require.Equal(t, next[poster], i)
			next[poster]++
		}
	}
	posting.Wait()
	require.Empty(t, a.undelivered)
	require.Empty(t, a.lost)
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	fits := strings.Repeat("x", 4<<20-len("sink")-20)
	require.NoError(t, a.Post(b.sink(), "small", nil))
	require.NoError(t, a.Post(b.sink(), fits, nil))
	err := a.Post(b.sink(), fits+strings.Repeat("x", 30), nil)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorIs(t, err, domain.ErrFailed)
	require.ErrorContains(t, err, "the limit is 4194304")
	require.NoError(t, a.Post(b.sink(), "after", nil))
	b.receives(t, "small")
	require.Len(t, within(t, b.got, "the large one").msg, len(fits))
	b.receives(t, "after")

	err = a.Post(b.sink(), 7, nil)
	require.ErrorIs(t, err, domain.ErrFailed)
	require.ErrorContains(t, err, "encode a int for another node: not a text")
}

func TestWhatCantBeRead(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	for _, text := range []string{"unreadable 1", "fault 2", "unreadable 3", "fine"} {
		require.NoError(t, a.Post(b.sink(), text, nil))
	}
	b.receives(t, "fine")
	require.EqualValues(t, 3, b.Remote.unreadable.Load())
}

func TestAFullQueue(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	cfg := w.config("a", listen(t))
	cfg.QueueMessages, cfg.QueueBytes, cfg.MaxMessage, cfg.MaxWait = 10, 1000, 1000, time.Second
	a := w.start(cfg)
	dead := listen(t)
	w.join(Node{Name: "dead", Addr: dead.Addr().String()})
	require.NoError(t, dead.Close())
	to := actor.NewPID(dead.Addr().String(), "sink")
	var taken []string
	for i := range 10 {
		taken = append(taken, fmt.Sprint(i))
		require.NoError(t, a.Post(to, taken[i], nil))
	}
	require.ErrorIs(t, a.Post(to, "too many", nil), domain.ErrOverloaded)
	a.Send(to, "too many", nil)
	require.Equal(t, "too many", <-a.undelivered, "told at once")
	for _, want := range taken {
		require.Equal(t, want, within(t, a.undelivered, want), "after MaxWait")
	}
	big := strings.Repeat("x", 900)
	require.NoError(t, a.Post(to, big, nil))
	require.ErrorIs(t, a.Post(to, big, nil), domain.ErrOverloaded, "too many bytes")
	require.Equal(t, big, within(t, a.undelivered, "the big one"))
	require.Eventually(t, func() bool { return !a.Reaches(to.Address) }, patience, time.Millisecond)
	require.Empty(t, a.undelivered)
	require.Empty(t, a.lost, "there never was a link")
}

func TestStop(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	for i := range 5000 {
		require.NoError(t, a.Post(b.sink(), fmt.Sprint(i), nil))
	}
	a.Stop().Wait()
	a.Stop().Wait()
	for i := range 5000 {
		b.receives(t, fmt.Sprint(i))
	}
	require.Empty(t, a.undelivered, "what was waiting was written")
	require.Empty(t, a.lost)
	require.ErrorIs(t, a.Post(b.sink(), "late", nil), domain.ErrUnavailable)
	a.Send(b.sink(), "late", nil)
	require.Equal(t, "late", <-a.undelivered)
	require.Error(t, a.Start(a.engine))

	never, err := NewRemote(w.config("never", listen(t)))
	require.NoError(t, err)
	require.ErrorContains(t, never.Serve(), "between Start and Stop")
	require.NoError(t, never.Post(b.sink(), "unheard", nil))
	never.Stop().Wait()
	require.ErrorContains(t, never.Start(a.engine), "starts once")
}

func TestViewOf(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	v, err := a.ViewOf(t.Context(), b.Address())
	require.NoError(t, err)
	require.Equal(t, w.current(), v)

	stranger := w.startStranger(w.config("stranger", listen(t)))
	v, err = stranger.ViewOf(t.Context(), b.Address())
	require.NoError(t, err, "who isn't a member any more finds out so")
	require.Equal(t, w.current(), v)

	other := w.config("other", listen(t))
	other.Cluster = "another"
	_, err = w.startStranger(other).ViewOf(t.Context(), b.Address())
	require.ErrorContains(t, err, `node other is of cluster "another", this one of "test"`)

	silent := listen(t)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = a.ViewOf(ctx, silent.Addr().String())
	require.ErrorContains(t, err, "deadline")
}

func TestStatusAndMetrics(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	cfg := w.config("a", listen(t))
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	a, b := w.start(cfg), w.node("b")
	for _, text := range []string{"one", "two"} {
		require.NoError(t, a.Post(b.sink(), text, nil))
		b.receives(t, text)
	}
	require.NoError(t, b.Post(a.sink(), "three", nil))
	a.receives(t, "three")
	s := a.becomes(t, b.Address(), "counted", func(s PeerStatus) bool { return s.Received == 1 })
	require.Equal(t, "b", s.Node)
	require.True(t, s.Connected)
	require.EqualValues(t, 2, s.Sent)
	require.GreaterOrEqual(t, s.Frames, uint64(2))
	require.Zero(t, s.QueueMessages)
	require.Empty(t, s.LastError)

	families, err := registry.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	require.Equal(t, 1.0, values["chatopshub_peer_up"])
	require.Equal(t, 2.0, values["chatopshub_peer_sent_total"])
	require.Equal(t, 1.0, values["chatopshub_peer_received_total"])
	require.Len(t, values, 8)
	_, err = NewRemote(cfg)
	require.ErrorContains(t, err, "metrics")
}

func TestWhatARemoteNeeds(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	good := w.config("a", listen(t))
	t.Cleanup(func() { _ = good.Listener.Close() })
	outside, err := net4(t)
	require.NoError(t, err)
	for i, spoil := range []func(*RemoteConfig){
		func(c *RemoteConfig) { c.Cluster = "a b" },
		func(c *RemoteConfig) { c.Self.Name = "" },
		func(c *RemoteConfig) { c.Self.Addr = "" },
		func(c *RemoteConfig) { c.Listener = nil },
		func(c *RemoteConfig) { c.Codec = nil },
		func(c *RemoteConfig) { c.View = nil },
		func(c *RemoteConfig) { c.Refresh = nil },
		func(c *RemoteConfig) { c.Logger = nil },
		func(c *RemoteConfig) { c.Now = nil },
		func(c *RemoteConfig) { c.Lease = 0 },
		func(c *RemoteConfig) { c.MaxMessage = 10 << 20 },
		func(c *RemoteConfig) { c.Listener = outside },
		func(c *RemoteConfig) { c.TLS = &TLSFiles{"none", "none", "none"} },
	} {
		cfg := good
		spoil(&cfg)
		_, err := NewRemote(cfg)
		require.ErrorContains(t, err, "cluster: ", i)
	}
}
