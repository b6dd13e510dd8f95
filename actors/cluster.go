package actors

import "github.com/anthdm/hollywood/actor"

// Remote carries messages to other nodes. Those that get there arrive at the
// process that was named, in the order in which they were sent to that node.
type Remote interface {
	actor.Remoter
	// Post is Send for who wants to know: after an error msg was certainly not
	// sent. It is domain.ErrOverloaded when too much waits for that node, and
	// domain.ErrUnavailable when there is no way to it. Post never blocks.
	Post(to *actor.PID, msg any, sender *actor.PID) error
	// Reaches is false of a node that there has been no way to for longer than a
	// lease, and of one that isn't in the view.
	Reaches(addr string) bool
	// Notify sets who is told, before Start: undelivered of each message that was
	// taken and in the end certainly not sent; lost, when the connection to a node
	// broke, so that nobody knows whether what was sent last has arrived.
	Notify(undelivered func(to *actor.PID, msg any), lost func(addr string))
}

// Placement knows which node owns what. Its answers may be old, and those of two
// nodes may differ for some seconds: see the router.
type Placement interface {
	// Owner is the address of the node that owns the key; false: nobody is there
	// who could.
	Owner(key [16]byte) (addr string, ok bool)
	// Former is who owned the key before we did, if that node is still there.
	Former(key [16]byte) (addr string, ok bool)
	// Number is that of the view by which Owner answers. A greater one is newer.
	Number() int64
	// Fresh is false of a node that may have been replaced without knowing yet: it
	// hasn't renewed its membership for longer than a lease, and no other node has
	// confirmed it since.
	Fresh() bool
	// Export is the view, for Offer of another node.
	Export() []byte
	// Offer makes another node's view ours if it is newer. What it can't read it
	// drops.
	Offer(view []byte)
	// Watch has f called after each change; it must not block. Before Join.
	Watch(f func())
}

// Mover is a Behavior whose state is in memory alone. It takes it along when
// another node becomes the owner of its key.
type Mover interface {
	Behavior
	// Depart gives up the state, as a message that crosses nodes; nil: there is
	// nothing to tell. When ok is false it isn't ready yet, and is asked again
	// after its next message. After an ok nothing is received any more.
	Depart() (state any, ok bool)
	// Arrive goes on with what Depart gave on another node, before the first
	// message. Nil: the state was lost with its node.
	Arrive(state any, self Self)
}

// Rival is a Mover that can come to be active on two nodes at a time, and has to
// know of it.
type Rival interface {
	Mover
	// Meet tells what another activation gave up, while this one was active.
	Meet(state any, self Self)
}
