package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph"
)

// bareDatabase stores rows as fast as the database takes them: many to a
// transaction, on several connections, with nothing to check.
type bareDatabase struct {
	org     domain.OrganizationID
	channel domain.ChannelID
	shares  []*floorShare
}

// floorShare is what one connection works on: no other touches its rows.
type floorShare struct {
	conn          *pgx.Conn
	conversations [][16]byte
	agents        [][16]byte
	seq           int64 // of the newest event of each of the conversations
}

const (
	floorConnections = 4
	floorBatch       = 500 // rows of each table in one transaction
)

// openBareDatabase makes an organization with conversations of its own in the
// database, and as many agents.
func openBareDatabase(ctx context.Context, url string) (_ *bareDatabase, err error) {
	d := &bareDatabase{org: domain.OrganizationID(entropy()), channel: domain.ChannelID(entropy())}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the bare database: %w", err), d.close())
		}
	}()
	for range floorConnections {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return nil, err
		}
		d.shares = append(d.shares, &floorShare{conn: conn})
	}
	conn := d.shares[0].conn
	name := "floor-" + uuid.UUID(d.org).String()
	if _, err := conn.Exec(ctx, `INSERT INTO organizations (id, name, slug) VALUES ($1, $2, $2)`, d.org, name); err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO channels (id, organization_id, provider, name, external_id, status, proved_at, checked_at)
		VALUES ($1, $2, 'WHATSAPP', $3, $3, 'ACTIVE', now(), now() + interval '1 day')`, d.channel, d.org, name); err != nil {
		return nil, err
	}
	for i := range floorConnections * floorBatch {
		s := d.shares[i%floorConnections]
		s.conversations = append(s.conversations, entropy())
		s.agents = append(s.agents, entropy())
	}
	for _, s := range d.shares {
		if err := d.fill(ctx, s); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// fill makes the rows of a share.
func (d *bareDatabase) fill(ctx context.Context, s *floorShare) error {
	if err := insertConversations(ctx, s.conn, d.org, d.channel, s.conversations); err != nil {
		return err
	}
	_, err := s.conn.Exec(ctx, `INSERT INTO users (id, organization_id, email, password_hash, name)
		SELECT id, $2, id || '@example.invalid', 'none', 'Floor' FROM unnest($1::uuid[]) AS id`, s.agents, d.org)
	return err
}

// insertConversations makes conversations with these ids, each of a customer of
// its own.
func insertConversations(ctx context.Context, conn *pgx.Conn, org domain.OrganizationID, channel domain.ChannelID, ids [][16]byte) error {
	_, err := conn.Exec(ctx, `WITH contact AS (INSERT INTO contacts (id, organization_id, provider, provider_id)
			SELECT id, $2, 'WHATSAPP', id::text FROM unnest($1::uuid[]) AS id RETURNING id)
		INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id)
		SELECT id, $2, $3, id, id FROM contact`, ids, org, channel)
	return err
}

func (d *bareDatabase) close() error {
	var errs []error
	for _, s := range d.shares {
		errs = append(errs, s.conn.Close(context.Background()))
	}
	return errors.Join(errs...)
}

// transaction makes what one transaction of a share stores, floorBatch rows.
type transaction func(*bareDatabase, *floorShare) *pgx.Batch

// store runs transactions for at least that many rows and returns how long they
// took and how many rows it were.
func (d *bareDatabase) store(ctx context.Context, rows int, of transaction) (stored int, took time.Duration, err error) {
	prepared := make([][]*pgx.Batch, len(d.shares))
	transactions := max((rows+floorBatch-1)/floorBatch, 1)
	for n := range transactions {
		share := n % len(d.shares)
		prepared[share] = append(prepared[share], of(d, d.shares[share]))
	}
	running, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for n, s := range d.shares {
		running.Go(func() error {
			for _, batch := range prepared[n] {
				// Without BEGIN, what goes in one round trip is one transaction.
				if err := s.conn.SendBatch(ctx, batch).Close(); err != nil {
					return fmt.Errorf("store in the bare database: %w", err)
				}
			}
			return nil
		})
	}
	err = running.Wait()
	return transactions * floorBatch, time.Since(begun), err
}

// inbound stores a message, its event and the update of its conversation, for
// each conversation of the share.
func (d *bareDatabase) inbound(s *floorShare) *pgx.Batch {
	s.seq++
	n := len(s.conversations)
	messages, providerIDs, bodies, facts := make([][16]byte, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range n {
		id := uuid.Must(uuid.NewV7())
		messages[i], providerIDs[i], bodies[i] = id, "wamid."+id.String(), benchText
		facts[i] = fmt.Sprintf(`{"messageId":%q}`, id)
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE conversations c SET change_id = n.message, version = version + 1, event_seq = $3, unread_count = unread_count + 1,
			last_message_id = n.message, last_message_at = now(), last_inbound_at = now(), window_expires_at = now() + interval '24 hours', updated_at = now()
		FROM unnest($1::uuid[], $2::uuid[]) AS n (id, message) WHERE c.id = n.id`, s.conversations, messages, s.seq)
	batch.Queue(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, provider_message_id, status, provider_timestamp)
		SELECT n.id, $5, $6, n.conversation, 'INBOUND', 'text', n.body, n.provider_id, 'DELIVERED', now()
		FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS n (id, conversation, body, provider_id)`,
		messages, s.conversations, bodies, providerIDs, d.org, d.channel)
	queueEvents(batch, s, "MESSAGE_RECEIVED", nil, facts)
	return batch
}

// assign stores, for each conversation of the share, who has it, the event, and
// the load of the agent.
func (d *bareDatabase) assign(s *floorShare) *pgx.Batch {
	s.seq++
	facts := make([]string, len(s.agents))
	for i, agent := range s.agents {
		facts[i] = fmt.Sprintf(`{"agentId":%q}`, domain.UserID(agent))
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE conversations c SET change_id = $4, version = version + 1, event_seq = $3, assignment_seq = $3, status = 'ASSIGNED',
			assigned_agent_id = n.agent, assigned_at = now(), pending_since = NULL, updated_at = now()
		FROM unnest($1::uuid[], $2::uuid[]) AS n (id, agent) WHERE c.id = n.id`, s.conversations, s.agents, s.seq, uuid.UUID(entropy()))
	queueEvents(batch, s, "ACCEPTED", s.agents, facts)
	batch.Queue(`UPDATE users u SET assigned_count = assigned_count + 1 FROM unnest($1::uuid[]) AS n (id) WHERE u.id = n.id`, s.agents)
	return batch
}

