package persistence_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// benchConversations is how many conversations the messages go to in turn, and
// how many messages are on their way at most.
const benchConversations = 2000

// BenchmarkWriter submits one message after the other to 2,000 conversations,
// at most 2,000 on their way, and waits until all are durable. In the same run
// it measures what PostgreSQL does at best: plain inserts, 500 messages in a
// transaction, without fence, decisions and verdicts.
func BenchmarkWriter(b *testing.B) {
	db := persistencetest.New(b)
	n := newTenant(b, db, "bench")
	w := openWriter(b, db.URL)
	owners := make([]*owner, benchConversations)
	for i := range owners {
		owners[i] = newOwner(b, w, n, fmt.Sprint(i))
	}
	var begin sync.WaitGroup
	for i, o := range owners {
		verdict := o.submit(o.says(fmt.Sprint("hello ", i)))
		begin.Go(func() { <-verdict })
	}
	begin.Wait()

	var refused atomic.Int64
	var under sync.WaitGroup
	free := make(chan struct{}, benchConversations)
	done := func(v domain.Verdict) {
		if v.Outcome != domain.Committed {
			refused.Add(1)
		}
		<-free
		under.Done()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		o := owners[i%len(owners)]
		o.known = domain.MessageSet{} // as the memory of an actor that has nothing pending
		after, change, err := o.decide(o.text(o.number, fmt.Sprint("m", i), benchBody))
		require.NoError(b, err)
		free <- struct{}{}
		under.Add(1)
		o.hand(after, change, done)
		i++
	}
	under.Wait()
	rate := float64(i) / b.Elapsed().Seconds()
	b.StopTimer()
	require.Zero(b, refused.Load())
	require.Equal(b, i+benchConversations, count(b, db, `SELECT count(*) FROM messages`))

	one, four := newFloor(b, db, n, owners).rate(1, i), newFloor(b, db, n, owners).rate(4, i)
	b.ReportMetric(rate, "msgs/s")
	b.ReportMetric(one, "floor-1-msgs/s")
	b.ReportMetric(four, "floor-4-msgs/s")
	b.ReportMetric(100*rate/four, "%of-floor-4")
}

const benchBody = "a message of ordinary length, as customers write them"

// floorBatch is how many messages, each of another conversation, a transaction
// of the floor carries.
const floorBatch = 500

// floor stores messages as plainly as can be.
type floor struct {
	b             testing.TB
	db            *persistencetest.Database
	tenant        *tenant
	conversations [][16]byte
}

func newFloor(b testing.TB, db *persistencetest.Database, n *tenant, owners []*owner) *floor {
	f := &floor{b: b, db: db, tenant: n}
	for _, o := range owners {
		f.conversations = append(f.conversations, o.state.ID)
	}
	return f
}

// rate is how many messages a second that many connections store; messages is
// about how many it tries.
func (f *floor) rate(connections, messages int) float64 {
	f.b.Helper()
	transactions := max(1, messages/floorBatch/connections)
	var all sync.WaitGroup
	conns := make([]*pgx.Conn, connections)
	for i := range conns {
		var err error
		conns[i], err = pgx.Connect(context.Background(), f.db.URL)
		require.NoError(f.b, err)
	}
	begun := time.Now()
	for i, conn := range conns {
		all.Go(func() {
			for range transactions {
				if err := f.store(conn, f.conversations[i*floorBatch:(i+1)*floorBatch]); err != nil {
					f.b.Error(err)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	for _, conn := range conns {
		require.NoError(f.b, conn.Close(context.Background()))
	}
	return float64(connections*transactions*floorBatch) / took.Seconds()
}

// store is one transaction in one round trip.
func (f *floor) store(conn *pgx.Conn, conversations [][16]byte) error {
	n := len(conversations)
	ids, events, heads := make([][16]byte, n), make([][16]byte, n), make([][16]byte, n)
	provider, bodies, times := make([]string, n), make([]string, n), make([]time.Time, n)
	now := time.Now()
	for i := range conversations {
		ids[i], events[i], heads[i] = newID[[16]byte](), newID[[16]byte](), uuid.New()
		provider[i], bodies[i], times[i] = fmt.Sprintf("%x", ids[i]), benchBody, now
	}
	var batch pgx.Batch
	batch.Queue(`BEGIN`)
	batch.Queue(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, provider_message_id,
			status, provider_timestamp, created_at, updated_at)
		SELECT m.id, $1, $2, m.conversation, 'INBOUND', 'text', m.body, m.provider, 'DELIVERED', m.at, m.at, m.at
		FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[]) AS m (id, conversation, body, provider, at)`,
		f.tenant.org, f.tenant.channel, ids, conversations, bodies, provider, times)
	batch.Queue(`UPDATE conversations c SET change_id = u.head, last_message_id = u.message, last_message_at = u.at, updated_at = u.at,
			unread_count = unread_count + 1, version = version + 1, event_seq = event_seq + 1
		FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) AS u (id, head, message, at) WHERE c.id = u.id`,
		conversations, heads, ids, times)
	batch.Queue(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, created_at)
		SELECT e.id, e.conversation, c.event_seq, 'MESSAGE_RECEIVED', e.at
		FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS e (id, conversation, at) JOIN conversations c ON c.id = e.conversation`,
		events, conversations, times)
	batch.Queue(`COMMIT`)
	return conn.SendBatch(context.Background(), &batch).Close()
}
