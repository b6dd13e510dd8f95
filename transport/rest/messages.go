package rest

import (
	"context"
	"fmt"

	"github.com/chatopshub/chatopshub/domain"
)

type listMessagesInput struct {
	ConversationPath
	Cursor string `query:"cursor" doc:"nextCursor of the page before; none: the newest messages"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"Messages of a page"`
}

type listMessagesOutput struct{ Body messagesPage }

type messagesPage struct {
	Data       []domain.MessageView `json:"data"`
	NextCursor *string              `json:"nextCursor"`
}

// listMessages reads one message more than was asked for: it tells whether
// there is another page.
func (s *server) listMessages(ctx context.Context, in *listMessagesInput) (*listMessagesOutput, error) {
	var before domain.MessageID
	if in.Cursor != "" {
		var ok bool
		if before, ok = parseCursor(in.ID, in.Cursor); !ok {
			return nil, invalid("query", "cursor", "takes a nextCursor of this conversation's messages, as it was given")
		}
	}
	rows, err := s.Conversations.Messages(ctx, callerOf(ctx).Organization, in.ID, before, in.Limit+1)
	if err != nil {
		return nil, fmt.Errorf("list the messages of conversation %s: %w", in.ID, err)
	}
	page := messagesPage{Data: append([]domain.MessageView{}, rows[:min(len(rows), in.Limit)]...)}
	if len(rows) > in.Limit {
		page.NextCursor = new(cursor(in.ID, page.Data[in.Limit-1].ID))
	}
	return &listMessagesOutput{Body: page}, nil
}
