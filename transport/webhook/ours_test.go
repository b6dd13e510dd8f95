package webhook

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	conversationText = "0190a1b2-0000-7000-8000-00000000000c"
	messageText      = "0190a1b2-0000-7000-8000-00000000000d"
)

func TestDataThatWeSentAlong(t *testing.T) {
	t.Parallel()
	for data, ours := range map[string]bool{
		conversationText + "." + messageText: true,
		"":                                   false,
		"msg_01JD3Y6QK8V7W2":                 false,
		conversationText + ":" + messageText: false,
		conversationText + "." + messageText + "x":                false,
		conversationText + "." + messageText[:35] + "z":           false,
		"00000000-0000-0000-0000-000000000000." + messageText:     false,
		conversationText + ".00000000-0000-0000-0000-00000000000": false,
	} {
		status := parseWhatsApp(whatsAppWith("statuses", fmt.Sprintf(
			`{"id":"wamid.x","status":"sent","timestamp":"1795000000","recipient_id":"1","biz_opaque_callback_data":%q}`, data)))[0]
		require.Equal(t, ours, !status.Conversation.IsZero(), data)
		require.Equal(t, ours, !status.Event.(domain.StatusReport).Ours.IsZero(), data)
		if ours {
			require.Equal(t, conversationText, status.Conversation.String())
			require.Equal(t, messageText, status.Event.(domain.StatusReport).Ours.String())
		}
	}
}

// TestAStatusWithoutRecipient is found by its message alone, or by our data.
func TestAStatusWithoutRecipient(t *testing.T) {
	t.Parallel()
	pieces := parseWhatsApp(whatsAppWith("statuses",
		`{"id":"wamid.x","status":"delivered"}`,
		`{"status":"delivered","biz_opaque_callback_data":"`+conversationText+"."+messageText+`"}`,
		`{"status":"delivered"}`))
	require.Empty(t, pieces[0].Customer.Aliases)
	require.Equal(t, "wamid.x", pieces[0].Event.(domain.StatusReport).ProviderID)
	require.NotNil(t, pieces[1].Event)
	require.Equal(t, reasonNoID, pieces[2].broken)
}

func TestEchoesAreOursByAppAndData(t *testing.T) {
	t.Parallel()
	data := conversationText + "." + messageText
	for name, c := range map[string]struct {
		appID, echoApp, data string
		ours                 bool
	}{
		"our app, our data":        {"77", `77`, data, true},
		"our app as a string":      {"77", `"77"`, data, true},
		"our app, other data":      {"77", `77`, "else", false},
		"another app, our data":    {"77", `78`, data, false},
		"no app known, our data":   {"", `78`, data, true},
		"no app known, other data": {"", `78`, "else", false},
	} {
		it := parseMessenger(messengerWith(fmt.Sprintf(`{"sender":{"id":"%s"},"recipient":{"id":"9"},"timestamp":1795000000000,`+
			`"message":{"is_echo":true,"mid":"m","text":"x","app_id":%s,"metadata":%q}}`, fixturePage, c.echoApp, c.data)), c.appID)[0]
		require.Equal(t, c.ours, !it.Event.(domain.BusinessEcho).Ours.IsZero(), name)
		require.Equal(t, c.ours, !it.Conversation.IsZero(), name)
		require.Equal(t, []domain.Alias{{Kind: domain.AliasPSID, Value: "9"}}, it.Customer.Aliases, "the customer is who it went to")
	}
}

// TestWhatThePageSentIsNeverTheCustomers: an echo that isn't marked as one
// would make the page talk with itself.
func TestWhatThePageSentIsNeverTheCustomers(t *testing.T) {
	t.Parallel()
	it := parseMessenger(messengerWith(fmt.Sprintf(
		`{"sender":{"id":"%s"},"recipient":{"id":"9"},"message":{"mid":"m","text":"x"}}`, fixturePage)), "")[0]
	require.IsType(t, domain.BusinessEcho{}, it.Event)
	it = parseMessenger(messengerWith(fmt.Sprintf(
		`{"sender":{"id":"%s"},"recipient":{"id":"9"},"reaction":{"mid":"m","action":"react","emoji":"x"}}`, fixturePage)), "")[0]
	require.Equal(t, ignoredOurReaction, it.Ignored)
}

