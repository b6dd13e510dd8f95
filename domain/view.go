package domain

import "encoding/json"

// This file is what reads answer: the shapes that clients see, in the words of
// the REST contract. Who reads them from the storage and who writes them to
// clients share these types and not each other.

// ConversationView is a conversation as lists show it.
type ConversationView struct {
	ID              ConversationID     `json:"id"`
	Organization    OrganizationID     `json:"organizationId"`
	Channel         ChannelID          `json:"channelId"`
	Contact         ContactID          `json:"contactId"`
	Status          ConversationStatus `json:"status"`
	Holder          *UserID            `json:"assignedAgentId"` // who has it, or who had it when it was completed
	AssignedAt      Timestamp          `json:"assignedAt"`
	PendingSince    Timestamp          `json:"pendingSince"`
	LastMessageAt   Timestamp          `json:"lastMessageAt"`
	FirstResponseAt Timestamp          `json:"firstResponseAt"`
	WindowExpiresAt Timestamp          `json:"windowExpiresAt"`
	Unread          int                `json:"unreadCount"`
	Version         int64              `json:"version"`
	CreatedAt       Timestamp          `json:"createdAt"`
	UpdatedAt       Timestamp          `json:"updatedAt"`
	ContactRef      ContactRef         `json:"contact"`
	ChannelRef      ChannelRef         `json:"channel"`
	HolderRef       *PersonRef         `json:"assignedAgent"`
	LastMessage     *MessageSummary    `json:"lastMessage"`
}

// MessageSummary is the newest message of a conversation as lists show it.
// Body is null for a message that was taken back.
type MessageSummary struct {
	ID        MessageID `json:"id"`
	Direction Direction `json:"direction"`
	Body      *string   `json:"body"`
	MediaType *string   `json:"mediaType"`
	CreatedAt Timestamp `json:"createdAt"`
}

// SummaryOf is m as lists show it.
func SummaryOf(m Message) MessageSummary {
	s := MessageSummary{ID: m.ID, Direction: m.Direction, CreatedAt: Timestamp(m.CreatedAt)}
	if m.DeletedAt.IsZero() {
		s.Body, s.MediaType = text(m.Body), text(m.MediaType)
	}
	return s
}

// MessageView is a message with all that clients may know of it. MessageViewOf
// makes it.
type MessageView struct {
	ID                MessageID        `json:"id"`
	Conversation      ConversationID   `json:"conversationId"`
	Direction         Direction        `json:"direction"`
	Agent             *UserID          `json:"agentId"`
	Body              *string          `json:"body"`
	MediaURL          *string          `json:"mediaUrl"`
	MediaType         *string          `json:"mediaType"`
	Type              MessageType      `json:"type"`
	Status            MessageStatus    `json:"status"`
	ProviderMessageID *string          `json:"providerMessageId"`
	ReplyTo           *MessageID       `json:"replyToMessageId"`
	Attachments       []AttachmentView `json:"attachments"`
	SendState         *SendState       `json:"sendState"`
	Metadata          MetadataView     `json:"metadata"`
	Reactions         []ReactionView   `json:"reactions"`
	ErrorCode         *string          `json:"errorCode"`
	ErrorMessage      *string          `json:"errorMessage"`
	ProviderAt        Timestamp        `json:"providerTimestamp"`
	EditedAt          Timestamp        `json:"editedAt"`
	DeletedAt         Timestamp        `json:"deletedAt"`
	CreatedAt         Timestamp        `json:"createdAt"`
	UpdatedAt         Timestamp        `json:"updatedAt"`
}

// MetadataView is what a message has beside its fields. Platform is what was
// kept of the platform's own element.
type MetadataView struct {
	Platform json.RawMessage `json:"platform,omitempty"`
	Media    []Media         `json:"media,omitempty"`
	Edits    []EditView      `json:"edits,omitempty"` // former texts, oldest first
	Standby  bool            `json:"standby,omitempty"`
	Content  *Content        `json:"content,omitempty"` // of an outbound one: template, buttons, list
}

// EditView is a text that a message had before, and until when.
type EditView struct {
	Body string    `json:"body"`
	At   Timestamp `json:"at"`
}

// AttachmentState says how far a file has come to us.
type AttachmentState string

// The states of an attachment.
const (
	AttachmentPending AttachmentState = "pending"
	AttachmentStored  AttachmentState = "stored"
	AttachmentFailed  AttachmentState = "failed"
)

// AttachmentView is a file of a message. What the platform didn't tell before
// the file is here is null.
type AttachmentView struct {
	ID        AttachmentID    `json:"id"`
	State     AttachmentState `json:"state"`
	Failure   *FileFailure    `json:"failure"` // why it couldn't be had
	URL       *string         `json:"url"`     // good for a while, without a login; null until it is here
	FileName  *string         `json:"fileName"`
	MimeType  *string         `json:"mimeType"`
	SizeBytes *int64          `json:"sizeBytes"`
}

