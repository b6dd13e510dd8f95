package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/chatopshub/chatopshub/domain"
)

// latestMessages is how many messages a conversation comes with.
const latestMessages = 50

// PageQuery picks a page of a list. It is exported because the typed layer
// doesn't see into embedded types that aren't.
type PageQuery struct {
	Page  int `query:"page" minimum:"1" maximum:"10000" default:"1" doc:"Counts from 1; page × limit goes up to 10,000"`
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Rows of a page"`
}

func (in PageQuery) page() (domain.Page, error) {
	if in.Page*in.Limit > domain.MaxRows {
		return domain.Page{}, invalid("query", "page", fmt.Sprintf("page × limit goes up to %d: filter or search for what is further back", domain.MaxRows))
	}
	return domain.Page{Number: in.Page, Limit: in.Limit}, nil
}

// list is a page of rows.
type list[T any] struct {
	Data []T             `json:"data"`
	Meta domain.PageMeta `json:"meta"`
}

type listOutput[T any] struct{ Body list[T] }

// newList answers rows; a list without rows is empty, never null.
func newList[T any](rows []T, meta domain.PageMeta) *listOutput[T] {
	return &listOutput[T]{Body: list[T]{Data: append([]T{}, rows...), Meta: meta}}
}

type listConversationsInput struct {
	Status     []domain.ConversationStatus `query:"status,explode" enum:"PENDING,ASSIGNED,COMPLETED" doc:"One of these statuses"`
	Channel    string                      `query:"channelId" doc:"On this channel"`
	AssignedTo string                      `query:"assignedTo" doc:"Of this user: an id, or me"`
	Search     string                      `query:"search" maxLength:"200" doc:"In the contact's name and id and in messages"`
	Sort       domain.ConversationSort     `query:"sort" enum:"-lastMessageAt,lastMessageAt" default:"-lastMessageAt" doc:"By newest activity; a minus means descending"`
	PageQuery
}

func (in *listConversationsInput) filter(caller domain.User) (domain.ConversationFilter, error) {
	page, err := in.page()
	if err != nil {
		return domain.ConversationFilter{}, err
	}
	slices.Sort(in.Status)
	filter := domain.ConversationFilter{
		Statuses: slices.Compact(in.Status), Sort: in.Sort, Page: page,
	}
	if filter.Search, err = searched(in.Search); err != nil {
		return filter, err
	}
	if in.Channel != "" && !readID(&filter.Channel, in.Channel) {
		return filter, invalid("query", "channelId", "takes a UUID")
	}
	switch {
	case in.AssignedTo == "me":
		filter.Holder = caller.ID
	case in.AssignedTo != "" && !readID(&filter.Holder, in.AssignedTo):
		return filter, invalid("query", "assignedTo", "takes the UUID of a user, or me")
	}
	return filter, nil
}

// searched is what a search looks for.
func searched(text string) (string, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", invalid("query", "search", "takes UTF-8 text without NUL")
	}
	return strings.TrimSpace(text), nil
}

// readID reads an id that is given. The nil UUID is none: as a filter it would
// pick everything.
func readID[K any](id *domain.ID[K], text string) bool {
	parsed, err := domain.ParseID[K](text)
	*id = parsed
	return err == nil && !parsed.IsZero()
}

func (s *server) listConversations(ctx context.Context, in *listConversationsInput) (*listOutput[domain.ConversationView], error) {
	caller := callerOf(ctx)
	filter, err := in.filter(caller)
	if err != nil {
		return nil, err
	}
	rows, meta, err := s.Conversations.List(ctx, caller.Organization, filter)
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	return newList(rows, meta), nil
}

// ConversationPath names a conversation; exported as PageQuery is.
type ConversationPath struct {
	ID domain.ConversationID `path:"id" format:"uuid" doc:"The conversation"`
}

type conversationOutput struct{ Body domain.ConversationView }

type detailOutput struct{ Body conversationDetail }

// conversationDetail is a conversation with its latest messages.
type conversationDetail struct {
	domain.ConversationView
	Messages []domain.MessageView `json:"messages" doc:"The latest 50, oldest first"`
}

func (s *server) getConversation(ctx context.Context, in *ConversationPath) (*detailOutput, error) {
	org := callerOf(ctx).Organization
	row, err := s.Conversations.Get(ctx, org, in.ID)
	if err != nil {
		return nil, fmt.Errorf("get conversation %s: %w", in.ID, err)
	}
	messages, err := s.Conversations.Messages(ctx, org, in.ID, domain.MessageID{}, latestMessages)
	if err != nil {
		return nil, fmt.Errorf("get the messages of conversation %s: %w", in.ID, err)
	}
	messages = append([]domain.MessageView{}, messages...)
	slices.Reverse(messages)
	return &detailOutput{Body: conversationDetail{ConversationView: row, Messages: messages}}, nil
}

type listEventsInput struct {
	ConversationPath
	PageQuery
}

func (s *server) listEvents(ctx context.Context, in *listEventsInput) (*listOutput[domain.AuditView], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	rows, meta, err := s.Conversations.Audit(ctx, callerOf(ctx).Organization, in.ID, page)
	if err != nil {
		return nil, fmt.Errorf("list the events of conversation %s: %w", in.ID, err)
	}
	return newList(rows, meta), nil
}

// commandInput names a conversation. The body has nothing to say, and what it
// says all the same is refused.
type commandInput struct {
	ConversationPath
	Body *struct{} `doc:"Nothing, or an empty object"`
}

type reassignInput struct {
	ConversationPath
	Body reassignBody
}

type reassignBody struct {
	Agent domain.UserID `json:"agentId" doc:"Who is to have the conversation"`
}

func (s *server) reassign(ctx context.Context, in *reassignInput) (*conversationOutput, error) {
	caller := callerOf(ctx)
	to, known := s.Directory.User(caller.Organization, in.Body.Agent)
	if !known {
		// What isn't there comes first: no answer depends on it otherwise.
		if _, err := s.Conversations.Get(ctx, caller.Organization, in.ID); err != nil {
			return nil, fmt.Errorf("get conversation %s: %w", in.ID, err)
		}
		return nil, refused(&domain.Refusal{Code: domain.CodeInvalidAssignee})
	}
	return s.command(ctx, in.ID, domain.Reassign{By: asCaller(caller), To: to})
}

// command carries out cmd and answers the row as it is then.
func (s *server) command(ctx context.Context, id domain.ConversationID, cmd domain.Command) (*conversationOutput, error) {
	if err := s.Inbox.Do(ctx, id, cmd); err != nil {
		return nil, fmt.Errorf("%T on conversation %s: %w", cmd, id, uncertain(err))
	}
	row, err := readBack(ctx, func() (domain.ConversationView, error) {
		return s.Conversations.Get(ctx, callerOf(ctx).Organization, id)
	})
	if err != nil {
		return nil, fmt.Errorf("get conversation %s after %T: %w: %w", id, cmd, domain.ErrOutcomeUnknown, err)
	}
	return &conversationOutput{Body: row}, nil
}

// uncertain says of a change whose context ended that it may have happened.
func uncertain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", domain.ErrOutcomeUnknown, err)
	}
	return err
}

func asCaller(u domain.User) domain.Caller {
	return domain.Caller{Organization: u.Organization, User: u.ID, Name: u.Name, Role: u.Role}
}
