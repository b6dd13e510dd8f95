package persistence_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// unsent inserts an outbound message that waits in the given state, created at
// dawn; the times may be zero.
func (n *tenant) unsent(conversation domain.ConversationID, state domain.SendState, claim, next time.Time) domain.Unsent {
	n.t.Helper()
	m := n.message(conversation, domain.Message{Direction: domain.Outbound, Status: domain.StatusPending})
	n.exec(`UPDATE messages SET send_state = $2, attempt_started_at = $3, next_attempt_at = $4 WHERE id = $1`,
		m.ID, string(state), orNull(claim), orNull(next))
	return domain.Unsent{Message: m.ID, Type: m.Type, State: state, Claim: claim, Due: next}
}

func TestLoadReadsTheOutboxOldestFirst(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	mine, other := n.conversation(number(1), "", 0), n.conversation(number(2), "", 0)
	later := dawn.Add(time.Minute)
	want := []domain.Unsent{
		n.unsent(mine, domain.SendUncertain, dawn, later),
		n.unsent(mine, domain.SendSending, later, time.Time{}),
		n.unsent(mine, domain.SendQueued, time.Time{}, dawn),
		n.unsent(mine, domain.SendQueued, time.Time{}, time.Time{}),
	}
	n.message(mine, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent})
	theirs := n.unsent(other, domain.SendQueued, time.Time{}, time.Time{})
	loader := newLoader(t, database)
	c, err := loadState(loader, mine)
	require.NoError(t, err)
	require.Equal(t, want, c.Outbox)
	c, err = loadState(loader, other)
	require.NoError(t, err)
	require.Equal(t, []domain.Unsent{theirs}, c.Outbox)
	c, err = loadState(loader, n.conversation(number(3), "", 0))
	require.NoError(t, err)
	require.Nil(t, c.Outbox)
}

func TestLoadBoundsTheOutbox(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	id := n.conversation(number(1), "", 0)
	first := n.unsent(id, domain.SendQueued, time.Time{}, time.Time{})
	n.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, status, send_state)
		SELECT ('ffffffff-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, $1, $2, $3, 'OUTBOUND', 'text', 'PENDING', 'queued'
		FROM generate_series(2, 1000) i ORDER BY i DESC`, n.org, n.channel, id)
	c, err := loadState(newLoader(t, database), id)
	require.NoError(t, err)
	require.Len(t, c.Outbox, domain.MaxUnsent)
	require.Equal(t, first, c.Outbox[0])
	require.Equal(t, "ffffffff-0000-7000-8000-000000000256", c.Outbox[255].Message.String())
	require.True(t, slices.IsSortedFunc(c.Outbox, func(a, b domain.Unsent) int {
		return slices.Compare(a.Message[:], b.Message[:])
	}))
}

func TestLoadMessagesFindsWhatWasAskedForUnderAKey(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada, bob := n.agent("Ada"), n.agent("Bob")
	mine, other := n.conversation(number(1), "", 0), n.conversation(number(2), "", 0)
	asked := func(n *tenant, conversation domain.ConversationID, agent domain.UserID, key string) domain.Message {
		m := n.message(conversation, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent})
		m.Agent, m.IdempotencyKey, m.RequestHash = agent, key, []byte("hash")
		n.exec(`UPDATE messages SET agent_id = $2, idempotency_key = $3, request_hash = 'hash' WHERE id = $1`, m.ID, agent, key)
		return m
	}
	one, two := asked(n, mine, ada, "one"), asked(n, mine, ada, "two")
	bobs := asked(n, mine, bob, "one")
	asked(n, other, ada, "elsewhere")
	stranger := newTenant(t, database, "two")
	asked(stranger, stranger.conversation(number(1), "", 0), ada, "of another organization")

	loader := newLoader(t, database)
	for name, c := range map[string]struct {
		targets domain.Targets
		want    []domain.Message
	}{
		"one":         {domain.Targets{Requests: []domain.RequestKey{{Agent: ada, Key: "one"}}}, []domain.Message{one}},
		"by agent":    {domain.Targets{Requests: []domain.RequestKey{{Agent: bob, Key: "one"}, {Agent: bob, Key: "two"}}}, []domain.Message{bobs}},
		"and by id":   {domain.Targets{Requests: []domain.RequestKey{{Agent: ada, Key: "two"}}, IDs: []domain.MessageID{one.ID, two.ID}}, []domain.Message{one, two}},
		"elsewhere":   {domain.Targets{Requests: []domain.RequestKey{{Agent: ada, Key: "elsewhere"}}}, nil},
		"a stranger":  {domain.Targets{Requests: []domain.RequestKey{{Agent: ada, Key: "of another organization"}}}, nil},
		"never asked": {domain.Targets{Requests: []domain.RequestKey{{Agent: ada, Key: "three"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := wait(func(done func([]domain.Message, error)) { loader.LoadMessages(mine, n.channel, c.targets, done) })
			require.NoError(t, err)
			require.Equal(t, c.want, found)
		})
	}
}
