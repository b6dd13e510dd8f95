package persistence

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// Attachments knows the files of organizations; Blobs has their content.
type Attachments struct{ reads *Reads }

// NewAttachments makes the reader and writer of the files' rows.
func NewAttachments(reads *Reads) *Attachments { return &Attachments{reads: reads} }

// Get is a file of the organization that is here. domain.ErrNotFound when there
// is none, when it isn't here yet, or when its message was taken back.
func (a *Attachments) Get(ctx context.Context, org domain.OrganizationID, id domain.AttachmentID) (domain.Attachment, error) {
	return a.stored(ctx, org, id, false)
}

// Linked is a file of any organization, for who has proved by a signature that
// it was given the id; else as Get.
func (a *Attachments) Linked(ctx context.Context, id domain.AttachmentID) (domain.Attachment, error) {
	return a.stored(ctx, domain.OrganizationID{}, id, true)
}

func (a *Attachments) stored(ctx context.Context, org domain.OrganizationID, id domain.AttachmentID, any bool) (domain.Attachment, error) {
	file := domain.Attachment{FileKey: domain.FileKey{Attachment: id}}
	err := a.reads.pool.QueryRow(ctx, a.reads.queries.StoredAttachment, org, id, any).Scan(
		&file.Organization, &file.Message, &file.Name, &file.MimeType, &file.Size, &file.SHA256)
	return file, readError("read an attachment", err)
}

// Add writes down an upload whose content is stored, and returns when that is
// durable.
func (a *Attachments) Add(ctx context.Context, file domain.Attachment) error {
	_, err := a.reads.pool.Exec(ctx, a.reads.queries.AddAttachment,
		file.Attachment, file.Organization, asText(file.Name), file.MimeType, file.Size, file.SHA256)
	return readError("add an attachment", err)
}

// Waiting is the files that are still to be fetched: the oldest perChannel of
// each channel, at most limit. The channels take turns.
func (a *Attachments) Waiting(ctx context.Context, perChannel, limit int) ([]domain.AttachmentID, error) {
	rows, err := a.reads.pool.Query(ctx, a.reads.queries.WaitingAttachments, perChannel, limit)
	if err != nil {
		return nil, readError("look for waiting attachments", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.AttachmentID])
	return ids, readError("look for waiting attachments", err)
}

// Pending is a file that is still to be fetched, or domain.ErrNotFound. One
// whose message is gone has no conversation.
func (a *Attachments) Pending(ctx context.Context, id domain.AttachmentID) (domain.PendingFile, error) {
	var (
		file   = domain.PendingFile{FileKey: domain.FileKey{Attachment: id}}
		kind   *string
		source []byte
	)
	err := a.reads.pool.QueryRow(ctx, a.reads.queries.PendingAttachment, id).Scan(&file.Organization, &file.Channel,
		&file.Conversation, &file.Message, &kind, &source, &file.Name, &file.MimeType, &file.Since)
	if err != nil {
		return file, readError("read a pending attachment", err)
	}
	file.Type = domain.MessageType(orZero(kind))
	if err := json.Unmarshal(source, &file.Source); err != nil {
		return file, fmt.Errorf("source of attachment %s: %w", id, err)
	}
	return file, nil
}

// Forget removes the row of a file that is still to be fetched, for a message
// that isn't there any more. It is safe to repeat.
func (a *Attachments) Forget(ctx context.Context, id domain.AttachmentID) error {
	_, err := a.reads.pool.Exec(ctx, a.reads.queries.ForgetAttachment, id)
	return readError("forget an attachment", err)
}
