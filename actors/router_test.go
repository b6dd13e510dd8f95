package actors

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// add has a purse add something and tell its sum.
type add struct {
	n  int
	to *actor.PID
}

func (a add) ReplyTo() *actor.PID { return a.to }

// purse is an actor whose state is in memory alone.
type purse struct {
	sum  int
	node string
	busy bool // doesn't depart yet
	got  *[]int
}

func (c *purse) Receive(msg any, _ Self) {
	if m, ok := msg.(add); ok {
		c.sum += m.n
		c.busy = m.n < 0
		if c.got != nil {
			*c.got = append(*c.got, m.n)
		}
	}
}

func (c *purse) Depart() (any, bool) { return c.sum, !c.busy }

func (c *purse) Arrive(state any, _ Self) {
	if sum, ok := state.(int); ok {
		c.sum += sum
	}
}

// counters is the same directory on several nodes. Each replies "node: sum".
type counters struct {
	net   *network
	nodes []*node
	dirs  map[string]*Directory[domain.UserID]
}

type talliedBy struct {
	*purse
	system *System
}

func (r talliedBy) Receive(msg any, self Self) {
	r.purse.Receive(msg, self)
	if m, ok := msg.(add); ok {
		r.system.Reply(m.to, fmt.Sprint(r.node, ": ", r.sum))
	}
}

func newCounters(t *testing.T, addrs ...string) *counters {
	c := &counters{net: newNetwork(t), dirs: map[string]*Directory[domain.UserID]{}}
	for _, addr := range addrs {
		n := c.net.node(addr)
		d := NewDirectory(n.system, "counter", func(domain.UserID, *Entry) Behavior {
			return talliedBy{&purse{node: addr}, n.system}
		}, DirectoryConfig{})
		place(d, placing[domain.UserID]{})
		c.nodes = append(c.nodes, n)
		c.dirs[addr] = d
	}
	return c
}

func (c *counters) ask(ctx context.Context, from string, key domain.UserID, n int) (string, error) {
	d := c.dirs[from]
	reply, err := d.system.Ask(ctx, func(to *actor.PID) {
		if err := d.Tell(key, add{n, to}); err != nil {
			d.system.Reply(to, err)
		}
	})
	if err != nil {
		return "", err
	}
	return reply.(string), nil
}

func key(n byte) (id domain.UserID) {
	id[15] = n
	return id
}

func (v testView) ownedBy(t *testing.T, addr string) domain.UserID {
	for n := range 256 {
		if o, _ := v.owner(key(byte(n)), ""); o == addr {
			return key(byte(n))
		}
	}
	require.FailNow(t, "nothing is owned by "+addr)
	return domain.UserID{}
}

func TestMessagesFindTheirOwner(t *testing.T) {
	t.Parallel()
	c := newCounters(t, "a", "b", "c")
	v := testView{Number: 1, Nodes: []string{"a", "b", "c"}}
	c.net.setView(v)
	for _, owner := range v.Nodes {
		k := v.ownedBy(t, owner)
		for i, from := range v.Nodes {
			got, err := c.ask(t.Context(), from, k, 1)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(owner, ": ", i+1), got)
		}
	}
}

// TestALateSenderLearns: who doesn't know of the new owner is told by the old
// one, and its message isn't lost.
func TestALateSenderLearns(t *testing.T) {
	t.Parallel()
	c := newCounters(t, "a", "b", "c")
	before := testView{Number: 1, Nodes: []string{"a", "b"}}
	after := testView{Number: 2, Nodes: []string{"a", "b", "c"}}
	c.net.setView(before)
	k := after.ownedBy(t, "c")
	was, _ := before.owner(k, "")
	late := "a"
	if was == "a" {
		late = "b"
	}
	_, err := c.ask(t.Context(), late, k, 5)
	require.NoError(t, err)
	c.net.setView(after, was, "c")
	require.Eventually(t, func() bool { return c.dirs[was].Len() == 0 }, patience, time.Millisecond)
	got, err := c.ask(t.Context(), late, k, 1)
	require.NoError(t, err)
	require.Equal(t, "c: 6", got, "with the state that the former owner had")
	require.Equal(t, int64(2), c.net.nodes[late].Number())
}

