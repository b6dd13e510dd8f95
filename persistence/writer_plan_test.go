package persistence

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// fill is 50,000 conversations with 200,000 messages and events, of one
// organization with one channel.
const fill = `
INSERT INTO organizations (id, name, slug) VALUES ('00000000-0000-0000-0000-00000000000a', 'large', 'large');
INSERT INTO channels (id, organization_id, provider, name, external_id, status)
	VALUES ('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', 'c', 'c', 'ACTIVE');
INSERT INTO users (organization_id, email, password_hash, name)
	SELECT '00000000-0000-0000-0000-00000000000a', n || '@example.com', '', n FROM generate_series(1, 500) n;
SET session_replication_role = replica; -- no foreign keys while loading
INSERT INTO contacts (id, organization_id, provider, provider_id)
	SELECT md5('contact' || n)::uuid, '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', n FROM generate_series(1, 50000) n;
INSERT INTO contact_aliases (organization_id, provider, alias, kind, contact_id)
	SELECT '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', n, 'PHONE', md5('contact' || n)::uuid FROM generate_series(1, 50000) n;
INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id)
	SELECT md5('conversation' || n)::uuid, '00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000c',
		md5('contact' || n)::uuid, md5('change' || n)::uuid FROM generate_series(1, 50000) n;
INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, provider_message_id, status)
	SELECT md5('message' || n)::uuid, '00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000c',
		md5('conversation' || (n + 3) / 4)::uuid, 'INBOUND', 'text', 'hello', 'wamid.' || n, 'DELIVERED' FROM generate_series(1, 200000) n;
INSERT INTO conversation_events (id, conversation_id, seq, event_type)
	SELECT md5('event' || n)::uuid, md5('conversation' || (n + 3) / 4)::uuid, 1 + n % 4, 'MESSAGE_RECEIVED' FROM generate_series(1, 200000) n;
`

// The lanes' statements reach every table that grows by an index, whatever the
// planner knows: the plans of a lane that connected to the empty database, of
// one that connected after the load, and of one after ANALYZE.
func TestWriterPlansScanNoTable(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	early := newPlanner(t, db.URL)
	early.require(t, "empty")
	_, err := db.SQL.Exec(fill)
	require.NoError(t, err)
	early.require(t, "filled since")
	newPlanner(t, db.URL).require(t, "filled, never analyzed")
	_, err = db.SQL.Exec(`ANALYZE`)
	require.NoError(t, err)
	early.require(t, "analyzed since")
	newPlanner(t, db.URL).require(t, "analyzed")
}

// planner is a connection as lanes have it.
type planner struct {
	conn  *pgconn.PgConn
	batch *batch
}

func newPlanner(t *testing.T, url string) *planner {
	t.Helper()
	config, err := writerConnConfig(url)
	require.NoError(t, err)
	p := &planner{batch: newBatch()}
	p.conn, err = pgconn.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.conn.Close(context.Background())) })
	require.NoError(t, p.batch.prepare(t.Context(), p.conn))
	return p
}

// plan is how the server would run the statement now.
func (p *planner) plan(t *testing.T, s *statement) string {
	t.Helper()
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(s.columns)), ", ")
	results, err := p.conn.Exec(t.Context(), fmt.Sprintf("EXPLAIN (VERBOSE) EXECUTE %s (%s)", s.name, nulls)).ReadAll()
	require.NoError(t, err)
	var plan strings.Builder
	for _, line := range results[0].Rows {
		plan.Write(line[0])
		plan.WriteByte('\n')
	}
	return plan.String()
}

// require checks the plan of each statement: no table is read from one end to
// the other, be it by a sequential scan or by an index without condition.
func (p *planner) require(t *testing.T, when string) {
	t.Helper()
	for _, s := range append(p.batch.steps(), p.batch.recognize) {
		plan := p.plan(t, s)
		require.Contains(t, plan, "($1", "a generic plan")
		require.NotContains(t, plan, "Seq Scan", "%s, %s:\n%s", s.name, when, plan)
		for _, node := range strings.Split(plan, "->") {
			if strings.Contains(node, "Index Scan") || strings.Contains(node, "Index Only Scan") {
				require.Contains(t, node, "Index Cond", "%s, %s:\n%s", s.name, when, plan)
			}
		}
	}
}
