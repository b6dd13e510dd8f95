package persistence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/chatopshub/chatopshub/domain"
)

// Loader reads the states of conversations for their actors, many with one
// query. It checks no organization: an actor is addressed by its conversation,
// and the rules refuse callers of another organization.
type Loader struct {
	reads         *Reads
	conversations *batcher[domain.ConversationID, domain.Conversation]
	messages      *batcher[messageQuestion, []domain.Message]
}

// messageQuestion asks for some messages of one conversation.
type messageQuestion struct {
	conversation domain.ConversationID
	channel      domain.ChannelID
	targets      domain.Targets
}

// NewLoader makes a loader; it answers while Run runs.
func NewLoader(reads *Reads) *Loader {
	l := &Loader{reads: reads}
	l.conversations = newBatcher("load conversations", l.loadConversations)
	l.messages = newBatcher("load messages", l.loadMessages)
	return l
}

// Run answers loads until ctx ends. Loads that wait then, and later ones, fail
// with domain.ErrUnavailable.
func (l *Loader) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { l.conversations.run(ctx); return nil })
	group.Go(func() error { l.messages.run(ctx); return nil })
	return group.Wait()
}

// Load reads the state of a conversation, with its outbox: of what is unsent the
// oldest domain.MaxUnsent. done gets the zero state with only the ID when the
// conversation doesn't exist. Many loads at once become one query. done is
// called exactly once and must not block: on a goroutine of the loader, or,
// when the load is refused at once with domain.ErrOverloaded or (after Run has
// ended) domain.ErrUnavailable, on the caller's. The state may be shared with
// other askers: don't write to what its slices hold.
func (l *Loader) Load(id domain.ConversationID, done func(domain.Conversation, error)) {
	l.conversations.ask(id, done)
}

// LoadMessages reads those messages of t that belong to the conversation, in
// the order of their ids: by provider id on the conversation's channel, by id, by
// the key under which an agent asked for it, and the outbound ones not READ whose time at the provider (else of creation)
// is not after t.UnreadUpTo. Of the last only the newest 1,000, and only among
// the newest 5,000 messages of the thread. done is called as Load does.
func (l *Loader) LoadMessages(c domain.ConversationID, channel domain.ChannelID, t domain.Targets, done func([]domain.Message, error)) {
	l.messages.ask(messageQuestion{c, channel, t}, done)
}

func (l *Loader) loadConversations(ctx context.Context, ids []domain.ConversationID) ([]domain.Conversation, error) {
	rows, err := l.reads.pool.Query(ctx, l.reads.queries.LoadConversations, uuidsOf(ids), domain.MaxUnsent)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanConversation)
	if err != nil {
		return nil, err
	}
	byID := make(map[domain.ConversationID]*domain.Conversation, len(found))
	for i := range found {
		byID[found[i].ID] = &found[i]
	}
	states := make([]domain.Conversation, len(ids))
	for i, id := range ids {
		states[i] = domain.Conversation{ID: id}
		if c := byID[id]; c != nil {
			states[i] = *c
		}
	}
	return states, nil
}

// scanConversation reads a row of load-conversations.
func scanConversation(row pgx.CollectableRow) (domain.Conversation, error) {
	var (
		c                                               domain.Conversation
		assigned, pending, inbound, firstResponse, ends *time.Time
		early                                           []byte
		holder                                          *string
		unsent                                          unsentColumns
	)
	err := row.Scan(&c.ID, &c.Organization, &c.Channel, &c.Contact, (*string)(&c.Provider), (*string)(&c.Status),
		&c.Holder, &assigned, &c.Assignment,
		&pending, &c.LastMessageAt, &inbound, &firstResponse, &ends, &c.Unread,
		&c.Head, &c.Version, &c.EventSeq, &c.LastMessage, &c.CreatedAt, &c.UpdatedAt, (*[]byte)(&c.Metadata), &early,
		&c.ChannelName, &c.ContactName, &c.ContactAlias, &holder, &c.Recipient, &c.Merged,
		&unsent.ids, &unsent.types, &unsent.states, &unsent.claims, &unsent.due)
	if err != nil {
		return c, err
	}
	c.AssignedAt, c.PendingSince, c.LastInboundAt = orZero(assigned), orZero(pending), orZero(inbound)
	c.FirstResponseAt, c.WindowExpiresAt, c.HolderName = orZero(firstResponse), orZero(ends), orZero(holder)
	if string(c.Metadata) == "{}" {
		c.Metadata = nil // most have none: nothing to keep resident
	}
	if err := json.Unmarshal(early, &c.Early); err != nil {
		return c, fmt.Errorf("early statuses of conversation %s: %w", c.ID, err)
	}
	if len(c.Early) == 0 {
		c.Early = nil
	}
	c.Outbox = unsent.outbox()
	return c, nil
}

