package persistence_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// benchLoad is how many conversations of ten messages each the reads are
// measured on: READ_BENCH_CONVERSATIONS, or few, so that a run takes seconds.
func benchLoad(b *testing.B) int {
	b.Helper()
	text := os.Getenv("READ_BENCH_CONVERSATIONS")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	require.NoError(b, err, "READ_BENCH_CONVERSATIONS takes a number of conversations")
	require.Positive(b, n, "READ_BENCH_CONVERSATIONS takes a number of conversations")
	return n
}

// loadLarge is an organization with so many conversations. A message is eight
// words: two that all have, five that are rarer the greater their number, and
// one that it alone has.
func loadLarge(b *testing.B, n *tenant, conversations int) {
	b.Helper()
	for _, index := range []string{"messages_search", "contacts_search", "contact_aliases_search"} {
		n.exec(`CREATE TABLE IF NOT EXISTS bench_indexes AS SELECT ''::text AS definition WHERE false`)
		n.exec(`INSERT INTO bench_indexes SELECT indexdef FROM pg_indexes WHERE indexname = $1`, index)
		n.exec(`DROP INDEX ` + index)
	}
	const step = 50_000
	for from := 1; from <= conversations; from += step {
		to := min(from+step-1, conversations)
		n.exec(`INSERT INTO contacts (id, organization_id, provider, provider_id, display_name)
			SELECT md5('k' || i)::uuid, $1, 'WHATSAPP', 4915000000000 + i, 'Name' || i % 5000 || ' Family' || i FROM generate_series($2::int, $3::int) i`, n.org, from, to)
		n.exec(`INSERT INTO contact_aliases (organization_id, provider, alias, kind, contact_id)
			SELECT $1, 'WHATSAPP', 4915000000000 + i, 'PHONE', md5('k' || i)::uuid FROM generate_series($2::int, $3::int) i`, n.org, from, to)
		n.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, provider_message_id, status, created_at)
			SELECT lpad(to_hex(i::bigint * 10 + m), 32, '0')::uuid, $1, $2, md5('v' || i)::uuid, 'INBOUND', 'text',
				'hello please ' || concat_ws(' ', 'w' || (power(random(), 4) * 100000)::int, 'w' || (power(random(), 4) * 100000)::int,
					'w' || (power(random(), 4) * 100000)::int, 'w' || (power(random(), 4) * 100000)::int, 'w' || (power(random(), 4) * 100000)::int)
				|| ' order-' || i::bigint * 10 + m, 'wamid.' || i || '.' || m, 'DELIVERED', $5
			FROM generate_series($3::int, $4::int) i, generate_series(0, 9) m`, n.org, n.channel, from, to, dawn)
		n.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type)
			SELECT md5('e' || i || m)::uuid, md5('v' || i)::uuid, m, 'MESSAGE_RECEIVED' FROM generate_series($1::int, $2::int) i, generate_series(1, 10) m`, from, to)
		n.exec(`INSERT INTO conversations (id, organization_id, channel_id, contact_id, status, assigned_agent_id, assigned_at, last_message_at, last_message_id,
				event_seq, change_id)
			SELECT md5('v' || i)::uuid, $1, $2, md5('k' || i)::uuid,
				(CASE WHEN i % 20 = 0 THEN 'PENDING' WHEN i % 20 = 1 THEN 'ASSIGNED' ELSE 'COMPLETED' END)::conversation_status,
				CASE WHEN i % 20 > 0 THEN (SELECT id FROM users WHERE organization_id = $1 ORDER BY id LIMIT 1 OFFSET i % 3) END, CASE WHEN i % 20 > 0 THEN $5::timestamptz END,
				$5::timestamptz + i * interval '1 second', lpad(to_hex(i::bigint * 10 + 9), 32, '0')::uuid, 10, gen_random_uuid()
			FROM generate_series($3::int, $4::int) i`, n.org, n.channel, from, to, dawn)
	}
	n.exec(`DO $$ DECLARE d text; BEGIN SET LOCAL maintenance_work_mem = '1GB'; FOR d IN SELECT definition FROM bench_indexes LOOP EXECUTE d; END LOOP; END $$`)
	n.exec(`VACUUM ANALYZE`)
}

