package graph

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

// Send hands a message to the account's platform, in one attempt. What the
// platform takes is not delivered yet: statuses tell. Its errors are
// *domain.CallError; after one of class FailureUncertain the message may be on
// its way, after any other it certainly isn't.
func (c *Client) Send(ctx context.Context, a Account, m domain.Outgoing) (domain.Sent, error) {
	if err := m.Content.Check(a.Provider); err != nil {
		return domain.Sent{}, unsendable(err)
	}
	if a.Provider == domain.Messenger {
		return c.sendMessenger(ctx, a, m)
	}
	return c.sendWhatsApp(ctx, a, m)
}

// MarkRead shows the customer that the message, and what came before it, was
// read. providerID is the message's, to its author.
func (c *Client) MarkRead(ctx context.Context, a Account, to domain.Alias, providerID string) error {
	if a.Provider == domain.Messenger {
		return c.senderAction(ctx, a, to, "mark_seen")
	}
	return c.acknowledge(ctx, a, whatsAppReceipt{Product: product, Status: "read", MessageID: providerID})
}

// Typing shows the customer that an answer is being written, or no longer is.
// WhatsApp shows it for 25 seconds or until the answer comes, can't be told to
// stop, and takes it as a read receipt of the message too.
func (c *Client) Typing(ctx context.Context, a Account, to domain.Alias, providerID string, on bool) error {
	switch {
	case a.Provider == domain.Messenger && on:
		return c.senderAction(ctx, a, to, "typing_on")
	case a.Provider == domain.Messenger:
		return c.senderAction(ctx, a, to, "typing_off")
	case on:
		return c.acknowledge(ctx, a, whatsAppReceipt{
			Product: product, Status: "read", MessageID: providerID, Typing: &textType{Type: "text"},
		})
	}
	return nil
}

func (c *Client) sendWhatsApp(ctx context.Context, a Account, m domain.Outgoing) (domain.Sent, error) {
	body, err := whatsAppBody(m)
	if err != nil {
		return domain.Sent{}, unsendable(err)
	}
	var answer struct {
		Contacts []struct {
			WaID   string `json:"wa_id"`
			UserID string `json:"user_id"`
		} `json:"contacts"`
		Messages []struct {
			ID     string `json:"id"`
			Status string `json:"message_status"`
		} `json:"messages"`
	}
	if err := c.post(ctx, a, m, body, &answer); err != nil {
		return domain.Sent{}, err
	}
	if len(answer.Messages) == 0 || answer.Messages[0].ID == "" {
		return domain.Sent{}, withoutID()
	}
	sent := domain.Sent{ProviderID: answer.Messages[0].ID, Held: answer.Messages[0].Status == "held_for_quality_assessment"}
	if len(answer.Contacts) > 0 {
		sent.Aliases = aliases(answer.Contacts[0].UserID, strings.TrimPrefix(answer.Contacts[0].WaID, "+"))
	}
	return sent, nil
}

// aliases is the names that an answer has for the customer, the stronger first.
func aliases(userID, number string) []domain.Alias {
	var as []domain.Alias
	if userID != "" {
		as = append(as, domain.Alias{Kind: domain.AliasUserID, Value: userID})
	}
	if number != "" {
		as = append(as, domain.Alias{Kind: domain.AliasNumber, Value: number})
	}
	return as
}

func (c *Client) sendMessenger(ctx context.Context, a Account, m domain.Outgoing) (domain.Sent, error) {
	body, err := messengerBody(m)
	if err != nil {
		return domain.Sent{}, unsendable(err)
	}
	var answer struct {
		Recipient string `json:"recipient_id"`
		MessageID string `json:"message_id"`
	}
	if err := c.post(ctx, a, m, body, &answer); err != nil {
		return domain.Sent{}, err
	}
	if answer.MessageID == "" && m.Content.Type != domain.TypeReaction {
		return domain.Sent{}, withoutID()
	}
	sent := domain.Sent{ProviderID: answer.MessageID}
	if answer.Recipient != "" {
		sent.Aliases = []domain.Alias{{Kind: domain.AliasPSID, Value: answer.Recipient}}
	}
	return sent, nil
}

// post makes the call that must not be made twice.
func (c *Client) post(ctx context.Context, a Account, m domain.Outgoing, body, answer any) error {
	r, err := messages(a).jsonBody(body)
	if err != nil {
		return err
	}
	// A reaction is set, not added.
	r.once = m.Content.Type != domain.TypeReaction
	r.byLink = m.Content.File != nil && m.Content.File.Link != "" || hasLinkedHeader(m.Content.Template)
	return c.do(ctx, a, r, answer)
}

func hasLinkedHeader(t *domain.Template) bool {
	if t == nil {
		return false
	}
	for _, p := range t.Header {
		if p.File != nil && p.File.Link != "" {
			return true
		}
	}
	return false
}

// withoutID is the failure of a send that was answered like a success, without
// the id that later statuses name.
func withoutID() error {
	return &domain.CallError{
		Class: domain.FailureUncertain, Code: domain.CallBadAnswer, Text: "the platform answered without a message id",
	}
}

func (c *Client) acknowledge(ctx context.Context, a Account, receipt whatsAppReceipt) error {
	r, err := messages(a).jsonBody(receipt)
	if err != nil {
		return err
	}
	return c.do(ctx, a, r, new(struct{}))
}

func (c *Client) senderAction(ctx context.Context, a Account, to domain.Alias, action string) error {
	psid, err := psidOf(to)
	if err != nil {
		return unsendable(err)
	}
	r, err := messages(a).jsonBody(messengerMessage{Recipient: messengerRecipient{ID: psid}, Action: action})
	if err != nil {
		return err
	}
	return c.do(ctx, a, r, new(struct{}))
}

// messages is the endpoint for everything that customers see.
func messages(a Account) call {
	return call{method: http.MethodPost, path: url.PathEscape(a.ID) + "/messages"}
}

// checkReference refuses data that wouldn't come back whole.
func checkReference(reference string, most int) error {
	if len(reference) > most {
		return fmt.Errorf("reference: takes at most %d bytes, got %d", most, len(reference))
	}
	return nil
}

// degrees writes a coordinate as the platform documents it: as a string, and
// with the digits that give the same number again.
func degrees(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