// outbound stores, for each conversation of the share, a message, its claim and
// its outcome with the event: what a send writes, in three steps.
func (d *bareDatabase) outbound(s *floorShare) *pgx.Batch {
	s.seq++
	n := len(s.conversations)
	messages, providerIDs, facts := make([][16]byte, n), make([]string, n), make([]string, n)
	for i := range n {
		id := uuid.Must(uuid.NewV7())
		messages[i], providerIDs[i] = id, "wamid."+id.String()
		facts[i] = fmt.Sprintf(`{"messageId":%q}`, id)
	}
	batch := &pgx.Batch{}
	touch := func() {
		batch.Queue(`UPDATE conversations SET change_id = gen_random_uuid(), version = version + 1, updated_at = now() WHERE id = ANY($1)`, s.conversations)
	}
	touch()
	batch.Queue(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, status, send_state)
		SELECT n.id, $3, $4, n.conversation, 'OUTBOUND', 'text', $5, 'PENDING', 'queued' FROM unnest($1::uuid[], $2::uuid[]) AS n (id, conversation)`,
		messages, s.conversations, d.org, d.channel, benchText)
	touch()
	batch.Queue(`UPDATE messages SET send_state = 'sending', attempts = 1, attempt_started_at = now() WHERE id = ANY($1)`, messages)
	touch()
	batch.Queue(`UPDATE messages m SET send_state = NULL, status = 'SENT', provider_message_id = n.provider_id, provider_timestamp = now()
		FROM unnest($1::uuid[], $2::text[]) AS n (id, provider_id) WHERE m.id = n.id`, messages, providerIDs)
	queueEvents(batch, s, "MESSAGE_SENT", nil, facts)
	return batch
}

func queueEvents(batch *pgx.Batch, s *floorShare, kind string, actors [][16]byte, facts []string) {
	batch.Queue(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, actor_id, metadata)
		SELECT gen_random_uuid(), n.conversation, $3, $4::event_type, n.actor, n.facts::jsonb
		FROM unnest($1::uuid[], $2::uuid[], $5::text[]) AS n (conversation, actor, facts)`, s.conversations, actors, s.seq, kind, facts)
}

// bareSends makes n calls with the client of the Graph API alone, as many at a
// time as a channel makes.
func bareSends(ctx context.Context, platform string, account graph.Account, n int) (time.Duration, error) {
	client, err := graph.New(graph.Config{BaseURL: platform})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	var running sync.WaitGroup
	var mu sync.Mutex
	var failed error
	begun := time.Now()
	for range 256 {
		running.Go(func() {
			for i := range work {
				_, err := client.Send(ctx, account, domain.Outgoing{
					To:      domain.Alias{Kind: domain.AliasNumber, Value: fmt.Sprint(49151_0000_0000 + i)},
					Content: domain.Content{Type: domain.TypeText, Text: benchText},
				})
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
		})
	}
	running.Wait()
	if failed != nil {
		return 0, fmt.Errorf("call the platform: %w", failed)
	}
	return time.Since(begun), nil
}
