package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/cluster/clustertest"
	"github.com/chatopshub/chatopshub/domain"
)

// behind starts a node that others reach through a proxy.
func (w *town) behind(name string) (*node, *clustertest.Proxy) {
	listener := listen(w)
	cfg := w.config(name, listener)
	proxy := clustertest.NewProxy(w, listener.Addr().String())
	cfg.Self.Addr = proxy.Addr()
	return w.start(cfg), proxy
}

// converse makes sure that both nodes have a link to the other.
func converse(t *testing.T, a, b *node) {
	t.Helper()
	for _, way := range [][2]*node{{a, b}, {b, a}} {
		_, err := way[0].peer(way[1].Address())
		require.NoError(t, err)
		way[0].becomes(t, way[1].Address(), "linked", connected)
	}
	require.NoError(t, a.Post(b.sink(), "hello", nil))
	b.receives(t, "hello")
	require.NoError(t, b.Post(a.sink(), "hello", nil))
	a.receives(t, "hello")
}

// TestACutNetwork: whichever way is cut, the sender notices, tells which
// messages it has not sent, and is back when the network is.
func TestACutNetwork(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]clustertest.Direction{
		"forth": clustertest.Forth, "back": clustertest.Back, "both": clustertest.Both,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			a := w.brisk("a")
			b, proxy := w.behind("b")
			converse(t, a, b)
			proxy.Cut(way)
			require.Equal(t, b.Address(), within(t, a.lost, "the break"))
			s := a.becomes(t, b.Address(), "down", func(s PeerStatus) bool { return !s.Connected })
			require.Contains(t, s.LastError, "doesn't")
			require.NoError(t, a.Post(b.sink(), "in vain", nil))
			require.Equal(t, "in vain", within(t, a.undelivered, "what can't be sent"))
			require.Eventually(t, func() bool { return !a.Reaches(b.Address()) }, patience, time.Millisecond)

			proxy.Heal()
			a.becomes(t, b.Address(), "up again", connected)
			// A connection that was asked for while the network was cut may come up
			// late, and go again: what was written to it then is lost, and said to be.
			require.Eventually(t, func() bool {
				return a.Post(b.sink(), "again", nil) == nil && len(b.got) > 0
			}, patience, 10*time.Millisecond)
			b.receives(t, "again")
			a.becomes(t, b.Address(), "up for good", connected)
			require.True(t, a.Reaches(b.Address()))
		})
	}
}

// TestAShortCut is survived without anybody noticing.
func TestAShortCut(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.node("a")
	b, proxy := w.behind("b")
	converse(t, a, b)
	proxy.Cut(clustertest.Both)
	for i := range 1000 {
		require.NoError(t, a.Post(b.sink(), fmt.Sprint(i), nil))
	}
	<-time.After(300 * time.Millisecond)
	require.Empty(t, b.got)
	proxy.Heal()
	for i := range 1000 {
		b.receives(t, fmt.Sprint(i))
	}
	require.Empty(t, a.lost)
}

// TestABrokenConnection: what was in the queue goes over the next one, and each
// message is either delivered or covered by lost.
func TestABrokenConnection(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.node("a")
	b, proxy := w.behind("b")
	converse(t, a, b)
	last := -1
	for round := range 5 {
		proxy.Break()
		require.Equal(t, b.Address(), within(t, a.lost, "the break"))
		for i := range 10 {
			require.NoError(t, a.Post(b.sink(), fmt.Sprint(round*10+i), nil))
		}
		for range 10 {
			var i int
			_, err := fmt.Sscan(within(t, b.got, "what waited").msg.(string), &i)
			require.NoError(t, err)
			require.Equal(t, last+1, i)
			last = i
		}
	}
	require.Empty(t, a.undelivered)
}

