package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func nodes(names ...string) []Node {
	var ns []Node
	for _, n := range names {
		ns = append(ns, Node{Name: n, Addr: n + ":7000"})
	}
	return ns
}

func TestNodesWithTheSameViewAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9-]{1,20}`), 0, 12, rapid.ID).Draw(t, "names")
		draining := rapid.SliceOfN(rapid.Bool(), len(names), len(names)).Draw(t, "draining")
		ns, able := nodes(names...), 0
		for i := range ns {
			if ns[i].Draining = draining[i]; !draining[i] {
				able++
			}
		}
		v := NewView(7, ns)
		rand.Shuffle(len(ns), func(i, j int) { ns[i], ns[j] = ns[j], ns[i] })
		other := NewView(7, ns)
		require.Equal(t, v, other)
		for shard := range Shards {
			owner, ok := v.Owner(shard)
			require.Equal(t, able > 0, ok)
			require.False(t, owner.Draining)
		}
		for _, n := range ns {
			require.True(t, v.Has(n.Name))
		}
	})
}

// TestOnlyItsShareMoves: everything that changes its owner goes to the node that
// joins, or comes from the one that leaves.
func TestOnlyItsShareMoves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{8}`), 2, 12, rapid.ID).Draw(t, "names")
		before, after := NewView(1, nodes(names[1:]...)), NewView(2, nodes(names...))
		moved := 0
		for shard := range Shards {
			was, _ := before.Owner(shard)
			is, _ := after.Owner(shard)
			if was != is {
				require.Equal(t, names[0], is.Name)
				moved++
			}
		}
		require.Equal(t, after.Share()[names[0]], moved)
		drained := nodes(names...)
		drained[0].Draining = true
		left := NewView(3, drained)
		for shard := range Shards {
			was, _ := before.Owner(shard)
			is, _ := left.Owner(shard)
			require.Equal(t, was.Name, is.Name, "draining is as gone")
		}
	})
}

func TestSharesAreEven(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 10, 50} {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("node-%d", i))
		}
		fair := Shards / n
		for name, got := range NewView(1, nodes(names...)).Share() {
			require.InDelta(t, fair, got, 4*float64(fair)/10+12, "%s of %d", name, n)
		}
	}
}

// TestShardsOfIDs has values that must never change: nodes of two releases
// must agree.
func TestShardsOfIDs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"00000000-0000-0000-0000-000000000000": 623,
		"7b0d5c0e-52f5-5a3c-9a38-3f0e1c1b6a10": 170,
		"019c13a5-6f4b-7000-8000-000000000001": 751,
	} {
		require.Equal(t, want, ShardOf(uuid.MustParse(text)), text)
	}
	counts := make([]int, Shards)
	for range 100 * Shards {
		counts[ShardOf(uuid.New())]++
	}
	for shard, n := range counts {
		require.InDelta(t, 100, n, 70, "shard %d", shard)
	}
	var none View
	_, ok := none.OwnerOf([16]byte{1})
	require.False(t, ok)
}

func BenchmarkOwnerOf(b *testing.B) {
	v := NewView(1, nodes("a", "b", "c"))
	id := [16]byte(uuid.New())
	for b.Loop() {
		if _, ok := v.OwnerOf(id); !ok {
			b.Fatal("nobody")
		}
	}
}
