package graph

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

const reference = "msg_01JD3Y6QK8V7W2"

// outgoing has, for each documented request with a message, the message.
func outgoing() map[string]domain.Outgoing {
	to := func(c domain.Content) domain.Outgoing {
		return domain.Outgoing{To: phone, Reference: reference, Content: c}
	}
	page := func(reference string, c domain.Content) domain.Outgoing {
		return domain.Outgoing{To: psid, Reference: reference, Content: c}
	}
	text := func(s string) domain.Content { return domain.Content{Type: domain.TypeText, Text: s} }

	plain := to(text("Hello Dana, how can I help?"))
	plain.Content.LinkPreview = new(false)
	reply := to(text("You're welcome!"))
	reply.ReplyTo = customerWamid
	toUserID := to(text("Hello Dana"))
	toUserID.To = bsuid
	reaction := to(domain.Content{Type: domain.TypeReaction, React: &domain.React{ProviderID: customerWamid, Emoji: "😀"}})
	reaction.Reference = ""
	humanAgent := page("msg_01JD3Y6QK8V7W3", text("Sorry for the wait, here is your answer."))
	humanAgent.HumanAgent = true
	pageReply := page("msg_01JD3Y6QK8V7W5", text("That one, yes."))
	pageReply.ReplyTo = customerMid

	return map[string]domain.Outgoing{
		"request_whatsapp_text.json":          plain,
		"request_whatsapp_text_reply.json":    reply,
		"request_whatsapp_text_to_bsuid.json": toUserID,
		"request_whatsapp_reaction.json":      reaction,
		"request_whatsapp_image_link.json": to(domain.Content{
			Type: domain.TypeImage, Text: "Your receipt", File: &domain.File{Link: "https://files.example.com/a/1.jpg", MimeType: "image/jpeg"},
		}),
		"request_whatsapp_image_id.json": to(domain.Content{
			Type: domain.TypeImage, Text: "Your receipt", File: &domain.File{ID: "1037543291543636"},
		}),
		"request_whatsapp_video.json": to(domain.Content{
			Type: domain.TypeVideo, Text: "Demo", File: &domain.File{Link: "https://files.example.com/a/1.mp4"},
		}),
		"request_whatsapp_voice.json":   to(domain.Content{Type: domain.TypeVoice, File: &domain.File{ID: "1013859600285441"}}),
		"request_whatsapp_sticker.json": to(domain.Content{Type: domain.TypeSticker, File: &domain.File{ID: "798882015472548"}}),
		"request_whatsapp_document.json": to(domain.Content{
			Type: domain.TypeDocument, Text: "Your order confirmation (PDF)", File: &domain.File{ID: "1376223850470843", Name: "order_abc123.pdf"},
		}),
		"request_whatsapp_location.json": to(domain.Content{Type: domain.TypeLocation, Location: &domain.Location{
			Latitude: 37.44216251868683, Longitude: -122.16153582049394, Name: "Philz Coffee", Address: "101 Forest Ave",
		}}),
		"request_whatsapp_template.json": to(domain.Content{Type: domain.TypeTemplate, Template: &domain.Template{
			Name: "order_update", Language: "en_US",
			Header:  []domain.TemplateParameter{{Type: domain.TypeImage, File: &domain.File{ID: "1339522734477770"}}},
			Body:    []domain.TemplateParameter{{Text: "Dana"}, {Text: "#4711"}},
			Buttons: []domain.TemplateButton{{Index: 0, Kind: domain.ButtonQuickReply, Value: "track-4711"}},
		}}),
		"request_whatsapp_template_named.json": to(domain.Content{Type: domain.TypeTemplate, Template: &domain.Template{
			Name: "welcome_discount", Language: "en_US", Body: []domain.TemplateParameter{{Name: "first_name", Text: "Dana"}},
		}}),
		"request_whatsapp_interactive_buttons.json": to(domain.Content{
			Type: domain.TypeInteractive, Text: "Your workshop is tomorrow at 9.", Interactive: &domain.Interactive{
				Header: "Workshop", Footer: "Lucky Shrub",
				Buttons: []domain.Choice{{ID: "change-button", Title: "Change"}, {ID: "cancel-button", Title: "Cancel"}},
			},
		}),
		"request_whatsapp_interactive_list.json": to(domain.Content{
			Type: domain.TypeInteractive, Text: "Which shipping option do you prefer?", Interactive: &domain.Interactive{
				List: &domain.List{Button: "Options", Sections: []domain.Section{{
					Title: "Fast", Rows: []domain.Choice{{ID: "priority_express", Title: "Priority Express", Description: "1-2 days"}},
				}}},
			},
		}),
		"request_messenger_text.json":             page(reference, text("Hello Dana, how can I help?")),
		"request_messenger_text_human_agent.json": humanAgent,
		"request_messenger_reply.json":            pageReply,
		"request_messenger_image.json": page("msg_01JD3Y6QK8V7W4", domain.Content{
			Type: domain.TypeImage, File: &domain.File{Link: "https://files.example.com/a/1.jpg"},
		}),
		"request_messenger_quick_replies.json": page("", domain.Content{
			Type: domain.TypeInteractive, Text: "Pick a color:", Interactive: &domain.Interactive{
				Buttons: []domain.Choice{{ID: "COLOR_RED", Title: "Red"}, {ID: "COLOR_GREEN", Title: "Green"}},
			},
		}),
		"request_messenger_react.json": page("", domain.Content{
			Type: domain.TypeReaction, React: &domain.React{ProviderID: customerMid, Emoji: "😊"},
		}),
	}
}

