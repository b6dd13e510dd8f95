// Package cluster makes several nodes one system: it knows which nodes there
// are, which of them owns what, and carries messages between them. It imports
// domain and nothing else of ours.
//
//	view.go     who is there and who owns which shard: an immutable value
//	member.go   one node's lease in Valkey; lease.lua is the one script it calls
//	remote.go   what carries messages between nodes: its life; post.go sends,
//	            serve.go takes
//	peer.go     another node: a queue.go, and a goroutine that keeps a link.go
//	tls.go      who may be a node
//	wire.go     what nodes send each other, byte by byte; wire_view.go: views
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
// # Messages
//
// A [Remote] is Hollywood's Remoter. Each node has one gRPC stream to each other
// node, for what it sends there; what it gets comes over the other's stream. A
// message is encoded by who posts it, waits in the queue of its peer, and
// leaves with all that wait there in one frame. Messages from one node to
// another arrive in the order in which they were posted, over several
// connections too: a new stream is read when the one before it is over.
//
// There are two ways in which a message doesn't arrive, and each is told:
//
//	undelivered   it certainly was not sent: no link for MaxWait, the peer left the
//	              view, this node stops. What doesn't fit into the queue, or is
//	              too large, is refused at once, by an error.
//	lost          the link broke: what was written to it may have arrived or not
//
// Nobody waits for a peer but its own goroutines. One that is away is dialled
// after 50 ms, then less often, up to about each second, and at once when it
// calls. One that doesn't answer a ping within Silence has no link any more,
// whether it is frozen, cut off one way, or doesn't read: gRPC's own keepalive
// asks a server each 10 seconds at most.
//
// Who isn't in the view gets nothing and is refused, after one look for a newer
// view. Whose certificate isn't of the cluster's authority, or doesn't carry the
// cluster's name, doesn't get as far; without certificates nothing leaves the
// machine. The view itself is told to every node of the cluster, member or not:
// that is how one finds out that it isn't.
//
// Messages have protobuf's wire format: a newer release adds fields, an older
// one skips them.
//
// # Concurrency and life
//
// A [Member] works while its Run runs; View may be called by anybody at any
// time, costs one atomic load, and what it returns never changes.
//
// A Remote works from Start to Stop, and listens from Serve on, when the engine's
// processes are there to take what comes. Each peer has a goroutine that
// connects and writes, one that reads the answers to its pings, and one that looks at
// the clock; each stream that comes in has one. Stop writes what waits, and
// ends them. Post may be called by anybody at any time.
package cluster
