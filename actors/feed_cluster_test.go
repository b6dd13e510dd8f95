package actors

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// TestFeedsAcrossNodes publishes on three nodes, with sockets on three, while
// the nodes that have the feeds are replaced one after the other: everybody gets
// every event once, in one order, which is that of each source, and nobody is
// told to fetch again.
func TestFeedsAcrossNodes(t *testing.T) {
	t.Parallel()
	n := newNewsroom(t, DirectoryConfig{}, "a", "b", "c", "d", "e", "f", "g", "h")
	owners := []string{"a", "b", "c"}
	n.own(owners)
	const organizations = 4
	talking := []string{"a", "b", "c"}
	for o := range byte(organizations) {
		for _, addr := range talking {
			require.Zero(t, n.listen(addr, organization(o)).Seq)
		}
	}
	var stop atomic.Bool
	var publishing sync.WaitGroup
	var counts [organizations][3]int
	for o := range counts {
		for i, addr := range talking {
			publishing.Go(func() {
				for ; !stop.Load(); counts[o][i]++ {
					n.publish(addr, organization(byte(o)), counts[o][i])
					afterRandom(15 * time.Millisecond)
				}
			})
		}
	}
	for _, comes := range []string{"d", "e", "f", "g", "h", "a", "b", "c"} {
		leaves := owners[0]
		owners = append(owners[1:], comes)
		view := testView{Number: n.view.Number + 1, Nodes: owners, Going: []string{leaves}}
		n.view = view
		everybody := slices.Collect(maps.Keys(n.feeds))
		rand.Shuffle(len(everybody), func(i, j int) { everybody[i], everybody[j] = everybody[j], everybody[i] })
		for _, addr := range everybody {
			n.net.setView(view, addr)
			afterRandom(time.Millisecond)
		}
		// Nobody leaves before what it had has come to others.
		require.Eventually(t, func() bool { return n.feeds[leaves].directory.Len() == 0 }, patience, time.Millisecond)
		for o := range byte(organizations) {
			n.listen("a", organization(o))
		}
		afterRandom(20 * time.Millisecond)
	}
	stop.Store(true)
	publishing.Wait()
	for o := range counts {
		n.requireAll(organization(byte(o)), talking, counts[o][:])
	}
}

// requireAll requires that the nodes have got all that was published on them,
// the same at all.
func (n *newsroom) requireAll(id domain.OrganizationID, nodes []string, counts []int) {
	n.t.Helper()
	total := 0
	for _, c := range counts {
		total += c
	}
	for _, addr := range nodes {
		for deadline := time.Now().Add(patience); len(n.got[addr].of(id)) < total && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
		events := n.got[addr].of(id)
		if len(events) != total {
			require.FailNow(n.t, "events are missing", "%s has %d of %d: %v", addr, len(events), total, numbers(events[:min(len(events), 5)]))
		}
		next := map[string]int{}
		for i, e := range events {
			require.EqualValues(n.t, i+1, e.Seq)
			require.Equal(n.t, events[0].Epoch, e.Epoch)
			require.Equal(n.t, domain.EventTyping, e.Name)
			var said []string
			require.NoError(n.t, json.Unmarshal(e.Data, &said))
			require.Equal(n.t, fmt.Sprint(next[said[0]]), said[1], "of %s", said[0])
			next[said[0]]++
		}
		for i, source := range nodes {
			require.Equal(n.t, counts[i], next[source])
		}
		require.Equal(n.t, numbers(n.got[nodes[0]].of(id)), numbers(events))
		require.Equal(n.t, n.texts(nodes[0], id), n.texts(addr, id))
	}
}

