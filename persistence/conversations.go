package persistence

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// searchCandidates is how many conversations, the newest of a list, a search
// looks into without an index.
const searchCandidates = 1000

// Conversations reads what lists and pages show of conversations. Whatever is
// another organization's is not there.
type Conversations struct {
	reads    *Reads
	link     domain.Linker
	single   *batcher[conversationKey, *domain.ConversationView]
	reversed *strings.Replacer // turns a query's order around
}

// conversationKey is a conversation and who asks for it.
type conversationKey struct {
	organization domain.OrganizationID
	id           domain.ConversationID
}

// NewConversations makes the reader; Get answers while Run runs. link makes the
// addresses of messages' files; nil: they have none.
func NewConversations(reads *Reads, link domain.Linker) *Conversations {
	c := &Conversations{reads: reads, link: link, reversed: strings.NewReplacer("DESC", "ASC")}
	c.single = newBatcher("read a conversation", c.views)
	return c
}

// Run answers Get until ctx ends; later calls fail with domain.ErrUnavailable.
func (c *Conversations) Run(ctx context.Context) error {
	c.single.run(ctx)
	return nil
}

// List is a page of the conversations that the filter picks. The total is
// counted up to domain.MaxRows. A search finds words and their beginnings,
// wherever they are in the organization. Words that too many messages have are
// looked for in the newest 1,000 conversations that the rest of the filter
// picks, in the 20 newest messages of each, and the total is marked as capped.
// domain.ErrUnavailable when the database is away.
func (c *Conversations) List(ctx context.Context, org domain.OrganizationID, filter domain.ConversationFilter) ([]domain.ConversationView, domain.PageMeta, error) {
	ids, meta, err := c.page(ctx, org, filter)
	if err != nil {
		return nil, meta, readError("list conversations", err)
	}
	rows, err := c.rows(ctx, org, ids)
	return rows, meta, readError("list conversations", err)
}

// Get is one conversation as the list shows it, or domain.ErrNotFound. Every
// command is answered with it, so many calls at once become one query.
func (c *Conversations) Get(ctx context.Context, org domain.OrganizationID, id domain.ConversationID) (domain.ConversationView, error) {
	view, err := c.single.await(ctx, conversationKey{org, id})
	if err != nil {
		return domain.ConversationView{}, err
	}
	if view == nil {
		return domain.ConversationView{}, fmt.Errorf("conversation %s: %w", id, domain.ErrNotFound)
	}
	return *view, nil
}

// listedConversation is a row of the queries that make a page: the total in
// each, and no id where the page is empty.
type listedConversation struct {
	Total int                   `db:"total"`
	ID    domain.ConversationID `db:"id"`
}

func (c *Conversations) page(ctx context.Context, org domain.OrganizationID, filter domain.ConversationFilter) ([]domain.ConversationID, domain.PageMeta, error) {
	if filter.Search != "" {
		return c.search(ctx, org, filter)
	}
	ids, found, err := c.list(ctx, org, filter)
	if err != nil {
		return nil, domain.PageMeta{}, err
	}
	return ids, filter.Page.Meta(min(found.Total, domain.MaxRows), found.Total > domain.MaxRows), nil
}

// list is the ids of a page without a search.
func (c *Conversations) list(ctx context.Context, org domain.OrganizationID, filter domain.ConversationFilter) ([]domain.ConversationID, listedConversation, error) {
	q := &c.reads.queries
	args := []any{org, statusesOf(filter), filter.Page.Limit, filter.Page.Offset()}
	query := q.ListConversations
	switch {
	case !filter.Holder.IsZero():
		query, args = q.ListConversationsOfAgent, append(args, filter.Channel, filter.Holder)
	case !filter.Channel.IsZero():
		query, args = q.ListConversationsOfChannel, append(args, filter.Channel)
	}
	return c.ids(ctx, c.ordered(query, filter.Sort), args...)
}

// search is the ids of a page of what a search finds: by the indexes of words,
// and among the newest of the list by parts of words, too.
func (c *Conversations) search(ctx context.Context, org domain.OrganizationID, filter domain.ConversationFilter) ([]domain.ConversationID, domain.PageMeta, error) {
	hits, err := c.reads.search(ctx, org, filter.Search, contactsAndMessages)
	if err != nil {
		return nil, domain.PageMeta{}, err
	}
	newest := filter
	newest.Sort, newest.Page = domain.SortNewest, domain.Page{Number: 1, Limit: searchCandidates}
	candidates, _, err := c.list(ctx, org, newest)
	if err != nil {
		return nil, domain.PageMeta{}, err
	}
	ids, found, err := c.ids(ctx, c.ordered(c.reads.queries.SearchConversations, filter.Sort),
		org, statusesOf(filter), filter.Page.Limit, filter.Page.Offset(), filter.Channel, filter.Holder,
		uuidsOf(candidates), containingWords(filter.Search), hits.contacts, hits.conversations, hits.messagesCut)
	if err != nil {
		return nil, domain.PageMeta{}, err
	}
	return ids, filter.Page.Meta(min(found.Total, domain.MaxRows), hits.contactsCut || hits.messagesCut), nil
}

// ids runs a query that makes a page.
func (c *Conversations) ids(ctx context.Context, query string, args ...any) ([]domain.ConversationID, listedConversation, error) {
	var rows []listedConversation
	if err := c.reads.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, listedConversation{}, err
	}
	var ids []domain.ConversationID
	for _, row := range rows {
		if !row.ID.IsZero() {
			ids = append(ids, row.ID)
		}
	}
	return ids, rows[0], nil // the total makes a row of an empty page, too
}