// TestAPeerThatNeverReads: one that takes connections and says nothing, and one
// that stops in the middle of a flood.
func TestAPeerThatNeverReads(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.brisk("a"), w.node("b")
	mute := listen(t)
	defer mute.Close()
	w.join(Node{Name: "mute", Addr: mute.Addr().String()})
	a.Send(actor.NewPID(mute.Addr().String(), "sink"), "unheard", nil)
	require.Equal(t, "unheard", within(t, a.undelivered, "what nobody takes"))
	require.Empty(t, a.lost)

	converse(t, a, b)
	stuck := make(chan struct{})
	b.process("stuck", func(any, *actor.PID) { <-stuck })
	defer close(stuck)
	text, taken := strings.Repeat("x", 1000), 0
	for a.Post(actor.NewPID(b.Address(), "stuck"), text, nil) == nil {
		taken++
	}
	require.Greater(t, taken, 8<<20/1100, "a queue full")
	require.Equal(t, b.Address(), within(t, a.lost, "the break"))
	s := a.becomes(t, b.Address(), "given up", func(s PeerStatus) bool {
		return s.QueueMessages == 0 && !s.Connected && s.Sent+s.Undelivered == uint64(taken+1)
	})
	require.Greater(t, s.Undelivered, s.Sent)
	require.Len(t, a.undelivered, int(s.Undelivered))
}