// TestFeedsOverBrokenConnections cuts and mends connections while all publish:
// everybody has the same events in the end.
func TestFeedsOverBrokenConnections(t *testing.T) {
	t.Parallel()
	talking := []string{"a", "b", "c"}
	n := newNewsroom(t, DirectoryConfig{}, talking...)
	n.own(talking)
	id := n.ownedBy("b")
	for _, addr := range talking {
		n.listen(addr, id)
	}
	counts := make([]int, 3)
	var publishing sync.WaitGroup
	for i, addr := range talking {
		publishing.Go(func() {
			for ; counts[i] < 300; counts[i]++ {
				n.publish(addr, id, counts[i])
				afterRandom(time.Millisecond)
			}
		})
	}
	for range 20 {
		from, to := talking[rand.IntN(3)], talking[rand.IntN(3)]
		n.net.nodes[from].cutTo(to, from != to)
		afterRandom(10 * time.Millisecond)
		n.net.nodes[from].cutTo(to, false)
		afterRandom(10 * time.Millisecond)
	}
	publishing.Wait()
	n.requireAll(id, talking, counts)
}

// TestFeedNoticesThatTheLastEventIsMissing: nothing comes after it by which
// anybody would notice.
func TestFeedNoticesThatTheLastEventIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, DirectoryConfig{}, "a", "b")
		n.own([]string{"a", "b"})
		id := n.ownedBy("a")
		n.listen("b", id)
		n.publish("a", id, 1)
		n.eventually("b", id, "a 1")
		loses := func(msg any) bool {
			b, ok := msg.(bulletin)
			return ok && b.Answers == 0
		}
		n.net.nodes["a"].loses.Store(&loses)
		n.publish("a", id, 2)
		synctest.Wait()
		require.Equal(t, []string{"a 1"}, n.texts("b", id))
		n.net.nodes["a"].loses.Store(nil)
		<-time.After(refreshEvery + stationPace)
		synctest.Wait()
		require.Equal(t, []string{"a 1", "a 2"}, n.texts("b", id))
	})
}

// TestFeedOfADeadNode: its successor can't know what was told, so all who listen
// are told to fetch again; what nobody has acknowledged comes after that.
func TestFeedOfADeadNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, DirectoryConfig{}, "a", "b", "c")
		n.own([]string{"a", "b", "c"})
		id := n.ownedBy("a")
		n.listen("b", id)
		n.listen("c", id)
		n.publish("b", id, 1)
		n.eventually("c", id, "b 1")
		n.cut("a", true)
		n.publish("b", id, 2)
		n.own([]string{"b", "c"}, "b", "c")
		<-time.After(2 * sendAgain)
		for _, addr := range []string{"b", "c"} {
			// What the new feed had before it was asked is for the fetch, and told to nobody.
			texts := n.texts(addr, id)
			require.Equal(t, []string{"b 1", "resync"}, texts[:2])
			require.Subset(t, []string{"b 2"}, texts[2:])
		}
		n.publish("c", id, 3)
		n.eventually("b", id, append(n.texts("b", id), "c 3")...)
		events := n.got["c"].of(id)
		require.NotEqual(t, events[0].Epoch, events[1].Epoch)
		require.EqualValues(t, 2, events[len(events)-1].Seq, "b 2 and c 3 have come, nothing else")
	})
}

// TestFeedMissesADeadSource: what a node didn't get to tell before it died nobody
// knows, so the sockets are told that there may be something. One that ends in
// order takes nothing along.
func TestFeedMissesADeadSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, DirectoryConfig{}, "a", "b", "c", "d")
		n.own([]string{"a"})
		id := organization(1)
		n.listen("d", id)
		for i, addr := range []string{"b", "c"} {
			n.publish(addr, id, i)
			synctest.Wait()
		}
		require.NoError(t, n.feeds["b"].Close(t.Context()))
		n.cut("b", true)
		<-time.After(5 * time.Second)
		n.eventually("d", id, "b 0", "c 1")
		n.cut("c", true)
		<-time.After(5 * time.Second)
		n.eventually("d", id, "b 0", "c 1", "resync")
		n.cut("c", false) // it lives after all
		n.publish("c", id, 2)
		n.eventually("d", id, "b 0", "c 1", "resync", "c 2")
		require.EqualValues(t, 4, n.got["d"].of(id)[3].Seq)
		<-time.After(time.Minute)
		require.Len(t, n.got["d"].of(id), 4)
	})
}

