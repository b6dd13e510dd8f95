package domain

import (
	"bytes"
	"fmt"
	"time"
)

// IdempotencyWindow is how long an idempotency key names a message: later it
// may be used again.
const IdempotencyWindow = 24 * time.Hour

// RequestKey is an agent's own name for a message, to ask for it twice and get
// it once.
type RequestKey struct {
	Agent UserID
	Key   string
}

// send decides the outbound message of an agent: it becomes a PENDING row that
// is queued for the platform.
func (d *decision) send(cmd Send) error {
	if done, err := d.sentBefore(cmd); done || err != nil {
		return err
	}
	if cmd.Draft.Type == "" {
		fileType, ok := TypeOfFile(d.c.Provider, cmd.Draft.MediaType)
		if !ok {
			return &LimitError{Field: "mediaType", Reason: "the platform takes no such files"}
		}
		cmd.Draft.Type = fileType
	}
	switch {
	case d.c.Status == Completed:
		return d.refuse(CodeCompleted)
	case d.c.Status == Pending:
		return d.refuse(CodeNotAssigned)
	case !d.c.HeldBy(cmd.By.User):
		return d.refuse(CodeNotHolder)
	case cmd.Channel == ChannelInactive:
		return d.refuse(CodeChannelInactive)
	case !d.mayReply(cmd.Draft.Type):
		return d.refuse(CodeReplyWindowClosed)
	case len(d.c.Outbox) >= MaxUnsent:
		return fmt.Errorf("%d messages wait to be sent: %w", len(d.c.Outbox), ErrOverloaded)
	}
	m, err := d.draft(cmd)
	if err != nil {
		return err
	}
	if d.c.FirstResponseAt.IsZero() {
		d.c.FirstResponseAt = d.now()
	}
	m.ID, m.CreatedAt, m.UpdatedAt = d.newMessageID(), d.now(), d.now()
	d.c.LastMessageAt, d.changed = d.now(), true
	d.change.Inserts = append(d.change.Inserts, m)
	d.change.Message = m.ID
	// The slice is shared with the state before.
	d.c.Outbox = append(d.c.Outbox[:len(d.c.Outbox):len(d.c.Outbox)], unsentOf(m))
	return nil
}

// draft is the message that is asked for, if the platform takes such.
func (d *decision) draft(cmd Send) (Message, error) {
	draft := cmd.Draft
	m := Message{
		Direction: Outbound, Agent: cmd.By.User, Type: draft.Type, Body: draft.Body,
		MediaURL: draft.MediaURL, Attachment: draft.Attachment, MediaType: draft.MediaType, ReplyTo: draft.ReplyTo, Metadata: draft.Metadata,
		Status: StatusPending, SendState: SendQueued, IdempotencyKey: cmd.Key, RequestHash: cmd.Hash,
	}
	if err := d.refer(&m); err != nil {
		return m, err
	}
	if m.Metadata.Content != nil {
		content := *m.Metadata.Content
		content.Type, m.Metadata.Content = m.Type, &content
	}
	return m, contentOf(&m).Check(d.c.Provider)
}

// sentBefore finds the message that an earlier request with the same key made.
func (d *decision) sentBefore(cmd Send) (done bool, err error) {
	if cmd.Key == "" {
		return false, nil
	}
	was, found := d.known.request(RequestKey{cmd.By.User, cmd.Key})
	switch {
	case !found:
		return false, nil
	case d.now().Sub(was.CreatedAt) >= IdempotencyWindow:
		was.IdempotencyKey, was.RequestHash = "", nil // the key is free again
		d.quietly(was)
		d.change.Freed = append(d.change.Freed, was.ID)
		return false, nil
	case !bytes.Equal(was.RequestHash, cmd.Hash):
		return false, d.refuse(CodeKeyReused)
	}
	d.change.Message = was.ID
	return true, nil
}

// refer finds the message that m answers or reacts to, and how the platform
// knows it.
func (d *decision) refer(m *Message) error {
	if m.ReplyTo.IsZero() {
		return nil
	}
	target, found := d.known.message(m.ReplyTo)
	if !found || target.ProviderMessageID == "" {
		return d.refuse(CodeUnknownMessage)
	}
	if content := m.Metadata.Content; content != nil && content.React != nil {
		react := *content.React
		react.ProviderID = target.ProviderMessageID
		copied := *content
		copied.React, m.Metadata.Content = &react, &copied
		return nil
	}
	m.Metadata.Quotes = target.ProviderMessageID
	return nil
}

// mayReply reports whether the platform takes such a message now: freely within
// 24 hours of the customer's newest message; after that WhatsApp takes
// templates only, Messenger what a person writes within seven days (HUMAN_AGENT).
func (d *decision) mayReply(t MessageType) bool {
	if d.c.WindowOpen(d.now()) {
		return true
	}
	if d.c.Provider == Messenger {
		return !d.c.LastInboundAt.IsZero() && d.now().Sub(d.c.LastInboundAt) < 7*WindowLength
	}
	return t == TypeTemplate
}
