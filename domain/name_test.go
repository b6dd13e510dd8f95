package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestANameIsLearnedOnce: it fills the gap that Messenger's webhooks leave, and
// only that.
func TestANameIsLearnedOnce(t *testing.T) {
	t.Parallel()
	th := newThreadOn(t, pageChannel)
	th.origin.Customer.Name = ""
	none, err := th.do(NameLearned{Name: "Dana Okafor"})
	require.NoError(t, err)
	require.True(t, none.IsZero(), "a conversation that isn't there has no customer")

	th.must(Receive{Origin: th.origin, Event: CustomerMessage{ProviderID: "m_1", At: testStart, Type: TypeText, Body: "hi"}})
	require.True(t, th.c.WantsName())
	learned := th.must(NameLearned{Name: "Dana Okafor"})
	require.False(t, th.c.WantsName())
	require.Equal(t, "Dana Okafor", learned.Contact.Name)
	require.Equal(t, th.c.Contact, learned.Contact.ID)
	require.Equal(t, th.c.CreatedAt, learned.Contact.SeenAt, "nobody has seen the customer")
	require.Empty(t, learned.Audit)
	require.Len(t, learned.Notices, 1)
	require.Equal(t, EventConversationUpdated, learned.Notices[0].Name)
	require.False(t, learned.Notices[0].Activity, "lists show it differently")
	require.Equal(t, "Dana Okafor", learned.Notices[0].Payload.(ConversationUpdated).ContactRef.DisplayName)

	for _, name := range []string{"Dana Okafor", "Somebody Else", ""} {
		again, err := th.do(NameLearned{Name: name})
		require.NoError(t, err)
		require.True(t, again.IsZero(), name)
	}
	require.Equal(t, "Dana Okafor", th.c.ContactName)
}

func TestWhoseNameIsWanted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		channel Channel
		name    string
		wants   bool
	}{
		"WhatsApp tells names":    {testChannel, "", false},
		"Messenger doesn't":       {pageChannel, "", true},
		"a name is there already": {pageChannel, "Dana", false},
	} {
		th := newThreadOn(t, c.channel)
		th.origin.Customer.Name = c.name
		require.False(t, th.c.WantsName(), "nobody is there yet")
		th.must(Receive{Origin: th.origin, Event: CustomerMessage{ProviderID: "m_1", At: testStart, Type: TypeText, Body: "hi"}})
		require.Equal(t, c.wants, th.c.WantsName(), name)
	}
}