// TestFeedOfAFrozenNode: it wakes, and takes what is published there for some
// time though another node has its place. Nothing of that is lost.
func TestFeedOfAFrozenNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, DirectoryConfig{}, "a", "b")
		n.own([]string{"a", "b"})
		id := n.ownedBy("a")
		n.listen("a", id)
		n.listen("b", id)
		n.publish("a", id, 1)
		n.eventually("b", id, "a 1")
		synctest.Wait()

		n.cut("a", true) // which is as good as frozen, for b
		n.own([]string{"b"}, "b")
		n.eventually("b", id, "a 1", "resync")
		n.publish("b", id, 1)
		n.net.nodes["a"].stale.Store(true)
		n.cut("a", false)
		n.publish("a", id, 2)
		n.eventually("a", id, "a 1", "a 2")
		n.net.setView(n.view, "a")
		n.net.nodes["a"].stale.Store(false)
		<-time.After(3 * time.Second)
		n.eventually("b", id, "a 1", "resync", "b 1", "a 2")
		at := n.texts("a", id)
		require.Equal(t, []string{"a 1", "a 2", "resync"}, at[:3])
		n.publish("b", id, 2)
		<-time.After(time.Second)
		require.Equal(t, "b 2", n.texts("a", id)[len(n.texts("a", id))-1])
		require.Equal(t, n.replay("a", id, domain.FeedPosition{}).Newest, n.replay("b", id, domain.FeedPosition{}).Newest)
	})
}

// TestFeedMeetsAnother: a node that was frozen, replaced, and placed again
// before it could notice. Its sockets lack what the other feed has told.
func TestFeedMeetsAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, DirectoryConfig{}, "a", "b")
		n.own([]string{"a", "b"})
		id := n.ownedBy("a")
		n.listen("a", id)
		n.listen("b", id)
		n.publish("a", id, 1)
		n.eventually("b", id, "a 1")
		synctest.Wait()

		n.cut("a", true)
		n.own([]string{"b"}, "b")
		n.eventually("b", id, "a 1", "resync")
		n.publish("b", id, 1)
		n.eventually("b", id, "a 1", "resync", "b 1")
		n.cut("a", false)
		n.own([]string{"a", "b"})
		<-time.After(3 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"a 1", "resync"}, n.texts("a", id), "of b 1 nobody can tell any more")
		n.publish("b", id, 2)
		n.publish("a", id, 2)
		<-time.After(3 * time.Second)
		require.ElementsMatch(t, []string{"a 1", "resync", "b 2", "a 2"}, n.texts("a", id))
		require.Equal(t, n.texts("a", id)[2:], n.texts("b", id)[len(n.texts("b", id))-2:])
	})
}

// TestFeedReplaysAnywhere: an answer leads exactly to what was delivered where
// it is given, whatever another node has delivered.
func TestFeedReplaysAnywhere(t *testing.T) {
	t.Parallel()
	talking := []string{"a", "b", "c"}
	n := newNewsroom(t, DirectoryConfig{}, talking...)
	n.own(talking)
	id := n.ownedBy("a")
	epoch := n.listen("a", id).Epoch
	const publishes = 300
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range publishes {
			n.publish("b", id, i)
			afterRandom(200 * time.Microsecond)
		}
	})
	var answered sync.WaitGroup
	for i := range uint64(publishes) {
		for _, addr := range []string{"a", "c"} {
			answered.Add(1)
			require.NoError(t, n.feeds[addr].Replay(id, domain.FeedPosition{Epoch: epoch, Seq: i / 2}, func(r domain.FeedReplay) {
				defer answered.Done()
				handed := n.got[addr].of(id)
				if len(handed) > 0 {
					if last := handed[len(handed)-1]; last.Position() != r.Newest {
						t.Errorf("%s was handed %s, and answers up to %s", addr, last.Offset(), r.Newest)
					}
				}
				if r.Complete && r.Newest.Seq != i/2+uint64(len(r.Events)) {
					t.Errorf("%d events from %d to %s", len(r.Events), i/2, r.Newest)
				}
			}))
		}
		afterRandom(200 * time.Microsecond)
	}
	publishing.Wait()
	answered.Wait()

	// Who has more than this node is answered when the node has it, too.
	newest := n.replay("a", id, domain.FeedPosition{}).Newest
	for newest.Seq < publishes {
		newest = n.replay("a", id, domain.FeedPosition{}).Newest
	}
	r := n.replay("b", id, domain.FeedPosition{Epoch: epoch, Seq: publishes - 7})
	require.True(t, r.Complete)
	require.Len(t, r.Events, 7, "a node that begins to listen gets what the feed has")
}

