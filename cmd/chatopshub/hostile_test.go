package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// TestHostileInputThroughToTheDatabase: whatever is signed and posted, the
// answer is one that the contract knows, nothing breaks, and what can be stored
// is.
func TestHostileInputThroughToTheDatabase(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "hostile", "9001")
	p := runProgram(t, db)
	client := testClient(t)
	who := webhooktest.Customer{Name: "N\x00ul \u202ename", Number: "4940000000", UserID: "DE.9"}
	text := func(id, body string) []byte { return webhooktest.WhatsAppText(n.account, who, id, body, time.Now()) }

	for name, c := range map[string]struct {
		body   []byte
		status int
		stored string // of the message's text; empty: no message
	}{
		"a NUL":              {text("nul", "before\x00after"), http.StatusOK, "beforeafter"},
		"an escaped NUL":     {[]byte(strings.Replace(string(text("nul2", "oneXtwo")), "X", `\u0000`, 1)), http.StatusOK, "onetwo"},
		"a lone surrogate":   {[]byte(strings.Replace(string(text("surrogate", "X")), `"X"`, `"\ud83d"`, 1)), http.StatusOK, "\ufffd"},
		"invalid UTF-8":      {[]byte(strings.Replace(string(text("utf8", "X")), `"X"`, "\"\xff\xfe\"", 1)), http.StatusOK, "\ufffd\ufffd"},
		"emoji":              {text("emoji", "👩🏽‍🚀👍"), http.StatusOK, "👩🏽‍🚀👍"},
		"64 KB":              {text("long", strings.Repeat("ä", 32<<10)), http.StatusOK, strings.Repeat("ä", 32<<10)},
		"markup":             {text("markup", `<script>alert("1")</script>'; DROP TABLE messages; --`), http.StatusOK, `<script>alert("1")</script>'; DROP TABLE messages; --`},
		"deep JSON":          {[]byte(`{"object":"whatsapp_business_account","entry":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), http.StatusUnauthorized, ""},
		"no JSON":            {[]byte("hello"), http.StatusUnauthorized, ""},
		"nothing":            {nil, http.StatusUnauthorized, ""},
		"wrong types":        {wrongTypes(n.account), http.StatusOK, ""},
		"more than is taken": {[]byte(`{"object":"` + strings.Repeat("x", 5<<20) + `"}`), http.StatusRequestEntityTooLarge, ""},
	} {
		status := postWebhook(client, p.url(), "whatsapp", testAppSecret, c.body)
		if c.status == http.StatusUnauthorized {
			// Which channel it is for can't be told: verified by the environment's
			// secret, it is a dead letter; not verified, it is refused.
			require.Contains(t, []int{http.StatusOK, http.StatusUnauthorized}, status, name)
			continue
		}
		require.Equal(t, c.status, status, name)
		if c.stored != "" {
			require.Equal(t, 1, n.count(`SELECT count(*) FROM messages WHERE body = $1`, c.stored), name)
		}
	}
	require.Equal(t, 1, n.count(`SELECT count(*) FROM contacts WHERE display_name NOT LIKE '%' || chr(8238) || '%'`))
	n.checkTrail()
}

// wrongTypes is an envelope whose message is made of the wrong kinds of values.
func wrongTypes(account string) []byte {
	return []byte(fmt.Sprintf(`{"object":"whatsapp_business_account","entry":[{"id":1,"changes":[{"field":"messages","value":{
		"metadata":{"phone_number_id":%q},"contacts":"none","messages":[7,null,{"id":[],"from":{},"timestamp":"soon","type":12}]}}]}]}`, account))
}

// TestTenThousandStatusesInOnePost: for a customer that is known, and for
// messages that are not. It is answered, and the conversation stays small.
func TestTenThousandStatusesInOnePost(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "statuses", "9002")
	p := runProgram(t, db)
	client := testClient(t)
	who := webhooktest.Customer{Name: "N", Number: "4941000000"}
	deliver(t, client, p.url(), webhooktest.WhatsAppText(n.account, who, "first", "hello", time.Now()))
	var statuses []any
	for i := range 10_000 {
		statuses = append(statuses, map[string]any{
			"id": fmt.Sprintf("wamid.unknown.%d", i), "status": "delivered", "timestamp": "1795000000", "recipient_id": who.Number,
		})
	}
	body, err := json.Marshal(map[string]any{"object": "whatsapp_business_account", "entry": []any{map[string]any{"id": "1", "changes": []any{
		map[string]any{"field": "messages", "value": map[string]any{
			"messaging_product": "whatsapp", "metadata": map[string]any{"phone_number_id": n.account}, "statuses": statuses,
		}},
	}}}})
	require.NoError(t, err)
	deliver(t, client, p.url(), body)
	require.Equal(t, 1, n.count(`SELECT count(*) FROM messages`))
	require.Equal(t, domain.MaxEarly, n.count(`SELECT jsonb_array_length(early_statuses) FROM conversations`))
	n.checkTrail()
}