// TestADeadPeerDelaysNobody measures a healthy peer's answers without and with
// peers that are gone, mute, and flooded.
func TestADeadPeerDelaysNobody(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.brisk("a"), w.node("b")
	echo := b.process("echo", func(msg any, sender *actor.PID) { b.Send(sender, msg, nil) })
	trips := func() []time.Duration {
		var took []time.Duration
		for range 500 {
			begun := time.Now()
			require.NoError(t, a.Post(echo, "ping", a.sink()))
			a.receives(t, "ping")
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		return took
	}
	trips()
	alone := trips()
	gone, mute := listen(t), listen(t)
	require.NoError(t, gone.Close())
	defer mute.Close()
	var flooded []*actor.PID
	for i, addr := range []string{gone.Addr().String(), mute.Addr().String()} {
		w.join(Node{Name: fmt.Sprint("dead-", i), Addr: addr})
		flooded = append(flooded, actor.NewPID(addr, "sink"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	flooding := make(chan struct{})
	go func() {
		defer close(flooding)
		for ctx.Err() == nil {
			for _, to := range flooded {
				if err := a.Post(to, "flood", nil); err != nil && !errors.Is(err, domain.ErrOverloaded) {
					t.Errorf("post to a dead peer: %v", err)
				}
			}
			select {
			case <-a.undelivered:
			case <-time.After(20 * time.Microsecond):
			}
		}
	}()
	beside := trips()
	cancel()
	<-flooding
	t.Logf("round trip p50 %v, p99 %v alone; p50 %v, p99 %v beside two dead peers",
		alone[len(alone)/2], alone[len(alone)*99/100], beside[len(beside)/2], beside[len(beside)*99/100])
	require.Less(t, beside[len(beside)-1], time.Second, "nothing waits for a dial or a time-out")
}

// TestARestartAtTheSameAddress: the peer is found again, by its new name, and
// what waited meanwhile arrives.
func TestARestartAtTheSameAddress(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	converse(t, a, b)
	b.Stop().Wait()
	require.Equal(t, b.Address(), within(t, a.lost, "the break"))
	a.becomes(t, b.Address(), "down", func(s PeerStatus) bool { return !s.Connected })
	require.NoError(t, a.Post(b.sink(), "patient", nil))

	listener, err := net.Listen("tcp", b.Address())
	require.NoError(t, err)
	w.leave("b")
	again := w.start(w.config("b-again", listener))
	again.receives(t, "patient")
	s := a.becomes(t, b.Address(), "up", connected)
	require.Equal(t, "b-again", s.Node)
	require.NoError(t, again.Post(a.sink(), "from b-again", nil))
	a.receives(t, "from b-again")
	require.Empty(t, a.lost)
}

func TestWhoIsntAMember(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.node("a")
	require.ErrorContains(t, a.admit(t.Context(), &hello{1, 1, "test", "x", "127.0.0.1:1", 1}), "node x at 127.0.0.1:1 isn't in the view of a")
	for name, refused := range map[string]*hello{
		`of cluster "other"`:  {1, 1, "other", "a", a.Address(), 1},
		"speaks protocols 2 ": {9, 2, "test", "a", a.Address(), 1},
		"lacks the node's":    {1, 1, "test", "", "", 1},
		"a hello comes first": nil,
	} {
		require.ErrorContains(t, a.admit(t.Context(), refused), name)
	}
	require.NoError(t, a.admit(t.Context(), &hello{9, 1, "test", "a", a.Address(), 1}), "a newer release that understands us")

	// The stranger knows a, a doesn't know the stranger.
	cfg := w.config("stranger", listen(t))
	cfg.MaxWait = time.Second
	cfg.View = func() *View { return NewView(1, []Node{a.cfg.Self, cfg.Self}) }
	stranger := w.startStranger(cfg)
	require.NoError(t, stranger.Post(a.sink(), "let me in", nil))
	require.Equal(t, "let me in", within(t, stranger.undelivered, "what a refused"))
	s := stranger.becomes(t, a.Address(), "refused", func(s PeerStatus) bool { return s.LastError != "" })
	require.Contains(t, s.LastError, "node stranger at "+stranger.Address()+" isn't in the view of a")
	require.Empty(t, a.got)
	// Nor is anything sent there, and it isn't remembered.
	a.Send(stranger.sink(), "who are you", nil)
	require.Equal(t, "who are you", within(t, a.undelivered, "what isn't sent to a stranger"))
	require.Empty(t, a.Status())
	require.Empty(t, stranger.got)
	require.Positive(t, w.refreshed.Load(), "a has asked for a newer view")

	w.join(cfg.Self)
	require.NoError(t, stranger.Post(a.sink(), "I am one now", nil))
	a.receives(t, "I am one now")
	require.NoError(t, a.Post(stranger.sink(), "welcome", nil))
	stranger.receives(t, "welcome")
}

// TestAnEarlyRefresh: a node that has just joined is let in by one that hasn't
// heard of it, which asks for the view at once.
func TestAnEarlyRefresh(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	cfg := w.config("a", listen(t))
	var known atomic.Pointer[View]
	known.Store(NewView(1, []Node{cfg.Self}))
	cfg.View = known.Load
	cfg.Refresh = func(context.Context) error {
		known.Store(w.current())
		return nil
	}
	a := w.start(cfg)
	b := w.node("b")
	require.NoError(t, b.Post(a.sink(), "hello", b.sink()))
	a.receives(t, "hello")
	require.Equal(t, w.current(), known.Load())
}

// TestALateGreeting: what a network that was cut delivers late doesn't take the
// place of the connection that was made since.
func TestALateGreeting(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.node("a")
	p := newPeer(a.Remote, "127.0.0.1:1")
	began := func(node string, number uint64) bool {
		s := &session{node: node, number: number, stop: make(chan struct{}), done: make(chan struct{})}
		close(s.done)
		return p.begin(s)
	}
	require.True(t, began("b", 2))
	before := p.session
	require.False(t, began("b", 1))
	require.Same(t, before, p.session)
	require.True(t, began("b", 3))
	<-before.stop
	require.True(t, began("b-again", 1))
	require.Equal(t, "b-again", p.session.node)
}

func TestWhoLeavesTheView(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.brisk("a")
	b, proxy := w.behind("b")
	a.Follow(nil, w.current())
	a.becomes(t, b.Address(), "a link to each member", connected)
	require.Len(t, a.Status(), 1, "and none to itself")
	converse(t, a, b)

	proxy.Cut(clustertest.Both)
	a.becomes(t, b.Address(), "down", func(s PeerStatus) bool { return !s.Connected })
	within(t, a.lost, "the break")
	require.NoError(t, a.Post(b.sink(), "in vain", nil))
	a.Follow(nil, w.leave("b"))
	require.Equal(t, "in vain", within(t, a.undelivered, "what waited"))
	require.Equal(t, a.Address(), within(t, b.lost, "the end of b's link"), "a closed it")
	require.Empty(t, a.Status())
	b.becomes(t, a.Address(), "refused", func(s PeerStatus) bool { return strings.Contains(s.LastError, "isn't in the view") })

	proxy.Heal()
	w.join(b.cfg.Self)
	a.Follow(nil, w.current())
	a.becomes(t, b.Address(), "back", connected)
	converse(t, a, b)
	a.Follow(nil, w.leave("b"))
	require.Equal(t, b.Address(), within(t, a.lost, "our own link"))
}
