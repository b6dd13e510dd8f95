package domain

import (
	"encoding/json"
	"time"
)

// Command is something that is asked of a conversation. The concrete types are
// listed in this file; Decide has a case for each.
type Command interface{ command() }

// Caller is the agent who asks.
type Caller struct {
	Organization OrganizationID
	User         UserID
	Name         string
	Role         Role
}

// The commands of agents.
type (
	// Accept takes a PENDING conversation.
	Accept struct{ By Caller }
	// Release puts an ASSIGNED conversation back to PENDING.
	Release struct{ By Caller }
	// Complete ends an ASSIGNED conversation.
	Complete struct{ By Caller }
	// Reassign gives the conversation to To.
	Reassign struct {
		By Caller
		To User
	}
	// Reopen puts a COMPLETED conversation back to PENDING.
	Reopen struct{ By Caller }
	// Read says that the caller has seen all there is.
	Read struct{ By Caller }
	// Send writes an outbound message.
	Send struct {
		By    Caller
		Draft Draft
		Key   string // the agent's own name for the message, to ask twice and get it once; empty: none
		Hash  []byte // of what was asked under the key
		// Channel is the status of the conversation's channel, which its actor
		// fills in; empty: not known.
		Channel ChannelStatus
	}
	// ReleaseIf puts the conversation back to PENDING if that very assignment
	// still stands: the grace period of its agent is over, or the agent was
	// suspended.
	ReleaseIf struct {
		Agent      UserID
		Assignment int64 // the conversation's Assignment that is meant
		Event      AuditType
		Reason     string
	}
	// Assign gives a PENDING conversation to To, because the policy of its
	// channel says so, if it has been waiting since that very time.
	Assign struct {
		To    User
		Since time.Time // the conversation's PendingSince that is meant
	}
)

// Draft is an outbound message as an agent wrote it. A file's type may be left
// out: the platforms differ in what they show a file as.
type Draft struct {
	Type      MessageType
	Body      string
	MediaURL  string
	MediaType string
	// Attachment is a file of the organization that was uploaded: who makes the
	// draft has looked that up, and put it into Metadata.Content, too. Then
	// MediaURL is empty.
	Attachment AttachmentID
	ReplyTo    MessageID
	Metadata   MessageMetadata
}

// Origin is where an inbound element came from: what a conversation needs to
// be created, and who the customer is.
type Origin struct {
	Channel  Channel
	Person   Person
	Customer Customer
}

// Receive is an element of a webhook that has found its conversation.
type Receive struct {
	Origin Origin
	Event  InboundEvent
}

// InboundEvent is what an element of a webhook says. The concrete types are
// listed below. At is the platform's timestamp; ProviderID the platform's id
// of the message that is meant.
type InboundEvent interface{ inbound() }

// The kinds of inbound events.
type (
	// CustomerMessage is a message of the customer.
	CustomerMessage struct {
		ProviderID string
		At         time.Time
		Type       MessageType
		Body       string
		MediaType  string
		ReplyTo    string // the platform's id of the message replied to
		Metadata   MessageMetadata
		Note       json.RawMessage // what to keep on the conversation beside, such as an ad's referral
	}
	// CustomerReaction is an emoji of the customer on a message, empty when
	// taken back.
	CustomerReaction struct {
		ProviderID string // of the reaction itself, where it has one
		Target     string
		At         time.Time
		Emoji      string
		Standby    bool
	}
	// MessageEdited changes the text of a message.
	MessageEdited struct {
		ProviderID string // of the edit itself, where it has one
		Target     string
		At         time.Time
		Body       string
		Number     int // counts the edits of one message, where the platform does
	}
	// MessageRevoked takes a message back.
	MessageRevoked struct {
		Target string
		At     time.Time
	}
	// BusinessEcho is a message that the business sent: by us, by another app,
	// or by a person in the platform's own app.
	BusinessEcho struct {
		ProviderID string
		At         time.Time
		Ours       MessageID // the message of ours that its metadata names; zero: not ours
		Type       MessageType
		Body       string
		MediaType  string
		ReplyTo    string
		Metadata   MessageMetadata
	}
	// StatusReport reports how far one outbound message has come.
	StatusReport struct {
		ProviderID   string
		Ours         MessageID // from the data that we sent along; zero: unknown
		At           time.Time
		Status       MessageStatus
		ErrorCode    string
		ErrorMessage string
	}
	// Watermark reports that all outbound messages up to a time are
	// delivered or read. Named ones are delivered whatever their time.
	Watermark struct {
		Status MessageStatus // DELIVERED or READ
		UpTo   time.Time
		Named  []string
	}
	// SystemNotice is the platform's own notice in a thread: the customer
	// changed number or user id. It is a row, but nobody's message.
	SystemNotice struct {
		ProviderID string
		At         time.Time
		Body       string
		Metadata   MessageMetadata
	}
	// ThreadNote keeps something about the thread that is no message:
	// referral, opt-in, hand-over, policy.
	ThreadNote struct {
		At   time.Time
		Key  string // what it is, such as "referral"
		Note json.RawMessage
	}
)

// CallerOf is the agent who asks; false for what no agent asks.
func CallerOf(cmd Command) (Caller, bool) {
	switch cmd := cmd.(type) {
	case Accept:
		return cmd.By, true
	case Release:
		return cmd.By, true
	case Complete:
		return cmd.By, true
	case Reassign:
		return cmd.By, true
	case Reopen:
		return cmd.By, true
	case Read:
		return cmd.By, true
	case Send:
		return cmd.By, true
	}
	return Caller{}, false
}

func (Accept) command()    {}
func (Release) command()   {}
func (Complete) command()  {}
func (Reassign) command()  {}
func (Reopen) command()    {}
func (Read) command()      {}
func (Send) command()      {}
func (ReleaseIf) command() {}
func (Assign) command()    {}
func (Receive) command()   {}

func (CustomerMessage) inbound()  {}
func (CustomerReaction) inbound() {}
func (MessageEdited) inbound()    {}
func (MessageRevoked) inbound()   {}
func (BusinessEcho) inbound()     {}
func (StatusReport) inbound()     {}
func (Watermark) inbound()        {}
func (SystemNotice) inbound()     {}
func (ThreadNote) inbound()       {}

// Element is one part of a webhook, as the normalizers make it: a command for
// the conversation that the customer has on the channel with that account.
// The Origin of the command is filled in by who routes it.
type Element struct {
	Provider     Provider
	Account      string // phone number id or page id: which channel
	Customer     Customer
	Conversation ConversationID // told by data that we sent along; zero: by the customer
	Event        InboundEvent   // nil: Ignored says why there is nothing to do
	Ignored      string         // a short constant for the counter, such as "calls"
	Position     int            // place in the POST, to order what has the same time
	Raw          []byte         // the element as it came, for the dead letters
}

// Delivery is an element and the channel that it was accepted for.
type Delivery struct {
	Channel Channel
	Element Element
}
