package persistence_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// idAt is a message id of that time.
func idAt(at time.Time) domain.MessageID {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return domain.MessageID(id)
}

// attached stores a file of a message, or of nobody.
func attached(t *testing.T, n *tenant, blobs *persistence.Blobs, message domain.MessageID, state string, age time.Duration) domain.FileKey {
	t.Helper()
	key := domain.FileKey{Organization: n.org, Attachment: newID[domain.AttachmentID]()}
	_, err := blobs.Put(t.Context(), key, bytes.NewReader([]byte("\x89PNG\r\n\x1a\n")), func(string) int64 { return 100 })
	require.NoError(t, err)
	n.exec(`INSERT INTO attachments (id, organization_id, message_id, state, created_at) VALUES ($1, $2, $3, $4, now() - $5 * interval '1 second')`,
		key.Attachment, n.org, message, state, age.Seconds())
	return key
}

func TestRetentionTakesMessagesAndTheirFiles(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	n.exec(`UPDATE organizations SET created_at = $1`, dawn)
	reads := openReads(t, database)
	blobs, err := persistence.OpenBlobs(t.TempDir(), time.Now())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, blobs.Close()) })
	id := n.conversation(number(1), "Grace", 0)
	say := func(at time.Time, m domain.Message) domain.MessageID {
		m.ID, m.CreatedAt = idAt(at), at
		return n.message(id, m).ID
	}
	now := dawn.Add(10 * 24 * time.Hour)
	cutoff := now.Add(-7 * 24 * time.Hour)
	var files []domain.FileKey
	for i := range 1203 { // more than two batches
		old := say(dawn.Add(time.Duration(i)*time.Millisecond), domain.Message{Body: "old"})
		if i%400 == 0 {
			files = append(files, attached(t, n, blobs, old, "stored", 0))
		}
	}
	edge := say(cutoff, domain.Message{Body: "just young enough"})
	kept := attached(t, n, blobs, edge, "stored", 0)
	unsent := say(dawn, domain.Message{Body: "waits", Direction: domain.Outbound, Status: domain.StatusPending})
	n.exec(`UPDATE messages SET send_state = 'queued' WHERE id = $1`, unsent)
	clean := func(retention time.Duration) persistence.Cleaned {
		done, err := persistence.NewCleanup(reads, blobs, at(now), retention).Run(t.Context())
		require.NoError(t, err)
		return done
	}
	require.Zero(t, clean(0), "off by default")
	require.Zero(t, clean(7*24*time.Hour).Messages, "no day is aggregated yet")
	figures := persistence.NewFigures(reads, at(now))
	_, _, err = figures.AggregateNext(t.Context())
	require.NoError(t, err)
	n.exec(`UPDATE messages SET created_at = $2 WHERE id = $1`, edge, cutoff)
	aggregateAll(t, figures)
	done := clean(7 * 24 * time.Hour)
	require.EqualValues(t, 1203, done.Messages)
	require.EqualValues(t, len(files), done.Files)
	require.Equal(t, 2, count(t, database, `SELECT count(*) FROM messages`))
	require.Equal(t, 1, count(t, database, `SELECT count(*) FROM attachments`))
	for _, key := range files {
		_, err := blobs.Open(t.Context(), key)
		require.ErrorIs(t, err, domain.ErrNotFound)
	}
	content, err := blobs.Open(t.Context(), kept)
	require.NoError(t, err)
	require.NoError(t, content.Close())
	require.Equal(t, persistence.Cleaned{}, clean(7*24*time.Hour), "a second run finds nothing")

	n.exec(`DELETE FROM messages`)
	views, _, err := newConversations(t, reads).List(t.Context(), n.org, domain.ConversationFilter{Page: first})
	require.NoError(t, err)
	require.Len(t, views, 1, "the conversation stays")
	require.Nil(t, views[0].LastMessage)
}

func TestCleanUp(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	reads := openReads(t, database)
	blobs, err := persistence.OpenBlobs(t.TempDir(), time.Now())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, blobs.Close()) })
	for i, ended := range []string{"now() - interval '91 days'", "now() - interval '89 days'", "NULL"} {
		n.exec(fmt.Sprintf(`INSERT INTO agent_sessions (agent_id, connection_id, node_id, created_at, ended_at)
			VALUES ($1, $2, 'n', now() - interval '92 days', %s)`, ended), ada, fmt.Sprint(i))
	}
	for i, expires := range []string{"now() - interval '3 days'", "now() - interval '1 day'", "now()"} {
		n.exec(fmt.Sprintf(`INSERT INTO sessions (id, user_id, refresh_hash, family, expires_at) VALUES ($1, $2, $3, $1, %s)`, expires),
			uuid.New(), ada, []byte{byte(i)})
	}
	for _, times := range []string{"now(), now()", "now() - interval '31 days', NULL", "now(), NULL"} {
		n.exec(fmt.Sprintf(`INSERT INTO webhook_dead_letters (provider, reason, payload, received_at, replayed_at) VALUES ('WHATSAPP', 'x', '', %s)`, times))
	}
	var none domain.MessageID
	message := n.message(n.conversation(number(1), "", 0), domain.Message{})
	unused, fresh := attached(t, n, blobs, none, "stored", 25*time.Hour), attached(t, n, blobs, none, "stored", 23*time.Hour)
	used, lost := attached(t, n, blobs, message.ID, "stored", 25*time.Hour), attached(t, n, blobs, message.ID, "failed", 25*time.Hour)

	done, err := persistence.NewCleanup(reads, blobs, time.Now, 0).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, persistence.Cleaned{Files: 1, AgentSessions: 1, Sessions: 1, DeadLetters: 2}, done)
	_, err = blobs.Open(t.Context(), unused)
	require.ErrorIs(t, err, domain.ErrNotFound)
	for _, key := range []domain.FileKey{fresh, used, lost} {
		require.Equal(t, 1, count(t, database, `SELECT count(*) FROM attachments WHERE id = $1`, key.Attachment))
		content, err := blobs.Open(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, content.Close())
	}
}
