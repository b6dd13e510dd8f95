package main

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fault is what happens to one node of a fleet.
type fault struct {
	name   string
	strike func(*fleet, *fleetNode)
	mend   func(*fleet, *fleetNode)
}

// nodeFaults are the ways to lose a node.
func nodeFaults(t testing.TB) []fault {
	heal := func(f *fleet, _ *fleetNode) { f.network.heal() }
	return []fault{
		{"killed", (*fleet).kill, (*fleet).start},
		{
			"frozen",
			func(_ *fleet, n *fleetNode) { n.signal(t, syscall.SIGSTOP) },
			func(_ *fleet, n *fleetNode) { n.signal(t, syscall.SIGCONT) },
		},
		{"cut off", func(f *fleet, n *fleetNode) { f.network.cut(f.around(n, true, true, atPostgres, atValkey)...) }, heal},
		{"deaf", func(f *fleet, n *fleetNode) { f.network.cut(f.around(n, true, false, atPostgres, atValkey)...) }, heal},
		{"mute", func(f *fleet, n *fleetNode) { f.network.cut(f.around(n, false, true, atPostgres, atValkey)...) }, heal},
		{"cut off from its peers", func(f *fleet, n *fleetNode) { f.network.cut(f.around(n, true, true)...) }, heal},
		{"cut off from Valkey", func(f *fleet, n *fleetNode) { f.network.cut(way{n.name, atValkey}, way{atValkey, n.name}) }, heal},
	}
}

// around is the ways to a node and from it: to and from its peers, and others.
func (f *fleet) around(n *fleetNode, in, out bool, others ...string) (ways []way) {
	for _, p := range f.all() {
		if p != n {
			others = append(others, p.name)
		}
	}
	for _, other := range others {
		if in {
			ways = append(ways, way{other, n.name})
		}
		if out {
			ways = append(ways, way{n.name, other})
		}
	}
	return ways
}

// faultLasts is longer than a lease, so that others have taken over when the
// node comes back and believes what it believed before.
func faultLasts(f *fleet) time.Duration { return 2 * f.lease }

// TestLosingANodeIsANonEvent takes each node in turn away from a fleet under
// steady load, in every way, and gives it back: no acknowledged message is lost
// or there twice, no conversation has two holders, the audit trails are linear,
// and every conversation answers again within seconds.
func TestLosingANodeIsANonEvent(t *testing.T) {
	t.Parallel()
	for _, fault := range nodeFaults(t) {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			r := chance(t)
			f := startFleet(t, fleetConfig{nodes: 3, network: true})
			n := newTenantRows(t, f.db, "loss", "9501")
			tr := startTraffic(f, n, r, 12, 8)
			tr.flows(100)
			for round := range rounds(t) {
				strikeOnce(t, f, tr, r, fault, f.all()[(round+r.IntN(3))%3])
			}
			tr.end()
			tr.check()
			t.Logf("%d messages, %d requests; repeated: %v; done late: %d", len(tr.messages), tr.answered(), tr.faults, tr.late)
			if t.Failed() {
				t.Log(f.logs())
			}
		})
	}
}

func strikeOnce(t *testing.T, f *fleet, tr *traffic, r *rand.Rand, fault fault, n *fleetNode) {
	t.Helper()
	calm := time.Now()
	tr.flows(200)
	<-time.After(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
	struck := time.Now()
	fault.strike(f, n)
	<-time.After(faultLasts(f))
	mended := time.Now()
	fault.mend(f, n)
	f.awaitMembers(3)
	back := time.Now()
	tr.flows(200)
	after := time.Now()
	gap, c := tr.longest(struck, back)
	t.Logf("%s %s: before %v; during %v; after %v; longest wait %v (%s); whole again %v after it was mended", n.name, fault.name,
		tr.latency(n.name, calm, struck), tr.latency(n.name, struck, mended), tr.latency(n.name, back, after), gap.Round(time.Millisecond), c, back.Sub(mended).Round(time.Millisecond))
	require.Less(t, gap, f.lease+10*time.Second)
}
