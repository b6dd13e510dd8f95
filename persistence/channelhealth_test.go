package persistence_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestAChannelFailsAndRecovers(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n, stranger := newTenant(t, database, "one"), newTenant(t, database, "two")
	n.exec(`UPDATE channels SET send_rate = 5 WHERE id = $1`, n.channel)
	registry := newRegistry(t, database)
	health := persistence.NewChannelHealth(openReads(t, database))
	shows := func(status domain.ChannelStatus) {
		t.Helper()
		soon(t, func() bool { c, _ := registry.Channel(n.org, n.channel); return c.Status == status && c.SendRate == 5 }, "the registry hears of it")
	}
	fail := func(org domain.OrganizationID, want bool) {
		t.Helper()
		changed, err := health.Fail(t.Context(), org, n.channel, "190: Session has expired")
		require.NoError(t, err)
		require.Equal(t, want, changed)
	}
	recovers := func(org domain.OrganizationID, want bool) {
		t.Helper()
		changed, err := health.Recover(t.Context(), org, n.channel)
		require.NoError(t, err)
		require.Equal(t, want, changed)
	}
	shows(domain.ChannelActive)
	recovers(n.org, false)
	fail(stranger.org, false)
	fail(n.org, true)
	fail(n.org, false)
	shows(domain.ChannelError)
	require.Equal(t, 1, count(t, database, `SELECT count(*) FROM channels WHERE last_error = '190: Session has expired'`))
	recovers(stranger.org, false)
	recovers(n.org, true)
	recovers(n.org, false)
	shows(domain.ChannelActive)
	require.Zero(t, count(t, database, `SELECT count(*) FROM channels WHERE last_error IS NOT NULL`))

	n.exec(`UPDATE channels SET status = 'INACTIVE' WHERE id = $1`, n.channel)
	fail(n.org, false)
	recovers(n.org, false)
	shows(domain.ChannelInactive)
	require.Equal(t, 2, count(t, database, `SELECT count(*) FROM admin_audit`))
	require.Equal(t, 2, count(t, database, `SELECT count(*) FROM admin_audit
		WHERE organization_id = $1 AND actor_id IS NULL AND subject = $2
		AND (action = 'channel.failed' AND metadata = '{"error": "190: Session has expired"}' OR action = 'channel.recovered')`,
		n.org, n.channel.String()))
}

func TestTheErrorOfAChannelIsShortAndShowsNoToken(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	health := persistence.NewChannelHealth(openReads(t, database))
	token := "EAAG" + strings.Repeat("m0PX4ZCps", 15)
	for given, want := range map[string]string{
		"190: Malformed access token " + token + ", again": "190: Malformed access token …, again",
		"app 1234567890|a1b2c3d4e5f6a7b8c9d0e1f2a3b4":      "app …",
		"trace AbCdEfGhIjKlMnOpQrStUv":                     "trace AbCdEfGhIjKlMnOpQrStUv",
		"NUL \x00, \xff":                                   "NUL \uFFFD, \uFFFD",
		strings.Repeat("ä ", 400):                          strings.Repeat("ä ", 250),
	} {
		changed, err := health.Fail(t.Context(), n.org, n.channel, given)
		require.NoError(t, err)
		require.True(t, changed)
		var kept string
		require.NoError(t, database.SQL.QueryRow(`SELECT last_error FROM channels WHERE id = $1`, n.channel).Scan(&kept))
		require.Equal(t, want, kept)
		require.LessOrEqual(t, utf8.RuneCountInString(kept), 500)
		_, err = health.Recover(t.Context(), n.org, n.channel)
		require.NoError(t, err)
	}
}