// signs has the documented requests that show something without a message.
var signs = []string{
	"request_whatsapp_mark_read.json", "request_whatsapp_typing.json",
	"request_messenger_mark_seen.json", "request_messenger_typing_on.json",
}

func TestEveryDocumentedMessageIsBuilt(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	cases := outgoing()
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), "request_") {
			continue
		}
		m, ok := cases[f.Name()]
		if !ok {
			require.Contains(t, signs, f.Name(), "no case for this request")
			continue
		}
		t.Run(f.Name(), func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(f.Name(), "request_whatsapp") {
				require.NoError(t, m.Content.Check(domain.WhatsApp))
				body, err := whatsAppBody(m)
				require.NoError(t, err)
				require.JSONEq(t, string(fixture(t, f.Name())), encode(t, body))
				return
			}
			require.NoError(t, m.Content.Check(domain.Messenger))
			body, err := messengerBody(m)
			require.NoError(t, err)
			require.JSONEq(t, string(fixture(t, f.Name())), encode(t, body))
		})
	}
}

func TestContentWithoutFixture(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		m    domain.Outgoing
		want string
	}{
		"contacts": {
			domain.Outgoing{To: phone, Content: domain.Content{Type: domain.TypeContacts, Contacts: []domain.Card{{
				Name: "Amir Haddad", FirstName: "Amir", LastName: "Haddad", Organization: "Lucky Shrub",
				Phones: []domain.CardEntry{{Value: "+15550100200", Kind: "WORK"}}, Emails: []domain.CardEntry{{Value: "amir@example.com"}},
			}}}},
			`{"messaging_product":"whatsapp","recipient_type":"individual","to":"+15550100177","type":"contacts","contacts":[{
			"name":{"formatted_name":"Amir Haddad","first_name":"Amir","last_name":"Haddad"},"org":{"company":"Lucky Shrub"},
			"phones":[{"phone":"+15550100200","type":"WORK"}],"emails":[{"email":"amir@example.com"}]}]}`,
		},
		"a reaction quotes nothing and can be taken back": {
			domain.Outgoing{To: phone, ReplyTo: customerWamid, Content: domain.Content{
				Type: domain.TypeReaction, React: &domain.React{ProviderID: customerWamid},
			}},
			`{"messaging_product":"whatsapp","recipient_type":"individual","to":"+15550100177","type":"reaction",
			"reaction":{"message_id":"` + customerWamid + `","emoji":""}}`,
		},
		"a number has one plus": {
			domain.Outgoing{To: domain.Alias{Kind: domain.AliasNumber, Value: "+15550100177"}, Content: domain.Content{Type: domain.TypeText, Text: "x"}},
			`{"messaging_product":"whatsapp","recipient_type":"individual","to":"+15550100177","type":"text","text":{"body":"x"}}`,
		},
		"plain audio, linked document in a header, buttons with values": {
			domain.Outgoing{To: phone, Content: domain.Content{Type: domain.TypeTemplate, Template: &domain.Template{
				Name: "t", Language: "de",
				Header: []domain.TemplateParameter{{Type: domain.TypeDocument, File: &domain.File{Link: "https://a.example/b.pdf", Name: "b.pdf"}}},
				Buttons: []domain.TemplateButton{
					{Index: 1, Kind: domain.ButtonURL, Value: "4711"}, {Index: 2, Kind: domain.ButtonCopyCode, Value: "SAVE10"},
				},
			}}},
			`{"messaging_product":"whatsapp","recipient_type":"individual","to":"+15550100177","type":"template","template":{
			"name":"t","language":{"code":"de"},"components":[
			{"type":"header","parameters":[{"type":"document","document":{"link":"https://a.example/b.pdf","filename":"b.pdf"}}]},
			{"type":"button","sub_type":"url","index":"1","parameters":[{"type":"text","text":"4711"}]},
			{"type":"button","sub_type":"copy_code","index":"2","parameters":[{"type":"coupon_code","coupon_code":"SAVE10"}]}]}}`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := whatsAppBody(c.m)
			require.NoError(t, err)
			require.JSONEq(t, c.want, encode(t, body))
		})
	}
}

