package persistence_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// first is the first page of a list.
var first = domain.Page{Number: 1, Limit: 20}

func newConversations(t *testing.T, reads *persistence.Reads) *persistence.Conversations {
	t.Helper()
	conversations := persistence.NewConversations(reads, nil)
	running(t, conversations.Run)
	return conversations
}

func idsOf(views []domain.ConversationView) (ids []domain.ConversationID) {
	for _, v := range views {
		ids = append(ids, v.ID)
	}
	return ids
}

// inbox is conversations of one tenant, the oldest first: Ada has two, of which
// one is completed; one is on another channel.
type inbox struct {
	*tenant
	ada                                domain.UserID
	messenger                          domain.ChannelID
	pending, assigned, completed, page domain.ConversationID
}

func newInbox(t *testing.T, database *persistencetest.Database) *inbox {
	t.Helper()
	i := &inbox{tenant: newTenant(t, database, "one"), messenger: newID[domain.ChannelID]()}
	i.ada = i.agent("Ada")
	i.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status)
		VALUES ($1, $2, 'MESSENGER', 'page', 'page', 'ACTIVE')`, i.messenger, i.org)
	i.pending = i.conversation(number(1), "Grace Hopper", 1*time.Minute)
	i.assigned = i.conversation(number(2), "Alan 100%", 2*time.Minute)
	i.completed = i.conversation(number(3), "Edsger", 3*time.Minute)
	i.page = i.conversation(number(4), "Barbara", 4*time.Minute)
	i.assign(i.assigned, i.ada)
	i.exec(`UPDATE conversations SET status = 'COMPLETED', assigned_agent_id = $2, assigned_at = $3 WHERE id = $1`, i.completed, i.ada, dawn)
	i.exec(`UPDATE conversations SET channel_id = $2 WHERE id = $1`, i.page, i.messenger)
	return i
}

func TestListPicksAndOrders(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	i := newInbox(t, database)
	other := newTenant(t, database, "two")
	other.conversation(number(1), "Grace Hopper", time.Hour)
	conversations := newConversations(t, openReads(t, database))
	all := []domain.ConversationID{i.page, i.completed, i.assigned, i.pending}

	cases := map[string]struct {
		filter domain.ConversationFilter
		want   []domain.ConversationID
	}{
		"all":                        {domain.ConversationFilter{}, all},
		"one status":                 {domain.ConversationFilter{Statuses: []domain.ConversationStatus{domain.Pending}}, []domain.ConversationID{i.page, i.pending}},
		"two statuses":               {domain.ConversationFilter{Statuses: []domain.ConversationStatus{domain.Completed, domain.Pending}}, []domain.ConversationID{i.page, i.completed, i.pending}},
		"a channel":                  {domain.ConversationFilter{Channel: i.messenger}, []domain.ConversationID{i.page}},
		"a channel and a status":     {domain.ConversationFilter{Channel: i.channel, Statuses: []domain.ConversationStatus{domain.Pending}}, []domain.ConversationID{i.pending}},
		"another tenant's channel":   {domain.ConversationFilter{Channel: other.channel}, nil},
		"an agent":                   {domain.ConversationFilter{Holder: i.ada}, []domain.ConversationID{i.completed, i.assigned}},
		"an agent and a status":      {domain.ConversationFilter{Holder: i.ada, Statuses: []domain.ConversationStatus{domain.Assigned}}, []domain.ConversationID{i.assigned}},
		"an agent and a channel":     {domain.ConversationFilter{Holder: i.ada, Channel: i.messenger}, nil},
		"a name":                     {domain.ConversationFilter{Search: "hopper"}, []domain.ConversationID{i.pending}},
		"a part of a number":         {domain.ConversationFilter{Search: "491510000"}, all},
		"a sign that patterns use":   {domain.ConversationFilter{Search: "0%"}, []domain.ConversationID{i.assigned}},
		"another one":                {domain.ConversationFilter{Search: "_"}, nil},
		"a name, filtered":           {domain.ConversationFilter{Search: "hopper", Holder: i.ada}, nil},
		"a whole number, filtered":   {domain.ConversationFilter{Search: number(2), Holder: i.ada}, []domain.ConversationID{i.assigned}},
		"a whole number, by channel": {domain.ConversationFilter{Search: number(2), Channel: i.messenger}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.filter.Page = first
			views, meta, err := conversations.List(t.Context(), i.org, c.filter)
			require.NoError(t, err)
			require.Equal(t, c.want, idsOf(views))
			require.Equal(t, domain.PageMeta{Total: len(c.want), Page: 1, Limit: 20, TotalPages: min(1, len(c.want))}, meta)

			c.filter.Sort = domain.SortOldest
			views, _, err = conversations.List(t.Context(), i.org, c.filter)
			require.NoError(t, err)
			reversed := idsOf(views)
			slices.Reverse(reversed)
			require.Equal(t, c.want, reversed)
		})
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	var want []domain.ConversationID
	for i := range 5 {
		want = append(want, n.conversation(number(i), "", -time.Duration(i/2)*time.Hour)) // some at the same time
	}
	conversations := newConversations(t, openReads(t, database))
	for _, search := range []string{"", "4915"} {
		var got []domain.ConversationID
		for page := 1; page <= 3; page++ {
			views, meta, err := conversations.List(t.Context(), n.org,
				domain.ConversationFilter{Search: search, Page: domain.Page{Number: page, Limit: 2}})
			require.NoError(t, err)
			require.Equal(t, domain.PageMeta{Total: 5, Page: page, Limit: 2, TotalPages: 3}, meta)
			got = append(got, idsOf(views)...)
		}
		require.ElementsMatch(t, want, got)
		require.Equal(t, want[4], got[4])

		views, meta, err := conversations.List(t.Context(), n.org,
			domain.ConversationFilter{Search: search, Page: domain.Page{Number: 9, Limit: 2}})
		require.NoError(t, err)
		require.Empty(t, views)
		require.Equal(t, 5, meta.Total, "the total is known beyond the end")
	}
}

func TestListOfNothing(t *testing.T) {
	t.Parallel()
	conversations := newConversations(t, openReads(t, persistencetest.New(t)))
	views, meta, err := conversations.List(t.Context(), newID[domain.OrganizationID](), domain.ConversationFilter{Search: "x", Page: first})
	require.NoError(t, err)
	require.Empty(t, views)
	require.Equal(t, domain.PageMeta{Page: 1, Limit: 20}, meta)
}

func TestTotalsAreCountedUpToTheirBound(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	insert := func(count int) {
		n.exec(`WITH c AS (
				INSERT INTO contacts (id, organization_id, provider, provider_id)
				SELECT gen_random_uuid(), $1, 'WHATSAPP', gen_random_uuid() FROM generate_series(1, $4) RETURNING id)
			INSERT INTO conversations (id, organization_id, channel_id, contact_id, last_message_at, change_id)
			SELECT gen_random_uuid(), $1, $2, id, $3, gen_random_uuid() FROM c`, n.org, n.channel, dawn, count)
	}
	conversations := newConversations(t, openReads(t, database))
	total := func(filter domain.ConversationFilter) (int, bool) {
		filter.Page = domain.Page{Number: 500, Limit: 20} // the last there is
		views, meta, err := conversations.List(t.Context(), n.org, filter)
		require.NoError(t, err)
		require.Len(t, views, 20)
		return meta.Total, meta.TotalIsCapped
	}
	filters := []domain.ConversationFilter{{}, {Channel: n.channel}, {Sort: domain.SortOldest}}
	insert(10_000)
	for _, filter := range filters {
		count, capped := total(filter)
		require.Equal(t, 10_000, count)
		require.False(t, capped)
	}
	insert(1)
	for _, filter := range filters {
		count, capped := total(filter)
		require.Equal(t, 10_000, count)
		require.True(t, capped)
	}
}

func TestGetIsTheWholeRow(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	id := n.conversation(number(1), "Grace", time.Minute)
	n.assign(id, ada)
	m := n.message(id, domain.Message{Body: "Hello"})
	n.exec(`UPDATE conversations SET pending_since = $2, first_response_at = $2, window_expires_at = $2, unread_count = 3, version = 9 WHERE id = $1`, id, dawn)
	conversations := newConversations(t, openReads(t, database))

	view, err := conversations.Get(t.Context(), n.org, id)
	require.NoError(t, err)
	contact, at := domain.ContactIDFor(n.org, domain.WhatsApp, number(1)), domain.Timestamp(dawn)
	later := domain.Timestamp(dawn.Add(time.Minute))
	body := "Hello"
	require.Equal(t, domain.ConversationView{
		ID: id, Organization: n.org, Channel: n.channel, Contact: contact, Status: domain.Assigned, Holder: &ada,
		AssignedAt: at, PendingSince: at, LastMessageAt: later, FirstResponseAt: at, WindowExpiresAt: at, Unread: 3, Version: 9,
		CreatedAt: later, UpdatedAt: later,
		ContactRef:  domain.ContactRef{ID: contact, ProviderID: number(1), DisplayName: "Grace", Provider: domain.WhatsApp},
		ChannelRef:  domain.ChannelRef{ID: n.channel, Name: "channel of one", Provider: domain.WhatsApp},
		HolderRef:   &domain.PersonRef{ID: ada, Name: "Ada"},
		LastMessage: &domain.MessageSummary{ID: m.ID, Direction: domain.Inbound, Body: &body, CreatedAt: at},
	}, view)

	n.message(id, domain.Message{Body: "Oops", DeletedAt: dawn})
	view, err = conversations.Get(t.Context(), n.org, id)
	require.NoError(t, err)
	require.Nil(t, view.LastMessage.Body)

	_, err = conversations.Get(t.Context(), n.org, newID[domain.ConversationID]())
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestManyGetsAtOnceKeepOrganizationsApart(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	tenants := []*tenant{newTenant(t, database, "one"), newTenant(t, database, "two")}
	ids := make([][]domain.ConversationID, len(tenants))
	for i, n := range tenants {
		for c := range 20 {
			ids[i] = append(ids[i], n.conversation(number(c), "Grace", time.Minute))
		}
	}
	conversations := newConversations(t, openReads(t, database))
	var asking sync.WaitGroup
	for asker, n := range tenants {
		for owner := range tenants {
			for _, id := range ids[owner] {
				asking.Go(func() {
					view, err := conversations.Get(t.Context(), n.org, id)
					switch {
					case asker != owner && !errors.Is(err, domain.ErrNotFound):
						t.Errorf("a stranger asked for %s and got %v", id, err)
					case asker == owner && (err != nil || view.ID != id || view.Organization != n.org):
						t.Errorf("the owner asked for %s and got %s, %v", id, view.ID, err)
					}
				})
			}
		}
	}
	asking.Wait()
}

func TestMessagesComeNewestFirstFromTheCursorOn(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	id := n.conversation(number(1), "", 0)
	var ids []domain.MessageID
	for range 5 {
		ids = append(ids, n.message(id, domain.Message{Body: "text"}).ID)
	}
	n.message(n.conversation(number(2), "", 0), domain.Message{Body: "another thread's"})
	slices.Reverse(ids)
	n.exec(`INSERT INTO attachments (organization_id, message_id, state, file_name, mime_type, size_bytes, created_at)
		VALUES ($1, $2, 'stored', 'a.pdf', 'application/pdf', 12, $3), ($1, $2, 'pending', NULL, NULL, NULL, now())`, n.org, ids[0], dawn)
	conversations := newConversations(t, openReads(t, database))
	read := func(before domain.MessageID) []domain.MessageView {
		views, err := conversations.Messages(t.Context(), n.org, id, before, 2)
		require.NoError(t, err)
		return views
	}
	var got []domain.MessageID
	var before domain.MessageID
	for {
		views := read(before)
		for _, v := range views {
			got = append(got, v.ID)
			require.Equal(t, id, v.Conversation)
			require.Equal(t, "text", *v.Body)
			before = v.ID
		}
		if len(views) < 2 {
			break
		}
		n.message(id, domain.Message{Body: "arrives meanwhile"})
	}
	require.Equal(t, ids, got)
	require.Empty(t, read(ids[4]))

	views, err := conversations.Messages(t.Context(), n.org, id, newID[domain.MessageID](), 100)
	require.NoError(t, err)
	require.Len(t, views, 7)
	require.Empty(t, views[0].Attachments)
	require.Len(t, views[2].Attachments, 2)
	require.Equal(t, domain.AttachmentStored, views[2].Attachments[0].State)
	require.Equal(t, "a.pdf", *views[2].Attachments[0].FileName)
	require.EqualValues(t, 12, *views[2].Attachments[0].SizeBytes)
	require.Nil(t, views[2].Attachments[1].FileName)

	_, err = conversations.Messages(t.Context(), n.org, newID[domain.ConversationID](), domain.MessageID{}, 2)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestAuditPagesNewestFirst(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	id := n.conversation(number(1), "", 0)
	n.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, actor_id, metadata, created_at)
		SELECT gen_random_uuid(), $1, i, 'ACCEPTED', CASE WHEN i = 5 THEN $2::uuid END, jsonb_build_object('agentId', $2::uuid, 'reason', i::text), $3
		FROM generate_series(1, 5) i`, id, ada, dawn)
	n.exec(`UPDATE conversations SET event_seq = 5 WHERE id = $1`, id)
	conversations := newConversations(t, openReads(t, database))
	read := func(page int) ([]domain.AuditView, domain.PageMeta) {
		views, meta, err := conversations.Audit(t.Context(), n.org, id, domain.Page{Number: page, Limit: 2})
		require.NoError(t, err)
		return views, meta
	}
	views, meta := read(1)
	require.Equal(t, domain.PageMeta{Total: 5, Page: 1, Limit: 2, TotalPages: 3}, meta)
	require.Equal(t, domain.AuditView{
		ID: views[0].ID, Conversation: id, Seq: 5, Type: domain.AuditAccepted, Actor: &domain.PersonRef{ID: ada, Name: "Ada"},
		Facts: domain.AuditFacts{Agent: ada, Reason: "5"}, CreatedAt: domain.Timestamp(dawn),
	}, views[0])
	require.EqualValues(t, 4, views[1].Seq)
	require.Nil(t, views[1].Actor)
	views, _ = read(3)
	require.Len(t, views, 1)
	require.EqualValues(t, 1, views[0].Seq)
	views, meta = read(4)
	require.Empty(t, views)
	require.Equal(t, 5, meta.Total)

	n.exec(`UPDATE conversations SET event_seq = 10001 WHERE id = $1`, id)
	_, meta = read(1)
	require.Equal(t, 10_000, meta.Total)
	require.True(t, meta.TotalIsCapped)

	_, _, err := conversations.Audit(t.Context(), n.org, newID[domain.ConversationID](), first)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// What one organization has, another doesn't see, whatever it asks.
