package persistence_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// result is what a load called done with.
type result[T any] struct {
	value T
	err   error
}

func wait[T any](load func(done func(T, error))) (T, error) {
	answer := make(chan result[T], 1)
	load(func(v T, err error) { answer <- result[T]{v, err} })
	r := <-answer
	return r.value, r.err
}

func loadState(l *persistence.Loader, id domain.ConversationID) (domain.Conversation, error) {
	return wait(func(done func(domain.Conversation, error)) { l.Load(id, done) })
}

func newLoader(t *testing.T, database *persistencetest.Database) *persistence.Loader {
	t.Helper()
	loader := persistence.NewLoader(openReads(t, database))
	running(t, loader.Run)
	return loader
}

func TestLoadReadsTheWholeState(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	id := n.conversation(number(1), "Grace", 0)
	head, last := newID[domain.ChangeID](), newID[domain.MessageID]()
	n.exec(`UPDATE conversations SET status = 'ASSIGNED', assigned_agent_id = $2, assigned_at = $3, assignment_seq = 7,
		pending_since = $3, last_inbound_at = $3, first_response_at = $3, window_expires_at = $3, unread_count = 4,
		change_id = $4, version = 12, event_seq = 11, last_message_id = $5, metadata = '{"referral": {"ad": 1}}',
		early_statuses = '[{"id": "wamid.1", "at": "2026-03-01T08:00:00Z", "status": "READ"}]'
		WHERE id = $1`, id, ada, dawn, head, last)

	c, err := loadState(newLoader(t, database), id)
	require.NoError(t, err)
	require.Equal(t, domain.Conversation{
		ID: id, Organization: n.org, Channel: n.channel, Contact: domain.ContactIDFor(n.org, domain.WhatsApp, number(1)),
		Provider: domain.WhatsApp, Status: domain.Assigned, Holder: ada, AssignedAt: dawn, Assignment: 7,
		PendingSince: dawn, LastMessageAt: dawn, LastInboundAt: dawn, FirstResponseAt: dawn, WindowExpiresAt: dawn,
		Unread: 4, Head: head, Version: 12, EventSeq: 11, LastMessage: last, CreatedAt: dawn, UpdatedAt: dawn,
		Metadata:    []byte(`{"referral": {"ad": 1}}`),
		Early:       []domain.EarlyEvent{{ProviderID: "wamid.1", At: dawn, Status: domain.StatusRead}},
		ChannelName: "channel of one", ContactName: "Grace", ContactAlias: number(1), HolderName: "Ada",
		Recipient: number(1),
	}, c)
}

func TestLoadOfNothingIsTheZeroState(t *testing.T) {
	t.Parallel()
	id := newID[domain.ConversationID]()
	c, err := loadState(newLoader(t, persistencetest.New(t)), id)
	require.NoError(t, err)
	require.Equal(t, domain.Conversation{ID: id}, c)
	require.False(t, c.Exists())
}

func TestLoadOfAFreshConversationHasNoEmptyValues(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	c, err := loadState(newLoader(t, database), newTenant(t, database, "one").conversation(number(1), "", 0))
	require.NoError(t, err)
	require.True(t, c.Exists())
	require.Nil(t, c.Metadata)
	require.Nil(t, c.Early)
	require.True(t, c.Holder.IsZero())
	require.True(t, c.AssignedAt.IsZero())
}

func TestManyLoadsAtOnceAllGetTheirOwn(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ids := make([]domain.ConversationID, 30)
	for i := range ids {
		ids[i] = n.conversation(number(i), strconv.Itoa(i), 0)
	}
	loader := newLoader(t, database)
	var group sync.WaitGroup
	for range 100 {
		for i, id := range ids {
			group.Add(1)
			loader.Load(id, func(c domain.Conversation, err error) {
				defer group.Done()
				if err != nil || c.ID != id || c.ContactName != strconv.Itoa(i) {
					t.Errorf("load %d: got %v of %s, %v", i, c.ID, c.ContactName, err)
				}
			})
		}
	}
	group.Wait()
}

