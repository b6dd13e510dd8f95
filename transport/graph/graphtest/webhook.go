package graphtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
)

// tell posts a webhook at a time and not before another was taken, if the
// platform has an address for them; nil where nobody is told. The caller holds
// the lock.
func (s *Server) tell(p Provider, at time.Time, body []byte, after *letter) *letter {
	url := s.webhooks[p]
	if url == "" {
		return nil
	}
	return s.post.add(url, s.secret(p), at, body, after)
}

// numberEvent is a POST with one change of a number.
func (s *Server) numberEvent(a *account, value map[string]any) []byte {
	value["messaging_product"] = "whatsapp"
	value["metadata"] = map[string]any{"display_phone_number": a.Number, "phone_number_id": a.ID}
	return wire(map[string]any{
		"object": "whatsapp_business_account",
		"entry":  []any{map[string]any{"id": a.WABA, "changes": []any{map[string]any{"field": "messages", "value": value}}}},
	})
}

// status is WhatsApp's report about a message.
func (s *Server) status(t Taken, status string, code int) report {
	a, c := s.accounts[t.Account], s.customers[t.Recipient]
	return func(at time.Time) []byte {
		element := map[string]any{"id": t.ID, "status": status, "timestamp": seconds(at)}
		if digits(t.Recipient) == t.Recipient {
			element["recipient_id"] = t.Recipient
		}
		if c.UserID != "" {
			element["recipient_user_id"] = c.UserID
		}
		if t.Reference != "" {
			element["biz_opaque_callback_data"] = t.Reference
		}
		if code != 0 {
			element["errors"] = []any{map[string]any{
				"code": code, "title": "Failed", "message": "Failed",
				"error_data": map[string]any{"details": "Failed with code " + strconv.Itoa(code) + "."},
			}}
		}
		return s.numberEvent(a, map[string]any{"statuses": []any{element}})
	}
}

// pageEvent is a POST with one event of a page.
func (s *Server) pageEvent(page, sender, recipient string, at time.Time, event map[string]any) []byte {
	event["sender"], event["recipient"] = map[string]any{"id": sender}, map[string]any{"id": recipient}
	event["timestamp"] = at.UnixMilli()
	return wire(map[string]any{
		"object": "page",
		"entry":  []any{map[string]any{"id": page, "time": at.UnixMilli(), "messaging": []any{event}}},
	})
}

// messengerReports is Messenger's echo and receipts of a message. Watermarks
// speak of the platform's own time of it.
func (s *Server) messengerReports(t Taken, delivered, read bool) []report {
	sent := t.At.UnixMilli()
	told := []report{func(time.Time) []byte { return s.pageEvent(t.Account, t.Account, t.Recipient, t.At, s.echo(t)) }}
	if delivered {
		told = append(told, func(at time.Time) []byte {
			return s.pageEvent(t.Account, t.Recipient, t.Account, at, map[string]any{
				"delivery": map[string]any{"mids": []string{t.ID}, "watermark": sent + 1}, // what was sent before it
			})
		})
	}
	if read {
		told = append(told, func(at time.Time) []byte {
			return s.pageEvent(t.Account, t.Recipient, t.Account, at, map[string]any{"read": map[string]any{"watermark": sent}})
		})
	}
	return told
}

func (s *Server) echo(t Taken) map[string]any {
	app, err := strconv.ParseInt(s.cfg.AppID, 10, 64)
	message := map[string]any{"is_echo": true, "mid": t.ID}
	if err == nil {
		message["app_id"] = app
	}
	if t.Reference != "" {
		message["metadata"] = t.Reference
	}
	if t.Text != "" {
		message["text"] = t.Text
	}
	if t.Type != "text" {
		message["attachments"] = []any{map[string]any{"type": t.Type, "payload": map[string]any{"url": "https://cdn.fbsbx.com/echo/" + t.ID}}}
	}
	return map[string]any{"message": message}
}

// wire encodes v as Meta does: compact, what isn't ASCII as \uXXXX in lower
// case, and slashes as \/.
func wire(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("graphtest: %v", err)) // maps of strings and numbers always encode
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