// BenchmarkReads gives the median of each read of the API, one after the other,
// of another conversation each time.
func BenchmarkReads(b *testing.B) {
	size := benchLoad(b)
	db := persistencetest.New(b)
	n := newTenant(b, db, "large")
	agents := []domain.UserID{n.agent("a"), n.agent("b"), n.agent("c")}
	loadLarge(b, n, size)
	reads, err := persistence.OpenReads(b.Context(), persistence.Config{URL: db.URL})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, reads.Close()) })
	conversations, contacts := persistence.NewConversations(reads, nil), persistence.NewContacts(reads)
	running(b, conversations.Run)

	list := func(filter domain.ConversationFilter) func(int) error {
		if filter.Page.Limit == 0 {
			filter.Page = first
		}
		return func(int) error {
			_, _, err := conversations.List(b.Context(), n.org, filter)
			return err
		}
	}
	search := func(text func(i int) string) func(int) error {
		return func(i int) error {
			views, _, err := conversations.List(b.Context(), n.org, domain.ConversationFilter{Search: text(i), Page: first})
			if err == nil && len(views) == 0 {
				err = fmt.Errorf("%q was not found", text(i))
			}
			return err
		}
	}
	one := func(i int) domain.ConversationID { // far from each other
		var id domain.ConversationID
		require.NoError(b, db.SQL.QueryRow(`SELECT md5('v' || $1::int)::uuid`, 1+i*7919%size).Scan(&id))
		return id
	}
	for _, read := range []struct {
		name string
		do   func(i int) error
	}{
		{"list", list(domain.ConversationFilter{})},
		{"list of PENDING", list(domain.ConversationFilter{Statuses: []domain.ConversationStatus{domain.Pending}})},
		{"list, page 500", list(domain.ConversationFilter{Page: domain.Page{Number: min(500, size/20), Limit: 20}})},
		{"list of a channel", list(domain.ConversationFilter{Channel: n.channel})},
		{"list of an agent", list(domain.ConversationFilter{Holder: agents[0]})},
		{"list, oldest first", list(domain.ConversationFilter{Sort: domain.SortOldest})},
		{"detail", func(i int) error {
			id := one(i)
			if _, err := conversations.Get(b.Context(), n.org, id); err != nil {
				return err
			}
			_, err := conversations.Messages(b.Context(), n.org, id, domain.MessageID{}, 50)
			return err
		}},
		{"audit trail", func(i int) error {
			_, _, err := conversations.Audit(b.Context(), n.org, one(i), first)
			return err
		}},
		{"search, order number", search(func(i int) string { return fmt.Sprint("order-", 10+i*7919%size*10) })},
		{"search, rare words", search(func(i int) string { return fmt.Sprintf("w%d hello", 20_000/(1+2_000_000/size)+i%50) })},
		{"search, family name", search(func(i int) string { return fmt.Sprint("Family", 1+i*7919%size) })},
		{"search, number", search(func(i int) string { return fmt.Sprintf("+49 150 %08d", 1+i*7919%size) })},
		{"search, first name", search(func(i int) string { return fmt.Sprint("Name", 1000+i%1000) })},
		{"search, a word that all have", search(func(int) string { return "hello" })},
		{"contacts", func(int) error {
			_, _, err := contacts.List(b.Context(), n.org, domain.ContactFilter{Page: first})
			return err
		}},
		{"contacts, family name", func(i int) error {
			_, _, err := contacts.List(b.Context(), n.org, domain.ContactFilter{Search: fmt.Sprint("Family", 1+i*7919%size), Page: first})
			return err
		}},
	} {
		b.Run(read.name, func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				begun := time.Now()
				require.NoError(b, read.do(i))
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
		})
	}
}
