package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// benchText is what messages say, about as long as what customers write.
const benchText = "Hello, I would like to know when my order 4711 will arrive."

// webhookForm is the webhook of a text message with its blanks: to encode each
// anew would take more of the machine than what is measured.
type webhookForm struct{ literals, blanks [][]byte }

// The blanks of a form, as they stand in the webhook that it is made from.
const (
	blankNumber = "{number}"
	blankID     = "{id}"
	blankText   = "{text}"
	blankTime   = `"timestamp":"1"`
)

func newWebhookForm(account string) *webhookForm {
	rest := webhooktest.WhatsAppText(account, webhooktest.Customer{Name: "Dana", Number: blankNumber}, blankID, blankText, time.Unix(1, 0))
	f := &webhookForm{}
	for {
		first, found := len(rest), ""
		for _, blank := range []string{blankNumber, blankID, blankText, blankTime} {
			if at := bytes.Index(rest, []byte(blank)); at >= 0 && at < first {
				first, found = at, blank
			}
		}
		f.literals = append(f.literals, rest[:first])
		if found == "" {
			return f
		}
		f.blanks = append(f.blanks, []byte(found))
		rest = rest[first+len(found):]
	}
}

// fill is the webhook of one message. The text must need no escapes.
func (f *webhookForm) fill(number, id, text string, at time.Time) []byte {
	body := append(make([]byte, 0, 1024), f.literals[0]...)
	for i, blank := range f.blanks {
		switch string(blank) {
		case blankNumber:
			body = append(body, number...)
		case blankID:
			body = append(body, id...)
		case blankText:
			body = append(body, text...)
		case blankTime:
			body = append(body, `"timestamp":"`...)
			body = append(strconv.AppendInt(body, at.Unix(), 10), '"')
		}
		body = append(body, f.literals[i+1]...)
	}
	return body
}

// stamp begins a text with when it was due, so that whoever gets it knows how
// long it took.
func stamp(due time.Time) string { return fmt.Sprintf("@%016d ", due.UnixMicro()) }

// stampDigits is how long the number in a stamp is.
const stampDigits = 16

// message is a signed webhook with a new message of a customer that was due at
// that time.
func (t *target) message(serial int64, customer int, due time.Time) []byte {
	body := t.form.fill(t.number(customer), fmt.Sprintf("wamid.bench.%s.%d", t.run, serial), stamp(due)+benchText, due)
	return signedWebhook(webhooktest.Path("whatsapp"), string(t.secret), body)
}

func signedWebhook(path, secret string, body []byte) []byte {
	return rawRequest(path, body, "Content-Type: application/json", "X-Hub-Signature-256: "+webhooktest.Sign(secret, body))
}
