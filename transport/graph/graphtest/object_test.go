package graphtest

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumbersPagesAndCustomers(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	get := func(path, token string) (int, map[string]any) {
		t.Helper()
		return exchange(t, "GET", s.URL()+"/v25.0/"+path, token, "")
	}
	_, answer := get(number+"?fields=id,status", "number token")
	require.Equal(t, "CONNECTED", answer["status"])
	_, answer = get("me?fields=id,name", "page token")
	require.Equal(t, map[string]any{"id": page, "name": "Lucky Shrub"}, answer)
	_, answer = get("me", "number token")
	require.NotEqual(t, number, answer["id"], "a system user is no number")
	_, answer = get("7", "page token")
	require.Equal(t, 100, code(t, answer))
	_, err := s.Write(page, Customer{Name: "Dana Okafor", PSID: "7"}, "hello")
	require.NoError(t, err)
	_, answer = get("7?fields=name", "page token")
	require.Equal(t, "Okafor", answer["last_name"])
	status, _ := get(number+"?access_token=number+token", "")
	require.Equal(t, 200, status, "the token may be a parameter")
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	call := func(method, path, token string) map[string]any {
		t.Helper()
		_, answer := exchange(t, method, s.URL()+"/v25.0/"+path, token, "")
		return answer
	}
	require.Empty(t, call("GET", "215589313241560/subscribed_apps", "number token")["data"])
	require.Equal(t, true, call("POST", "215589313241560/subscribed_apps", "number token")["success"])
	require.Equal(t, "1517776481860111", at(call("GET", "215589313241560/subscribed_apps", "number token"), "data", 0, "whatsapp_business_api_data", "id"))
	require.Equal(t, 100, code(t, call("POST", page+"/subscribed_apps", "page token")), "a page needs fields")
	require.Equal(t, true, call("POST", page+"/subscribed_apps?subscribed_fields=messages,standby", "page token")["success"])
	require.Equal(t, []any{"messages", "standby"}, at(call("GET", page+"/subscribed_apps", "page token"), "data", 0, "subscribed_fields"))
	s.SetSubscription(page, nil)
	require.Empty(t, call("GET", page+"/subscribed_apps", "page token")["data"])
	require.Equal(t, 100, code(t, call("GET", page+"/subscribed_apps", "number token")), "not the token's")
}

func TestTokensDie(t *testing.T) {
	t.Parallel()
	s := start(t, Config{AppSecret: secret})
	inspect := func(token string) map[string]any {
		t.Helper()
		_, answer := exchange(t, "GET", s.URL()+"/v25.0/debug_token?input_token="+url.QueryEscape(token), "1517776481860111|"+secret, "")
		return answer
	}
	require.Equal(t, true, at(inspect("number token"), "data", "is_valid"))
	require.Equal(t, "PAGE", at(inspect("page token"), "data", "type"))
	s.SetToken(number, "another token")
	require.Equal(t, false, at(inspect("number token"), "data", "is_valid"))
	status, answer := s.sendText(t, "1", "x", "")
	require.Equal(t, 401, status)
	require.Equal(t, 190, code(t, answer))
	_, answer = exchange(t, "GET", s.URL()+"/v25.0/debug_token", "number token", "")
	require.Equal(t, 190, code(t, answer), "only the app inspects")
}

func TestActionsAreNoMessages(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	status, _ := exchange(t, "POST", s.URL()+"/v25.0/"+number+"/messages", "number token",
		`{"messaging_product":"whatsapp","status":"read","message_id":"wamid.x","typing_indicator":{"type":"text"}}`)
	require.Equal(t, 200, status)
	status, _ = exchange(t, "POST", s.URL()+"/v25.0/"+page+"/messages", "page token", `{"recipient":{"id":"7"},"sender_action":"typing_on"}`)
	require.Equal(t, 200, status)
	var kinds []string
	for _, a := range s.Actions() {
		kinds = append(kinds, a.Kind)
	}
	require.Equal(t, []string{"typing", "typing_on"}, kinds)
	require.Empty(t, s.Taken())
	require.Zero(t, s.Forgotten())
}

func TestStrangersAnswerUnderTheirAddress(t *testing.T) {
	t.Parallel()
	require.Equal(t, "15550100177", stranger(Taken{Provider: WhatsApp, Recipient: "15550100177"}).Number)
	require.Equal(t, "US.1", stranger(Taken{Provider: WhatsApp, Recipient: "US.1"}).UserID)
	require.Equal(t, "7", stranger(Taken{Provider: Messenger, Recipient: "7"}).PSID)
}