func TestLoadMessagesFindsWhatIsMeant(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	mine, other := n.conversation(number(1), "", 0), n.conversation(number(2), "", 0)
	inbound := n.message(mine, domain.Message{ProviderMessageID: "in", Body: "Hello"})
	sent := n.message(mine, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent, ProviderMessageID: "sent", ProviderAt: dawn})
	unstamped := n.message(mine, domain.Message{Direction: domain.Outbound, Status: domain.StatusPending, CreatedAt: dawn.Add(time.Second)})
	read := n.message(mine, domain.Message{Direction: domain.Outbound, Status: domain.StatusRead, ProviderMessageID: "read", ProviderAt: dawn})
	late := n.message(mine, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent, ProviderAt: dawn.Add(time.Minute)})
	foreign := n.message(other, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent, ProviderMessageID: "foreign"})
	elsewhere := newTenant(t, database, "two")
	elsewhere.message(elsewhere.conversation(number(1), "", 0), domain.Message{ProviderMessageID: "in"})

	loader := newLoader(t, database)
	cases := map[string]struct {
		targets domain.Targets
		want    []domain.Message
	}{
		"nothing":                       {domain.Targets{}, nil},
		"by the platform's id":          {domain.Targets{ProviderIDs: []string{"in", "absent"}}, []domain.Message{inbound}},
		"by our id":                     {domain.Targets{IDs: []domain.MessageID{read.ID, newID[domain.MessageID]()}}, []domain.Message{read}},
		"both, once":                    {domain.Targets{ProviderIDs: []string{"in"}, IDs: []domain.MessageID{inbound.ID}}, []domain.Message{inbound}},
		"another conversation's":        {domain.Targets{ProviderIDs: []string{"foreign"}, IDs: []domain.MessageID{foreign.ID}}, nil},
		"unread up to a time, included": {domain.Targets{UnreadUpTo: dawn}, []domain.Message{sent}},
		"unread, by creation":           {domain.Targets{UnreadUpTo: dawn.Add(time.Second)}, []domain.Message{sent, unstamped}},
		"unread and by id":              {domain.Targets{UnreadUpTo: dawn.Add(time.Hour), ProviderIDs: []string{"read"}}, []domain.Message{sent, unstamped, read, late}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := wait(func(done func([]domain.Message, error)) { loader.LoadMessages(mine, n.channel, c.targets, done) })
			require.NoError(t, err)
			require.Equal(t, c.want, found)
		})
	}
}

