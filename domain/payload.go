package domain

import (
	"encoding/json"
	"slices"
	"time"
)

// Timestamp is a time as clients see it: RFC 3339, UTC, milliseconds; null
// when zero.
type Timestamp time.Time

// TimestampLayout is how Timestamp is written.
const TimestampLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes the time, or null.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + time.Time(t).UTC().Format(TimestampLayout) + `"`), nil
}

// UnmarshalJSON reads what MarshalJSON writes, and any other RFC 3339 time.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	var p *time.Time
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if p != nil {
		*t = Timestamp(*p)
	}
	return nil
}

// ref is an id as clients see it: null when there is none.
func ref[K any](id ID[K]) *ID[K] {
	if id.IsZero() {
		return nil
	}
	return &id
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// The payloads of the realtime events.
type (
	// PersonRef names a user.
	PersonRef struct {
		ID   UserID `json:"id"`
		Name string `json:"name"`
	}
	// ContactRef names a customer.
	ContactRef struct {
		ID          ContactID `json:"id"`
		ProviderID  string    `json:"providerId,omitempty"`
		DisplayName string    `json:"displayName"`
		Provider    Provider  `json:"provider,omitempty"`
	}
	// ChannelRef names a channel.
	ChannelRef struct {
		ID       ChannelID `json:"id"`
		Name     string    `json:"name"`
		Provider Provider  `json:"provider"`
	}
	// ConversationCreated is the payload of conversation.created.
	ConversationCreated struct {
		ID            ConversationID     `json:"id"`
		Organization  OrganizationID     `json:"organizationId"`
		Channel       ChannelID          `json:"channelId"`
		Contact       ContactID          `json:"contactId"`
		Status        ConversationStatus `json:"status"`
		LastMessageAt Timestamp          `json:"lastMessageAt"`
		CreatedAt     Timestamp          `json:"createdAt"`
		Version       int64              `json:"version"`
		Unread        int                `json:"unreadCount"`
		ContactRef    ContactRef         `json:"contact"`
		ChannelRef    ChannelRef         `json:"channel"`
	}
	// ConversationUpdated is the payload of conversation.updated.
	ConversationUpdated struct {
		ID            ConversationID     `json:"id"`
		Status        ConversationStatus `json:"status"`
		Holder        *UserID            `json:"assignedAgentId"`
		LastMessageAt Timestamp          `json:"lastMessageAt"`
		UpdatedAt     Timestamp          `json:"updatedAt"`
		Version       int64              `json:"version"`
		Unread        int                `json:"unreadCount"`
		ContactRef    ContactRef         `json:"contact"`
		HolderRef     *PersonRef         `json:"assignedAgent,omitempty"`
	}
	// AssignmentChanged is the payload of assignment.changed.
	AssignmentChanged struct {
		Conversation ConversationID     `json:"conversationId"`
		Status       ConversationStatus `json:"status"`
		Holder       *UserID            `json:"assignedAgentId"`
		Previous     *UserID            `json:"previousAgentId"`
		Event        AuditType          `json:"eventType"`
		Version      int64              `json:"version"` // of the conversation by then, as in conversation.updated
	}
	// MessageCreated is the payload of message.created.
	MessageCreated struct {
		ID           MessageID      `json:"id"`
		Conversation ConversationID `json:"conversationId"`
		Direction    Direction      `json:"direction"`
		Agent        *UserID        `json:"agentId"`
		Body         *string        `json:"body"`
		MediaURL     *string        `json:"mediaUrl"`
		File         AttachmentID   `json:"-"` // what mediaUrl leads to, if it is ours: Notice.Linked
		MediaType    *string        `json:"mediaType"`
		Type         MessageType    `json:"type"`
		Status       MessageStatus  `json:"status"`
		ProviderAt   Timestamp      `json:"providerTimestamp"`
		CreatedAt    Timestamp      `json:"createdAt"`
	}
	// MessageUpdated is the payload of message.updated.
	MessageUpdated struct {
		ID           MessageID      `json:"id"`
		Conversation ConversationID `json:"conversationId"`
		Status       MessageStatus  `json:"status"`
		SendState    SendState      `json:"sendState,omitempty"`
		ErrorCode    string         `json:"errorCode,omitempty"`
		ErrorMessage string         `json:"errorMessage,omitempty"`
		Body         *string        `json:"body,omitempty"`
		MediaURL     *string        `json:"mediaUrl,omitempty"`
		File         AttachmentID   `json:"-"`                  // as in MessageCreated
		Reactions    []ReactionView `json:"reactions,omitzero"` // empty, not absent, once the last was taken back
		EditedAt     *Timestamp     `json:"editedAt,omitempty"`
		DeletedAt    *Timestamp     `json:"deletedAt,omitempty"`
		UpdatedAt    Timestamp      `json:"updatedAt"`
	}
	// ReactionView is an emoji that stands on a message.
	ReactionView struct {
		By    string    `json:"by"`
		Emoji string    `json:"emoji"`
		At    Timestamp `json:"at"`
	}
	// AgentPresence is the payload of agent.presence.
	AgentPresence struct {
		Agent      UserID    `json:"agentId"`
		Status     Presence  `json:"status"`
		LastSeenAt Timestamp `json:"lastSeenAt"`
	}
	// Resync is the payload of resync: what happened since may have been
	// missed; refetch after a random part of JitterMs milliseconds.
	Resync struct {
		Since    Timestamp `json:"since"`
		JitterMs int       `json:"jitterMs"`
	}
	// Typing is the payload of typing.
	Typing struct {
		Conversation ConversationID `json:"conversationId"`
		Agent        UserID         `json:"agentId"`
		On           bool           `json:"on"`
	}
)

// ReactionsOf is the emojis that stand on m, the customer's first: nil where
// nobody ever reacted, empty where all were taken back.
func ReactionsOf(m Message) []ReactionView {
	if len(m.Metadata.Reactions) == 0 {
		return nil
	}
	views := []ReactionView{}
	for _, by := range []string{byCustomer, byBusiness} {
		if r, ok := m.Metadata.Reactions[by]; ok && r.Emoji != "" {
			views = append(views, ReactionView{By: by, Emoji: r.Emoji, At: Timestamp(r.At)})
		}
	}
	return views
}

// notices derives what agents are told from what the change does.
func (d *decision) notices() {
	org := []Room{OrgRoom(d.c.Organization)}
	created := !d.before.Exists()
	if created {
		d.tell(EventConversationCreated, org, d.createdPayload())
	}
	watching := []Room{ConversationRoom(d.c.ID)}
	if d.c.Status == Assigned {
		watching = append(watching, AgentRoom(d.c.Holder))
	}
	for _, m := range d.change.Inserts {
		d.tell(EventMessageCreated, watching, createdMessage(d.c.ID, m))
		if !m.EditedAt.IsZero() || !m.DeletedAt.IsZero() { // message.created can't say so
			d.tell(EventMessageUpdated, watching, updatedMessage(d.c.ID, m))
		}
	}
	for _, m := range d.change.Updates {
		if slices.Contains(d.untold, m.ID) {
			continue
		}
		d.tell(EventMessageUpdated, watching, updatedMessage(d.c.ID, m))
	}
	if a, ok := d.assignmentPayload(); ok {
		d.tell(EventAssignmentChanged, org, a)
	}
	if !created {
		d.tellUpdated(org)
	}
}

func (d *decision) tell(name EventName, rooms []Room, payload any) {
	d.change.Notices = append(d.change.Notices, Notice{Name: name, Rooms: rooms, Payload: payload})
}

// tellUpdated announces the new state: at once when it is one that lists show
// differently, as activity when only time has moved on.
func (d *decision) tellUpdated(org []Room) {
	b, c := &d.before, &d.c
	differs := b.Status != c.Status || b.Holder != c.Holder || b.ContactName != c.ContactName ||
		(b.Unread == 0) != (c.Unread == 0)
	if !differs && b.LastMessageAt.Equal(c.LastMessageAt) {
		return
	}
	d.change.Notices = append(d.change.Notices, Notice{
		Name: EventConversationUpdated, Rooms: org, Payload: d.updatedPayload(), Activity: !differs,
	})
}

func (d *decision) createdPayload() ConversationCreated {
	c := &d.c
	return ConversationCreated{
		ID: c.ID, Organization: c.Organization, Channel: c.Channel, Contact: c.Contact, Status: c.Status,
		LastMessageAt: Timestamp(c.LastMessageAt), CreatedAt: Timestamp(c.CreatedAt), Version: c.Version, Unread: c.Unread,
		ContactRef: ContactRef{ID: c.Contact, ProviderID: c.ContactAlias, DisplayName: c.ContactName, Provider: c.Provider},
		ChannelRef: ChannelRef{ID: c.Channel, Name: c.ChannelName, Provider: c.Provider},
	}
}

func (d *decision) updatedPayload() ConversationUpdated {
	c := &d.c
	p := ConversationUpdated{
		ID: c.ID, Status: c.Status, Holder: ref(c.Holder), LastMessageAt: Timestamp(c.LastMessageAt),
		UpdatedAt: Timestamp(c.UpdatedAt), Version: c.Version, Unread: c.Unread,
		ContactRef: ContactRef{ID: c.Contact, DisplayName: c.ContactName},
	}
	if !c.Holder.IsZero() {
		p.HolderRef = &PersonRef{ID: c.Holder, Name: c.HolderName}
	}
	return p
}

// assignmentPayload is what the audit says of the assignment, if it changed.
func (d *decision) assignmentPayload() (AssignmentChanged, bool) {
	for _, e := range d.change.Audit {
		switch e.Type {
		case AuditAccepted, AuditReleased, AuditReassigned, AuditAgentDisconnected, AuditCompleted, AuditReopened:
			return AssignmentChanged{
				Conversation: d.c.ID, Status: d.c.Status, Holder: ref(d.c.Holder),
				Previous: ref(e.Facts.Previous), Event: e.Type, Version: d.c.Version,
			}, true
		}
	}
	return AssignmentChanged{}, false
}

func createdMessage(conversation ConversationID, m Message) MessageCreated {
	m = shown(m)
	return MessageCreated{
		ID: m.ID, Conversation: conversation, Direction: m.Direction, Agent: ref(m.Agent), Body: text(m.Body),
		MediaURL: text(m.MediaURL), File: m.Attachment, MediaType: text(m.MediaType), Type: m.Type, Status: m.Status,
		ProviderAt: Timestamp(m.ProviderAt), CreatedAt: Timestamp(m.CreatedAt),
	}
}

// shown is m without what its author took back: the row keeps that for the
// audit, agents don't get it.
func shown(m Message) Message {
	if !m.DeletedAt.IsZero() {
		m.Body, m.MediaURL, m.MediaType, m.Attachment = "", "", "", AttachmentID{}
	}
	return m
}

func updatedMessage(conversation ConversationID, m Message) MessageUpdated {
	m = shown(m)
	p := MessageUpdated{
		ID: m.ID, Conversation: conversation, Status: m.Status, SendState: m.SendState,
		ErrorCode: m.ErrorCode, ErrorMessage: m.ErrorMessage, Body: text(m.Body), MediaURL: text(m.MediaURL), File: m.Attachment,
		Reactions: ReactionsOf(m), UpdatedAt: Timestamp(m.UpdatedAt),
	}
	if !m.EditedAt.IsZero() {
		p.EditedAt = new(Timestamp(m.EditedAt))
	}
	if !m.DeletedAt.IsZero() {
		p.DeletedAt = new(Timestamp(m.DeletedAt))
	} else if p.EditedAt != nil {
		p.Body = new(m.Body) // also when there is nothing left of it
	}
	return p
}