// unsentColumns is the outbox of a conversation as load-conversations brings it;
// NULL, thus nil, where nothing is unsent.
type unsentColumns struct {
	ids           []domain.MessageID
	types, states []string
	claims, due   []*time.Time
}

func (u *unsentColumns) outbox() []domain.Unsent {
	if len(u.ids) == 0 {
		return nil
	}
	outbox := make([]domain.Unsent, len(u.ids))
	for i, id := range u.ids {
		outbox[i] = domain.Unsent{
			Message: id, Type: domain.MessageType(u.types[i]), State: domain.SendState(u.states[i]),
			Claim: orZero(u.claims[i]), Due: orZero(u.due[i]),
		}
	}
	return outbox
}

func (l *Loader) loadMessages(ctx context.Context, questions []messageQuestion) ([][]domain.Message, error) {
	rows, err := l.reads.pool.Query(ctx, l.reads.queries.LoadMessages, messageParams(questions)...)
	if err != nil {
		return nil, err
	}
	answers := make([][]domain.Message, len(questions))
	for rows.Next() {
		var n int
		var row messageRow
		if err := rows.Scan(append([]any{&n}, row.columns()...)...); err != nil {
			rows.Close()
			return nil, err
		}
		m, err := row.message()
		if err != nil {
			rows.Close()
			return nil, err
		}
		answers[n] = append(answers[n], m)
	}
	return answers, rows.Err()
}

// messageParams are the parameters of load-messages: four tables, column by
// column, each with the number of the question.
func messageParams(questions []messageQuestion) []any {
	var (
		providerN, idN, unreadN                                  []int32
		providerConversations, channels, idConversations, unread [][16]byte
		ids                                                      [][16]byte
		providerIDs                                              []string
		upTo                                                     []time.Time
		requestN                                                 []int32
		requestConversations, agents                             [][16]byte
		keys                                                     []string
	)
	for i, q := range questions {
		n, conversation := int32(i), [16]byte(q.conversation)
		for _, id := range q.targets.ProviderIDs {
			providerN = append(providerN, n)
			providerConversations = append(providerConversations, conversation)
			channels = append(channels, q.channel)
			providerIDs = append(providerIDs, id)
		}
		for _, id := range q.targets.IDs {
			idN, idConversations, ids = append(idN, n), append(idConversations, conversation), append(ids, id)
		}
		for _, r := range q.targets.Requests {
			requestN, requestConversations = append(requestN, n), append(requestConversations, conversation)
			agents, keys = append(agents, r.Agent), append(keys, r.Key)
		}
		if !q.targets.UnreadUpTo.IsZero() {
			unreadN, unread = append(unreadN, n), append(unread, conversation)
			upTo = append(upTo, q.targets.UnreadUpTo)
		}
	}
	return []any{
		providerN, providerConversations, channels, providerIDs,
		idN, idConversations, ids,
		unreadN, unread, upTo,
		requestN, requestConversations, agents, keys,
	}
}

// uuidsOf is ids as pgx sends them without a detour over text.
func uuidsOf[K any](ids []domain.ID[K]) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
