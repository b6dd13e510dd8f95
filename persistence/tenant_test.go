package persistence_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// dawn is when the tests' world begins.
var dawn = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// openReads opens a pool on the database for as long as the test runs.
func openReads(t testing.TB, database *persistencetest.Database) *persistence.Reads {
	t.Helper()
	reads, err := persistence.OpenReads(t.Context(), persistence.Config{URL: database.URL, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, reads.Close()) })
	return reads
}

// running runs a part until the test ends.
func running(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

// tenant is an organization with a channel, and makes rows of it.
type tenant struct {
	t       testing.TB
	db      *persistencetest.Database
	org     domain.OrganizationID
	channel domain.ChannelID
}

func newTenant(t testing.TB, db *persistencetest.Database, slug string) *tenant {
	t.Helper()
	n := &tenant{t: t, db: db, org: newID[domain.OrganizationID](), channel: newID[domain.ChannelID]()}
	n.exec(`INSERT INTO organizations (id, name, slug) VALUES ($1, $2, $2)`, n.org, slug)
	n.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status)
		VALUES ($1, $2, 'WHATSAPP', $3, $3, 'ACTIVE')`, n.channel, n.org, "channel of "+slug)
	return n
}

func (n *tenant) exec(query string, args ...any) {
	n.t.Helper()
	_, err := n.db.SQL.ExecContext(context.Background(), query, args...)
	require.NoError(n.t, err)
}

func (n *tenant) agent(name string) domain.UserID {
	n.t.Helper()
	id := newID[domain.UserID]()
	n.exec(`INSERT INTO users (id, organization_id, email, password_hash, name)
		VALUES ($1, $2, $3, 'hash of ' || $4, $4)`, id, n.org, name+"@example.com", name)
	return id
}

func (n *tenant) contact(number, name string) domain.ContactID {
	n.t.Helper()
	id := domain.ContactIDFor(n.org, domain.WhatsApp, number)
	n.exec(`INSERT INTO contacts (id, organization_id, provider, provider_id, display_name)
		VALUES ($1, $2, 'WHATSAPP', $3, $4)`, id, n.org, number, name)
	n.alias(id, domain.AliasNumber, number)
	return id
}

func (n *tenant) alias(contact domain.ContactID, kind domain.AliasKind, value string) {
	n.t.Helper()
	n.exec(`INSERT INTO contact_aliases (organization_id, provider, alias, kind, contact_id)
		VALUES ($1, 'WHATSAPP', $2, $3, $4)`, n.org, value, string(kind), contact)
}

// conversation makes a PENDING conversation of a new contact; its newest
// message is at dawn plus age.
func (n *tenant) conversation(number, name string, age time.Duration) domain.ConversationID {
	n.t.Helper()
	contact := n.contact(number, name)
	id := domain.ConversationIDFor(n.channel, contact)
	n.exec(`INSERT INTO conversations (id, organization_id, channel_id, contact_id, last_message_at, change_id, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $5, $5)`, id, n.org, n.channel, contact, dawn.Add(age), uuid.New())
	return id
}

// assign makes the conversation the agent's.
func (n *tenant) assign(id domain.ConversationID, agent domain.UserID) {
	n.t.Helper()
	n.exec(`UPDATE conversations SET status = 'ASSIGNED', assigned_agent_id = $2, assigned_at = $3 WHERE id = $1`, id, agent, dawn)
}

// message inserts m, completed with defaults, as the conversation's newest.
func (n *tenant) message(conversation domain.ConversationID, m domain.Message) domain.Message {
	n.t.Helper()
	if m.ID.IsZero() {
		m.ID = newID[domain.MessageID]()
	}
	if m.Direction == "" {
		m.Direction, m.Status = domain.Inbound, domain.StatusDelivered
	}
	m.Type = domain.TypeText
	if m.CreatedAt.IsZero() {
		m.CreatedAt = dawn
	}
	m.UpdatedAt = m.CreatedAt
	n.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, provider_message_id,
			status, provider_timestamp, deleted_at, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, 'text', nullif($6, ''), nullif($7, ''), $8, $9, $10, $11, $11)`,
		m.ID, n.org, n.channel, conversation, string(m.Direction), m.Body, m.ProviderMessageID,
		string(m.Status), orNull(m.ProviderAt), orNull(m.DeletedAt), m.CreatedAt)
	n.exec(`UPDATE conversations SET last_message_id = $2 WHERE id = $1`, conversation, m.ID)
	return m
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// newID makes UUIDs that increase, as message ids do.
func newID[T ~[16]byte]() T { return T(uuid.Must(uuid.NewV7())) }

func number(i int) string { return fmt.Sprintf("49151%07d", i) }