func TestMessengerFilesByIDAndVoice(t *testing.T) {
	t.Parallel()
	body, err := messengerBody(domain.Outgoing{To: psid, Content: domain.Content{Type: domain.TypeVoice, File: &domain.File{ID: "77"}}})
	require.NoError(t, err)
	require.JSONEq(t, `{"recipient":{"id":"`+customerPSID+`"},"messaging_type":"RESPONSE",
		"message":{"attachment":{"type":"audio","payload":{"attachment_id":"77"}}}}`, encode(t, body))
	body, err = messengerBody(domain.Outgoing{To: psid, Content: domain.Content{
		Type: domain.TypeReaction, React: &domain.React{ProviderID: customerMid},
	}})
	require.NoError(t, err)
	require.JSONEq(t, `{"recipient":{"id":"`+customerPSID+`"},"sender_action":"unreact","payload":{"message_id":"`+customerMid+`"}}`, encode(t, body))
}

func TestWhatCantBeAddressedIsNeverSent(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{})
	client := newClient(t, Config{BaseURL: server.URL()})
	text := domain.Content{Type: domain.TypeText, Text: "x"}
	for name, c := range map[string]struct {
		a Account
		m domain.Outgoing
	}{
		"a PSID on WhatsApp":    {whatsAppAccount(), domain.Outgoing{To: psid, Content: text}},
		"a number on Messenger": {messengerAccount(), domain.Outgoing{To: phone, Content: text}},
		"nobody":                {whatsAppAccount(), domain.Outgoing{To: domain.Alias{Kind: domain.AliasNumber}, Content: text}},
		"a long reference":      {whatsAppAccount(), domain.Outgoing{To: phone, Content: text, Reference: strings.Repeat("x", 513)}},
		"a long reference too":  {messengerAccount(), domain.Outgoing{To: psid, Content: text, Reference: strings.Repeat("x", 1001)}},
		"an empty text":         {whatsAppAccount(), domain.Outgoing{To: phone, Content: domain.Content{Type: domain.TypeText}}},
	} {
		_, err := client.Send(t.Context(), c.a, c.m)
		failed := callError(t, err)
		require.Equal(t, domain.FailurePermanent, failed.Class, name)
		require.Equal(t, domain.CallUnsendable, failed.Code, name)
	}
	require.Empty(t, server.Calls())
}
