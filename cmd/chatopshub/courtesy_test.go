package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

const testPage = "104512345678901"

// openBoth is a centre with a number and a page.
func openBoth(t testing.TB, cfg graphtest.Config) (*centre, domain.ChannelID) {
	cfg.Accounts = []graphtest.Account{
		{Provider: graphtest.WhatsApp, ID: testNumber, Token: testGraphToken},
		{Provider: graphtest.Messenger, ID: testPage, Token: "EAApage"},
	}
	c := openCentre(t, cfg)
	page := c.page(testPage)
	c.giveToken(page, "EAApage")
	require.Eventually(t, func() bool {
		credentials, err := c.program.store.registry.Credentials(page)
		return err == nil && credentials.Token == "EAApage"
	}, 10*time.Second, 5*time.Millisecond)
	return c, page
}

// chat is a conversation that a customer began.
type chat struct {
	c  *centre
	id domain.ConversationID
}

// hears has a customer write to the number or the page.
func (c *centre) hears(account string, who graphtest.Customer, text string) {
	c.t.Helper()
	_, err := c.platform.Write(account, who, text)
	require.NoError(c.t, err)
	c.platform.drain(c.t)
}

func (h chat) path() string { return h.c.program.url() + "/api/conversations/" + h.id.String() }

// asks has an agent give the conversation a command.
func (h chat) asks(a testAgent, command string, status int) {
	h.c.t.Helper()
	got := call(h.c.client, http.MethodPost, h.path()+"/"+command, a.token, nil)
	require.Equal(h.c.t, status, got.status, bodyText(got))
}

// types has an agent type in the conversation, and waits until the room knows.
func (h chat) types(s *socketClient, on bool) {
	h.c.t.Helper()
	before := len(s.named("typing"))
	s.send(h.c.t, fmt.Sprintf(`42["typing",{"conversationId":%q,"on":%v}]`, h.id, on))
	s.await(h.c.t, "typing", before+1)
}

func (h chat) joins(s *socketClient) {
	h.c.t.Helper()
	s.send(h.c.t, fmt.Sprintf(`420["join:conversation",{"conversationId":%q}]`, h.id))
	require.Eventually(h.c.t, func() bool { return s.has("430[") }, 10*time.Second, 2*time.Millisecond)
}

// shown waits until the customers of an account were shown these, and no more.
func (c *centre) shown(account string, want ...string) {
	c.t.Helper()
	var got []string
	require.Eventually(c.t, func() bool {
		got = nil
		for _, a := range c.platform.Actions() {
			if a.Account == account {
				got = append(got, a.Kind)
			}
		}
		return len(got) >= len(want)
	}, 10*time.Second, 5*time.Millisecond, "%v were never shown", want)
	require.Equal(c.t, want, got)
}

// settled waits until no errand waits or is under way.
func (c *centre) settled(asked float64) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return metricSum(c.t, c.program, "chatopshub_errands_total") >= asked },
		10*time.Second, 5*time.Millisecond, "%v errands were never run", asked)
}

