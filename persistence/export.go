package persistence

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// exportPage is how many rows are read at a time.
const exportPage = 500

// Export gives everything that is stored of the person whose contact it is, row
// by row and table by table: columns as they are. Files get to know which of
// them have content. It is read in pages while the traffic goes on: what comes
// meanwhile may be in it or not. domain.ErrNotFound when the organization has
// no such contact. An error of the callbacks ends it.
func (e *Erasures) Export(ctx context.Context, org domain.OrganizationID, contact domain.ContactID,
	row func(table string, row json.RawMessage) error, file func(domain.FileKey) error,
) error {
	q := e.reads.queries
	family, err := idsOf[domain.ContactID](ctx, e.reads.pool, q.Family, org, contact)
	if err != nil {
		return readError("export a contact", err)
	}
	if len(family) == 0 {
		return fmt.Errorf("export contact %s: %w", contact, domain.ErrNotFound)
	}
	x := &export{Erasures: e, org: org, row: row, file: file}
	return x.run(ctx, family)
}

// export is one that is under way.
type export struct {
	*Erasures
	org   domain.OrganizationID
	row   func(table string, row json.RawMessage) error
	file  func(domain.FileKey) error
	files []domain.FileKey
}

func (x *export) run(ctx context.Context, family []domain.ContactID) error {
	q := x.reads.queries
	for _, table := range []struct{ name, statement string }{
		{"contacts", q.ExportContacts}, {"contact_aliases", q.ExportAliases}, {"conversations", q.ExportConversations},
	} {
		if err := x.whole(ctx, table.name, table.statement, uuidsOf(family)); err != nil {
			return err
		}
	}
	conversations, err := idsOf[domain.ConversationID](ctx, x.reads.pool, q.ConversationsOfContacts, uuidsOf(family))
	if err != nil {
		return readError("export conversations", err)
	}
	for _, each := range []func(context.Context, domain.ConversationID) error{x.messages, x.attachments, x.events} {
		for _, id := range conversations {
			if err := each(ctx, id); err != nil {
				return err
			}
		}
	}
	if err := x.eachLetter(ctx, x.org, family, func(named []uuid.UUID) error {
		return x.whole(ctx, "webhook_dead_letters", q.ExportLetters, named)
	}); err != nil {
		return err
	}
	for _, key := range x.files {
		if err := x.file(key); err != nil {
			return err
		}
	}
	return nil
}

func (x *export) whole(ctx context.Context, table, statement string, args any) error {
	rows, err := idsOf[json.RawMessage](ctx, x.reads.pool, statement, args)
	if err != nil {
		return readError("export "+table, err)
	}
	for _, r := range rows {
		if err := x.row(table, r); err != nil {
			return err
		}
	}
	return nil
}

// paged reads page after page of rows that have their key first.
func paged[K any](ctx context.Context, x *export, table, statement string, id domain.ConversationID) error {
	var after K
	for {
		rows, err := x.reads.pool.Query(ctx, statement, id, after, exportPage)
		if err != nil {
			return readError("export "+table, err)
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (json.RawMessage, error) {
			var text json.RawMessage
			err := row.Scan(&after, &text)
			return text, err
		})
		if err != nil {
			return readError("export "+table, err)
		}
		for _, r := range page {
			if err := x.row(table, r); err != nil {
				return err
			}
		}
		if len(page) < exportPage {
			return nil
		}
	}
}

func (x *export) messages(ctx context.Context, id domain.ConversationID) error {
	return paged[uuid.UUID](ctx, x, "messages", x.reads.queries.ExportMessages, id)
}

func (x *export) events(ctx context.Context, id domain.ConversationID) error {
	return paged[int64](ctx, x, "conversation_events", x.reads.queries.ExportEvents, id)
}

// attachments are found by the messages, a page of them at a time.
func (x *export) attachments(ctx context.Context, id domain.ConversationID) error {
	q := x.reads.queries
	var after uuid.UUID
	for {
		ids, err := idsOf[uuid.UUID](ctx, x.reads.pool, q.ExportMessageIds, id, after, exportPage)
		if err != nil {
			return readError("export attachments", err)
		}
		if len(ids) == 0 {
			return nil
		}
		last := ids[len(ids)-1]
		rows, err := x.reads.pool.Query(ctx, q.ExportAttachments, id, after, last)
		if err != nil {
			return readError("export attachments", err)
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (json.RawMessage, error) {
			key := domain.FileKey{Organization: x.org}
			var stored bool
			var text json.RawMessage
			err := row.Scan(&key.Attachment, &stored, &text)
			if stored {
				x.files = append(x.files, key)
			}
			return text, err
		})
		if err != nil {
			return readError("export attachments", err)
		}
		for _, r := range page {
			if err := x.row("attachments", r); err != nil {
				return err
			}
		}
		after = last
	}
}
