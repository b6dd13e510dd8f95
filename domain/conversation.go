package domain

import (
	"encoding/json"
	"time"
)

// ConversationStatus is the state of a conversation.
type ConversationStatus string

// The states of a conversation. docs/rules.md draws the machine.
const (
	Pending   ConversationStatus = "PENDING"
	Assigned  ConversationStatus = "ASSIGNED"
	Completed ConversationStatus = "COMPLETED"
)

// Conversation is the state of one conversation: all that decisions rest on,
// and little more, because millions of them are resident. The zero value with
// an ID is a conversation that doesn't exist yet.
type Conversation struct {
	ID           ConversationID
	Organization OrganizationID
	Channel      ChannelID
	Contact      ContactID
	Provider     Provider
	Status       ConversationStatus

	Holder     UserID // who has it, or who had it when it was completed
	AssignedAt time.Time
	Assignment int64 // names the assignment: the audit seq that made it

	PendingSince    time.Time
	LastMessageAt   time.Time // when we got or made the newest message
	LastInboundAt   time.Time // the platform's time of the newest customer message
	FirstResponseAt time.Time
	WindowExpiresAt time.Time
	Unread          int

	Head        ChangeID // the newest change of the chain: the fence
	Version     int64
	EventSeq    int64
	LastMessage MessageID
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Metadata    json.RawMessage // notes about the thread, by key
	Early       []EarlyEvent    // what came before the message it is about
	Outbox      []Unsent        // what waits for the platform's verdict, oldest first

	// For the realtime events; the rows they come from are elsewhere.
	ChannelName  string
	ContactName  string
	ContactAlias string // contacts.provider_id

	// Recipient is the alias to write to: one that is the contact's now, which
	// the one that named it first need not be. Empty: none is left.
	Recipient  string
	Merged     bool // the contact turned out to be another one, whose alias that is
	HolderName string
}

// MaxEarly bounds what is kept for messages that haven't come yet; the oldest
// goes first.
const MaxEarly = 32

// EarlyEvent is a status, an edit or a revocation that overtook its message:
// the platforms promise no order.
type EarlyEvent struct {
	ProviderID   string        `json:"id"`
	At           time.Time     `json:"at"`
	Status       MessageStatus `json:"status,omitempty"`
	ErrorCode    string        `json:"errorCode,omitempty"`
	ErrorMessage string        `json:"errorMessage,omitempty"`
	Body         *string       `json:"body,omitempty"` // an edit
	Edit         *EditStamp    `json:"edit,omitempty"` // an edit
	Revoked      bool          `json:"revoked,omitempty"`
}

// Exists reports whether the conversation is stored.
func (c *Conversation) Exists() bool { return !c.Head.IsZero() }

// HeldBy reports whether user has the conversation now, or had it when it was
// completed.
func (c *Conversation) HeldBy(user UserID) bool {
	return c.Status != Pending && !user.IsZero() && c.Holder == user
}

// WindowOpen reports whether the platform lets us answer freely at now: within
// 24 hours of the customer's newest message.
func (c *Conversation) WindowOpen(now time.Time) bool { return now.Before(c.WindowExpiresAt) }
