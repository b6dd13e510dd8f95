package persistence

import (
	"context"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Outbox finds the conversations whose messages wait to be sent longer than
// they should, because nobody works on them: what a crash left.
type Outbox struct{ reads *Reads }

// NewOutbox makes the reader.
func NewOutbox(reads *Reads) *Outbox { return &Outbox{reads: reads} }

// Due is up to limit conversations, of all organizations, in the order of their
// ids from after on, that have an unsent message which was due before that time:
// a queued one by its next attempt, else its creation, one being sent by the
// start of the attempt, an uncertain one by when it is given up. Those on
// channels that aren't ACTIVE wait with their channel. domain.ErrUnavailable when
// the database is away.
func (o *Outbox) Due(ctx context.Context, before time.Time, after domain.ConversationID, limit int) ([]domain.ConversationID, error) {
	var ids []domain.ConversationID
	err := o.reads.db.SelectContext(ctx, &ids, o.reads.queries.DueConversations, before, after, limit)
	return ids, readError("find what is due to be sent", err)
}
