package persistence_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// rootOf is the sentinel that err wraps.
func rootOf(err error) error {
	for _, sentinel := range []error{domain.ErrOverloaded, domain.ErrUnavailable, domain.ErrNotFound} {
		if errors.Is(err, sentinel) {
			return sentinel
		}
	}
	return err
}

// testClock is a clock that the test moves.
type testClock struct{ offset atomic.Int64 }

func (c *testClock) now() time.Time          { return dawn.Add(time.Duration(c.offset.Load())) }
func (c *testClock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func newIdentities(t *testing.T, database *persistencetest.Database, now func() time.Time) *persistence.Identities {
	t.Helper()
	identities, err := persistence.NewIdentities(openReads(t, database), now)
	require.NoError(t, err)
	running(t, identities.Run)
	return identities
}

func phone(value string) domain.Alias  { return domain.Alias{Kind: domain.AliasNumber, Value: value} }
func userID(value string) domain.Alias { return domain.Alias{Kind: domain.AliasUserID, Value: value} }

func TestKnownTellsWhoseAliasesAre(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	grace := n.contact(number(1), "Grace")
	n.alias(grace, domain.AliasUserID, "US.2")
	n.alias(grace, domain.AliasUserID, "US.1")
	alan := n.contact(number(2), "Alan")

	identities := newIdentities(t, database, time.Now)
	known, err := identities.Known(t.Context(), n.org, domain.WhatsApp,
		[]domain.Alias{phone(number(1)), userID("US.1"), phone(number(2)), phone("unknown")})
	require.NoError(t, err)
	ids := []string{"US.1", "US.2"}
	require.ElementsMatch(t, []domain.KnownAlias{
		{Alias: phone(number(1)), Contact: grace, ProviderID: number(1), UserIDs: ids},
		{Alias: userID("US.1"), Contact: grace, ProviderID: number(1), UserIDs: ids},
		{Alias: phone(number(2)), Contact: alan, ProviderID: number(2), UserIDs: []string{}},
	}, known)

	known, err = identities.Known(t.Context(), n.org, domain.Messenger, []domain.Alias{phone(number(1))})
	require.NoError(t, err)
	require.Empty(t, known)
}

func TestKnownFollowsMergesToTheEnd(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	contacts := make([]domain.ContactID, 4)
	for i := range contacts {
		contacts[i] = n.contact(number(i), "")
	}
	n.alias(contacts[3], domain.AliasUserID, "US.3")
	for i := range 3 {
		n.exec(`UPDATE contacts SET merged_into = $2 WHERE id = $1`, contacts[i], contacts[i+1])
	}
	known, err := newIdentities(t, database, time.Now).Known(t.Context(), n.org, domain.WhatsApp, []domain.Alias{phone(number(0))})
	require.NoError(t, err)
	require.Equal(t, []domain.KnownAlias{
		{Alias: phone(number(0)), Contact: contacts[3], ProviderID: number(3), UserIDs: []string{"US.3"}},
	}, known)
}

// A circle of merges is a mistake of ours; it must not hang the look-ups of
// everybody.
func TestKnownEndsInACircleOfMerges(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	a, b := n.contact(number(1), ""), n.contact(number(2), "")
	n.exec(`UPDATE contacts SET merged_into = $2 WHERE id = $1`, a, b)
	n.exec(`UPDATE contacts SET merged_into = $2 WHERE id = $1`, b, a)
	known, err := newIdentities(t, database, time.Now).Known(t.Context(), n.org, domain.WhatsApp, []domain.Alias{phone(number(1))})
	require.NoError(t, err)
	require.Len(t, known, 1)
}

func TestKnownIsScopedByOrganization(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newTenant(t, database, "a"), newTenant(t, database, "b")
	a.contact(number(1), "Grace")
	identities := newIdentities(t, database, time.Now)
	known, err := identities.Known(t.Context(), a.org, domain.WhatsApp, []domain.Alias{phone(number(1))})
	require.NoError(t, err)
	require.Len(t, known, 1)
	known, err = identities.Known(t.Context(), b.org, domain.WhatsApp, []domain.Alias{phone(number(1))})
	require.NoError(t, err)
	require.Empty(t, known)
}

func TestWhatIsKnownIsRememberedUntilForgottenOrOld(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	first, second, third := n.contact(number(1), ""), n.contact(number(2), ""), n.contact(number(3), "")
	clock := &testClock{}
	identities := newIdentities(t, database, clock.now)
	owner := func() domain.ContactID {
		known, err := identities.Known(t.Context(), n.org, domain.WhatsApp, []domain.Alias{phone(number(1))})
		require.NoError(t, err)
		require.Len(t, known, 1)
		return known[0].Contact
	}
	move := func(to domain.ContactID) {
		n.exec(`UPDATE contact_aliases SET contact_id = $2 WHERE alias = $1`, number(1), to)
	}
	require.Equal(t, first, owner())
	move(second)
	require.Equal(t, first, owner(), "remembered")
	identities.Forget(n.org, domain.WhatsApp, phone(number(1)))
	require.Equal(t, second, owner(), "forgotten, asked again")
	move(third)
	clock.advance(29 * time.Second)
	require.Equal(t, second, owner(), "remembered")
	clock.advance(time.Second)
	require.Equal(t, third, owner(), "too old")
}

func TestWhatIsUnknownIsNotRemembered(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	identities := newIdentities(t, database, time.Now)
	known, err := identities.Known(t.Context(), n.org, domain.WhatsApp, []domain.Alias{phone(number(1))})
	require.NoError(t, err)
	require.Empty(t, known)
	n.contact(number(1), "")
	known, err = identities.Known(t.Context(), n.org, domain.WhatsApp, []domain.Alias{phone(number(1))})
	require.NoError(t, err)
	require.Len(t, known, 1)
}

func TestKnownAnswersManyAtOnce(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	contacts := make([]domain.ContactID, 20)
	for i := range contacts {
		contacts[i] = n.contact(number(i), "")
	}
	identities := newIdentities(t, database, time.Now)
	var group sync.WaitGroup
	for i := range 400 {
		group.Go(func() {
			known, err := identities.Known(t.Context(), n.org, domain.WhatsApp, []domain.Alias{phone(number(i % 20))})
			if err != nil || len(known) != 1 || known[0].Contact != contacts[i%20] {
				t.Errorf("alias %d: %v, %v", i%20, known, err)
			}
		})
	}
	group.Wait()
}

func TestLookUpsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	identities, err := persistence.NewIdentities(openReads(t, persistencetest.New(t)), time.Now)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = identities.Known(ctx, newID[domain.OrganizationID](), domain.WhatsApp, []domain.Alias{phone("1")})
	require.ErrorIs(t, err, context.Canceled)
	_, err = identities.ConversationOf(ctx, newID[domain.ChannelID](), "wamid.1")
	require.ErrorIs(t, err, context.Canceled)
}

func TestConversationOfAMessageIsFoundOnItsChannelAlone(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newTenant(t, database, "a"), newTenant(t, database, "b")
	mine, theirs := a.conversation(number(1), "", 0), b.conversation(number(1), "", 0)
	a.message(mine, domain.Message{ProviderMessageID: "both"})
	b.message(theirs, domain.Message{ProviderMessageID: "both"})
	b.message(theirs, domain.Message{ProviderMessageID: "theirs"})
	identities := newIdentities(t, database, time.Now)
	for _, c := range []struct {
		channel domain.ChannelID
		id      string
		want    domain.ConversationID
	}{
		{a.channel, "both", mine}, {b.channel, "both", theirs}, {b.channel, "theirs", theirs},
		{a.channel, "theirs", domain.ConversationID{}}, {a.channel, "", domain.ConversationID{}},
	} {
		got, err := identities.ConversationOf(t.Context(), c.channel, c.id)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}