func metricSum(t testing.TB, p *program, name string) (sum float64) {
	t.Helper()
	families, err := p.metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// TestTheHolderIsSeenReadingAndTyping: and nobody else is, on WhatsApp not even
// the holder's typing while something is unread.
func TestTheHolderIsSeenReadingAndTyping(t *testing.T) {
	t.Parallel()
	c, _ := openBoth(t, graphtest.Config{})
	boss := c.tenantRows.agent("Grace", domain.RoleAdmin)
	awaitAgent(t, c.program, c.tenantRows, boss)
	h := chat{c, c.conversationOf(customer(1).Number)}
	c.hears(testNumber, customer(1), "hello")
	h.asks(boss, "read", http.StatusOK) // nobody holds it
	h.asks(c.agent, "accept", http.StatusOK)
	c.hears(testNumber, customer(1), "are you there?")
	h.asks(boss, "read", http.StatusForbidden)

	mine, others := dialSocket(t, c.program, c.agent.token), dialSocket(t, c.program, boss.token)
	h.joins(mine)
	h.joins(others)
	h.types(mine, true)
	c.settled(1)
	h.types(others, true)
	c.shown(testNumber)
	h.asks(c.agent, "read", http.StatusOK)
	c.shown(testNumber, "read")
	require.Equal(t, c.newestInbound(h.id), c.platform.Actions()[0].MessageID)
	h.types(mine, false) // which WhatsApp can't be told
	h.types(mine, true)
	c.shown(testNumber, "read", "typing")
	require.Empty(t, c.platform.Taken(), "none of it is a message")
}

func (c *centre) newestInbound(id domain.ConversationID) string {
	c.t.Helper()
	newest, err := c.program.store.conversations.NewestInbound(c.t.Context(), c.org, id)
	require.NoError(c.t, err)
	return newest
}

func TestMessengerShowsTypingAndReading(t *testing.T) {
	t.Parallel()
	c, page := openBoth(t, graphtest.Config{})
	dana := graphtest.Customer{Name: "Dana Okafor", PSID: "7412589630147852"}
	c.hears(testPage, dana, "hello")
	h := chat{c, domain.ConversationIDFor(page, domain.ContactIDFor(c.org, domain.Messenger, dana.PSID))}
	h.asks(c.agent, "accept", http.StatusOK)
	mine := dialSocket(t, c.program, c.agent.token)
	h.joins(mine)
	h.types(mine, true)
	c.shown(testPage, "typing_on")
	h.asks(c.agent, "read", http.StatusOK)
	c.shown(testPage, "typing_on", "mark_seen")
	h.types(mine, false)
	c.shown(testPage, "typing_on", "mark_seen", "typing_off")
	require.Equal(t, dana.PSID, c.platform.Actions()[0].Recipient)

	// A channel that is off shows nothing.
	c.exec(`UPDATE channels SET status = 'ERROR' WHERE id = $1`, page)
	require.Eventually(t, func() bool {
		ch, _ := c.program.store.registry.Channel(c.org, page)
		return ch.Status == domain.ChannelError
	}, 10*time.Second, 5*time.Millisecond)
	before := metricSum(t, c.program, "chatopshub_errands_total")
	h.types(mine, true)
	c.settled(before + 1)
	c.shown(testPage, "typing_on", "mark_seen", "typing_off")
}

// TestPeopleOnMessengerGetTheirNames: after their message is taken, each asked
// for once, and those who hide it are not asked for again.
func TestPeopleOnMessengerGetTheirNames(t *testing.T) {
	t.Parallel()
	c, page := openBoth(t, graphtest.Config{Plan: func(c graphtest.Call) graphtest.Fault {
		return graphtest.Fault{Delay: 50 * time.Millisecond} // nobody waits for it
	}})
	people := []graphtest.Customer{
		{PSID: "1001", Name: "Dana Okafor"}, {PSID: "1002"}, {PSID: "1003", Name: "Hidden", Private: true},
	}
	watcher := dialSocket(t, c.program, c.agent.token)
	for _, text := range []string{"hello", "hello?", "anybody?"} {
		for _, who := range people {
			c.hears(testPage, who, text)
		}
	}
	name := func(psid string) string {
		view, err := c.program.store.conversations.Get(t.Context(), c.org,
			domain.ConversationIDFor(page, domain.ContactIDFor(c.org, domain.Messenger, psid)))
		require.NoError(t, err)
		return view.ContactRef.DisplayName
	}
	require.Eventually(t, func() bool { return name("1001") == "Dana Okafor" }, 10*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		for _, e := range watcher.named("conversation.updated") {
			if contact, _ := e.payload["contact"].(map[string]any); contact["displayName"] == "Dana Okafor" {
				return true
			}
		}
		return false
	}, 10*time.Second, 5*time.Millisecond, "agents are never told of it")
	for _, who := range people {
		c.hears(testPage, who, "still here")
	}
	require.Empty(t, name("1002"))
	require.Empty(t, name("1003"))
	asked := map[string]int{}
	for _, call := range c.platform.Calls() {
		if len(call.Object) == 4 {
			asked[call.Object]++
		}
	}
	require.Equal(t, map[string]int{"1001": 1, "1002": 1, "1003": 1}, asked)
	c.checkTrail()
}
