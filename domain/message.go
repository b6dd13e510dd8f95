package domain

import (
	"encoding/json"
	"time"
)

// Direction says who wrote a message.
type Direction string

// The directions of a message, seen from the business.
const (
	Inbound  Direction = "INBOUND"
	Outbound Direction = "OUTBOUND"
)

// MessageType is what kind of content a message has.
type MessageType string

// The types of messages. What the platform calls otherwise is TypeUnsupported,
// with the raw element in the metadata.
const (
	TypeText        MessageType = "text"
	TypeImage       MessageType = "image"
	TypeVideo       MessageType = "video"
	TypeAudio       MessageType = "audio"
	TypeVoice       MessageType = "voice"
	TypeDocument    MessageType = "document"
	TypeSticker     MessageType = "sticker"
	TypeLocation    MessageType = "location"
	TypeContacts    MessageType = "contacts"
	TypeInteractive MessageType = "interactive"
	TypeButton      MessageType = "button"
	TypeReaction    MessageType = "reaction"
	TypeOrder       MessageType = "order"
	TypeTemplate    MessageType = "template"
	TypeSystem      MessageType = "system"
	TypeUnsupported MessageType = "unsupported"
)

// MessageStatus is how far a message has come.
type MessageStatus string

// The statuses of a message. Inbound ones are DELIVERED from the start.
const (
	StatusPending   MessageStatus = "PENDING"
	StatusSent      MessageStatus = "SENT"
	StatusDelivered MessageStatus = "DELIVERED"
	StatusRead      MessageStatus = "READ"
	StatusFailed    MessageStatus = "FAILED"
)

// SendState is where a PENDING outbound message stands in the outbox; empty
// for all others.
type SendState string

// The states of a message that is being sent.
const (
	SendQueued    SendState = "queued"
	SendSending   SendState = "sending"
	SendUncertain SendState = "uncertain"
)

// Message is one row of a conversation.
type Message struct {
	ID                MessageID
	Direction         Direction
	Agent             UserID // who wrote an outbound one; zero: another app, or the business in the platform's own app
	Type              MessageType
	Body              string
	MediaURL          string       // where somebody else has what it shows
	Attachment        AttachmentID // the file of ours that it shows: what an agent sent, or the customer's once it is here
	MediaType         string
	ProviderMessageID string
	Status            MessageStatus
	SendState         SendState
	Attempts          int
	AttemptStartedAt  time.Time
	NextAttemptAt     time.Time
	ReplyTo           MessageID
	ReplyToProvider   string // the platform's id of the message replied to, where ReplyTo isn't known yet
	Metadata          MessageMetadata
	ErrorCode         string
	ErrorMessage      string
	IdempotencyKey    string
	RequestHash       []byte
	ProviderAt        time.Time // the platform's timestamp; zero where it gave none
	EditedAt          time.Time
	DeletedAt         time.Time
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// MessageMetadata is what a message has beside its columns. Platform holds
// what the normalizer kept of the platform's element, as a JSON object.
type MessageMetadata struct {
	Platform  json.RawMessage     `json:"platform,omitempty"`
	Media     []Media             `json:"media,omitempty"`
	Reactions map[string]Reaction `json:"reactions,omitempty"` // by who reacted: "customer" or "business"
	Edits     []Edit              `json:"edits,omitempty"`     // former texts, oldest first, at most MaxEdits
	LastEdit  *EditStamp          `json:"lastEdit,omitempty"`
	Standby   bool                `json:"standby,omitempty"` // another app owned the thread when it came
	Content   *Content            `json:"content,omitempty"` // of an outbound one: what its columns don't hold
	Quotes    string              `json:"quotes,omitempty"`  // of an outbound one: the platform's id of the message it answers
}

// MaxEdits bounds the former texts that are kept: the platforms allow five
// (Messenger) or edits within 15 minutes (WhatsApp).
const MaxEdits = 20

// Media is a file that the platform keeps for us, by its id there (WhatsApp)
// or an expiring URL (Messenger, and WhatsApp since 2025).
type Media struct {
	ID       string `json:"id,omitempty"`
	URL      string `json:"url,omitempty"`
	MimeType string `json:"mimeType,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	FileName string `json:"fileName,omitempty"`
	Kind     string `json:"kind,omitempty"` // the platform's word: image, file, sticker…

	Attachment AttachmentID    `json:"attachmentId,omitzero"` // the file as it will be here; zero: it isn't fetched
	State      AttachmentState `json:"state,omitempty"`       // empty: on its way
	Failure    FileFailure     `json:"failure,omitempty"`     // of one that failed
}

// Reaction is an emoji on a message; an empty emoji is one taken back, kept so
// that a late repeat of the older one can't bring it back.
type Reaction struct {
	Emoji string    `json:"emoji"`
	ID    string    `json:"id,omitempty"` // the platform's id of the reaction, where it has one
	At    time.Time `json:"at"`
}

// Edit is a text that a message had before.
type Edit struct {
	Body string    `json:"body"`
	At   time.Time `json:"at"` // until when
}

// EditStamp tells the newest edit apart from repeats and older ones.
type EditStamp struct {
	ID     string    `json:"id,omitempty"`
	Number int       `json:"number,omitempty"`
	At     time.Time `json:"at"`
}

// names reports whether both stamp the same edit of a message.
func (s *EditStamp) names(other *EditStamp) bool {
	if s == nil || other == nil {
		return s == other
	}
	return s.ID == other.ID && s.Number == other.Number && s.At.Equal(other.At)
}

// statusRank orders the statuses of success.
var statusRank = map[MessageStatus]int{StatusPending: 0, StatusSent: 1, StatusDelivered: 2, StatusRead: 3}

// Advance is the status of a message at from after the platform reported to,
// and whether that is a step. Statuses never go back, whatever the order in
// which reports arrive: PENDING < SENT < DELIVERED < READ; FAILED wins over
// PENDING and SENT only, and a later DELIVERED or READ wins over FAILED.
func Advance(from, to MessageStatus) (MessageStatus, bool) {
	switch {
	case to == StatusFailed:
		if from == StatusPending || from == StatusSent {
			return StatusFailed, true
		}
		return from, false
	case from == StatusFailed:
		if to == StatusDelivered || to == StatusRead {
			return to, true
		}
		return from, false
	case statusRank[to] > statusRank[from]:
		return to, true
	}
	return from, false
}
