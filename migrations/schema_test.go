package migrations_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/migrations"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// Ids of the rows that seed makes; N'…' in a statement below stands for one.
const seed = `
	INSERT INTO organizations (id, name, slug) VALUES (id(1), 'One', 'one'), (id(2), 'Two', 'two');
	INSERT INTO users (id, organization_id, email, password_hash, name) VALUES (id(3), id(1), 'Ann@example.com', 'x', 'Ann');
	INSERT INTO channels (id, organization_id, provider, name, external_id, status) VALUES
		(id(4), id(1), 'WHATSAPP', 'Line', '100', 'ACTIVE'), (id(5), id(2), 'WHATSAPP', 'Line', '200', 'INACTIVE');
	INSERT INTO contacts (id, organization_id, provider, provider_id) VALUES (id(6), id(1), 'WHATSAPP', '4915550001');
	INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id) VALUES (id(7), id(1), id(4), id(6), id(8));
	INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, status, provider_message_id)
		VALUES (id(9), id(1), id(4), id(7), 'INBOUND', 'text', 'DELIVERED', 'wamid.1');
	INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, agent_id, type, status, send_state, idempotency_key)
		VALUES (id(10), id(1), id(4), id(7), 'OUTBOUND', id(3), 'text', 'PENDING', 'queued', 'key');
	INSERT INTO conversation_events (id, conversation_id, seq, event_type) VALUES (id(11), id(7), 1, 'CREATED');`

// seeded is a database with the schema and one row of the most.
func seeded(t *testing.T, empty func(testing.TB) *persistencetest.Database) *persistencetest.Database {
	t.Helper()
	database := empty(t)
	require.NoError(t, migrations.Up(t.Context(), database.SQL, logger))
	for _, statement := range []string{
		"CREATE FUNCTION id(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$",
		seed,
	} {
		_, err := database.SQL.Exec(statement)
		require.NoError(t, err)
	}
	return database
}

func TestWhatTheSchemaRefuses(t *testing.T) {
	refused := map[string]string{
		"INSERT INTO organizations (name, slug) VALUES ('x', 'one')":                                                                                                   "organizations_slug_key",
		"INSERT INTO users (organization_id, email, password_hash, name) VALUES (id(1), 'ANN@example.com', 'x', 'x')":                                                  "users_organization_email",
		"INSERT INTO users (organization_id, email, password_hash, name) VALUES (id(99), 'x', 'x', 'x')":                                                               "users_organization_id_fkey",
		"UPDATE users SET assigned_count = -1":                                                                                                                         "users_assigned_count_check",
		"UPDATE users SET max_conversations = 0":                                                                                                                       "users_max_conversations_check",
		"UPDATE users SET role = 'OWNER'":                                                                                                                              "user_role",
		"INSERT INTO channels (organization_id, provider, name, external_id, status) VALUES (id(2), 'WHATSAPP', 'x', '100', 'ERROR')":                                  "channels_provider_external_id",
		"INSERT INTO contacts (id, organization_id, provider, provider_id) VALUES (id(20), id(1), 'WHATSAPP', '4915550001')":                                           "contacts_organization_id_provider_provider_id_key",
		"INSERT INTO contact_aliases (organization_id, provider, alias, kind, contact_id) VALUES (id(1), 'WHATSAPP', '1', 'PHONE', id(99))":                            "contact_aliases_contact_id_fkey",
		"INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id) VALUES (id(20), id(1), id(4), id(6), id(21))":                              "conversations_contact_id_channel_id_key",
		"INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id) VALUES (id(20), id(1), id(4), id(99), id(21))":                             "conversations_contact_id_fkey",
		"UPDATE conversations SET status = 'ASSIGNED'":                                                                                                                 "conversations_holder",
		"UPDATE conversations SET assigned_agent_id = id(3), assigned_at = now()":                                                                                      "conversations_holder",
		"UPDATE conversations SET unread_count = -1":                                                                                                                   "conversations_unread_count_check",
		"UPDATE messages SET send_state = 'queued' WHERE direction = 'INBOUND'":                                                                                        "messages_send_state",
		"UPDATE messages SET status = 'SENT' WHERE direction = 'OUTBOUND'":                                                                                             "messages_send_state",
		message("id(20), id(1), id(4), id(7), 'INBOUND', null, 'text', 'DELIVERED', 'wamid.1', null"):                                                                  "messages_provider_id",
		message("id(20), id(1), id(4), id(7), 'OUTBOUND', id(3), 'text', 'PENDING', null, 'key'"):                                                                      "messages_idempotency",
		"INSERT INTO conversation_events (id, conversation_id, seq, event_type) VALUES (id(20), id(7), 1, 'ACCEPTED')":                                                 "conversation_events_pkey",
		"INSERT INTO agent_sessions (agent_id, connection_id, node_id) VALUES (id(3), 'c', 'n'), (id(3), 'c', 'n')":                                                    "agent_sessions_connection_id_key",
		"INSERT INTO performance_metrics (organization_id, agent_id, date) VALUES (id(1), id(3), '2026-01-31'), (id(1), id(3), '2026-01-31')":                          "performance_metrics_agent_id_date_key",
		"INSERT INTO sessions (user_id, refresh_hash, family, expires_at) VALUES (id(3), '\\x01', id(30), now()), (id(3), '\\x01', id(31), now())":                     "sessions_refresh_hash_key",
		"INSERT INTO sessions (user_id, refresh_hash, family, expires_at) VALUES (id(3), '\\x01', id(30), now())":                                                      "sessions_family_fkey",
		"INSERT INTO sessions (id, user_id, refresh_hash, family, expires_at) VALUES (id(30), id(3), '\\x01', id(30), now()), (id(31), id(3), '\\x02', id(30), now())": "sessions_unspent",
		"INSERT INTO attachments (organization_id, size_bytes) VALUES (id(1), -1)":                                                                                     "attachments_size_bytes_check",
		"INSERT INTO admin_audit (organization_id, actor_id, action, subject) VALUES (id(1), id(99), 'x', 'x')":                                                        "admin_audit_actor_id_fkey",
	}
	onEachServer(t, func(t *testing.T, empty func(testing.TB) *persistencetest.Database) {
		db := seeded(t, empty).SQL
		for statement, constraint := range refused {
			_, err := db.Exec(statement)
			require.ErrorContains(t, err, constraint, statement)
		}
	})
}

