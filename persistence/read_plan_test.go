package persistence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// neverWhole are the tables that no call of the API may go through.
var neverWhole = []string{"messages", "conversations", "conversation_events", "contacts", "contact_aliases"}

// TestReadsNeverGoThroughATable asks for the plans of what lists, pages,
// details and searches ask, both those made for the values and those made
// without looking at them, in 20,000 conversations with 80,000 messages.
func TestReadsNeverGoThroughATable(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	_, err := db.SQL.Exec(house + fmt.Sprintf(moveIn+talk, 1, 20_000))
	require.NoError(t, err)
	_, err = db.SQL.Exec(`UPDATE conversations SET status = 'ASSIGNED', assigned_at = now(), assigned_agent_id = (SELECT id FROM users ORDER BY id LIMIT 1)
		WHERE id IN (SELECT id FROM conversations LIMIT 500)`)
	require.NoError(t, err)
	_, err = db.SQL.Exec("ANALYZE")
	require.NoError(t, err)
	reads, err := OpenReads(t.Context(), Config{URL: db.URL})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, reads.Close()) })

	var agent domain.UserID
	require.NoError(t, db.SQL.QueryRow(`SELECT id FROM users ORDER BY id LIMIT 1`).Scan(&agent))
	var conversation domain.ConversationID
	require.NoError(t, db.SQL.QueryRow(`SELECT id FROM conversations LIMIT 1`).Scan(&conversation))
	conversations := NewConversations(reads, nil)
	q, org, channel := reads.queries, "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000c"
	all, some := []string{"PENDING", "ASSIGNED", "COMPLETED"}, [][16]byte{conversation}
	patterns := containingWords("hello")
	for _, asked := range []struct {
		name, query string
		args        []any
	}{
		{"list", q.ListConversations, []any{org, all, 20, 0}},
		{"list, far", q.ListConversations, []any{org, all, 20, 9980}},
		{"list, one status", q.ListConversations, []any{org, all[:1], 20, 0}},
		{"list, oldest first", conversations.ordered(q.ListConversations, domain.SortOldest), []any{org, all, 20, 0}},
		{"list of a channel", q.ListConversationsOfChannel, []any{org, all, 20, 0, channel}},
		{"list of an agent", q.ListConversationsOfAgent, []any{org, all, 20, 0, nil, agent}},
		{"rows of a page", q.ConversationRows, []any{[]string{org}, some}},
		{"page of messages", q.MessagePage, []any{org, conversation, nil, 50}},
		{"audit trail", q.AuditPage, []any{org, conversation, 20, 0}},
		{"search", q.SearchConversations, []any{org, all, 20, 0, nil, nil, some, patterns, some, some, false}},
		{"search of a common word", q.SearchConversations, []any{org, all, 20, 0, nil, nil, some, patterns, some, some, true}},
		{"contacts", q.ListContacts, []any{org, 20, 0}},
		{"contacts found", q.PickContacts, []any{org, 20, 0, some}},
		{"contact", q.ContactView, []any{org, some}},
		{"aliases", q.AliasesOfContacts, []any{org, some}},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			requireNoScan(t, reads, asked.name+", "+mode, "SET LOCAL plan_cache_mode = "+mode, asked.query, asked.args...)
		}
	}
	for _, asked := range []struct{ name, query string }{{"words of contacts", q.SearchContacts}, {"words of messages", q.SearchMessages}} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			requireNoScan(t, reads, asked.name+", "+mode, searchSettings()+"; SET LOCAL plan_cache_mode = "+mode, asked.query, org, "hello", searchHits+1)
		}
	}
}

// requireNoScan explains a query under settings.
func requireNoScan(t *testing.T, reads *Reads, name, settings, query string, args ...any) {
	t.Helper()
	var raw []byte
	err := pgx.BeginFunc(t.Context(), reads.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), settings); err != nil {
			return err
		}
		return tx.QueryRow(context.Background(), "EXPLAIN (FORMAT JSON) "+query, args...).Scan(&raw)
	})
	require.NoError(t, err, name)
	var plans []struct{ Plan node }
	require.NoError(t, json.Unmarshal(raw, &plans))
	plans[0].Plan.walk(func(n node) {
		require.False(t, n.Type == "Seq Scan" && slices.Contains(neverWhole, n.Table), "%s goes through %s\n%s", name, n.Table, raw)
	})
}