func TestOrganizationsNeverSeeEachOther(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newInbox(t, database), newTenant(t, database, "b")
	b.agent("Bob")
	m := a.message(a.pending, domain.Message{Body: "secret"})
	a.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type) VALUES (gen_random_uuid(), $1, 1, 'CREATED')`, a.pending)
	a.exec(`UPDATE conversations SET event_seq = 1 WHERE id = $1`, a.pending)
	reads := openReads(t, database)
	conversations, users := newConversations(t, reads), persistence.NewUsers(reads)

	for _, filter := range []domain.ConversationFilter{
		{}, {Channel: a.channel}, {Holder: a.ada}, {Holder: a.ada, Channel: a.channel}, {Search: "secret"}, {Search: number(1)},
		{Search: "Grace", Channel: a.channel}, {Search: number(2), Holder: a.ada}, {Sort: domain.SortOldest},
	} {
		filter.Page = first
		views, meta, err := conversations.List(t.Context(), b.org, filter)
		require.NoError(t, err)
		require.Empty(t, views)
		require.Zero(t, meta.Total)
		require.False(t, meta.TotalIsCapped)
	}
	_, err := conversations.Get(t.Context(), b.org, a.pending)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = conversations.Messages(t.Context(), b.org, a.pending, domain.MessageID{}, 10)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, _, err = conversations.Audit(t.Context(), b.org, a.pending, first)
	require.ErrorIs(t, err, domain.ErrNotFound)
	agents, err := users.Agents(t.Context(), b.org)
	require.NoError(t, err)
	require.Len(t, agents, 1)
	require.Equal(t, "Bob", agents[0].Name)

	// A's own row that names something of B's by mistake shows nothing of it.
	a.exec(`UPDATE messages SET organization_id = $2 WHERE id = $1`, m.ID, b.org)
	views, err := conversations.Messages(t.Context(), b.org, a.pending, domain.MessageID{}, 10)
	require.NoError(t, err)
	require.Len(t, views, 1, "the message's own organization counts")
	views, err = conversations.Messages(t.Context(), a.org, a.pending, domain.MessageID{}, 10)
	require.NoError(t, err)
	require.Empty(t, views)
}

func TestReadsFailAsUnavailableWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	reads := openReads(t, server.New(t))
	conversations, users := newConversations(t, reads), persistence.NewUsers(reads)
	org, id := newID[domain.OrganizationID](), newID[domain.ConversationID]()
	server.Stop()
	_, _, err := conversations.List(t.Context(), org, domain.ConversationFilter{Page: first})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, _, err = conversations.List(t.Context(), org, domain.ConversationFilter{Search: "x", Page: first})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = conversations.Get(t.Context(), org, id)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = conversations.Messages(t.Context(), org, id, domain.MessageID{}, 1)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, _, err = conversations.Audit(t.Context(), org, id, first)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = users.ByEmail(t.Context(), "ada@example.com")
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = users.Agents(t.Context(), org)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorIs(t, persistence.NewSessions(reads, week, discard()).Start(t.Context(), domain.LoginSession{}), domain.ErrUnavailable)
	letter := []domain.DeadLetter{{Provider: domain.WhatsApp}}
	require.ErrorIs(t, persistence.NewDeadLetters(reads, 10, discard()).Keep(t.Context(), letter), domain.ErrUnavailable)
}