// TestFeedTellsWhatASourceHadNoRoomFor: a feed isn't reached for long.
func TestFeedTellsWhatASourceHadNoRoomFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, DirectoryConfig{MaxWaiting: 3}, "a", "b")
		n.own([]string{"a", "b"})
		id := n.ownedBy("a")
		n.listen("b", id)
		n.cut("a", true)
		for i := range 10 {
			n.publish("b", id, i)
		}
		n.cut("a", false)
		n.eventually("b", id, "b 0", "b 1", "b 2", "resync")
		n.publish("b", id, 10)
		n.eventually("b", id, "b 0", "b 1", "b 2", "resync", "b 10")
	})
}

// TestFeedForgetsWhoDoesNotListen: a node without sockets gets nothing.
func TestFeedForgetsWhoDoesNotListen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNewsroom(t, DirectoryConfig{}, "a", "b")
		n.own([]string{"a", "b"})
		id := n.ownedBy("a")
		n.listen("b", id)
		n.got["b"].deaf.Store(true)
		<-time.After(listenTime + 2*refreshEvery)
		require.Zero(t, n.feeds["b"].station.listeners.Len())
		var told atomic.Int64
		counts := func(msg any) bool {
			if _, ok := msg.(bulletin); ok {
				told.Add(1)
			}
			return false
		}
		n.net.nodes["a"].loses.Store(&counts)
		n.publish("a", id, 1)
		synctest.Wait()
		require.Zero(t, told.Load())
		n.got["b"].deaf.Store(false)
		require.EqualValues(t, 1, n.listen("b", id).Seq)
		n.publish("a", id, 2)
		n.eventually("b", id, "a 2")
		require.EqualValues(t, 2, told.Load(), "the history, and the event")
	})
}

// TestFeedMovesInParts: more than a message carries.
func TestFeedMovesInParts(t *testing.T) {
	t.Parallel()
	n := newNewsroom(t, DirectoryConfig{}, "a", "b", "c")
	n.own([]string{"a"})
	id := organization(1)
	n.listen("a", id)
	text := strings.Repeat("x", 100<<10)
	const events = 60 // 6 MB
	for range events {
		n.feeds["a"].Publish(id, []domain.Notice{notice(text)})
	}
	require.Eventually(t, func() bool { return len(n.got["a"].of(id)) == events }, patience, time.Millisecond)
	begin := domain.FeedPosition{Epoch: n.got["a"].of(id)[0].Epoch}
	r := n.replay("b", id, begin)
	require.True(t, r.Complete, "a history comes in parts")
	require.Len(t, r.Events, events)

	n.view = testView{Number: 2, Nodes: []string{"c"}, Going: []string{"a"}}
	n.net.setView(n.view)
	n.publish("a", id, 1)
	require.Eventually(t, func() bool { return len(n.got["b"].of(id)) == 1 }, patience, time.Millisecond)
	require.Equal(t, domain.FeedPosition{Epoch: begin.Epoch, Seq: events + 1}, n.got["b"].of(id)[0].Position())
	require.True(t, n.replay("b", id, begin).Complete, "and stays where it is when the feed moves")
	newest := n.replay("c", id, domain.FeedPosition{Epoch: begin.Epoch, Seq: events - 10})
	require.True(t, newest.Complete, "the newest part moves")
	require.False(t, n.replay("c", id, begin).Complete)
}
