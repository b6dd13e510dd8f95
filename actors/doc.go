// Package actors runs what changes: each conversation, each connected agent and
// the feed of each organization is an actor that owns its state and handles one
// message at a time. There is nothing to lock and nothing to race. The rules
// are the domain's; actors apply them and pass on what follows.
//
// # Kinds, and who tells whom
//
//		edges (REST, webhooks) ─ask─▶ conversation ─change─▶ Writer ─verdict─▶ conversation
//		                                   │ notices that are durable
//		sockets ─▶ agent ─presence──▶ feed ─numbered, encoded events─▶ Fanout (the hub)
//
//	  - A conversation decides commands and keeps what the database has confirmed.
//	  - An agent has its connections, shows its presence, and when its grace
//	    period is over gives back what it holds, through Releases. It leaves
//	    memory when it is OFFLINE. What its death would lose Reconcile finds in
//	    the database. Of several nodes one has the actor, and each announces its
//	    sockets to it.
//	  - A roster is no actor but a table, at the owner of the organization: who is
//	    present, as agents' actors say it.
//	  - An assigner gives an organization's waiting conversations to who is there,
//	    in rounds that run elsewhere, one at a time. It stays no longer than there
//	    is something to do.
//	  - A feed gives the events of an organization one order: epoch:seq, from 1
//	    without gaps, and keeps the recent ones for those who come back (Replay).
//	    Its history is a value: a feed without work leaves memory, and goes on with
//	    it later. What it must drop it announces as resync; after a failure it
//	    begins a new epoch.
//	    In a cluster it is on one node. Each node has a station: a source per
//	    organization, which sends again what the feed hasn't acknowledged, and a
//	    listener per organization with sockets, an actor that keeps what the feed
//	    keeps and asks for what it lacks.
//
// # Mailboxes
//
// A Directory makes an actor when the first message for it comes and lets it go
// when it is idle. Sending and leaving exclude each other under the lock of the
// key's shard, so no message is left in the mailbox of an actor that goes.
// Hollywood's mailboxes grow without bound: the bound is the Directory's
// (MaxWaiting, MaxResidents; overflow: Tell refuses with domain.ErrOverloaded).
// What an actor waits for (verdicts, loads, deadlines) comes to its PID by
// System.Tell, past that bound, as there is at most one per thing asked for.
// Messages from one sender to one actor keep their order.
//
// Receive never blocks: no I/O, no Ask, no channel that may be full. What takes
// time runs elsewhere and comes back as a message. An actor's code never runs in
// the sender's goroutine, nor under a lock of this package.
//
// # Failure
//
// A panic costs the message in hand. Whoever asked is answered with
// domain.ErrFailed, and Policy decides by the number of recent panics
// whether the actor goes on, loads its state again, or is replaced. No panic
// reaches the engine, which would end the program. A message to a process that
// is gone is a dead letter: counted, logged at most every 10 s, and answered
// with domain.ErrUnavailable.
//
// A crash of the program loses what is in mailboxes and in memory. That is
// nothing anybody was told of: answers and events wait until what they tell is
// durable. Clients whose events were lost come back and fetch again.
//
// # Concurrency and lifecycle
//
// Every actor runs in a goroutine of its own while it has messages, and in none
// otherwise. Besides, a Directory with an IdleTTL has one goroutine, from
// NewDirectory to Close, the feeds of a cluster have one until Close, a Wheel has the one that calls Run, Releases has 16
// while Run runs, and an assigner with a round under way one, with at most 16
// commands at a time; at most 16 rounds get further than to wait. On one of
// several nodes a System has the router's, and Agents the announcer's, until
// Close. Locks: a directory's shard lock may be held when Hollywood's registry and
// mailbox locks are taken, and never another of ours; the announcer's may be held
// when a shard's is.
//
// Stop in the order of the flow: the edges, then agents and releases, then
// conversations, then assigners and feeds, then the system. Each Close waits until the last actor is out.
//
// # Between nodes
//
// Codec writes the messages that may cross nodes, and reads them. wireKinds
// (codec_kinds.go) lists their types with a number each; a type is let in there
// with one line:
//
//	message[reserve](20)
//
// Its fields are exported, with a number as their key; what holds an address, an
// error, an interface or another message needs nothing more. A field may be
// added, with a new key, and left out; a number never gets another meaning. So
// two releases that follow each other work side by side. What a node can't read
// it doesn't execute: UnreadableError says who waits for an answer.
//
// Of an error its text crosses, and everything that errors.Is and errors.As are
// asked for: the sentinels and the error types of the domain.
//
// # Memory
//
// An idle actor costs about 1 KB beside its own state (BenchmarkResident):
// Hollywood's process with a mailbox of 4 slots, its id twice, the registry's
// entry, ours.
//
// # Imports
//
// Allowed: domain, hollywood/actor, prometheus, cbor. Everything else an actor needs
// it declares as a small interface, which the program plugs in.
package actors