// TestALateOwnerLearns: a node that doesn't know yet that it is the owner.
func TestALateOwnerLearns(t *testing.T) {
	t.Parallel()
	c := newCounters(t, "a", "b", "c")
	after := testView{Number: 2, Nodes: []string{"a", "b", "c"}}
	c.net.setView(testView{Number: 1, Nodes: []string{"a", "b"}})
	c.net.setView(after, "a")
	got, err := c.ask(t.Context(), "a", after.ownedBy(t, "c"), 1)
	require.NoError(t, err)
	require.Equal(t, "c: 1", got)
	require.Equal(t, int64(2), c.net.nodes["c"].Number(), "it learns from the letter")
}

// TestStateMovesUnderTraffic replaces node after node. No message is counted
// twice, or not at all, by actors whose state is in memory alone.
func TestStateMovesUnderTraffic(t *testing.T) {
	t.Parallel()
	c := newCounters(t, "a", "b", "c", "d", "e", "f", "g", "h")
	v := testView{Number: 1, Nodes: []string{"a", "b", "c"}}
	c.net.setView(v)
	const keys = 32
	var sent [keys]int
	var stop atomic.Bool
	var running sync.WaitGroup
	for k := range keys {
		running.Go(func() {
			for ; !stop.Load(); sent[k]++ {
				from := string(rune('a' + (k+sent[k])%len(c.nodes)))
				if _, err := c.ask(t.Context(), from, key(byte(k)), 1); err != nil {
					t.Errorf("key %d: %v", k, err)
					return
				}
			}
		})
	}
	change := func(nodes, going []string) {
		v = testView{Number: v.Number + 1, Nodes: slices.Clone(nodes), Going: going}
		all := slices.Sorted(maps.Keys(c.dirs))
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, n := range all {
			c.net.setView(v, n)
			afterRandom(time.Millisecond)
		}
	}
	for _, comes := range []string{"d", "e", "f", "g", "h"} {
		leaves := v.Nodes[0]
		change(v.Nodes[1:], []string{leaves})
		require.Eventually(t, func() bool { return c.dirs[leaves].Len() == 0 }, patience, time.Millisecond)
		for k := range keys { // nobody leaves before what it had has come to others
			_, err := c.ask(t.Context(), v.Nodes[0], key(byte(k)), 0)
			require.NoError(t, err)
		}
		change(v.Nodes, nil)
		change(append(v.Nodes, comes), nil)
		afterRandom(20 * time.Millisecond)
	}
	stop.Store(true)
	running.Wait()
	for k := range keys {
		got, err := c.ask(t.Context(), "a", key(byte(k)), 0)
		require.NoError(t, err)
		require.Contains(t, got, fmt.Sprint(": ", sent[k]), "key %d", k)
	}
}

// afterRandom lets a random part of d pass: when a change comes is nobody's
// choice.
func afterRandom(d time.Duration) { <-time.After(rand.N(d)) }

func TestWhatIsNotReachedIsSaidSo(t *testing.T) {
	t.Parallel()
	c := newCounters(t, "a", "b")
	v := testView{Number: 1, Nodes: []string{"a", "b"}}
	c.net.setView(v)
	k := v.ownedBy(t, "b")
	c.net.nodes["a"].cutTo("b", true)
	_, err := c.ask(t.Context(), "a", k, 1)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	c.net.nodes["a"].cutTo("b", false)
	got, err := c.ask(t.Context(), "a", k, 1)
	require.NoError(t, err)
	require.Equal(t, "b: 1", got)
}

// TestNobodyKnows: the connection breaks while an answer is awaited.
func TestNobodyKnows(t *testing.T) {
	t.Parallel()
	net := newNetwork(t)
	taken, dirs := make(chan struct{}), map[string]*Directory[domain.UserID]{}
	for _, addr := range []string{"a", "b"} {
		n := net.node(addr)
		d := NewDirectory(n.system, "mute", func(domain.UserID, *Entry) Behavior {
			return behave(func(msg any, _ Self) {
				if _, ok := msg.(add); ok {
					close(taken)
				}
			})
		}, DirectoryConfig{})
		place(d, placing[domain.UserID]{})
		dirs[addr] = d
		if addr == "a" {
			continue
		}
		v := testView{Number: 1, Nodes: []string{"a", "b"}}
		net.setView(v)
		a := net.nodes["a"]
		go func() {
			<-taken
			a.lost("b")
		}()
		_, err := a.system.Ask(t.Context(), func(to *actor.PID) {
			require.NoError(t, dirs["a"].Tell(v.ownedBy(t, "b"), add{1, to}))
		})
		require.ErrorIs(t, err, domain.ErrOutcomeUnknown)
	}
}
