package domain

import "time"

// Room is a set of sockets that an event is sent to.
type Room string

// OrgRoom has every connected agent of the organization.
func OrgRoom(id OrganizationID) Room { return Room("org:" + id.String()) }

// AgentRoom has the sockets of one agent.
func AgentRoom(id UserID) Room { return Room("agent:" + id.String()) }

// SessionRoom has the sockets of one login.
func SessionRoom(id SessionID) Room { return Room("session:" + id.String()) }

// ConversationRoom has the sockets that asked to see the conversation.
func ConversationRoom(id ConversationID) Room { return Room("conversation:" + id.String()) }

// EventName names a realtime event (docs/rules.md lists who gets which).
type EventName string

// The events that the server sends.
const (
	EventConversationCreated EventName = "conversation.created"
	EventConversationUpdated EventName = "conversation.updated"
	EventAssignmentChanged   EventName = "assignment.changed"
	EventMessageCreated      EventName = "message.created"
	EventMessageUpdated      EventName = "message.updated"
	EventAgentPresence       EventName = "agent.presence"
	EventTyping              EventName = "typing"
	EventSessionRevoked      EventName = "session.revoked"
	EventResync              EventName = "resync"
)

// Notice is something that agents are to be told, not yet numbered. Payload is
// one of the payload types of payload.go; a socket that is in several of the
// rooms gets it once.
type Notice struct {
	Name    EventName
	Rooms   []Room
	Payload any
	// Activity marks a conversation.updated that tells only that something
	// happened: such ones are sent at most once per conversation and second.
	Activity bool
	Trace    Trace // the step that has stored what the notice tells
}

// FeedEvent is a notice that the feed of an organization has numbered and
// encoded. It is immutable: feed, hubs and sockets share it.
type FeedEvent struct {
	Organization OrganizationID
	Epoch        string // random for each activation of the feed
	Seq          uint64 // counts from 1 within the epoch, without gaps
	Name         EventName
	Rooms        []Room
	Data         []byte // the payload as JSON: valid UTF-8, HTML not escaped
	At           time.Time
	Trace        Trace // the feed's step
}

// Position is the place in the feed right after the event.
func (e FeedEvent) Position() FeedPosition { return FeedPosition{Epoch: e.Epoch, Seq: e.Seq} }

// Offset is the event's place in the feed as clients see it: "epoch:seq".
func (e FeedEvent) Offset() string { return e.Position().String() }
