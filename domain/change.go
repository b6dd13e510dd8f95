package domain

import (
	"time"
)

// Change is what a decision yields: everything that has to be stored together,
// and what agents are told once it is. The zero Change is "nothing changes".
type Change struct {
	ID     ChangeID
	Parent ChangeID     // the head that the decision was based on; zero: the conversation is new
	After  Conversation // its Head is ID

	Contact *Contact     // to insert or to refresh; nil: as it is
	Claims  []AliasClaim // the aliases the decision relies on
	Merged  []ContactID  // to be marked as merged into the conversation's contact
	Inserts []Message
	Updates []Message     // every mutable column is written
	Freed   []MessageID   // of Updates: their idempotency keys, for the inserts
	Files   []SettledFile // of Updates
	Audit   []AuditEvent
	Load    []LoadDelta // capacity taken and given back
	Notices []Notice

	Message MessageID // what a Send made, or had made before (then without a change); what a ClaimSend claimed
}

// IsZero reports whether nothing changes.
func (c *Change) IsZero() bool { return c.ID.IsZero() }

// LoadDelta takes (+1) or gives back (-1) one place of an agent's capacity.
type LoadDelta struct {
	Agent UserID
	Delta int
}

// AuditType is the kind of an audit event.
type AuditType string

// The audit events.
const (
	AuditCreated           AuditType = "CREATED"
	AuditAccepted          AuditType = "ACCEPTED"
	AuditReleased          AuditType = "RELEASED"
	AuditReassigned        AuditType = "REASSIGNED"
	AuditCompleted         AuditType = "COMPLETED"
	AuditReopened          AuditType = "REOPENED"
	AuditAgentDisconnected AuditType = "AGENT_DISCONNECTED"
	AuditMessageReceived   AuditType = "MESSAGE_RECEIVED"
	AuditMessageSent       AuditType = "MESSAGE_SENT"
	AuditMessageDelivered  AuditType = "MESSAGE_DELIVERED"
	AuditMessageRead       AuditType = "MESSAGE_READ"
	AuditMessageFailed     AuditType = "MESSAGE_FAILED"
)

// AuditEvent is one line of a conversation's audit trail.
type AuditEvent struct {
	ID    EventID
	Seq   int64 // counts within the conversation, without gaps
	Type  AuditType
	Actor UserID // zero: the customer, the platform or ourselves
	At    time.Time
	Facts AuditFacts
}

// AuditFacts is what an audit event tells beside its type.
type AuditFacts struct {
	Message  MessageID   `json:"messageId,omitzero"`
	Agent    UserID      `json:"agentId,omitzero"`         // who has it now
	Previous UserID      `json:"previousAgentId,omitzero"` // who had it before
	Reason   string      `json:"reason,omitempty"`
	Moved    []AliasMove `json:"movedAliases,omitempty"`
	Merged   []ContactID `json:"mergedContacts,omitempty"`
}

// AliasMove records that a number was a former owner's.
type AliasMove struct {
	Alias Alias     `json:"alias"`
	From  ContactID `json:"from"`
}
