package domain

import (
	"errors"
	"fmt"
	"time"
)

// Code is the stable machine name of a refusal.
type Code string

// The refusals of the inbox.
const (
	CodeAlreadyAssigned   Code = "conversation_already_assigned"
	CodeNotAssigned       Code = "conversation_not_assigned"
	CodeCompleted         Code = "conversation_completed"
	CodeNotHolder         Code = "not_holder"
	CodeCapacityReached   Code = "capacity_reached"
	CodeInvalidAssignee   Code = "invalid_assignee"
	CodeReplyWindowClosed Code = "reply_window_closed"
	CodeChannelInactive   Code = "channel_inactive"
	CodeKeyReused         Code = "idempotency_key_reused" // for another message
	CodeUnknownMessage    Code = "unknown_message"        // which is answered or reacted to
)

// Refusal is a decision's "no": a stable code and the facts that it rests on.
type Refusal struct {
	Code            Code
	Status          ConversationStatus
	Holder          UserID // who has the conversation; zero: nobody
	HolderName      string
	AssignedAt      time.Time
	WindowExpiresAt time.Time
}

func (r *Refusal) Error() string { return "refused: " + string(r.Code) }

// What a command can end with beside a refusal.
var (
	// ErrNotFound is returned for what is absent or another organization's.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable is returned when the storage is away and the command
	// certainly was not executed. Safe to repeat.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrOverloaded is returned when a queue is at its bound; the command
	// certainly was not executed. Safe to repeat later.
	ErrOverloaded = errors.New("overloaded")
	// ErrOutcomeUnknown is returned when the answer didn't come in time: the
	// command may have been executed.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrFailed is returned when our own handling of the command broke down: a
	// bug. Repeating it would break again.
	ErrFailed = errors.New("handling failed")
	// ErrNoTarget is returned for an element about a message or conversation
	// that we don't have.
	ErrNoTarget = errors.New("unknown target")
)

// ValueError is returned when the database refused a value of the command.
// Repeating it can't help.
type ValueError struct {
	Reason string // SQLSTATE and its class; never the value
}

func (e *ValueError) Error() string { return fmt.Sprintf("storage refused a value: %s", e.Reason) }

// MisroutedError is returned for an inbound element whose alias has proved to
// be another contact's: it belongs to that one's conversation.
type MisroutedError struct {
	Alias Alias
	Owner ContactID
}

func (e *MisroutedError) Error() string {
	return fmt.Sprintf("alias of kind %s belongs to contact %s", e.Alias.Kind, e.Owner)
}
