package domain

// This file is the language between the actors, which decide, and the writer,
// which stores: neither imports the other.

// Lineage is a run of submissions of one conversation that build on each
// other, from one load of its state to the first that fails. The writer breaks
// it when a change can't be stored; everything submitted under it and not yet
// answered is dropped then, because it was decided on a state that never came
// to be. The actor loads again and starts a new one. Only the writer's lane of
// that conversation touches what is inside.
type Lineage struct{ broken bool }

// Broken reports whether a submission of the lineage has failed.
func (l *Lineage) Broken() bool { return l.broken }

// Break makes the writer drop what else was submitted under the lineage.
func (l *Lineage) Break() { l.broken = true }

// Submission asks the writer to store a change, or, when the change is zero,
// to check that the state which an answer rests on is the stored one.
type Submission struct {
	Conversation ConversationID
	Lineage      *Lineage
	Base         ChangeID // the head before the change, or the one to check
	Change       Change
	Trace        Trace // the step that decided it
	// Done is called once, on the writer's goroutine, unless the lineage broke
	// before; it must not block.
	Done func(Verdict)
}

// Outcome is what became of a submission.
type Outcome int

// The outcomes. All but Committed break the lineage.
const (
	// Committed: durable, or for a check: true of the database.
	Committed Outcome = iota
	// Conflict: the chain has another head; somebody else changed the conversation.
	Conflict
	// Duplicate: the channel has a message with that provider id already.
	Duplicate
	// ForeignAlias: an alias that the change relies on is somebody else's.
	ForeignAlias
	// OverCapacity: the agent has no room left, or may not work.
	OverCapacity
	// Refused: PostgreSQL refuses a value of the change.
	Refused
	// Unavailable: the database is away; the submission was not executed.
	Unavailable
	// Unknown: we had to stop before the database could tell.
	Unknown
)

// Verdict tells what became of a submission. For those that break the lineage
// the Change names the one to blame, which may be another than the one that
// the verdict answers: the chain was refused whole.
type Verdict struct {
	Outcome    Outcome
	Duplicates []string // provider ids that are stored already
	Foreign    MisroutedError
	Agent      UserID // who has no room
	Blame      ChangeID
	Err        error // Refused: a *ValueError
}
