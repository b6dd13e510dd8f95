package persistence_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// backlog is 20,000 conversations with 200,000 messages, a tenth of them in one
// long thread. Of 1,000 channels that don't send each has an unsent message, and
// one has 100,000; those that send have 50.
const backlog = `
INSERT INTO organizations (id, name, slug) VALUES ('00000000-0000-0000-0000-00000000000a', 'large', 'large');
INSERT INTO channels (id, organization_id, provider, name, external_id, status)
	SELECT md5('channel' || n)::uuid, '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', n, n,
		(CASE WHEN n <= 2 THEN 'ACTIVE' ELSE 'ERROR' END)::channel_status FROM generate_series(1, 1002) n;
SET LOCAL session_replication_role = replica; -- no foreign keys while loading
INSERT INTO contacts (id, organization_id, provider, provider_id)
	SELECT md5('contact' || n)::uuid, '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', n FROM generate_series(1, 20000) n;
INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id)
	SELECT md5('conversation' || n)::uuid, '00000000-0000-0000-0000-00000000000a', md5('channel' || 1 + n % 2)::uuid,
		md5('contact' || n)::uuid, md5('change' || n)::uuid FROM generate_series(1, 20000) n;
INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, status, provider_message_id)
	SELECT md5('message' || n)::uuid, '00000000-0000-0000-0000-00000000000a', md5('channel' || 1 + c % 2)::uuid,
		md5('conversation' || c)::uuid, 'INBOUND', 'text', 'DELIVERED', n
	FROM (SELECT n, CASE WHEN n % 10 = 0 THEN 1 ELSE 1 + n % 20000 END AS c FROM generate_series(1, 200000) n) AS spread;
INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, status, send_state, created_at)
	SELECT md5('unsent' || n)::uuid, '00000000-0000-0000-0000-00000000000a', md5('channel' || channel)::uuid,
		md5('conversation' || channel || n % 1000)::uuid, 'OUTBOUND', 'text', 'PENDING', 'queued', '2026-03-01'
	FROM (SELECT n, CASE WHEN n <= 50 THEN 1 + n % 2 WHEN n <= 100050 THEN 3 ELSE n - 100050 + 2 END AS channel
		FROM generate_series(1, 101050) n) AS spread;
INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, agent_id, type, status, idempotency_key)
	SELECT md5('asked' || n)::uuid, '00000000-0000-0000-0000-00000000000a', md5('channel' || 1 + n % 2)::uuid,
		md5('conversation' || 1 + n % 2000)::uuid, 'OUTBOUND', md5('agent')::uuid, 'text', 'SENT', n FROM generate_series(1, 5000) n;
`

// work is what a query did, as EXPLAIN ANALYZE tells.
type work struct {
	Type     string  `json:"Node Type"`
	Table    string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Filtered float64 `json:"Rows Removed by Filter"` // on each of the loops, too
	Plans    []work
}

// of is how many rows of the table were read, and by which indexes.
func (w work) of(table string, indexes map[string]bool) float64 {
	rows := 0.0
	if w.Table == table {
		rows = (w.Rows + w.Filtered) * w.Loops
		indexes[w.Index] = true
	}
	for _, below := range w.Plans {
		rows += below.of(table, indexes)
	}
	return rows
}

// What asks for unsent messages reads these, and no others, however many there
// are, whether the server plans for the values or for any.
func TestTheOutboxIsFoundByItsIndex(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	_, err := database.SQL.Exec(backlog)
	require.NoError(t, err)
	queries := openReads(t, database).Queries()
	conn, err := pgx.Connect(t.Context(), database.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	var conversations string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT quote_literal(array_agg(md5('conversation' || n)::uuid)::text)
		FROM generate_series(101, 600) n`).Scan(&conversations))
	asked := `ARRAY[0], ARRAY[md5('conversation8')::uuid], ARRAY[md5('agent')::uuid], ARRAY['7']`
	for _, c := range []struct {
		query, args string
		most        float64 // rows of messages read
		indexes     []string
	}{
		// The messages of the two channels that send, and one look at each other.
		{"due-conversations", `'2026-04-01', NULL, 500`, 50 + 1003, []string{"messages_outbox"}},
		{"load-conversations", conversations + `, 256`, 0, []string{"messages_outbox"}},
		{"load-messages", `NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ` + asked, 2,
			[]string{"messages_idempotency", "messages_pkey", "messages_provider_id", "messages_conversation"}},
		{"newest-inbound", `'00000000-0000-0000-0000-00000000000a', md5('conversation1')::uuid`, 1000, []string{"messages_conversation"}},
	} {
		for _, when := range []string{"before", "ANALYZE"} {
			if when == "ANALYZE" {
				_, err := conn.Exec(t.Context(), when)
				require.NoError(t, err)
			}
			for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
				did, text := explain(t, conn, mode, queries[c.query], c.args)
				indexes := map[string]bool{}
				require.LessOrEqual(t, did.of("messages", indexes), c.most, "%s, %s %s\n%s", c.query, when, mode, text)
				for index := range indexes {
					require.Contains(t, c.indexes, index, "%s, %s %s\n%s", c.query, when, mode, text)
				}
			}
		}
	}
}

// explain runs the query with those arguments under a plan of that mode.
func explain(t *testing.T, conn *pgx.Conn, mode, query, args string) (did work, text string) {
	t.Helper()
	for _, statement := range []string{"SET plan_cache_mode = " + mode, "DEALLOCATE ALL", "PREPARE explained AS " + query} {
		_, err := conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
	}
	var plans []struct{ Plan work }
	statement := fmt.Sprintf("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE explained (%s)", args)
	require.NoError(t, conn.QueryRow(t.Context(), statement, pgx.QueryExecModeSimpleProtocol).Scan(&text))
	require.NoError(t, json.Unmarshal([]byte(text), &plans))
	return plans[0].Plan, text
}
