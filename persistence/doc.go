// Package persistence keeps everything in PostgreSQL.
//
// # Writing
//
// What a conversation decides goes through the write-behind [Writer]. An actor
// submits a change and goes on; what the world sees waits for the verdict.
//
// Conversations are spread over lanes. A lane is one connection, one goroutine
// and a queue. It runs one transaction at a time, and whatever queues up
// meanwhile is the next one: batches grow by themselves with load, and a lonely
// change waits for nobody. In a batch the submissions of a conversation form a
// chain: one update of its row, each message as the last change leaves it, and
// one check for all answers that change nothing.
//
// The fence (statements/fence.sql) passes a chain when the conversation's head
// is still the one that the chain builds on. A message that is stored already,
// an alias that is somebody else's, an agent without room are found before the
// row is touched, in the same statement. The other statements take effect only
// for rows that the fence has written in this transaction; keys of requests that
// are old enough are freed before the inserts that take them. All of it, BEGIN to
// COMMIT, is one round trip without a decision of ours in between.
//
// What can happen to a batch:
//
//   - A chain doesn't pass: its lineage is broken and told once; what was
//     submitted under it since is dropped. The actor loads and decides again.
//   - A value is refused: the batch is halved until that change is alone. What
//     comes before it in its conversation is stored, and so are all others.
//   - It is aborted (deadlock, lock_timeout, a full disk): it is repeated, for
//     ten seconds at least; then the chains are refused as Unavailable.
//   - A unique key was taken meanwhile: it is repeated, and the fence finds it.
//   - The connection is lost: the outcome is unknown. The batch is repeated. If
//     it was stored, the fence passes nothing, and each stored chain is
//     recognized by its own ids, whatever others did to the conversation since.
//     Until the database can tell, the batch and what builds on it are held;
//     everything else is refused as Unavailable, for it certainly isn't stored.
//
// Rows are locked in one order everywhere: agents, conversations, contacts,
// aliases, each by id. A client that freezes loses its locks within two seconds,
// since the server awaits a Sync after every statement
// (idle_in_transaction_session_timeout). One gap is left: frozen within the few
// bytes between a Bind and its Sync, it keeps them, on PostgreSQL 17 and later
// for 15 seconds (transaction_timeout), before that until it thaws.
//
// Plans are generic, made without looking at the values, and dropped every five
// seconds: one that was made on an empty table must not live to see a large one.
//
// Bounds: a batch by number and bytes; the queue by [Writer.Admit], which
// refuses outsiders first (number, bytes, the age of the batch in hand) and who
// relieves the system at twice the mark. Every goroutine ends with Run, which
// stores what is queued, or, without database, gives up after a few tries.
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
// [Outbox] finds, over all organizations, the conversations with messages that
// wait to be sent and whose node may be gone. It and the Loader go by an index of
// what is unsent alone, by channel: what lies before a channel that doesn't send is
// stepped over. [ChannelHealth] notes that a channel can't send, or can again.
//
// [Attachments] has the rows of files, [Blobs] their content, in a folder. What
// is still to be fetched is a pending row, written with its message; the message
// and its file are settled in one batch.
//
// [Registry] holds the configuration (channels and users) in memory, because
// every webhook and request asks for it, and which sessions have ended. It
// follows a log of changes that triggers write, by LISTEN and, as the safety
// net, once a second.
//
// Statements live in .sql files beside the code that uses them, by name.
// A search goes by words: indexes of them tell which contacts and messages have
// them, within bounds of rows and time, and what exceeds those is looked for
// among the newest conversations ([Conversations.List]).
//
// What administrators change ([Users], [Channels], [CreateOrganization]) is
// written together with a line of admin_audit, both or neither. Changes of who
// administers an organization come one after another, by a lock on its row.
//
// Every query of a caller is scoped by the caller's organization. The Loader isn't,
// since an actor is addressed by its conversation and its rules refuse strangers;
// nor is the Outbox, which no caller asks.
//
// [Figures] tells what agents did: finished days are aggregated, once, by the
// query that also computes today. [Cleanup] removes what has had its time, and
// [Erasures] everything of one person, both in small batches with pauses.
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