func TestAPostbackWithoutIDHasAStableOne(t *testing.T) {
	t.Parallel()
	id := func(sender, at, payload string) string {
		it := parseMessenger(messengerWith(fmt.Sprintf(
			`{"sender":{"id":%q},"timestamp":%s,"postback":{"title":"T","payload":%q}}`, sender, at, payload)), "")[0]
		return it.Event.(domain.CustomerMessage).ProviderID
	}
	first := id("9", "1795000000000", "P")
	require.Len(t, first, len("postback:")+64)
	require.Equal(t, first, id("9", "1795000000000", "P"))
	require.NotContains(t, []string{id("8", "1795000000000", "P"), id("9", "1795000000001", "P"), id("9", "1795000000000", "Q")}, first)
}

// TestCoexistenceEchoes: what the business does in the WhatsApp Business app.
func TestCoexistenceEchoes(t *testing.T) {
	t.Parallel()
	echo := func(content string) string {
		return `{"from":"15550100123","to":"15550100177","id":"wamid.e","timestamp":"1795000000",` + content + `}`
	}
	var got []string
	for _, it := range parseWhatsApp(whatsAppWith("message_echoes",
		echo(`"type":"image","image":{"id":"1","mime_type":"image/png","caption":"look"}`),
		echo(`"type":"edit","edit":{"original_message_id":"wamid.o","message":{"type":"text","text":{"body":"better"}}}`),
		echo(`"type":"revoke","revoke":{"original_message_id":"wamid.o"}`),
		echo(`"type":"reaction","reaction":{"message_id":"wamid.o","emoji":"👍"}`),
		echo(`"type":"reaction","reaction":{"message_id":"wamid.o","emoji":""}`),
		echo(`"type":"hologram"`),
		`{"from":"15550100123","id":"wamid.e","type":"text","text":{"body":"to nobody"}}`,
	)) {
		it.Customer.Name = "Dana Okafor"
		got = append(got, describe(it))
	}
	require.Equal(t, []string{
		`echo image "look" (image/png) [image id 1]`,
		`edit "better" -> wamid.o`,
		`revoke -> wamid.o`,
		`echo reaction "👍" re wamid.o`,
		`ignored reaction_of_business`,
		`echo unsupported "" keeps raw`,
		`dead no_sender`,
	}, got)
}

// TestBothNumbersOfACustomer: the profile's may differ from the one a message
// came from; the contacts don't stand in the order of the messages.
func TestBothNumbersOfACustomer(t *testing.T) {
	t.Parallel()
	body := []byte(`{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"1"},
		"contacts":[{"wa_id":"22","profile":{"name":"Two"}},{"wa_id":"10","user_id":"US.1","profile":{"name":"One\u0000\u202e","username":"@one"}}],
		"messages":[{"from":"+11","from_user_id":"US.1","id":"a","type":"text","text":{"body":"x"}},
			{"from":22,"id":"b","type":"text","text":{"body":7}}]}}]}]}`)
	pieces := parseWhatsApp(body)
	require.Equal(t, domain.Customer{
		Aliases: []domain.Alias{
			{Kind: domain.AliasUserID, Value: "US.1"}, {Kind: domain.AliasNumber, Value: "11"}, {Kind: domain.AliasNumber, Value: "10"},
		},
		Name: "One", Profile: domain.Profile{Username: "one"},
	}, pieces[0].Customer)
	require.Equal(t, []domain.Alias{{Kind: domain.AliasNumber, Value: "22"}}, pieces[1].Customer.Aliases)
	require.Equal(t, "Two", pieces[1].Customer.Name)
	require.Equal(t, "7", pieces[1].Event.(domain.CustomerMessage).Body)
}
