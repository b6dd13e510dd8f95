package main

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/jobs"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/graph"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// checkNow has all channels checked once, by checkups of the test's own.
func (c *centre) checkNow() {
	c.t.Helper()
	c.exec(`UPDATE channels SET checked_at = NULL`)
	checkups, err := jobs.NewCheckups(jobs.CheckupsConfig{
		Health: persistence.NewChannelHealth(c.program.store.reads), Platform: c.program.background, Census: c.program.store.registry,
		Logger: slog.New(slog.NewTextHandler(testLog{c.t}, nil)), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	require.NoError(c.t, err)
	ended := make(chan error, 1)
	go func() { ended <- checkups.Run(c.t.Context()) }()
	c.t.Cleanup(func() { require.NoError(c.t, <-ended) })
	// A row that a former check still writes is left to the next round.
	require.Eventually(c.t, func() bool { return c.count(`SELECT count(*) FROM channels WHERE checked_at IS NULL`) == 0 },
		40*time.Second, 5*time.Millisecond)
}

func (c *centre) channelIs(id domain.ChannelID, status domain.ChannelStatus, lastError string) {
	c.t.Helper()
	var got, why string
	require.Eventually(c.t, func() bool {
		require.NoError(c.t, c.db.SQL.QueryRowContext(c.t.Context(),
			`SELECT status::text, coalesce(last_error, '') FROM channels WHERE id = $1`, id).Scan(&got, &why))
		return got == string(status) && (why == "") == (lastError == "")
	}, 10*time.Second, 10*time.Millisecond, "the channel never was %s: %s %s", status, got, why)
	require.Contains(c.t, why, lastError)
}

// TestATokenThatDiesAndIsRenewed: the channel shows it, nothing that waits is
// lost, and it comes back by itself.
func TestATokenThatDiesAndIsRenewed(t *testing.T) {
	t.Parallel()
	c, page := openBoth(t, graphtest.Config{Habits: graphtest.Habits{Reads: 1}})
	id := c.open(customer(1))
	c.platform.SetToken(testNumber, "EAArenewed")
	c.checkNow()
	c.channelIs(c.channel, domain.ChannelError, "190: ")
	c.channelIs(page, domain.ChannelActive, "")
	// The two channels that development starts with aren't at this platform.
	require.Eventually(t, func() bool { return c.program.store.registry.ChannelsByStatus()[domain.ChannelError] == 3 },
		10*time.Second, 5*time.Millisecond)
	require.Equal(t, 4.0, metricSum(t, c.program, "chatopshub_channels"))

	sent := c.send(id, map[string]any{"body": "do you get this?"})
	require.Equal(t, 201, sent.status, bodyText(sent))
	c.giveToken(c.channel, "EAArenewed")
	require.Eventually(t, func() bool {
		credentials, err := c.program.store.registry.Credentials(c.channel)
		return err == nil && credentials.Token == "EAArenewed"
	}, 10*time.Second, 5*time.Millisecond)
	c.checkNow()
	c.channelIs(c.channel, domain.ChannelActive, "")
	c.await(id, sent.body["id"].(string), "READ")
	require.Equal(t, 1, c.count(`SELECT count(*) FROM admin_audit WHERE action = 'channel.failed' AND subject = $1`, c.channel.String()))
	require.Equal(t, 1, c.count(`SELECT count(*) FROM admin_audit WHERE action = 'channel.recovered' AND subject = $1`, c.channel.String()))
}

// TestLostSubscriptionsAreMended: what a page delivers, and that a number's
// account delivers at all. Fields that somebody added stay.
func TestLostSubscriptionsAreMended(t *testing.T) {
	t.Parallel()
	c, page := openBoth(t, graphtest.Config{})
	c.exec(`UPDATE channels SET config = config || '{"businessAccountId": "215589313241560"}' WHERE id = $1`, c.channel)
	subscribed := func(account, object, token string) []string {
		ch := graph.Account{Provider: domain.Messenger, ID: account, Token: graph.Secret(token)}
		apps, err := c.program.background.client.Subscriptions(t.Context(), ch, object)
		require.NoError(t, err)
		var fields []string
		for _, app := range apps {
			fields = append(fields, append(app.Fields, "app "+app.App)...)
		}
		return fields
	}
	for _, lost := range [][]string{nil, {"messages", "feed"}, append(graph.PageFields(), "feed")} {
		c.platform.SetSubscription(testPage, lost)
		c.platform.SetSubscription(testNumber, nil)
		c.checkNow()
		require.Eventually(t, func() bool {
			fields := subscribed(testPage, testPage, "EAApage")
			return !slices.ContainsFunc(append(graph.PageFields(), lost...), func(f string) bool { return !slices.Contains(fields, f) }) &&
				slices.Equal(subscribed(testNumber, "215589313241560", testGraphToken), []string{"app 1517776481860111"})
		}, 10*time.Second, 10*time.Millisecond, "%v stayed", lost)
		c.channelIs(page, domain.ChannelActive, "")
	}
	posts := 0
	for _, call := range c.platform.Calls() {
		if call.Object == testPage {
			posts++
		}
	}
	require.Positive(t, posts)
}

// TestAHangingChannelIsCheckedAlone: the other one's check is done long before
// the platform gives an answer about the first.
func TestAHangingChannelIsCheckedAlone(t *testing.T) {
	t.Parallel()
	c, page := openBoth(t, graphtest.Config{Plan: func(call graphtest.Call) graphtest.Fault {
		if call.Account == testNumber && call.Kind == graphtest.KindOther {
			return graphtest.Fault{Delay: 30 * time.Second}
		}
		return graphtest.Fault{}
	}})
	c.exec(`UPDATE channels SET last_error = 'of yesterday'`)
	c.checkNow()
	c.channelIs(page, domain.ChannelActive, "")
	c.channelIs(c.channel, domain.ChannelActive, "of yesterday")
}

// TestTheSimulatorsChannelsDontCallMeta: their token is no secret and no token.
func TestTheSimulatorsChannelsDontCallMeta(t *testing.T) {
	t.Parallel()
	c, _ := openBoth(t, graphtest.Config{})
	c.giveToken(c.channel, persistence.SeedNumberToken)
	played := background{platform: platform{registry: c.program.store.registry, atMeta: true}} // a call would panic: there is no client
	require.Eventually(t, func() bool { return played.played(c.channel) }, 10*time.Second, 5*time.Millisecond)
	ch, _ := c.program.store.registry.Channel(c.org, c.channel)
	_, err := played.Identify(t.Context(), domain.ChannelCheck{Channel: ch})
	require.ErrorContains(t, err, "simulate --serve")
	require.NotErrorAs(t, err, new(*domain.CallError), "it says nothing of the channel")
	_, err = played.Send(t.Context(), ch, domain.Outgoing{})
	failure := new(domain.CallError)
	require.ErrorAs(t, err, &failure)
	require.Equal(t, domain.FailureChannel, failure.Class)
}
