package cluster

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// Shards is how many parts everything that has an owner is spread over. It is
// the same for all releases that are to run side by side.
const Shards = 1024

// Node is one life of a server process in the cluster.
type Node struct {
	Name     string // never used again by another life
	Addr     string // host:port of its node-to-node listener
	Draining bool   // about to leave: owns nothing any more, still answers
}

// View is who is there and who owns what. It never changes; the zero value has
// no nodes.
type View struct {
	number int64
	nodes  []Node // by name
	owners [Shards]int16
}

const nobody = -1

// NewView is the view of that number with these nodes, in any order.
func NewView(number int64, nodes []Node) *View {
	v := &View{number: number, nodes: slices.Clone(nodes)}
	slices.SortFunc(v.nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	seeds := make([]uint64, len(v.nodes))
	for i, n := range v.nodes {
		seeds[i] = seed(n.Name)
	}
	for shard := range v.owners {
		v.owners[shard] = v.place(uint64(shard), seeds)
	}
	return v
}

// place is the node with the highest score for the shard (rendezvous hashing):
// who comes or goes changes the owner of those shards alone where it wins.
func (v *View) place(shard uint64, seeds []uint64) int16 {
	best, top := int16(nobody), uint64(0)
	for i, s := range seeds {
		if v.nodes[i].Draining {
			continue
		}
		if score := score(s, shard); best == nobody || score > top {
			best, top = int16(i), score
		}
	}
	return best
}

// next is the node with the highest score for the shard beside one, whether it
// drains or not.
func (v *View) next(shard int, beside string) (node Node, ok bool) {
	var top uint64
	for _, n := range v.nodes {
		if n.Name == beside {
			continue
		}
		if score := score(seed(n.Name), uint64(shard)); !ok || score > top {
			node, top, ok = n, score, true
		}
	}
	return node, ok
}

func score(seed, shard uint64) uint64 { return mix(seed ^ mix(shard)) }

// Number orders views: a higher one is newer.
func (v *View) Number() int64 { return v.number }

// Nodes is everybody who is there, by name; not to be written to.
func (v *View) Nodes() []Node { return v.nodes }

// Owner is who owns a shard; false when nobody is there who could.
func (v *View) Owner(shard int) (Node, bool) {
	i := v.owners[shard]
	if v.nodes == nil || i == nobody {
		return Node{}, false
	}
	return v.nodes[i], true
}

// OwnerOf is who owns the thing with that id.
func (v *View) OwnerOf(id [16]byte) (Node, bool) { return v.Owner(ShardOf(id)) }

// Has reports whether the node is there.
func (v *View) Has(name string) bool {
	return slices.ContainsFunc(v.nodes, func(n Node) bool { return n.Name == name })
}

// hasAll reports whether everybody of the other view is there.
func (v *View) hasAll(other *View) bool {
	return !slices.ContainsFunc(other.nodes, func(n Node) bool { return !v.Has(n.Name) })
}

// Share is how many shards each node owns, by name.
func (v *View) Share() map[string]int {
	share := make(map[string]int, len(v.nodes))
	for _, n := range v.nodes {
		share[n.Name] = 0
	}
	for shard := range v.owners {
		if n, ok := v.Owner(shard); ok {
			share[n.Name]++
		}
	}
	return share
}

// ShardOf is the shard of the thing with that id, on every node and in every
// release the same.
func ShardOf(id [16]byte) int {
	return int(mix(binary.BigEndian.Uint64(id[:8])^mix(binary.BigEndian.Uint64(id[8:]))) % Shards)
}

func seed(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return mix(h.Sum64())
}

// mix spreads every bit of x over all bits (the finalizer of SplitMix64,
// Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
