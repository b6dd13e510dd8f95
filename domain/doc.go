// Package domain holds the rules of the inbox as pure functions: no clock, no
// I/O, no actor, no SQL. Decide takes the state of a conversation, a command
// and a moment, and gives the new state and the change to store, or a typed
// refusal. Actors apply decisions, transports translate, persistence stores
// changes; nothing else knows the rules, which docs/rules.md has as tables and
// state diagrams. It imports the standard library and a
// UUID type.
//
// # Words
//
// A conversation is what one contact and one channel have between them. A
// contact is a customer of one organization, known to a platform by aliases. A
// channel is a number or a page. A change is what one decision stores; changes
// of a conversation form a chain, each naming its parent, and the newest is
// the conversation's head: the fence that keeps two owners from both winning.
// A notice is what agents are told once a change is durable; numbered by the
// organization's feed it is a feed event.
//
// # What a decision promises
//
// The same state, command, knowledge and moment give the same change. Nothing
// of a decision is shown before its change is stored, so it can be thrown away
// and made again on a newer state.
package domain
