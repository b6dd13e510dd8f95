package persistence

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// house is an organization with one channel.
const house = `
INSERT INTO organizations (id, name, slug) VALUES ('00000000-0000-0000-0000-00000000000a', 'large', 'large');
INSERT INTO channels (id, organization_id, provider, name, external_id, status)
	VALUES ('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', 'c', 'c', 'ACTIVE');
INSERT INTO users (organization_id, email, password_hash, name)
	SELECT '00000000-0000-0000-0000-00000000000a', n || '@example.com', '', n FROM generate_series(1, 500) n;
`

// move in is so many customers with their conversations, from and to.
const moveIn = `
SET LOCAL session_replication_role = replica; -- no foreign keys while loading
INSERT INTO contacts (id, organization_id, provider, provider_id)
	SELECT md5('contact' || n)::uuid, '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', n FROM generate_series(%[1]d, %[2]d) n;
INSERT INTO contact_aliases (organization_id, provider, alias, kind, contact_id)
	SELECT '00000000-0000-0000-0000-00000000000a', 'WHATSAPP', n, 'PHONE', md5('contact' || n)::uuid FROM generate_series(%[1]d, %[2]d) n;
INSERT INTO conversations (id, organization_id, channel_id, contact_id, change_id)
	SELECT md5('conversation' || n)::uuid, '00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000c',
		md5('contact' || n)::uuid, md5('change' || n)::uuid FROM generate_series(%[1]d, %[2]d) n;
`

// talk is four messages and events in each of these conversations.
const talk = `
INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, provider_message_id, status)
	SELECT md5('message' || n)::uuid, '00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000c',
		md5('conversation' || n / 4)::uuid, 'INBOUND', 'text', 'hello', 'wamid.' || n, 'DELIVERED' FROM generate_series(4 * %[1]d, 4 * %[2]d + 3) n;
INSERT INTO attachments (id, organization_id, message_id, state)
	SELECT md5('attachment' || n)::uuid, '00000000-0000-0000-0000-00000000000a', md5('message' || n)::uuid, 'stored'
	FROM generate_series(4 * %[1]d, 4 * %[2]d + 3) n;
INSERT INTO conversation_events (id, conversation_id, seq, event_type)
	SELECT md5('event' || n)::uuid, md5('conversation' || n / 4)::uuid, 1 + n %% 4, 'MESSAGE_RECEIVED' FROM generate_series(4 * %[1]d, 4 * %[2]d + 3) n;
`

// The tables grow from nothing to 50,000 conversations with 200,000 messages.
// At each step the plans that a lane makes then reach every table by a whole
// key, but for those that are tiny, and nothing grows with the square of a
// batch. One lane has been there from the beginning; it drops its plans now and
// then, as lanes do.
func TestWriterPlansUseWholeKeys(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	old := newPlanner(t, db.URL)
	for _, step := range []struct{ name, statements string }{
		{"empty", ``},
		{"empty, analyzed", `ANALYZE`},
		{"nobody has written", house + fmt.Sprintf(moveIn, 1, 2000)},
		{"nobody has written, analyzed", `ANALYZE`},
		{"the first messages", fmt.Sprintf(talk, 1, 5)},
		{"the first messages, analyzed", `ANALYZE`},
		{"2,000 conversations", fmt.Sprintf(talk, 6, 2000)},
		{"50,000 conversations", fmt.Sprintf(moveIn+talk, 2001, 50_000)},
		{"analyzed", `ANALYZE`},
	} {
		_, err := db.SQL.Exec(step.statements)
		require.NoError(t, err)
		large := largeTables(t, db)
		old.exec(t, "DISCARD PLANS")
		old.require(t, step.name, large)
		newPlanner(t, db.URL).require(t, step.name, large)
	}
}

// largeTables are those where it matters how they are reached.
func largeTables(t *testing.T, db *persistencetest.Database) map[string]bool {
	t.Helper()
	large := map[string]bool{}
	for table := range keys {
		var n int
		require.NoError(t, db.SQL.QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
		large[table] = n >= 1000
	}
	return large
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

// node is a part of a plan, as EXPLAIN tells.
type node struct {
	Type         string `json:"Node Type"`
	Table        string `json:"Relation Name"`
	IndexCond    string `json:"Index Cond"`
	RecheckCond  string `json:"Recheck Cond"` // of a bitmap scan
	FunctionCall string `json:"Function Call"`
	Plans        []node
}

func (p *planner) exec(t *testing.T, statement string) []*pgconn.Result {
	t.Helper()
	results, err := p.conn.Exec(t.Context(), statement).ReadAll()
	require.NoError(t, err)
	return results
}

// plan is how the server would run the statement now.
func (p *planner) plan(t *testing.T, s *statement) (root node, text string) {
	t.Helper()
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(s.columns)), ", ")
	explain := fmt.Sprintf("EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE %s (%s)", s.name, nulls)
	results := p.exec(t, explain)
	var plans []struct{ Plan node }
	require.NoError(t, json.Unmarshal(results[0].Rows[0][0], &plans))
	return plans[0].Plan, string(results[0].Rows[0][0])
}

// keys is how each table may be reached: by what finds few rows in it, however
// large it grows.
var keys = map[string]*regexp.Regexp{
	"conversations":       regexp.MustCompile(`\bid = `),
	"messages":            regexp.MustCompile(`\bid = |provider_message_id = `),
	"conversation_events": regexp.MustCompile(`seq = `),
	"contacts":            regexp.MustCompile(`\bid = `),
	"contact_aliases":     regexp.MustCompile(`alias = |contact_id = `),
	"users":               regexp.MustCompile(`\bid = `),
	"attachments":         regexp.MustCompile(`\bid = |message_id = `),
}

// require checks the plan of each statement.
func (p *planner) require(t *testing.T, when string, large map[string]bool) {
	t.Helper()
	for _, s := range append(p.batch.steps(), p.batch.recognize) {
		root, text := p.plan(t, s)
		root.walk(func(n node) {
			switch {
			case n.Type == "ModifyTable": // what it writes is found below it
			case n.Type == "Function Scan":
				require.Contains(t, n.FunctionCall, "$", "%s, %s: not the generic plan", s.name, when)
			case large[n.Table]:
				require.Regexp(t, keys[n.Table], n.IndexCond+n.RecheckCond, "%s, %s: %s of %s\n%s", s.name, when, n.Type, n.Table, text)
			case n.Type == "Nested Loop":
				require.False(t, n.Plans[0].isList() && n.Plans[1].isList(), "%s, %s: batch times batch\n%s", s.name, when, text)
			}
		})
	}
}

// isList reports whether n goes through a batch from one end to the other.
func (n node) isList() bool {
	return n.Type == "CTE Scan" || n.Type == "Function Scan" || n.Type == "Materialize" && n.Plans[0].isList()
}

func (n node) walk(visit func(node)) {
	visit(n)
	for _, child := range n.Plans {
		child.walk(visit)
	}
}