func message(values string) string {
	return "INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, agent_id, type, status, provider_message_id, idempotency_key) VALUES (" + values + ")"
}

func TestWhatTheSchemaTakes(t *testing.T) {
	taken := []string{
		// The same e-mail in another organization; the same number on a channel that reserves nothing.
		"INSERT INTO users (organization_id, email, password_hash, name) VALUES (id(2), 'ann@example.com', 'x', 'x')",
		"INSERT INTO channels (organization_id, provider, name, external_id) VALUES (id(2), 'WHATSAPP', 'x', '100')",
		// The same message id on another tenant's channel; no ids, no keys.
		message("id(20), id(2), id(5), id(7), 'INBOUND', null, 'text', 'DELIVERED', 'wamid.1', null"),
		message("id(21), id(1), id(4), id(7), 'OUTBOUND', id(3), 'text', 'PENDING', null, null"),
		message("id(22), id(1), id(4), id(7), 'OUTBOUND', id(3), 'text', 'PENDING', null, null"),
		// Who completed a conversation, and who has it.
		"UPDATE conversations SET status = 'ASSIGNED', assigned_agent_id = id(3), assigned_at = now()",
		"UPDATE conversations SET status = 'COMPLETED'",
		// Aliases and conversations before their contact, in one transaction.
		`WITH alias AS (
			INSERT INTO contact_aliases (organization_id, provider, alias, kind, contact_id) VALUES (id(1), 'WHATSAPP', '4915550002', 'PHONE', id(30))
		), conversation AS (
			INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id) VALUES (id(31), id(1), id(4), id(30), id(32))
		) INSERT INTO contacts (id, organization_id, provider, provider_id) VALUES (id(30), id(1), 'WHATSAPP', '4915550002')`,
		// What nobody can read, of nobody.
		`INSERT INTO webhook_dead_letters (provider, reason, headers, payload) VALUES ('MESSENGER', 'not JSON', '{"a":["b"]}', '\x00ff')`,
	}
	onEachServer(t, func(t *testing.T, empty func(testing.TB) *persistencetest.Database) {
		db := seeded(t, empty).SQL
		for _, statement := range taken {
			_, err := db.Exec(statement)
			require.NoError(t, err, statement)
		}
	})
}