func TestLoadMessagesReadsEveryColumn(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	conversation := n.conversation(number(1), "", 0)
	want := domain.Message{
		ID: newID[domain.MessageID](), Direction: domain.Outbound, Agent: ada, Type: domain.TypeImage, Body: "caption 😀",
		MediaURL: "https://media.example/1", MediaType: "image/jpeg", ProviderMessageID: "wamid.9",
		Status: domain.StatusPending, SendState: domain.SendSending, Attempts: 2, AttemptStartedAt: dawn,
		NextAttemptAt: dawn.Add(time.Second), ReplyTo: newID[domain.MessageID](), ErrorCode: "131026", ErrorMessage: "Undeliverable",
		IdempotencyKey: "key", RequestHash: []byte{1, 2, 3}, ProviderAt: dawn.Add(1), EditedAt: dawn.Add(2 * time.Second),
		DeletedAt: dawn.Add(3 * time.Second), CreatedAt: dawn.Add(4 * time.Second), UpdatedAt: dawn.Add(5 * time.Second),
		Metadata: domain.MessageMetadata{Media: []domain.Media{{ID: "m", MimeType: "image/jpeg"}}, Standby: true},
	}
	want.ProviderAt = dawn.Add(time.Microsecond)
	n.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, agent_id, type, body, media_url,
			media_type, provider_message_id, status, send_state, attempts, attempt_started_at, next_attempt_at, reply_to, metadata,
			error_code, error_message, idempotency_key, request_hash, provider_timestamp, edited_at, deleted_at, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)`,
		want.ID, n.org, n.channel, conversation, string(want.Direction), ada, string(want.Type), want.Body, want.MediaURL,
		want.MediaType, want.ProviderMessageID, string(want.Status), string(want.SendState), want.Attempts, want.AttemptStartedAt,
		want.NextAttemptAt, want.ReplyTo, `{"media": [{"id": "m", "mimeType": "image/jpeg"}], "standby": true}`,
		want.ErrorCode, want.ErrorMessage, want.IdempotencyKey, want.RequestHash, want.ProviderAt, want.EditedAt, want.DeletedAt,
		want.CreatedAt, want.UpdatedAt)
	found, err := wait(func(done func([]domain.Message, error)) {
		newLoader(t, database).LoadMessages(conversation, n.channel, domain.Targets{IDs: []domain.MessageID{want.ID}}, done)
	})
	require.NoError(t, err)
	require.Equal(t, []domain.Message{want}, found)
}

// A value of a stranger that PostgreSQL refuses must fail its own load alone,
// however many share the query.
func TestARefusedValueFailsOnlyItsOwnLoad(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	conversation := n.conversation(number(1), "", 0)
	m := n.message(conversation, domain.Message{ProviderMessageID: "in"})
	loader := persistence.NewLoader(openReads(t, database))
	answers := make([]chan result[[]domain.Message], 40)
	for i := range answers {
		answers[i] = make(chan result[[]domain.Message], 1)
		target := "in"
		if i == 23 {
			target = "nul \x00"
		}
		loader.LoadMessages(conversation, n.channel, domain.Targets{ProviderIDs: []string{target}},
			func(found []domain.Message, err error) { answers[i] <- result[[]domain.Message]{found, err} })
	}
	running(t, loader.Run) // all of them wait already: one batch
	for i, answer := range answers {
		r := <-answer
		if i == 23 {
			var refused *domain.ValueError
			require.ErrorAs(t, r.err, &refused)
			require.NotContains(t, r.err.Error(), "nul")
			continue
		}
		require.NoError(t, r.err)
		require.Equal(t, []domain.Message{m}, r.value)
	}
}

func TestLoadsFailAsUnavailableWhileTheDatabaseIsAwayAndWorkAgainAfterwards(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	database := server.New(t)
	id := newTenant(t, database, "one").conversation(number(1), "Grace", 0)
	loader := newLoader(t, database)
	_, err := loadState(loader, id)
	require.NoError(t, err)

	server.Stop()
	_, err = loadState(loader, id)
	require.ErrorIs(t, err, domain.ErrUnavailable)

	server.Start()
	require.Eventually(t, func() bool {
		c, err := loadState(loader, id)
		return err == nil && c.ContactName == "Grace"
	}, 20*time.Second, 10*time.Millisecond)
}

func TestLoadsAreRefusedBeyondTheQueueAndAfterTheEnd(t *testing.T) {
	t.Parallel()
	loader := persistence.NewLoader(openReads(t, persistencetest.New(t)))
	var mu sync.Mutex
	outcomes := map[error]int{}
	done := func(_ domain.Conversation, err error) {
		mu.Lock()
		defer mu.Unlock()
		outcomes[rootOf(err)]++
	}
	const bound = 32_768
	for range bound + 5 {
		loader.Load(domain.ConversationID(uuid.New()), done)
	}
	require.Equal(t, map[error]int{domain.ErrOverloaded: 5}, outcomes)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, loader.Run(ended))
	require.Equal(t, map[error]int{domain.ErrOverloaded: 5, domain.ErrUnavailable: bound}, outcomes)
	loader.Load(domain.ConversationID(uuid.New()), done)
	require.Equal(t, bound+1, outcomes[domain.ErrUnavailable])
}
