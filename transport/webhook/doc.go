// Package webhook takes what WhatsApp and Messenger post and hands it to the
// conversations as elements. It imports domain and nothing else of ours.
//
// # The way of a POST
//
// The body is read whole, at most [MaxBody]. A scan that decodes nothing finds
// the channels it names; their own secrets and the environment's are tried on
// the signature over the raw bytes, and only a body that one of them signed is
// decoded. A normalizer, pure, makes elements of it: one by one, so that a
// broken one never takes its neighbours along. Each element is taken only if
// its channel is bound to the very secret that verified: a channel with a
// secret of its own to that one alone, the others to the environment's. What is
// left goes to the [Inbox] in the order (platform's time, place in the POST).
//
// # What the answer says
//
// 200 says that every element is durable: stored, known already, kept as a dead
// letter, or of a kind that is counted only. Anything temporary is 503 with
// Retry-After, and the platform posts everything again, which is harmless: the
// inbox knows the messages by their ids, and a dead letter's id is computed
// from what it says. Dead letters are stored last, so that a POST that is going
// to be repeated leaves none.
//
// # What is promised of an element
//
// Its strings are valid UTF-8 without NUL, its raw parts are JSON that
// PostgreSQL's jsonb takes, and all of it is bounded: bodies ([MaxText], cut
// with a note), ids, names, kept parts, the number of elements ([MaxElements];
// what is over it is kept as one dead letter). Files are named, never fetched.
//
// # What a router has to know
//
// An element that names a Conversation (data that we sent along and got back)
// goes there if that conversation is of the delivery's channel; other apps can
// write such data too. Without it, the customer's aliases tell. An element with
// neither is a status whose message id alone tells. A notice that a customer
// changed number or user id has the former aliases first and the new ones after
// them: the former find the thread, and all of them are claimed for it. A
// customer can have two numbers: the one a message came from, and the
// profile's, which may differ.
//
// # Concurrency
//
// A [Handler] may be used by any number of goroutines and starts none. What is
// in flight is bounded by number and bytes; over it the answer is 503.
package webhook
