package persistence

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// messageRow is a row of messages as the queries select it: the one place
// where columns become a domain.Message. pgx scans into columns(), in order;
// sqlx by the tags.
type messageRow struct {
	ID                domain.MessageID      `db:"id"`
	Conversation      domain.ConversationID `db:"conversation_id"`
	Direction         string                `db:"direction"`
	Agent             domain.UserID         `db:"agent_id"`
	Type              string                `db:"type"`
	Body              *string               `db:"body"`
	MediaURL          *string               `db:"media_url"`
	MediaType         *string               `db:"media_type"`
	ProviderMessageID *string               `db:"provider_message_id"`
	Status            string                `db:"status"`
	SendState         *string               `db:"send_state"`
	Attempts          int                   `db:"attempts"`
	AttemptStartedAt  *time.Time            `db:"attempt_started_at"`
	NextAttemptAt     *time.Time            `db:"next_attempt_at"`
	ReplyTo           domain.MessageID      `db:"reply_to"`
	Metadata          []byte                `db:"metadata"`
	ErrorCode         *string               `db:"error_code"`
	ErrorMessage      *string               `db:"error_message"`
	IdempotencyKey    *string               `db:"idempotency_key"`
	RequestHash       []byte                `db:"request_hash"`
	ProviderAt        *time.Time            `db:"provider_timestamp"`
	EditedAt          *time.Time            `db:"edited_at"`
	DeletedAt         *time.Time            `db:"deleted_at"`
	CreatedAt         time.Time             `db:"created_at"`
	UpdatedAt         time.Time             `db:"updated_at"`
	Attachment        domain.AttachmentID   `db:"attachment_id"`
}

// columns is where the columns of a message go.
func (r *messageRow) columns() []any {
	return []any{
		&r.ID, &r.Conversation, &r.Direction, &r.Agent, &r.Type, &r.Body, &r.MediaURL, &r.MediaType, &r.ProviderMessageID,
		&r.Status, &r.SendState, &r.Attempts, &r.AttemptStartedAt, &r.NextAttemptAt, &r.ReplyTo, &r.Metadata,
		&r.ErrorCode, &r.ErrorMessage, &r.IdempotencyKey, &r.RequestHash,
		&r.ProviderAt, &r.EditedAt, &r.DeletedAt, &r.CreatedAt, &r.UpdatedAt, &r.Attachment,
	}
}

// message is the row as the rules see it.
func (r *messageRow) message() (domain.Message, error) {
	m := domain.Message{
		ID: r.ID, Direction: domain.Direction(r.Direction), Agent: r.Agent, Type: domain.MessageType(r.Type),
		Body: orZero(r.Body), MediaURL: orZero(r.MediaURL), MediaType: orZero(r.MediaType),
		ProviderMessageID: orZero(r.ProviderMessageID),
		Status:            domain.MessageStatus(r.Status), SendState: domain.SendState(orZero(r.SendState)),
		Attempts: r.Attempts, AttemptStartedAt: orZero(r.AttemptStartedAt), NextAttemptAt: orZero(r.NextAttemptAt),
		ReplyTo: r.ReplyTo, ErrorCode: orZero(r.ErrorCode), ErrorMessage: orZero(r.ErrorMessage),
		IdempotencyKey: orZero(r.IdempotencyKey), RequestHash: r.RequestHash,
		ProviderAt: orZero(r.ProviderAt), EditedAt: orZero(r.EditedAt), DeletedAt: orZero(r.DeletedAt),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Attachment: r.Attachment,
	}
	if err := json.Unmarshal(r.Metadata, &m.Metadata); err != nil {
		return m, fmt.Errorf("metadata of message %s: %w", r.ID, err)
	}
	return m, nil
}

// orZero is what p points to; of NULL the zero value.
func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// attachmentRow is a row of attachments-of-messages.
type attachmentRow struct {
	ID        domain.AttachmentID `db:"id"`
	Message   domain.MessageID    `db:"message_id"`
	State     string              `db:"state"`
	FileName  *string             `db:"file_name"`
	MimeType  *string             `db:"mime_type"`
	SizeBytes *int64              `db:"size_bytes"`
}

