package persistence_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestWhichChannelsAreDueForACheck(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	health := persistence.NewChannelHealth(openReads(t, database))
	due := func(want int, why string) []domain.ChannelCheck {
		t.Helper()
		checks, err := health.Claim(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, checks, want, why)
		return checks
	}
	ago := func(status, interval string) {
		t.Helper()
		n.exec(`UPDATE channels SET status = $2::text::channel_status, checked_at = now() - $3::text::interval WHERE id = $1`, n.channel, status, interval)
	}
	n.exec(`UPDATE channels SET send_rate = 7, config = '{"businessAccountId": "215589313241560"}', webhook_secret = 'sealed' WHERE id = $1`, n.channel)
	check := due(1, "it was never checked")[0]
	require.Equal(t, n.channel, check.Channel.ID)
	require.Equal(t, n.org, check.Channel.Organization)
	require.Equal(t, domain.ChannelActive, check.Channel.Status)
	require.Equal(t, domain.WhatsApp, check.Channel.Provider)
	require.Equal(t, 7, check.Channel.SendRate)
	require.Equal(t, "215589313241560", check.BusinessAccount)
	require.True(t, check.OwnApp)
	due(0, "it was claimed")

	ago("ACTIVE", "4 minutes")
	due(0, "not yet")
	ago("ACTIVE", "6 minutes")
	due(1, "every five minutes")
	ago("ERROR", "50 seconds")
	due(0, "not yet")
	ago("ERROR", "70 seconds")
	due(1, "a minute after")
	ago("INACTIVE", "1 day")
	due(0, "nobody uses it")

	for range 3 { // a broken account that each check finds well
		n.exec(`INSERT INTO admin_audit (organization_id, action, subject) VALUES ($1, 'channel.recovered', $2)`, n.org, n.channel.String())
	}
	ago("ERROR", "7 minutes")
	due(0, "it came back three times: it has to wait eight minutes")
	ago("ERROR", "9 minutes")
	due(1, "eight minutes")
	n.exec(`UPDATE admin_audit SET created_at = now() - interval '7 hours'`)
	ago("ERROR", "70 seconds")
	due(1, "that is long ago")
}

// TestACheckIsClaimedOnce: nodes share the checks and make none twice.
func TestACheckIsClaimedOnce(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	n.exec(`INSERT INTO channels (organization_id, provider, name, external_id, status)
		SELECT $1, 'MESSENGER', 'page ' || i, i::text, 'ACTIVE' FROM generate_series(1, 99) AS i`, n.org)
	reads := openReads(t, database)
	var mu sync.Mutex
	claimed := map[domain.ChannelID]int{}
	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() {
			for tries := 0; tries < 50; tries++ {
				checks, err := persistence.NewChannelHealth(reads).Claim(t.Context(), 7)
				if err != nil {
					t.Errorf("claim: %v", err)
					return
				}
				mu.Lock()
				for _, c := range checks {
					claimed[c.Channel.ID]++
				}
				mu.Unlock()
			}
		})
	}
	nodes.Wait()
	require.Len(t, claimed, 100)
	for id, times := range claimed {
		require.Equal(t, 1, times, id)
	}
}

func TestANoteIsKeptForTheStatusThatItIsOf(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n, stranger := newTenant(t, database, "one"), newTenant(t, database, "two")
	registry := newRegistry(t, database)
	health := persistence.NewChannelHealth(openReads(t, database))
	note := func(org domain.OrganizationID, status domain.ChannelStatus, text string) {
		t.Helper()
		require.NoError(t, health.Note(t.Context(), org, n.channel, status, text))
	}
	shows := func(want string) {
		t.Helper()
		var kept string
		require.NoError(t, database.SQL.QueryRow(`SELECT coalesce(last_error, '') FROM channels WHERE id = $1`, n.channel).Scan(&kept))
		require.Equal(t, want, kept)
	}
	note(n.org, domain.ChannelActive, "token ends soon")
	note(n.org, domain.ChannelError, "not of now")
	note(stranger.org, domain.ChannelActive, "not yours")
	shows("token ends soon")
	note(n.org, domain.ChannelActive, "")
	shows("")
	require.Equal(t, 2, registry.ChannelsByStatus()[domain.ChannelActive])
	require.Zero(t, registry.ChannelsByStatus()[domain.ChannelError])
}
