// Package jobs does the work that no actor owns, in the background.
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
// # Concurrency
//
// An Errands has up to four goroutines for each channel that has errands, which
// end with the last of them, at the latest with Close; its lock is held for
// nothing else. Checkups has one for each check, at most checksAtOnce, and ends
// them with Run.
//
// The package imports domain and nothing else of ours; each kind of work declares
// what it needs.
package jobs
