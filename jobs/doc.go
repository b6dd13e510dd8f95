// Package jobs does the work that no actor owns, in the background. What must not
// be lost runs on River, whose queue is in PostgreSQL; courtesies and checks, which
// come again by themselves, in loops of their own.
//
// # The row is the truth
//
// What a job must do is first a row that is written with the change that wants
// it done: a pending attachment with the message that brings the file. A job
// works such a row off. Jobs may be lost, or made twice: whoever finds the row
// makes another one, and a job whose row is settled has nothing to do. So a crash
// at any moment loses nothing.
//
// # Files of messages
//
// [Media] looks for pending files once a second and makes a job for each, at most
// perChannel at a time for a channel: the others wait as rows, and cost nothing. A
// job fetches the file from its platform into the blob store and tells the
// conversation, which alone writes: message and attachment change together, and
// agents hear of it.
//
// Nothing is held while a file comes but the transfer itself: no connection to
// the database, no lock. At most workers files come at a time on a node.
//
// What can go wrong, and what follows:
//
//   - The platform fails, or what comes isn't what was announced: tried three
//     times, with growing pauses. Then the message shows why the file isn't there.
//   - The address has expired: the platform is asked for a new one, where it gives
//     one (WhatsApp).
//   - Too large, of a wrong type, at a forbidden address: final at once.
//   - The channel's token is refused, or the platform asks for a pause: the file
//     waits and costs no attempt, as long as the platform keeps it.
//   - Something of ours fails (database, disk, a full queue): the same; never the
//     file's fault.
//   - The process is killed: River hands the job to somebody else once it is
//     overdue.
//
// # Errands
//
// [Errands] makes the calls to the platforms that nobody waits for: read
// receipts, typing, the look-up of a customer's name. They are asked for by
// conversation and wait in memory, at most maxWaiting on a node and maxWaitingOf
// for a channel; more are dropped and counted. What is asked for again while it
// waits is done once, and one conversation's are never done two at a time. Each
// channel has runners of its own and a pace of its own, an eighth of what a
// number may send, so that errands neither wait for another channel's platform
// nor take what messages need. A crash loses them: they are courtesies.
//
// An errand looks for itself whether it is still right, in what is stored: whose
// the conversation is, and whether anything is unread.
//
// # Checkups
//
// [Checkups] asks the platform of each channel whether the token still works and
// whether webhooks still come, subscribes again where they don't, and keeps the
// channel's status and last error true. A channel is claimed by moving its
// checked_at, so several nodes share the work, and one that dies leaves it to the
// others.
//
// # Upkeep
//
// [Upkeep] is what happens at fixed times: the figures of the day before, the
// clean-up, erasures that were interrupted. River's leader makes one job of a kind
// at a time, whatever the number of nodes; each can be repeated or broken off at any
// point, and finds out by itself what is left to do.
//
// Jobs of all kinds are counted and timed; one that fails is in the log.
//
// # Concurrency
//
// [Client.Run] owns all goroutines. When its context ends, no job begins any
// more, those under way get a few seconds, then their context ends: they go back
// to the queue and have lost no attempt.
//
// An Errands has up to four goroutines for each channel that has errands, which
// end with the last of them, at the latest with Close; its lock is held for
// nothing else. Checkups has one for each check, at most checksAtOnce, and ends
// them with Run.
//
// The package imports domain and nothing else of ours; each kind of work declares
// what it needs.
package jobs
