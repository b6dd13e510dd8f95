// Package webhooktest makes webhooks as Meta sends them: the documented
// envelopes, escaped the way they travel, and signed with the app secret. The
// simulator, the benchmarks and the tests speak to a server with it.
//
// It imports nothing of ours, so that it can't agree with a mistake of ours.
package webhooktest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Customer is somebody who writes.
type Customer struct {
	Name   string
	Number string // WhatsApp: digits of the phone number; empty for who hides it
	UserID string // WhatsApp: business-scoped user id; empty for who has none yet
	PSID   string // Messenger: page-scoped id
}

// WhatsAppText is the POST body for a text message to the number with that
// phone number id.
func WhatsAppText(phoneNumberID string, from Customer, messageID, body string, at time.Time) []byte {
	return WhatsApp(phoneNumberID, WhatsAppContact(from), WhatsAppMessage(from, messageID, body, at))
}

// WhatsApp is a POST body with contacts and messages, each made by
// WhatsAppContact and WhatsAppMessage, for one number.
func WhatsApp(phoneNumberID string, contact map[string]any, messages ...map[string]any) []byte {
	return wire(map[string]any{
		"object": "whatsapp_business_account",
		"entry": []any{map[string]any{
			"id": "215589313241560",
			"changes": []any{map[string]any{
				"field": "messages",
				"value": map[string]any{
					"messaging_product": "whatsapp",
					"metadata":          map[string]any{"display_phone_number": "15550100123", "phone_number_id": phoneNumberID},
					"contacts":          []any{contact},
					"messages":          messages,
				},
			}},
		}},
	})
}

// WhatsAppContact is the element of contacts[] for a customer.
func WhatsAppContact(c Customer) map[string]any {
	contact := map[string]any{"profile": map[string]any{"name": c.Name}}
	if c.Number != "" {
		contact["wa_id"] = c.Number
	}
	if c.UserID != "" {
		contact["user_id"] = c.UserID
	}
	return contact
}

// WhatsAppMessage is the element of messages[] for a text.
func WhatsAppMessage(from Customer, messageID, body string, at time.Time) map[string]any {
	m := map[string]any{
		"id": messageID, "timestamp": strconv.FormatInt(at.Unix(), 10), "type": "text",
		"text": map[string]any{"body": body},
	}
	if from.Number != "" {
		m["from"] = from.Number
	}
	if from.UserID != "" {
		m["from_user_id"] = from.UserID
	}
	return m
}

// MessengerText is the POST body for a text message to a page.
func MessengerText(pageID string, from Customer, mid, body string, at time.Time) []byte {
	return wire(map[string]any{
		"object": "page",
		"entry": []any{map[string]any{
			"id": pageID, "time": at.UnixMilli(),
			"messaging": []any{map[string]any{
				"sender": map[string]any{"id": from.PSID}, "recipient": map[string]any{"id": pageID},
				"timestamp": at.UnixMilli(), "message": map[string]any{"mid": mid, "text": body},
			}},
		}},
	})
}

// Sign is the value of X-Hub-Signature-256 for a body.
func Sign(appSecret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// wire encodes v as Meta does: compact, what isn't ASCII as \uXXXX in lower
// case, and slashes as \/.
func wire(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("webhooktest: %v", err)) // maps of strings and numbers always encode
	}
	var out bytes.Buffer
	for _, r := range string(encoded) {
		switch {
		case r == '/':
			out.WriteString(`\/`)
		case r < 0x80:
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}

// Path is where a provider's webhooks go, under the server's address.
func Path(provider string) string { return "/api/webhooks/" + strings.ToLower(provider) }
