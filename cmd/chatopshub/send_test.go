package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// Goal: what an agent writes reaches the customer once, and its fate comes back
// to the agents.
func TestAnAnswerReachesTheCustomer(t *testing.T) {
	t.Parallel()
	c := openCentre(t, graphtest.Config{Seed: 1, Habits: graphtest.Habits{Reads: 1}})
	id := c.open(customer(1))
	watcher := dialSocket(t, c.program, c.agent.token)

	sent := c.send(id, map[string]any{"body": "Good morning"})
	require.Equal(t, http.StatusCreated, sent.status, bodyText(sent))
	m := c.await(id, sent.body["id"].(string), "READ")
	require.NotEmpty(t, m["providerMessageId"])
	require.Nil(t, m["sendState"])

	taken := c.platform.Taken()
	require.Len(t, taken, 1)
	require.Equal(t, "Good morning", taken[0].Text)
	require.Equal(t, id.String()+"."+sent.body["id"].(string), taken[0].Reference)
	c.settle(c.program, watcher)
	var statuses []any
	for _, e := range watcher.named("message.updated") {
		statuses = append(statuses, e.payload["status"])
	}
	require.Equal(t, []any{"SENT", "DELIVERED", "READ"}, statuses)
}
