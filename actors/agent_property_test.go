package actors

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

// deed is something that happens in a cluster.
type deed struct {
	what string
	tab  int
	node string // that a new tab comes to, or that leaves
	wait time.Duration
}

var deeds = rapid.Custom(func(rt *rapid.T) deed {
	return deed{
		what: rapid.SampledFrom([]string{"open", "open", "shut", "shut", "revoke", "beat", "away", "online", "view", "view"}).Draw(rt, "what"),
		tab:  rapid.IntRange(0, 3).Draw(rt, "tab"), node: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "node"),
		wait: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 7, 25, 40}).Draw(rt, "wait")) * time.Second,
	}
})

// TestSeveralNodesTellWhatOneWould: wherever sockets are, and whatever node an
// agent's actor is moving to meanwhile, colleagues are told the same, and the
// same is released.
func TestSeveralNodesTellWhatOneWould(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		history := rapid.SliceOfN(deeds, 1, 40).Draw(rt, "history")
		inBranches(t, func(t *testing.T, bs *branches) {
			alone, at := bs.alone(), map[int]string{}
			for _, d := range history {
				if d.what == "view" { // what comes next comes while actors move
					synctest.Wait()
				}
				bs.does(d, alone, at)
				if d.what != "view" {
					synctest.Wait()
					<-time.After(d.wait + time.Millisecond) // clocks go on: entries are numbered by them
				}
			}
			require.Equal(t, alone.journal.all(), bs.journal.all(), "after %+v", history)
			<-time.After(rosterSettles + time.Second) // so that the same time is asked about
			require.Equal(t, alone.status(), bs.status(), "after %+v", history)
			require.Len(t, bs.roster().Available(alone.org), len(alone.Available(alone.org)))
			require.Equal(t, alone.directory.Len(), bs.actors())
		}, "a", "b", "c")
	})
}

// TestSeveralNodesEndWithWhatOneWould: though views change so fast that states
// are lost on the way.
func TestSeveralNodesEndWithWhatOneWould(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		history := rapid.SliceOfN(deeds, 1, 40).Draw(rt, "history")
		inBranches(t, func(t *testing.T, bs *branches) {
			alone, at := bs.alone(), map[int]string{}
			for _, d := range history {
				bs.does(d, alone, at)
				<-time.After(d.wait)
			}
			<-time.After(unheardMax + 2*announceEvery + testGrace)
			require.Equal(t, alone.status(), bs.status(), "after %+v", history)
			require.Equal(t, alone.directory.Len(), bs.actors())
		}, "a", "b", "c")
	})
}

// alone is the office of a node that is alone.
func (bs *branches) alone() *office {
	o := &office{
		t: bs.t, journal: &journal{}, rows: &rows{stored: map[string]domain.AgentSession{}}, org: bs.any().org, ada: bs.any().ada,
	}
	cfg := bs.any().config
	cfg.Publisher, cfg.Releases, cfg.Sessions = o.journal, o.journal, o.rows
	o.Agents = NewAgents(newSystem(bs.t), cfg)
	bs.t.Cleanup(func() { require.NoError(bs.t, o.Close(context.Background())) })
	return o
}

// does does the same to both. At is where the tabs are that are open.
func (bs *branches) does(d deed, alone *office, at map[int]string) {
	node, open := at[d.tab]
	c := alone.tab(fmt.Sprint("tab ", d.tab))
	if open == (d.what == "open") && d.what != "view" {
		return
	}
	both := []*Agents{alone.Agents, bs.any().Agents}
	if open {
		both[1] = bs.offices[node].Agents
	}
	switch d.what {
	case "open":
		at[d.tab] = d.node
		both[1] = bs.offices[d.node].Agents
		for _, a := range both {
			require.NoError(bs.t, a.Connected(c))
		}
	case "shut", "revoke":
		delete(at, d.tab)
		for _, a := range both {
			a.Disconnected(c, d.what == "revoke")
		}
	case "beat":
		for _, a := range both {
			a.Heartbeat(c)
		}
	case "away", "online":
		for _, a := range both {
			require.NoError(bs.t, a.SetPresence(c, map[string]domain.Presence{"away": domain.Away, "online": domain.Online}[d.what]))
		}
	case "view":
		if len(bs.view.Nodes) < len(bs.nodes) { // it has been replaced
			bs.change(testView{Nodes: bs.nodes})
		} else {
			bs.drain(bs.offices[d.node])
		}
	}
}
