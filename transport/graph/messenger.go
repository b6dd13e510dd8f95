package graph

import (
	"fmt"

	"github.com/chatopshub/chatopshub/domain"
)

// The JSON of a message to a person, or of an action that shows.
type (
	messengerMessage struct {
		Recipient messengerRecipient `json:"recipient"`
		Type      string             `json:"messaging_type,omitempty"`
		Tag       string             `json:"tag,omitempty"`
		Message   *messengerContent  `json:"message,omitempty"`
		ReplyTo   *messengerReplyTo  `json:"reply_to,omitempty"`
		Action    string             `json:"sender_action,omitempty"`
		Payload   *messengerReaction `json:"payload,omitempty"`
	}
	messengerRecipient struct {
		ID string `json:"id"`
	}
	messengerContent struct {
		Text         string               `json:"text,omitempty"`
		Attachment   *messengerAttachment `json:"attachment,omitempty"`
		QuickReplies []messengerReply     `json:"quick_replies,omitempty"`
		Reference    string               `json:"metadata,omitempty"`
	}
	messengerAttachment struct {
		Type    string           `json:"type"`
		Payload messengerPayload `json:"payload"`
	}
	messengerPayload struct {
		URL      string `json:"url,omitempty"`
		ID       string `json:"attachment_id,omitempty"`
		Reusable *bool  `json:"is_reusable,omitempty"`
	}
	messengerReply struct {
		ContentType string `json:"content_type"`
		Title       string `json:"title"`
		Payload     string `json:"payload"`
	}
	messengerReplyTo struct {
		MessageID string `json:"mid"`
	}
	messengerReaction struct {
		MessageID string `json:"message_id"`
		Reaction  string `json:"reaction,omitempty"`
	}
)

// messengerBody is the request for a message whose content was checked.
func messengerBody(m domain.Outgoing) (messengerMessage, error) {
	psid, err := psidOf(m.To)
	if err != nil {
		return messengerMessage{}, err
	}
	w := messengerMessage{Recipient: messengerRecipient{ID: psid}}
	if m.Content.Type == domain.TypeReaction {
		w.react(*m.Content.React)
		return w, nil
	}
	if err := checkReference(m.Reference, domain.MaxMessengerReference); err != nil {
		return w, err
	}
	w.Type = "RESPONSE"
	if m.HumanAgent {
		w.Type, w.Tag = "MESSAGE_TAG", "HUMAN_AGENT" // the one tag that is left for an inbox
	}
	w.Message = messengerContentOf(m.Content)
	w.Message.Reference = m.Reference
	if m.ReplyTo != "" {
		w.ReplyTo = &messengerReplyTo{MessageID: m.ReplyTo}
	}
	return w, nil
}

func (w *messengerMessage) react(r domain.React) {
	w.Action, w.Payload = "react", &messengerReaction{MessageID: r.ProviderID, Reaction: r.Emoji}
	if r.Emoji == "" {
		w.Action = "unreact"
	}
}

func messengerContentOf(c domain.Content) *messengerContent {
	w := &messengerContent{Text: c.Text}
	if c.File != nil {
		w.Attachment = &messengerAttachment{Type: attachmentType(c.Type), Payload: messengerPayload{URL: c.File.Link, ID: c.File.ID}}
		if c.File.Link != "" {
			w.Attachment.Payload.Reusable = new(false)
		}
	}
	if c.Interactive != nil {
		for _, b := range c.Interactive.Buttons {
			w.QuickReplies = append(w.QuickReplies, messengerReply{ContentType: "text", Title: b.Title, Payload: b.ID})
		}
	}
	return w
}

// attachmentType is Messenger's word for a type of file.
func attachmentType(t domain.MessageType) string {
	switch t {
	case domain.TypeVoice:
		return "audio"
	case domain.TypeDocument:
		return "file"
	}
	return string(t)
}

func psidOf(to domain.Alias) (string, error) {
	if to.Kind != domain.AliasPSID || to.Value == "" {
		return "", fmt.Errorf("recipient: Messenger takes a page-scoped id, got %s", to.Kind)
	}
	return to.Value, nil
}
