package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// setChannel has the channel's status changed as an administrator does.
func (c *centre) setChannel(status domain.ChannelStatus) {
	c.t.Helper()
	c.exec(`UPDATE channels SET status = $2, last_error = NULL WHERE id = $1`, c.channel, string(status))
	require.Eventually(c.t, func() bool {
		ch, ok := c.program.store.registry.Channel(c.org, c.channel)
		return ok && ch.Status == status
	}, 10*time.Second, 5*time.Millisecond)
}

// sendsText has the agent send a text, which is taken into the outbox.
func (c *centre) sendsText(id domain.ConversationID, text string) (message string) {
	c.t.Helper()
	a := c.send(id, map[string]any{"body": text})
	require.Equal(c.t, http.StatusCreated, a.status, bodyText(a))
	return a.body["id"].(string)
}

// Goal: the reply window is checked again right before the call. The message
// waits for its channel while the server is down and the window closes.
func TestTheWindowClosesBetweenWritingAndSending(t *testing.T) {
	t.Parallel()
	c := openCentre(t, graphtest.Config{Seed: 4})
	id := c.open(customer(1))
	c.setChannel(domain.ChannelError)
	message := c.sendsText(id, "too late")
	require.NoError(t, c.program.close())
	c.exec(`UPDATE conversations SET last_inbound_at = last_inbound_at - interval '24 hours', window_expires_at = window_expires_at - interval '24 hours'`)
	c.exec(`UPDATE channels SET status = 'ACTIVE' WHERE id = $1`, c.channel)
	c.program = runProgram(t, c.db, c.platform.environ())
	c.platform.relay.lead(t, c.program.url())

	m := c.await(id, message, "FAILED")
	require.Equal(t, "reply_window_closed", m["errorCode"])
	require.Empty(t, c.messageCalls(), "the platform was never asked")
	a := c.send(id, map[string]any{"body": "later still"})
	require.Equal(t, http.StatusConflict, a.status)
	require.Equal(t, "reply_window_closed", a.body["code"])
	a = c.send(id, map[string]any{"template": map[string]any{"name": "hello", "language": "en_US"}})
	require.Equal(t, http.StatusCreated, a.status, bodyText(a))
	c.await(id, a.body["id"].(string), "SENT")
}

// Goal: a revoked token turns the channel to ERROR at once; what is to be sent
// waits, and goes out when the credentials are renewed.
func TestARevokedTokenStopsTheChannelUntilItIsRenewed(t *testing.T) {
	t.Parallel()
	c := openCentre(t, graphtest.Config{Seed: 5})
	var ids []domain.ConversationID
	for i := range 5 {
		ids = append(ids, c.open(customer(i)))
	}
	c.platform.SetToken(testNumber, "EAArenewed")
	var messages []string
	for _, id := range ids {
		messages = append(messages, c.sendsText(id, "hello"))
	}
	require.Eventually(t, func() bool {
		return c.count(`SELECT count(*) FROM channels WHERE id = $1 AND status = 'ERROR' AND last_error LIKE '190: %'`, c.channel) == 1
	}, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, c.metrics(), `chatopshub_sends_total{outcome="channel"}`)
	late := c.sendsText(ids[0], "while it is broken")
	<-time.After(3 * time.Second) // longer than the channel waits before it looks again
	for i, message := range messages {
		require.Equal(t, "PENDING", c.message(ids[i], message)["status"])
	}
	require.Empty(t, c.platform.Taken())

	c.giveToken(c.channel, "EAArenewed")
	c.setChannel(domain.ChannelActive)
	for i, message := range messages {
		m := c.await(ids[i], message, "SENT")
		require.Nil(t, m["errorCode"])
	}
	c.await(ids[0], late, "SENT")
	require.Len(t, c.platform.Taken(), 6)
}

// metrics is what operators see.
func (c *centre) metrics() string {
	c.t.Helper()
	resp, err := c.client.Get(c.program.metricsURL() + "/metrics")
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return string(body)
}

// Goal: a number that may send 5 messages a second never sends more, as the
// platform counts them, and uses at least nine tenths of it. That share is
// logged: on a machine that is busy otherwise it is the machine's, so only half
// of the rate is insisted on.
func TestANumberKeepsItsRateAndUsesIt(t *testing.T) {
	t.Parallel()
	const rate, messages = 5, 40
	c := openCentre(t, graphtest.Config{Seed: 6, Accounts: []graphtest.Account{
		{Provider: graphtest.WhatsApp, ID: testNumber, Token: testGraphToken, PerSecond: rate},
	}})
	c.exec(`UPDATE channels SET send_rate = $2 WHERE id = $1`, c.channel, rate)
	var ids []domain.ConversationID
	for i := range messages {
		ids = append(ids, c.open(customer(i)))
	}
	c.setChannel(domain.ChannelError) // until all are there
	for _, id := range ids {
		c.sendsText(id, "hello")
	}
	c.setChannel(domain.ChannelActive)
	require.NoError(t, c.platform.AwaitTaken(t.Context(), messages))
	calls := c.messageCalls()
	took := calls[len(calls)-1].At.Sub(calls[0].At)
	t.Logf("%d messages in %v: %.0f %% of the rate; at most %d in a second", len(calls), took,
		100*float64(len(calls)-1)/rate/(took+time.Second-time.Second/rate).Seconds(), c.platform.Peak(testNumber))
	require.Len(t, calls, messages, "none was refused")
	require.LessOrEqual(t, c.platform.Peak(testNumber), rate)
	// The first five go at once, so that the last ones leave seven seconds later.
	require.LessOrEqual(t, took, (messages/rate-1)*time.Second*2)
}

