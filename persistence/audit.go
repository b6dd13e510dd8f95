package persistence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// auditRow is a row of audit-page: the total in each, and no event where the
// page is empty.
type auditRow struct {
	Total     int64          `db:"total"`
	ID        domain.EventID `db:"id"`
	Seq       *int64         `db:"seq"`
	Type      *string        `db:"event_type"`
	Actor     domain.UserID  `db:"actor_id"`
	ActorName *string        `db:"actor_name"`
	Facts     []byte         `db:"metadata"`
	CreatedAt *time.Time     `db:"created_at"`
}

// Audit is a page of the conversation's audit trail, newest first, or
// domain.ErrNotFound.
func (c *Conversations) Audit(ctx context.Context, org domain.OrganizationID, id domain.ConversationID, page domain.Page) ([]domain.AuditView, domain.PageMeta, error) {
	var rows []auditRow
	err := c.reads.db.SelectContext(ctx, &rows, c.reads.queries.AuditPage, org, id, page.Limit, page.Offset())
	if err != nil {
		return nil, domain.PageMeta{}, readError("read the audit trail", err)
	}
	if len(rows) == 0 {
		return nil, domain.PageMeta{}, fmt.Errorf("audit trail of conversation %s: %w", id, domain.ErrNotFound)
	}
	var views []domain.AuditView
	for _, row := range rows {
		if row.ID.IsZero() {
			continue
		}
		view, err := row.view(id)
		if err != nil {
			return nil, domain.PageMeta{}, err
		}
		views = append(views, view)
	}
	total := rows[0].Total
	return views, page.Meta(int(min(total, domain.MaxRows)), total > domain.MaxRows), nil
}

func (r *auditRow) view(conversation domain.ConversationID) (domain.AuditView, error) {
	v := domain.AuditView{
		ID: r.ID, Conversation: conversation, Seq: orZero(r.Seq), Type: domain.AuditType(orZero(r.Type)),
		CreatedAt: timestamp(r.CreatedAt),
	}
	if !r.Actor.IsZero() {
		v.Actor = &domain.PersonRef{ID: r.Actor, Name: orZero(r.ActorName)}
	}
	if err := json.Unmarshal(r.Facts, &v.Facts); err != nil {
		return v, fmt.Errorf("facts of audit event %s: %w", r.ID, err)
	}
	return v, nil
}
