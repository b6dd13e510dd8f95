package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// Goal: a channel whose platform hangs slows no other organization's. The
// figures are of one run, without and with it; only a wide bound is asserted.
func TestAHangingChannelSlowsNoOther(t *testing.T) {
	t.Parallel()
	const hanging, sends = 150, 100
	const hangingNumber = "300300300"
	wakes := make(chan struct{})
	c := openCentre(t, graphtest.Config{
		Seed: 10,
		Accounts: []graphtest.Account{
			{Provider: graphtest.WhatsApp, ID: testNumber, Token: testGraphToken},
			{Provider: graphtest.WhatsApp, ID: hangingNumber, Token: "EAAhangs"},
		},
		Plan: graphtest.Messages(func(call graphtest.Call) graphtest.Fault {
			if call.Account == hangingNumber {
				<-wakes
			}
			return graphtest.Fault{}
		}),
	})
	wake := sync.OnceFunc(func() { close(wakes) })
	t.Cleanup(wake) // before the program closes, which would wait for the calls
	ids := []domain.ConversationID{}
	for i := range 20 {
		ids = append(ids, c.open(customer(i)))
	}
	without := c.latencies(ids, sends)

	other := *c
	other.tenantRows = newTenantRows(t, c.db, "hanging", hangingNumber)
	other.giveToken(other.channel, "EAAhangs")
	other.agent = other.tenantRows.agent("Ben", domain.RoleAgent)
	awaitAgent(t, c.program, other.tenantRows, other.agent)
	for i := range hanging {
		who := customer(1000 + i)
		_, err := c.platform.Write(hangingNumber, who, "hello")
		require.NoError(t, err)
	}
	c.platform.drain(t)
	other.setChannel(domain.ChannelActive) // whatever a check found before it had its token
	for i := range hanging {
		id := other.conversationOf(customer(1000 + i).Number)
		other.accept(id)
		other.sendsText(id, "hangs")
	}
	require.Eventually(t, func() bool { return hangs(c.platform, hangingNumber) > 50 }, 20*time.Second, 10*time.Millisecond)
	with := c.latencies(ids, sends)
	t.Logf("from the request to the platform, median and 95th percentile of %d: without %v, %v; with %d calls that hang %v, %v", sends,
		without[sends/2], without[sends*95/100], hangs(c.platform, hangingNumber), with[sends/2], with[sends*95/100])
	require.Less(t, with[sends*95/100], 5*without[sends*95/100]+2*time.Second)
	wake()
}

// hangs is how many calls for an account the platform has got.
func hangs(p *fakePlatform, account string) (n int) {
	for _, call := range p.Calls() {
		if call.Account == account && call.Kind == graphtest.KindMessage {
			n++
		}
	}
	return n
}

// latencies sends n texts, one after the other, and tells how long each took
// from the request to the platform, in order of length.
func (c *centre) latencies(ids []domain.ConversationID, n int) []time.Duration {
	c.t.Helper()
	var all []time.Duration
	for i := range n {
		text := fmt.Sprint("text ", entropyText())
		begun := time.Now()
		c.sendsText(ids[i%len(ids)], text)
		to := customer(i % len(ids)).Number
		require.Eventually(c.t, func() bool {
			taken := c.platform.TakenBy(to)
			return len(taken) > 0 && taken[len(taken)-1].Text == text
		}, 20*time.Second, time.Millisecond)
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	return all
}