// messageCalls is the calls that the platform got with messages.
func (c *centre) messageCalls() []graphtest.Call {
	return slices.DeleteFunc(c.platform.Calls(), func(call graphtest.Call) bool { return call.Kind != graphtest.KindMessage })
}

func (c *centre) keyed(id domain.ConversationID, agent testAgent, key, text string) answer {
	return sendKeyed(c.client, c.program.url(), id, agent, key, text)
}

// sendKeyed sends with an idempotency key; an answer that never comes is status 0.
func sendKeyed(client *http.Client, url string, id domain.ConversationID, agent testAgent, key, text string) answer {
	body, err := json.Marshal(map[string]any{"body": text})
	if err != nil {
		return answer{}
	}
	req, err := http.NewRequest(http.MethodPost, url+"/api/conversations/"+id.String()+"/messages", bytes.NewReader(body))
	if err != nil {
		return answer{}
	}
	req.Header.Set("Authorization", "Bearer "+agent.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(&a.body); err != nil {
		return answer{}
	}
	return a
}

func TestAnIdempotencyKeyNamesOneMessage(t *testing.T) {
	t.Parallel()
	c := openCentre(t, graphtest.Config{Seed: 7})
	id := c.open(customer(1))
	answers := make([]answer, 20)
	var running sync.WaitGroup
	for i := range answers {
		running.Go(func() { answers[i] = c.keyed(id, c.agent, "key", "once") })
	}
	running.Wait()
	for _, a := range answers {
		require.Equal(t, http.StatusCreated, a.status, bodyText(a))
		require.Equal(t, answers[0].body["id"], a.body["id"])
	}
	first := answers[0].body["id"].(string)
	c.await(id, first, "SENT")
	require.Equal(t, first, c.keyed(id, c.agent, "key", "once").body["id"], "also when it is long gone")
	a := c.keyed(id, c.agent, "key", "something else")
	require.Equal(t, http.StatusUnprocessableEntity, a.status)

	other := c.tenantRows.agent("Ben", domain.RoleAgent)
	awaitAgent(t, c.program, c.tenantRows, other)
	a = call(c.client, http.MethodPost, c.program.url()+"/api/conversations/"+id.String()+"/reassign", c.agent.token, map[string]any{"agentId": other.id})
	require.Equal(t, http.StatusOK, a.status, bodyText(a))
	a = c.keyed(id, other, "key", "another agent's own")
	require.Equal(t, http.StatusCreated, a.status, bodyText(a))
	require.NotEqual(t, first, a.body["id"])
	c.await(id, a.body["id"].(string), "SENT")
	var texts []string
	for _, taken := range c.platform.Taken() {
		texts = append(texts, taken.Text)
	}
	require.Equal(t, []string{"once", "another agent's own"}, texts)
}

// Goal: nobody sends in another organization's conversation, nor quotes a
// message of it.
func TestSendingKeepsOrganizationsApart(t *testing.T) {
	t.Parallel()
	c := openCentre(t, graphtest.Config{Seed: 8})
	mine, neighbour := c.open(customer(1)), c.open(customer(2))
	quoted := c.sendsText(neighbour, "theirs")
	c.await(neighbour, quoted, "SENT")

	stranger := newTenantRows(t, c.db, "other", "4242")
	spy := stranger.agent("Eve", domain.RoleAdmin)
	awaitAgent(t, c.program, stranger, spy)
	path := fmt.Sprintf("%s/api/conversations/%s/messages", c.program.url(), mine)
	for _, body := range []map[string]any{
		{"body": "hello"}, {"body": "hello", "replyToMessageId": quoted}, {"reaction": map[string]any{"messageId": quoted, "emoji": "👍"}},
	} {
		a := call(c.client, http.MethodPost, path, spy.token, body)
		require.Equal(t, http.StatusNotFound, a.status, bodyText(a))
	}
	require.Equal(t, http.StatusNotFound, call(c.client, http.MethodGet, path, spy.token, nil).status)

	// A message of another conversation can't be referred to, not even by its own agent.
	for _, body := range []map[string]any{
		{"body": "hello", "replyToMessageId": quoted}, {"reaction": map[string]any{"messageId": quoted, "emoji": "👍"}},
	} {
		a := c.send(mine, body)
		require.GreaterOrEqual(t, a.status, 400, bodyText(a))
		require.Less(t, a.status, 500, bodyText(a))
		require.Equal(t, "unknown_message", a.body["code"], bodyText(a))
	}
	require.Len(t, c.platform.Taken(), 1)
}
