package actors

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// staff opens a tab of n agents, each at another node, and is their ids.
func (bs *branches) staff(n int) (ids []domain.UserID) {
	for i := range n {
		o := bs.offices[bs.view.Nodes[i%len(bs.view.Nodes)]]
		c := o.tab(fmt.Sprint("tab ", i))
		c.Agent = domain.UserID{1: 1, 15: byte(i)}
		require.NoError(bs.t, o.Connected(c))
		ids = append(ids, c.Agent)
	}
	return ids
}

// present is who is present, in order, as all living nodes know it.
func (bs *branches) present() []domain.UserID {
	bs.t.Helper()
	synctest.Wait()
	var all [][]domain.UserID
	for _, addr := range bs.view.Nodes {
		o := bs.offices[addr]
		all = append(all, slices.SortedFunc(maps.Keys(o.present(o.org)), byID))
	}
	for _, ids := range all {
		require.Equal(bs.t, all[0], ids, "all nodes say the same")
	}
	return all[0]
}

func byID(a, b domain.UserID) int { return slices.Compare(a[:], b[:]) }

func TestRosterIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		ids := bs.staff(30)
		require.Equal(t, ids, bs.present())
		for range 4 { // the actors move, and the roster does
			was := bs.roster()
			bs.drain(was)
			asked := time.Now()
			require.Equal(t, ids, bs.present())
			require.LessOrEqual(t, time.Since(asked), rosterSettles+announceEvery/directoryShards)
			require.Empty(t, was.Available(was.org), "it is another node's to say")
			require.Equal(t, ids, slices.SortedFunc(slices.Values(bs.roster().Available(was.org)), byID))
			bs.change(testView{Nodes: append(bs.without(was), was.home())})
			require.Equal(t, ids, bs.present())
		}
		require.Empty(t, bs.any().present(organization(2)), "another organization's")
		dead := bs.roster()
		bs.kill(dead)
		for i, id := range ids { // the feed died with the roster: all are told to look again
			if bs.ownerOf(id) == dead || bs.nodes[i%3] == dead.home() {
				continue
			}
			require.Contains(t, bs.present(), id)
		}
		require.NotContains(t, bs.journal.all(), "OFFLINE", "nobody seems to have gone")
	}, "a", "b", "c")
}

// TestRosterForgetsWhoLeft and leaves nothing behind.
func TestRosterForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		bs.any().open(t, "tab")
		require.Len(t, bs.present(), 1)
		bs.any().Disconnected(bs.any().tab("tab"), true)
		synctest.Wait()
		require.Empty(t, bs.present())
		<-time.After(unheardMax + 2*announceEvery)
		for _, b := range bs.offices {
			require.Empty(t, b.rosters.tables)
			require.Zero(t, b.directory.Len())
		}
	}, "a", "b", "c")
}

// TestLateEntryIsNotTaken: of two the later counts, whichever comes first.
func TestLateEntryIsNotTaken(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		r := bs.roster()
		at := func(version int64, status domain.Presence) {
			r.rosters.put(r.org, entry{
				Presence: domain.AgentPresence{Agent: r.ada, Status: status}, Here: true, Node: bs.home().home(), Version: version,
			})
		}
		at(2, domain.Offline)
		at(1, domain.Online)
		require.Equal(t, domain.Offline, bs.status())
		at(3, domain.Away)
		require.Equal(t, domain.Away, bs.status())
	}, "a", "b", "c")
}

// TestRosterThatIsNotReached is said so, in time.
func TestRosterThatIsNotReached(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		o := bs.other(bs.roster())
		n := bs.net.nodes[o.home()]
		n.cutTo(bs.roster().home(), true)
		_, err := o.Snapshot(t.Context(), o.org)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		n.cutTo(bs.roster().home(), false)
		bs.net.nodes[bs.roster().home()].cutTo(o.home(), true) // the answer
		asked := time.Now()
		_, err = o.Snapshot(t.Context(), o.org)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.NotErrorIs(t, err, domain.ErrOutcomeUnknown)
		require.Equal(t, rosterTimeout, time.Since(asked))
		bs.net.nodes[bs.roster().home()].cutTo(o.home(), false)
		require.Empty(t, o.present(o.org))
	}, "a", "b", "c")
}

// TestQuestionsToANewRosterAreBounded and answered when it knows.
func TestQuestionsToANewRosterAreBounded(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		bs.any().open(t, "tab")
		synctest.Wait()
		bs.drain(bs.roster())
		r := bs.roster()
		var mu sync.Mutex
		answers := map[string]int{}
		var asking sync.WaitGroup
		for range rosterWaiting + 10 {
			asking.Go(func() {
				present, err := r.Snapshot(t.Context(), r.org)
				mu.Lock()
				defer mu.Unlock()
				answers[fmt.Sprint(len(present), " ", err != nil)]++
			})
		}
		asking.Wait()
		require.Equal(t, map[string]int{"1 false": rosterWaiting, "0 true": 10}, answers)
	}, "a", "b", "c")
}

// TestAssignersKnowAgentsOfAllNodes, wherever the organization moves.
func TestAssignersKnowAgentsOfAllNodes(t *testing.T) {
	t.Parallel()
	inBranches(t, func(t *testing.T, bs *branches) {
		var mu sync.Mutex
		rounds := map[string][]int{} // by node: how many agents the rounds found
		for addr, b := range bs.offices {
			as := NewAssigners(b.system, AssignerConfig{
				Queue: noQueue{}, Automatic: func(domain.OrganizationID) bool { return true },
				Available: func(id domain.OrganizationID) []domain.UserID {
					agents := b.Agents.Available(id)
					mu.Lock()
					defer mu.Unlock()
					rounds[addr] = append(rounds[addr], len(agents))
					return nil
				},
			})
			b.config.Available = as.Look
			defer func() { require.NoError(t, as.Close(context.WithoutCancel(t.Context()))) }()
		}
		last := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			require.Len(t, rounds, 1, "one node assigns")
			require.Contains(t, rounds, bs.roster().home())
			found := rounds[bs.roster().home()]
			clear(rounds)
			return found[len(found)-1]
		}
		bs.staff(10)
		require.Equal(t, 10, last())
		bs.drain(bs.roster())
		<-time.After(time.Second)
		require.Equal(t, 10, last(), "those who are there are work for the new owner")
	}, "a", "b", "c")
}

// noQueue is empty.
type noQueue struct{ Queue }