// MessageViewOf is m as clients see it. Of a message that was taken back only
// the fact remains: its content is kept for the audit alone. link makes the
// addresses of its files.
func MessageViewOf(conversation ConversationID, m Message, attachments []AttachmentView, link Linker) MessageView {
	v := MessageView{
		ID: m.ID, Conversation: conversation, Direction: m.Direction, Agent: ref(m.Agent),
		Type: m.Type, Status: m.Status, ProviderMessageID: text(m.ProviderMessageID), ReplyTo: ref(m.ReplyTo),
		Attachments: []AttachmentView{}, Reactions: []ReactionView{},
		ErrorCode: text(m.ErrorCode), ErrorMessage: text(m.ErrorMessage),
		ProviderAt: Timestamp(m.ProviderAt), EditedAt: Timestamp(m.EditedAt), DeletedAt: Timestamp(m.DeletedAt),
		CreatedAt: Timestamp(m.CreatedAt), UpdatedAt: Timestamp(m.UpdatedAt),
	}
	if m.SendState != "" {
		v.SendState = &m.SendState
	}
	if !m.DeletedAt.IsZero() {
		return v
	}
	v.Body, v.MediaURL, v.MediaType = text(m.Body), link.link(m.Attachment, m.MediaURL), text(m.MediaType)
	for _, a := range attachments {
		for _, f := range m.Metadata.Media {
			if f.Attachment != a.ID {
				continue
			}
			// The message says how far the file has come: the attachment may have
			// been read later.
			if a.State = f.State; a.State == "" {
				a.State = AttachmentPending
			}
			if f.Failure != "" {
				a.Failure = &f.Failure
			}
		}
		if a.State == AttachmentStored {
			a.URL = link.link(a.ID, "")
		}
		v.Attachments = append(v.Attachments, a)
	}
	v.Reactions = append(v.Reactions, ReactionsOf(m)...)
	v.Metadata = MetadataView{Platform: m.Metadata.Platform, Media: m.Metadata.Media, Standby: m.Metadata.Standby, Content: m.Metadata.Content}
	for _, e := range m.Metadata.Edits {
		v.Metadata.Edits = append(v.Metadata.Edits, EditView{Body: e.Body, At: Timestamp(e.At)})
	}
	return v
}

// AuditView is one line of a conversation's audit trail. Actor is null where
// the customer, the platform or we ourselves did it.
type AuditView struct {
	ID           EventID        `json:"id"`
	Conversation ConversationID `json:"conversationId"`
	Seq          int64          `json:"seq"`
	Type         AuditType      `json:"eventType"`
	Actor        *PersonRef     `json:"actor"`
	Facts        AuditFacts     `json:"metadata"`
	CreatedAt    Timestamp      `json:"createdAt"`
}

// AgentView is a user as colleagues see one: presence, load, room for more.
// MaxConversations is null where there is no limit.
type AgentView struct {
	ID               UserID    `json:"id"`
	Name             string    `json:"name"`
	AvatarURL        *string   `json:"avatarUrl"`
	Presence         Presence  `json:"presence"`
	LastSeenAt       Timestamp `json:"lastSeenAt"`
	AssignedCount    int       `json:"assignedCount"`
	MaxConversations *int      `json:"maxConversations"`
}

// PasswordHash is a stored password hash. It shows itself in no log and no
// JSON; string(hash) is the hash.
type PasswordHash string

// String hides the hash.
func (PasswordHash) String() string { return "[hidden]" }

// GoString hides the hash from %#v too.
func (PasswordHash) GoString() string { return "[hidden]" }

// MarshalText hides the hash from encoders.
func (PasswordHash) MarshalText() ([]byte, error) { return []byte("[hidden]"), nil }

// LoginUser is a user with what a login is checked against.
type LoginUser struct {
	User
	OrganizationSlug string
	PasswordHash     PasswordHash
}

// MaxRows is how far page pagination goes, and how far totals are counted.
const MaxRows = 10_000

// Page is a part of a list: Number counts from 1, and Number × Limit is at
// most MaxRows.
type Page struct {
	Number int
	Limit  int
}

// Offset is how many rows come before the page.
func (p Page) Offset() int { return (p.Number - 1) * p.Limit }

// Meta describes the page of a list of total rows; capped says that there are,
// or may be, more than were counted.
func (p Page) Meta(total int, capped bool) PageMeta {
	return PageMeta{
		Total: total, Page: p.Number, Limit: p.Limit,
		TotalPages: (total + p.Limit - 1) / p.Limit, TotalIsCapped: capped,
	}
}

// PageMeta tells clients where in a list they are.
type PageMeta struct {
	Total         int  `json:"total"` // counted up to MaxRows
	Page          int  `json:"page"`
	Limit         int  `json:"limit"`
	TotalPages    int  `json:"totalPages"`
	TotalIsCapped bool `json:"totalIsCapped"`
}

// ConversationSort is the order of a list of conversations; a minus in front
// means descending.
type ConversationSort string

// The orders of a list of conversations. Newest activity first is the default.
const (
	SortNewest ConversationSort = "-lastMessageAt"
	SortOldest ConversationSort = "lastMessageAt"
)

// ConversationFilter picks the conversations of a list. Zero fields pick all.
type ConversationFilter struct {
	Statuses []ConversationStatus // any of them, each at most once
	Channel  ChannelID
	Holder   UserID
	Search   string // in contact name, provider id and message text; valid UTF-8 without NUL
	Sort     ConversationSort
	Page     Page
}
