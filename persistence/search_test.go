package persistence_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// crowd makes so many newer conversations of people without a name, with one
// message each.
func (n *tenant) crowd(size int, text string) {
	n.t.Helper()
	n.exec(`WITH c AS (
			INSERT INTO contacts (id, organization_id, provider, provider_id)
			SELECT gen_random_uuid(), $1, 'WHATSAPP', 'x' || translate(i::text, '0123456789', 'abcdefghij') FROM generate_series(1, $3) i RETURNING id
		), v AS (
			INSERT INTO conversations (id, organization_id, channel_id, contact_id, last_message_at, change_id)
			SELECT gen_random_uuid(), $1, $2, id, $4, gen_random_uuid() FROM c RETURNING id
		)
		INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, body, status)
		SELECT gen_random_uuid(), $1, $2, id, 'INBOUND', 'text', $5, 'DELIVERED' FROM v`, n.org, n.channel, size, dawn.Add(time.Hour), text)
}

func TestSearchFindsWordsWhereverTheyAre(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n, other := newTenant(t, database, "one"), newTenant(t, database, "two")
	old := n.conversation("4930123456", "Zoë O'Neill-Müller", -24*time.Hour)
	n.alias(domain.ContactIDFor(n.org, domain.WhatsApp, "4930123456"), domain.AliasUserID, "DE.134912")
	n.message(old, domain.Message{Body: "The parcel (order-4711) has NOT arrived, mail me: zoe@example.com\nGrüße"})
	n.message(old, domain.Message{Body: "taken back", DeletedAt: dawn})
	for range 30 {
		n.message(old, domain.Message{Body: "and then"})
	}
	n.crowd(1000, "hello")
	stranger := other.conversation("4930123456", "Zoë", 0)
	other.message(stranger, domain.Message{Body: "order-4711"})
	conversations := newConversations(t, openReads(t, database))
	found := func(text string) bool {
		t.Helper()
		views, meta, err := conversations.List(t.Context(), n.org, domain.ConversationFilter{Search: text, Page: first})
		require.NoError(t, err)
		require.False(t, meta.TotalIsCapped, text)
		require.Equal(t, len(views), meta.Total, text)
		return len(views) == 1 && views[0].ID == old
	}
	for _, hit := range []string{
		"zoë", "ZOË", "o'neill", "neill", "mül", "müller zoë", "4930123456", "493012", "+49 (30) 123-456", "DE.134912", "de.13",
		"4711", "order-4711", "order 4711", "ord", "not arrived", "arrived NOT", "parcel arr", "zoe@example.com", "example", "grüße", "GRÜ",
	} {
		require.True(t, found(hit), hit)
	}
	for _, miss := range []string{"taken back", "arcel", "rived", "parcel zoë", "711", "example.org", "' OR true", ":*", "&", "!", "%", "zoë & x", `\`, `a\'b`, `'\'`, `a\b'c`} {
		require.False(t, found(miss), miss)
	}
}

// Parts of words are found among the newest: names and numbers always, messages
// where a word is in too many of them for its index. That is said.
func TestSearchOfCommonWordsLooksAtTheNewest(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	n.crowd(2500, "hello there")
	newest := n.conversation("4930123456", "Newest", 2*time.Hour)
	n.message(newest, domain.Message{Body: "hello again"})
	conversations := newConversations(t, openReads(t, database))
	list := func(filter domain.ConversationFilter) ([]domain.ConversationView, domain.PageMeta) {
		filter.Page = first
		views, meta, err := conversations.List(t.Context(), n.org, filter)
		require.NoError(t, err)
		return views, meta
	}
	views, meta := list(domain.ConversationFilter{Search: "hello"})
	require.True(t, meta.TotalIsCapped)
	require.GreaterOrEqual(t, meta.Total, 1000)
	require.Len(t, views, 20)
	require.Equal(t, newest, views[0].ID)
	views, meta = list(domain.ConversationFilter{Search: "again"})
	require.Equal(t, []domain.ConversationID{newest}, idsOf(views))
	require.False(t, meta.TotalIsCapped)
	for _, part := range []string{"3456", "ewes"} {
		views, _ = list(domain.ConversationFilter{Search: part})
		require.Equal(t, []domain.ConversationID{newest}, idsOf(views), part)
	}
	views, meta = list(domain.ConversationFilter{Search: "hello", Statuses: []domain.ConversationStatus{domain.Assigned}})
	require.Empty(t, views)
	require.True(t, meta.TotalIsCapped)
}

// A text that nobody should send is stored and found, not refused: the index
// takes whatever the column takes.
func TestTheIndexTakesEveryText(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	id := n.conversation(number(1), "", 0)
	long := func(word string, times int) string { return string(repeat(word, times)) }
	for _, body := range []string{
		long("x", 200_000), long("ü", 4000), long("a ", 100_000), long("\U0001F600", 4000), "''''", `\\`, "\u0001\u007f\uFFFF", long("1e5 ", 900), long("http://a.b/c?d ", 300),
	} {
		n.message(id, domain.Message{Body: body})
	}
	conversations := newConversations(t, openReads(t, database))
	n.message(id, domain.Message{Body: "needle"})
	for _, text := range []string{"needle", long("needle ", 20), long("\U0001F600", 50), "1e5"} {
		_, _, err := conversations.List(t.Context(), n.org, domain.ConversationFilter{Search: text, Page: first})
		require.NoError(t, err)
	}
}

func repeat(word string, times int) []byte {
	var out []byte
	for range times {
		out = append(out, word...)
	}
	return out
}

func TestContactsAreListedAndFound(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n, other := newTenant(t, database, "one"), newTenant(t, database, "two")
	grace := n.contact("49151111", "Grace Hopper")
	ada := n.contact("49152222", "Ada Lovelace")
	twin := n.contact("49153333", "Ada L.")
	n.alias(ada, domain.AliasUserID, "DE.99")
	n.exec(`UPDATE contacts SET merged_into = $1 WHERE id = $2`, ada, twin)
	other.contact("49151111", "Grace Hopper")
	contacts := persistence.NewContacts(openReads(t, database))
	list := func(search string) (ids []domain.ContactID) {
		views, meta, err := contacts.List(t.Context(), n.org, domain.ContactFilter{Search: search, Page: first})
		require.NoError(t, err)
		require.Equal(t, len(views), meta.Total)
		require.False(t, meta.TotalIsCapped)
		for _, v := range views {
			ids = append(ids, v.ID)
		}
		return ids
	}
	require.Equal(t, []domain.ContactID{ada, grace}, list(""), "by name; who is merged isn't one")
	require.Equal(t, []domain.ContactID{ada}, list("love"))
	require.Equal(t, []domain.ContactID{grace}, list("+49 151 111"))
	require.Equal(t, []domain.ContactID{ada}, list("DE.99"))
	require.Equal(t, []domain.ContactID{ada, grace}, list("4915"))
	require.Empty(t, list("nobody"))

	view, err := contacts.Get(t.Context(), n.org, ada)
	require.NoError(t, err)
	require.Equal(t, domain.ContactView{
		ID: ada, Provider: domain.WhatsApp, ProviderID: "49152222", DisplayName: "Ada Lovelace",
		Aliases:     []domain.AliasView{{Kind: domain.AliasNumber, Value: "49152222"}, {Kind: domain.AliasUserID, Value: "DE.99"}},
		FirstSeenAt: view.FirstSeenAt, LastSeenAt: view.LastSeenAt, CreatedAt: view.CreatedAt, UpdatedAt: view.UpdatedAt,
	}, view)
	view, err = contacts.Get(t.Context(), n.org, twin)
	require.NoError(t, err)
	require.Equal(t, &ada, view.MergedInto)
	_, err = contacts.Get(t.Context(), other.org, ada)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestContactsArePaged(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	for i := range 5 {
		n.contact(number(i), fmt.Sprintf("Same %d", i/2))
	}
	contacts := persistence.NewContacts(openReads(t, database))
	for _, search := range []string{"", "same"} {
		seen := map[domain.ContactID]bool{}
		for page := 1; page <= 3; page++ {
			views, meta, err := contacts.List(t.Context(), n.org, domain.ContactFilter{Search: search, Page: domain.Page{Number: page, Limit: 2}})
			require.NoError(t, err)
			require.Equal(t, domain.PageMeta{Total: 5, Page: page, Limit: 2, TotalPages: 3}, meta)
			for _, v := range views {
				seen[v.ID] = true
			}
		}
		require.Len(t, seen, 5)
	}
}
