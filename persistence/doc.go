// Package persistence keeps everything in PostgreSQL.
//
// # Writing
//
// What a conversation decides goes through the write-behind writer: lanes that
// put the changes of many conversations into one transaction, fenced by the
// chain of changes, and tell the actors what became of them.
//
// # Reading
//
// [Reads] is a pool of connections of its own. On it stand the lists and pages
// of REST ([Conversations], [Users]), the small writes that belong to no
// conversation ([Sessions], [DeadLetters], [Seed]), and what actors and webhooks
// ask for one by one and by the thousand: a [Loader] for the states of
// conversations, [Identities] for whose the aliases of customers are. Those two,
// and the conversation that a command is answered with, collect what is asked
// while a query runs into the next one, so a query answers up to 500 questions
// and a lonely question waits for nobody.
//
// [Registry] holds the configuration (channels and users) in memory, because
// every webhook and request asks for it, and which sessions have ended. It
// follows a log of changes that triggers write, by LISTEN and, as the safety
// net, once a second.
//
// Statements live in .sql files beside the code that uses them, by name.
// Every query of a caller is scoped by the caller's organization; the Loader
// alone isn't, since an actor is addressed by its conversation and its rules
// refuse strangers.
//
// # Errors
//
// A database that is away, starting, stopping, or out of time is
// domain.ErrUnavailable, wrapped; nothing of the call was done then, but for the
// few writes whose answer may be lost on the way, which are safe to repeat. What
// isn't there, or is another organization's, is domain.ErrNotFound. A value that
// PostgreSQL refuses is a *domain.ValueError. No error shows a password or a
// customer's text.
//
// # Concurrency
//
// All types may be used by any number of goroutines. Those with a Run method
// have goroutines, which live while Run does; calls after that fail. Call Run
// once.
//
// The package imports domain and nothing else of ours.
package persistence
