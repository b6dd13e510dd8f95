// Package cluster makes several nodes one system: it knows which nodes there
// are, which of them owns what, and carries messages between them. It imports
// domain and nothing else of ours.
//
//	view.go     who is there and who owns which shard: an immutable value
//	member.go   one node's lease in Valkey; lease.lua is the one script it calls
//
// # Ownership
//
// Conversations, agents, organizations and channels are spread over 1,024
// shards by their ids, and shards over nodes by rendezvous hashing: a node that
// joins or leaves moves its share and no other. A [View] is a pure function of
// the nodes in it, so nodes with the same view agree without talking.
//
// Nothing breaks when they don't have the same view: two nodes that both
// believe they own a conversation can't both change it, because every change
// names the one it was decided on, and the database takes one of two. Views
// may therefore be late, and membership needs no consensus: it only has to be
// right soon.
//
// # Membership
//
// Each node renews a lease in Valkey with one script call a second, and gets
// back who else has one. Leases run by the server's clock. The number of a view
// never goes down, even when Valkey forgets everything: it is at least the
// server's time, and more than what any node has seen.
//
// While Valkey is away, or has forgotten who is there and hasn't heard of all
// yet, everybody keeps the view they had, says so in its health, and goes on. A
// node that alone can't renew is out of the others' view by then; it asks them,
// and takes theirs.
//
// # Concurrency and life
//
// A [Member] works while its Run runs; View may be called by anybody at any
// time, costs one atomic load, and what it returns never changes.
package cluster
