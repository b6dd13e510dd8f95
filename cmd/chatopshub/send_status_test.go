package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// permutations is all orders of the words.
func permutations(words ...string) [][]string {
	if len(words) == 0 {
		return [][]string{nil}
	}
	var all [][]string
	for i, first := range words {
		rest := append(append([]string(nil), words[:i]...), words[i+1:]...)
		for _, p := range permutations(rest...) {
			all = append(all, append([]string{first}, p...))
		}
	}
	return all
}

// told is a message and the order in which its statuses are told.
type told struct {
	when     string // early: before our call is answered; unnamed: the same, without our reference
	statuses []string
	to       string
	id       domain.ConversationID
	message  string
}

// Goal: sent, delivered, read and failed end at the same state in whatever
// order and number they come, before our own call was answered or after.
func TestStatusesEndTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	var all []*told
	early := map[string]bool{}
	for _, statuses := range permutations("sent", "delivered", "read", "failed") {
		for _, when := range []string{"early", "unnamed", "late"} {
			m := &told{when: when, statuses: statuses, to: customer(len(all)).Number}
			early[m.to] = when != "late"
			all = append(all, m)
		}
	}
	c := openCentre(t, graphtest.Config{Seed: 9, Plan: graphtest.Messages(func(call graphtest.Call) graphtest.Fault {
		if early[call.Recipient] {
			return graphtest.Fault{Take: true, Delay: 3 * time.Second}
		}
		return graphtest.Fault{}
	})})
	var running sync.WaitGroup
	for i, m := range all {
		m.id = c.open(customer(i))
	}
	for _, m := range all {
		m.message = c.sendsText(m.id, "hello")
	}
	require.NoError(t, c.platform.AwaitTaken(t.Context(), len(all)))
	for _, m := range all {
		running.Go(func() { c.tell(m) })
	}
	running.Wait()
	c.platform.drain(t)
	ends := map[string]int{}
	for _, m := range all {
		var row map[string]any
		require.Eventually(t, func() bool {
			row = c.message(m.id, m.message)
			return row["status"] == "READ" && row["errorCode"] != nil && row["providerMessageId"] != nil
		}, 30*time.Second, 20*time.Millisecond, "%s %v: %v", m.when, m.statuses, row)
		ends[fmt.Sprint(row["status"], row["sendState"], row["errorCode"], row["errorMessage"])]++
	}
	require.Len(t, ends, 1, "%v", ends)
	require.Len(t, c.platform.Taken(), len(all))
}

// tell posts the statuses of a message, each twice, the last one once more at
// the end. Those that are late wait for the answer of the call.
func (c *centre) tell(m *told) {
	taken := c.platform.TakenBy(m.to)[0]
	if m.when == "late" {
		c.await(m.id, m.message, "SENT")
	}
	for i := range 2*len(m.statuses) + 1 {
		status := m.statuses[i/2%len(m.statuses)]
		if got := postWebhook(c.client, c.program.url(), "whatsapp", testAppSecret, statusWebhook(taken, status, m.when != "unnamed")); got != http.StatusOK {
			c.t.Errorf("a status was answered %d", got)
		}
	}
}

// statusWebhook is WhatsApp's report about a message.
func statusWebhook(m graphtest.Taken, status string, named bool) []byte {
	element := map[string]any{"id": m.ID, "status": status, "timestamp": strconv.FormatInt(m.At.Unix(), 10), "recipient_id": m.Recipient}
	if named {
		element["biz_opaque_callback_data"] = m.Reference
	}
	if status == "failed" {
		element["errors"] = []any{map[string]any{"code": 131026, "title": "Message undeliverable"}}
	}
	body, err := json.Marshal(map[string]any{"object": "whatsapp_business_account", "entry": []any{map[string]any{
		"id": "215589313241560", "changes": []any{map[string]any{"field": "messages", "value": map[string]any{
			"messaging_product": "whatsapp", "statuses": []any{element},
			"metadata": map[string]any{"display_phone_number": "15550100123", "phone_number_id": m.Account},
		}}},
	}}})
	if err != nil {
		panic(err) // maps of strings and numbers always encode
	}
	return body
}