// TestIndexesAreUsed asks for the plans of the queries that indexes were made
// for; that a sequential scan is cheaper on a nearly empty table is put aside.
func TestIndexesAreUsed(t *testing.T) {
	queries := map[string]string{
		"SELECT FROM conversations WHERE organization_id = id(1) AND status = 'PENDING' ORDER BY last_message_at DESC, id DESC LIMIT 20": "conversations_list",
		"SELECT FROM conversations WHERE assigned_agent_id = id(3) ORDER BY last_message_at DESC":                                        "conversations_agent",
		"SELECT FROM conversations WHERE channel_id = id(4) ORDER BY last_message_at DESC LIMIT 20":                                      "conversations_channel",
		"SELECT FROM conversations WHERE contact_id = id(6)":                                                                             "conversations_contact_id_channel_id_key",
		"SELECT FROM messages WHERE conversation_id = id(7) AND id < id(99) ORDER BY id DESC LIMIT 50":                                   "messages_conversation",
		"SELECT FROM messages WHERE channel_id = id(4) AND provider_message_id = 'wamid.1'":                                              "messages_provider_id",
		"SELECT FROM messages WHERE send_state IS NOT NULL AND channel_id = id(4)":                                                       "messages_outbox",
		"SELECT FROM messages WHERE send_state = 'queued' AND channel_id = id(4) AND conversation_id = id(7) ORDER BY id":                "messages_outbox",
		"SELECT FROM messages WHERE agent_id = id(3) AND created_at >= now()":                                                            "messages_agent",
		"SELECT FROM messages WHERE created_at < now()":                                                                                  "messages_created_at",
		"SELECT FROM conversation_events WHERE conversation_id = id(7) ORDER BY seq DESC LIMIT 20":                                       "conversation_events_pkey",
		"SELECT FROM conversation_events WHERE event_type = 'ACCEPTED' AND created_at >= now()":                                          "conversation_events_type",
		"SELECT FROM conversation_events WHERE event_type IN ('ACCEPTED', 'RELEASED') AND created_at >= now()":                           "conversation_events_type",
		"SELECT FROM conversation_events WHERE created_at < now()":                                                                       "conversation_events_created_at",
		"SELECT FROM sessions WHERE family = id(30) AND rotated_at IS NULL":                                                              "sessions_unspent",
		"SELECT FROM sessions WHERE revoked_at > now() - interval '16 minutes'":                                                          "sessions_revoked_at",
		"SELECT FROM sessions WHERE expires_at < now() - interval '2 days' ORDER BY expires_at LIMIT 100":                                "sessions_expires_at",
		"SELECT FROM agent_sessions WHERE agent_id = id(3) ORDER BY ended_at DESC LIMIT 1":                                               "agent_sessions_ended",
		"SELECT FROM conversations WHERE channel_id = id(4) AND status = 'PENDING' ORDER BY pending_since, id LIMIT 9":                   "conversations_waiting",
		"SELECT FROM attachments WHERE channel_id = id(4) AND state = 'pending' ORDER BY created_at LIMIT 8":                             "attachments_channel_pending",
		"SELECT FROM attachments WHERE message_id IS NULL AND created_at < now()":                                                        "attachments_unused",
		"SELECT FROM users WHERE lower(email) = 'ann@example.com'":                                                                       "users_email",
	}
	onEachServer(t, func(t *testing.T, empty func(testing.TB) *persistencetest.Database) {
		connection, err := pgx.Connect(t.Context(), seeded(t, empty).URL)
		require.NoError(t, err)
		defer func() { require.NoError(t, connection.Close(context.Background())) }()
		_, err = connection.Exec(t.Context(), "SET enable_seqscan = off; SET enable_sort = off")
		require.NoError(t, err)
		for query, index := range queries {
			rows, err := connection.Query(t.Context(), "EXPLAIN "+query)
			require.NoError(t, err)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.Contains(t, strings.Join(lines, "\n"), index, query)
		}
	})
}

func TestConfigurationAnnouncesItsChanges(t *testing.T) {
	onEachServer(t, func(t *testing.T, empty func(testing.TB) *persistencetest.Database) {
		database := seeded(t, empty)
		listener, err := pgx.Connect(t.Context(), database.URL)
		require.NoError(t, err)
		defer func() { require.NoError(t, listener.Close(context.Background())) }()
		_, err = listener.Exec(t.Context(), "LISTEN chatopshub_config")
		require.NoError(t, err)
		last := logged(t, database.SQL, 0)
		require.Len(t, last, 3, "seed made a user and two channels")

		for statement, want := range map[string]string{
			"UPDATE users SET name = 'Anne', updated_at = now()":    "user 00000000-0000-0000-0000-000000000001 00000000-0000-0000-0000-000000000003",
			"UPDATE channels SET status = 'ERROR' WHERE id = id(4)": "channel 00000000-0000-0000-0000-000000000001 00000000-0000-0000-0000-000000000004",
			"DELETE FROM channels WHERE id = id(5)":                 "channel 00000000-0000-0000-0000-000000000002 00000000-0000-0000-0000-000000000005",
			"INSERT INTO change_log (kind) VALUES ('other')":        "other  ",
		} {
			known := len(logged(t, database.SQL, 0))
			_, err := database.SQL.Exec(statement)
			require.NoError(t, err)
			require.Equal(t, []string{want}, logged(t, database.SQL, known), statement)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			notification, err := listener.WaitForNotification(ctx)
			cancel()
			require.NoError(t, err, statement)
			require.Equal(t, "chatopshub_config", notification.Channel)
		}
		known := len(logged(t, database.SQL, 0))
		for _, quiet := range []string{
			"UPDATE users SET assigned_count = assigned_count + 1, updated_at = now()",
			"UPDATE channels SET last_error = 'x', updated_at = now()",
		} {
			_, err := database.SQL.Exec(quiet)
			require.NoError(t, err)
		}
		require.Empty(t, logged(t, database.SQL, known))
	})
}

// logged is the change log after the first known rows.
func logged(t *testing.T, db *sql.DB, known int) []string {
	t.Helper()
	rows, err := db.Query("SELECT concat_ws(' ', kind, coalesce(organization_id::text, ''), coalesce(subject::text, '')) FROM change_log ORDER BY id OFFSET $1", known)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var lines []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		lines = append(lines, line)
	}
	require.NoError(t, rows.Err())
	return lines
}
