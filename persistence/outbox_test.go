package persistence_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestWhatIsDueToBeSent(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	outbox := persistence.NewOutbox(openReads(t, database))
	now := dawn.Add(time.Hour)
	before, after, never := now.Add(-time.Second), now.Add(time.Second), time.Time{}
	for name, c := range map[string]struct {
		state       domain.SendState
		claim, next time.Time
		due         bool
	}{
		"queued since its creation":   {domain.SendQueued, never, never, true},
		"queued, its time has come":   {domain.SendQueued, dawn, before, true},
		"queued for later":            {domain.SendQueued, dawn, after, false},
		"being sent for long":         {domain.SendSending, before, never, true},
		"being sent":                  {domain.SendSending, after, never, false},
		"in doubt for long":           {domain.SendUncertain, dawn, before, true},
		"in doubt, news may yet come": {domain.SendUncertain, dawn, after, false},
	} {
		id := n.conversation(name, "", 0)
		n.unsent(id, c.state, c.claim, c.next)
		found, err := outbox.Due(t.Context(), now, domain.ConversationID{}, 10)
		require.NoError(t, err)
		require.Equal(t, c.due, len(found) == 1 && found[0] == id, name)
		n.exec(`DELETE FROM messages`)
	}
	id := n.conversation("fresh", "", 0)
	n.unsent(id, domain.SendQueued, never, never)
	n.message(id, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent})
	found, err := outbox.Due(t.Context(), dawn, domain.ConversationID{}, 10)
	require.NoError(t, err)
	require.Empty(t, found, "written at that very time")
}

// Pages of what is due hold each conversation once, in the order of ids over all
// organizations and channels, and none whose channel doesn't send.
func TestPagesOfWhatIsDue(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	want := map[domain.ConversationID]bool{}
	for slug, status := range map[string]domain.ChannelStatus{
		"a": domain.ChannelActive, "b": domain.ChannelError, "c": domain.ChannelActive, "d": domain.ChannelInactive, "e": domain.ChannelActive,
	} {
		n := newTenant(t, database, slug)
		n.exec(`UPDATE channels SET status = $2 WHERE id = $1`, n.channel, string(status))
		for i := range 7 {
			id := n.conversation(number(i), "", 0)
			n.unsent(id, domain.SendSending, dawn, time.Time{})
			n.unsent(id, domain.SendQueued, time.Time{}, time.Time{})
			if status == domain.ChannelActive {
				want[id] = true
			}
		}
	}
	outbox := persistence.NewOutbox(openReads(t, database))
	var cursor domain.ConversationID
	for left := len(want); left > 0; {
		page, err := outbox.Due(t.Context(), dawn.Add(time.Hour), cursor, 4)
		require.NoError(t, err)
		require.Len(t, page, min(left, 4))
		for _, id := range page {
			require.Less(t, cursor.String(), id.String())
			require.True(t, want[id])
			cursor = id
		}
		left -= len(page)
	}
	page, err := outbox.Due(t.Context(), dawn.Add(time.Hour), cursor, 4)
	require.NoError(t, err)
	require.Empty(t, page)
}

func TestTheNewestInboundMessage(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n, stranger := newTenant(t, database, "one"), newTenant(t, database, "two")
	id := n.conversation(number(1), "", 0)
	reads := persistence.NewConversations(openReads(t, database), nil)
	newest := func(org domain.OrganizationID) string {
		t.Helper()
		found, err := reads.NewestInbound(t.Context(), org, id)
		require.NoError(t, err)
		return found
	}
	n.message(n.conversation(number(2), "", 0), domain.Message{ProviderMessageID: "elsewhere"})
	require.Empty(t, newest(n.org))
	n.message(id, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent, ProviderMessageID: "out"})
	require.Empty(t, newest(n.org))
	n.message(id, domain.Message{ProviderMessageID: "first"})
	n.message(id, domain.Message{ProviderMessageID: "second"})
	n.message(id, domain.Message{})
	n.message(id, domain.Message{Direction: domain.Outbound, Status: domain.StatusSent})
	require.Equal(t, "second", newest(n.org))
	_, err := reads.NewestInbound(t.Context(), stranger.org, id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = reads.NewestInbound(t.Context(), n.org, newID[domain.ConversationID]())
	require.ErrorIs(t, err, domain.ErrNotFound)
}