// Messages is up to limit messages of the conversation older than before, newest
// first; a zero before starts with the newest. domain.ErrNotFound when the
// conversation isn't there.
func (c *Conversations) Messages(ctx context.Context, org domain.OrganizationID, id domain.ConversationID, before domain.MessageID, limit int) ([]domain.MessageView, error) {
	views, err := c.messages(ctx, org, id, before, limit)
	return views, readError("read messages", err)
}

func (c *Conversations) messages(ctx context.Context, org domain.OrganizationID, id domain.ConversationID, before domain.MessageID, limit int) ([]domain.MessageView, error) {
	var rows []messageRow
	if err := c.reads.db.SelectContext(ctx, &rows, c.reads.queries.MessagePage, org, id, before, limit); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, c.mustExist(ctx, org, id)
	}
	attachments, err := c.attachments(ctx, org, rows)
	if err != nil {
		return nil, err
	}
	views := make([]domain.MessageView, len(rows))
	for i := range rows {
		m, err := rows[i].message()
		if err != nil {
			return nil, err
		}
		views[i] = domain.MessageViewOf(id, m, attachments[m.ID], c.link)
	}
	return views, nil
}

// NewestInbound is the platform's id of the customer's newest message in the
// conversation, which a read receipt names; empty when there is none among the
// newest 1,000 of the thread. domain.ErrNotFound when the conversation isn't
// there.
func (c *Conversations) NewestInbound(ctx context.Context, org domain.OrganizationID, id domain.ConversationID) (string, error) {
	var providerID string
	err := c.reads.db.GetContext(ctx, &providerID, c.reads.queries.NewestInbound, org, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = c.mustExist(ctx, org, id)
	}
	return providerID, readError("read the newest inbound message", err)
}

// Message is one message of the conversation; domain.ErrNotFound when it isn't
// there.
func (c *Conversations) Message(ctx context.Context, org domain.OrganizationID, id domain.ConversationID, message domain.MessageID) (domain.MessageView, error) {
	views, err := c.messages(ctx, org, id, after(message), 1)
	if err != nil {
		return domain.MessageView{}, readError("read message", err)
	}
	if len(views) == 0 || views[0].ID != message {
		return domain.MessageView{}, fmt.Errorf("read message: %w", domain.ErrNotFound)
	}
	return views[0], nil
}

// after is the id that follows: pages end before an id.
func after(id domain.MessageID) domain.MessageID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// mustExist is sql.ErrNoRows when the organization has no such conversation.
func (c *Conversations) mustExist(ctx context.Context, org domain.OrganizationID, id domain.ConversationID) error {
	var exists bool
	if err := c.reads.db.GetContext(ctx, &exists, c.reads.queries.ConversationExists, org, id); err != nil {
		return err
	}
	if !exists {
		return sql.ErrNoRows
	}
	return nil
}

func (c *Conversations) attachments(ctx context.Context, org domain.OrganizationID, messages []messageRow) (map[domain.MessageID][]domain.AttachmentView, error) {
	ids := make([]domain.MessageID, len(messages))
	for i := range messages {
		ids[i] = messages[i].ID
	}
	var rows []attachmentRow
	if err := c.reads.db.SelectContext(ctx, &rows, c.reads.queries.AttachmentsOfMessages, org, uuidsOf(ids)); err != nil {
		return nil, err
	}
	byMessage := make(map[domain.MessageID][]domain.AttachmentView)
	for _, r := range rows {
		byMessage[r.Message] = append(byMessage[r.Message], domain.AttachmentView{
			ID: r.ID, State: domain.AttachmentState(r.State), FileName: r.FileName, MimeType: r.MimeType, SizeBytes: r.SizeBytes,
		})
	}
	return byMessage, nil
}
