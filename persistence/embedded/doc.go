// Package embedded runs what the server stands on when nothing else is given: a
// private, real PostgreSQL as a child process, and an in-process stand-in for
// Valkey.
//
// # PostgreSQL
//
// Start finds the binaries (PostgreSQL 15 to 18), makes the cluster when there
// is none, starts it on a loopback port behind a random password, and returns
// when it answers. The data folder:
//
//	lock          held (flock) by the living server process that owns the folder
//	password      of the database's superuser, 0600
//	cluster/      belongs to the user that PostgreSQL runs as, 0700
//	cluster/data  PostgreSQL's own data directory
//
// PostgreSQL refuses to run as root. As root, the child runs as the user who
// owns an existing cluster, else as "postgres" or "nobody". On Linux it reaches
// the cluster through an open directory that it inherits, so that the data may
// lie where that user can't go, below /root for example.
//
// # Lifecycle
//
// The child ends with us: Stop shuts it down; when we die without a word, Linux
// sends it the same signal. It is apart from our terminal, so that Ctrl-C
// reaches us alone and our shut-down still has a database. When the child dies
// and we live, it is started again on the same port.
//
// The lock tells a living owner from a dead one. It is taken: ErrInUse. It is
// free, but a PostgreSQL works on the data (still shutting down, or an orphan
// where there is no such signal): that one is stopped, then ours starts. A
// stale postmaster.pid whose number belongs to an unrelated process by now is
// removed.
//
// A Postgres may be used by several goroutines. One goroutine per child is
// locked to its thread, because the kernel ties the death signal to the thread
// that forked; one watches the child. Both end with Stop or Kill.
//
// # Valkey
//
// StartValkey serves the protocol from memory; keys expire as in the real one.
//
// The package imports nothing of ours. It works on Linux and macOS.
package embedded