func (c *Conversations) ordered(query string, sort domain.ConversationSort) string {
	if sort == domain.SortOldest {
		return c.reversed.Replace(query)
	}
	return query
}

// statusesOf is the statuses that the filter picks; all of them when it names
// none.
func statusesOf(filter domain.ConversationFilter) []string {
	if len(filter.Statuses) == 0 {
		return []string{string(domain.Pending), string(domain.Assigned), string(domain.Completed)}
	}
	statuses := make([]string, len(filter.Statuses))
	for i, s := range filter.Statuses {
		statuses[i] = string(s)
	}
	return statuses
}

// containing is the ILIKE pattern of what has the text in it, whatever signs it
// is made of.
func containing(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}

// conversationRow is a row of conversation-rows.
type conversationRow struct {
	ID              domain.ConversationID `db:"id"`
	Organization    domain.OrganizationID `db:"organization_id"`
	Channel         domain.ChannelID      `db:"channel_id"`
	Contact         domain.ContactID      `db:"contact_id"`
	Status          string                `db:"status"`
	Holder          domain.UserID         `db:"assigned_agent_id"`
	AssignedAt      *time.Time            `db:"assigned_at"`
	PendingSince    *time.Time            `db:"pending_since"`
	LastMessageAt   time.Time             `db:"last_message_at"`
	FirstResponseAt *time.Time            `db:"first_response_at"`
	WindowExpiresAt *time.Time            `db:"window_expires_at"`
	Unread          int                   `db:"unread_count"`
	Version         int64                 `db:"version"`
	CreatedAt       time.Time             `db:"created_at"`
	UpdatedAt       time.Time             `db:"updated_at"`

	ContactProviderID string  `db:"contact_provider_id"`
	ContactName       string  `db:"contact_name"`
	ChannelName       string  `db:"channel_name"`
	Provider          string  `db:"provider"`
	HolderName        *string `db:"holder_name"`

	Message          domain.MessageID `db:"message_id"`
	MessageDirection *string          `db:"message_direction"`
	MessageBody      *string          `db:"message_body"`
	MessageMediaType *string          `db:"message_media_type"`
	MessageDeletedAt *time.Time       `db:"message_deleted_at"`
	MessageCreatedAt *time.Time       `db:"message_created_at"`

	Position int `db:"position"` // in what was asked for, from 1
}

// rows is the conversations of the ids, in their order, without those that
// aren't the organization's.
func (c *Conversations) rows(ctx context.Context, org domain.OrganizationID, ids []domain.ConversationID) ([]domain.ConversationView, error) {
	keys := make([]conversationKey, len(ids))
	for i, id := range ids {
		keys[i] = conversationKey{org, id}
	}
	found, err := c.views(ctx, keys)
	if err != nil {
		return nil, err
	}
	views := make([]domain.ConversationView, 0, len(found))
	for _, view := range found {
		if view != nil {
			views = append(views, *view)
		}
	}
	return views, nil
}

// views is each conversation as its organization sees it; nil for what isn't
// there.
func (c *Conversations) views(ctx context.Context, keys []conversationKey) ([]*domain.ConversationView, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	organizations, ids := make([][16]byte, len(keys)), make([][16]byte, len(keys))
	for i, key := range keys {
		organizations[i], ids[i] = key.organization, key.id
	}
	var rows []conversationRow
	if err := c.reads.db.SelectContext(ctx, &rows, c.reads.queries.ConversationRows, organizations, ids); err != nil {
		return nil, err
	}
	views := make([]*domain.ConversationView, len(keys))
	for i := range rows {
		view := rows[i].view()
		views[rows[i].Position-1] = &view
	}
	return views, nil
}

func (r *conversationRow) view() domain.ConversationView {
	provider := domain.Provider(r.Provider)
	v := domain.ConversationView{
		ID: r.ID, Organization: r.Organization, Channel: r.Channel, Contact: r.Contact,
		Status: domain.ConversationStatus(r.Status), Unread: r.Unread, Version: r.Version,
		AssignedAt: timestamp(r.AssignedAt), PendingSince: timestamp(r.PendingSince),
		LastMessageAt: domain.Timestamp(r.LastMessageAt), FirstResponseAt: timestamp(r.FirstResponseAt),
		WindowExpiresAt: timestamp(r.WindowExpiresAt),
		CreatedAt:       domain.Timestamp(r.CreatedAt), UpdatedAt: domain.Timestamp(r.UpdatedAt),
		ContactRef: domain.ContactRef{ID: r.Contact, ProviderID: r.ContactProviderID, DisplayName: r.ContactName, Provider: provider},
		ChannelRef: domain.ChannelRef{ID: r.Channel, Name: r.ChannelName, Provider: provider},
	}
	if !r.Holder.IsZero() {
		v.Holder = &r.Holder
		v.HolderRef = &domain.PersonRef{ID: r.Holder, Name: orZero(r.HolderName)}
	}
	if !r.Message.IsZero() {
		summary := domain.SummaryOf(domain.Message{
			ID: r.Message, Direction: domain.Direction(orZero(r.MessageDirection)), Body: orZero(r.MessageBody),
			MediaType: orZero(r.MessageMediaType), DeletedAt: orZero(r.MessageDeletedAt), CreatedAt: orZero(r.MessageCreatedAt),
		})
		v.LastMessage = &summary
	}
	return v
}

// timestamp is a nullable time as clients see it.
func timestamp(t *time.Time) domain.Timestamp { return domain.Timestamp(orZero(t)) }
