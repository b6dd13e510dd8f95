// Package valkey keeps in Valkey what may be lost: counters that all nodes share.
// Nothing here is needed to serve anybody. While Valkey is away, or after it was
// flushed, every node goes on with what it has in its own memory.
//
// [Throttle] counts attempts and says when there were too many. [Recoveries] keeps
// what a lost socket needs to come back, on whichever node.
//
// Concurrency: all types may be used by any number of goroutines and start none.
//
// Of ours the package imports domain.
package valkey
