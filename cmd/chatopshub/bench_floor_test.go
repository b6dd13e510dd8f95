package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// The floors: what the machine would do for a server that had nothing else to
// do than what can't be avoided.

// bareWebhook is an endpoint that checks the signature, reads the message, and
// forgets it.
func bareWebhook() http.Handler {
	type payload struct {
		Entry []struct {
			Changes []struct {
				Value struct {
					Metadata struct {
						PhoneNumberID string `json:"phone_number_id"`
					} `json:"metadata"`
					Messages []struct {
						ID, From, Timestamp, Type string
						Text                      struct{ Body string }
					} `json:"messages"`
				} `json:"value"`
			} `json:"changes"`
		} `json:"entry"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(testAppSecret))
		mac.Write(body)
		claimed, decodeErr := hex.DecodeString(strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
		if err != nil || decodeErr != nil || !hmac.Equal(mac.Sum(nil), claimed) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var p payload
		if json.Unmarshal(body, &p) != nil || len(p.Entry[0].Changes[0].Value.Messages) != 1 {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
}

// bareCommand is an endpoint that checks the token and always answers the same.
func bareCommand(status int, answer []byte) http.Handler {
	issuer := auth.Issuer{Key: auth.DeriveKey([]byte(testAuthSecret), auth.AccessTokenLabel), TTL: time.Hour, Now: time.Now}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if _, err := issuer.Authenticate(r.Context(), token); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(answer) // the client finds what is missing
	})
}

// bareDatabase stores rows as fast as the database takes them: many to a
// transaction, on several connections, with nothing to check.
type bareDatabase struct {
	rows   *tenantRows
	shares []*floorShare
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

// newBareDatabase makes conversations of its own in db, and as many agents.
func newBareDatabase(b *testing.B, db *persistencetest.Database) *bareDatabase {
	b.Helper()
	d := &bareDatabase{rows: newTenantRows(b, db, "floor", "floor")}
	for range floorConnections {
		conn, err := pgx.Connect(b.Context(), db.URL)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, conn.Close(context.Background())) })
		d.shares = append(d.shares, &floorShare{conn: conn})
	}
	for i := range floorConnections * floorBatch {
		s := d.shares[i%floorConnections]
		s.conversations = append(s.conversations, entropy())
	}
	for _, s := range d.shares {
		insertConversations(d.rows, s.conversations)
	}
	for i, agent := range manyAgents(d.rows, floorConnections*floorBatch) {
		s := d.shares[i%floorConnections]
		s.agents = append(s.agents, agent.id)
	}
	return d
}

// insertConversations makes conversations with these ids, each of a customer of
// its own.
func insertConversations(n *tenantRows, ids [][16]byte) {
	n.exec(`WITH contact AS (INSERT INTO contacts (id, organization_id, provider, provider_id)
			SELECT id, $2, 'WHATSAPP', id::text FROM unnest($1::uuid[]) AS id RETURNING id)
		INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id)
		SELECT id, $2, $3, id, id FROM contact`, ids, n.org, n.channel)
}

// store runs transactions for that many rows and returns how long they took.
func (d *bareDatabase) store(b *testing.B, rows int, transaction func(*bareDatabase, *floorShare) *pgx.Batch) time.Duration {
	b.Helper()
	prepared := make([][]*pgx.Batch, len(d.shares))
	for n := range rows / floorBatch {
		share := n % len(d.shares)
		prepared[share] = append(prepared[share], transaction(d, d.shares[share]))
	}
	var running errgroup.Group
	begun := time.Now()
	for n, s := range d.shares {
		running.Go(func() error {
			for _, batch := range prepared[n] {
				// Without BEGIN, what goes in one round trip is one transaction.
				if err := s.conn.SendBatch(b.Context(), batch).Close(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, running.Wait())
	return time.Since(begun)
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
		messages, s.conversations, bodies, providerIDs, d.rows.org, d.rows.channel)
	d.queueEvents(batch, s, "MESSAGE_RECEIVED", nil, facts)
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
	d.queueEvents(batch, s, "ACCEPTED", s.agents, facts)
	batch.Queue(`UPDATE users u SET assigned_count = assigned_count + 1 FROM unnest($1::uuid[]) AS n (id) WHERE u.id = n.id`, s.agents)
	return batch
}

func (d *bareDatabase) queueEvents(batch *pgx.Batch, s *floorShare, kind string, actors [][16]byte, facts []string) {
	batch.Queue(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, actor_id, metadata)
		SELECT gen_random_uuid(), n.conversation, $3, $4::event_type, n.actor, n.facts::jsonb
		FROM unnest($1::uuid[], $2::uuid[], $5::text[]) AS n (conversation, actor, facts)`, s.conversations, actors, s.seq, kind, facts)
}
