package graph

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

const product = "whatsapp"

// The JSON of a message to a customer.
type (
	whatsAppMessage struct {
		Product       string            `json:"messaging_product"`
		RecipientType string            `json:"recipient_type"`
		To            string            `json:"to,omitempty"`        // a number, always with +
		Recipient     string            `json:"recipient,omitempty"` // a business-scoped user id
		Context       *whatsAppContext  `json:"context,omitempty"`
		Reference     string            `json:"biz_opaque_callback_data,omitempty"`
		Type          string            `json:"type"`
		Text          *whatsAppText     `json:"text,omitempty"`
		Image         *whatsAppFile     `json:"image,omitempty"`
		Video         *whatsAppFile     `json:"video,omitempty"`
		Audio         *whatsAppFile     `json:"audio,omitempty"`
		Document      *whatsAppFile     `json:"document,omitempty"`
		Sticker       *whatsAppFile     `json:"sticker,omitempty"`
		Location      *whatsAppLocation `json:"location,omitempty"`
		Contacts      []whatsAppCard    `json:"contacts,omitempty"`
		Template      *whatsAppTemplate `json:"template,omitempty"`
		Interactive   *whatsAppTappable `json:"interactive,omitempty"`
		Reaction      *whatsAppReaction `json:"reaction,omitempty"`
	}
	whatsAppContext struct {
		MessageID string `json:"message_id"`
	}
	whatsAppText struct {
		Body    string `json:"body"`
		Preview *bool  `json:"preview_url,omitempty"`
	}
	whatsAppFile struct {
		ID       string `json:"id,omitempty"`
		Link     string `json:"link,omitempty"`
		Caption  string `json:"caption,omitempty"`
		FileName string `json:"filename,omitempty"`
		Voice    bool   `json:"voice,omitempty"`
	}
	whatsAppLocation struct {
		Latitude  string `json:"latitude"`
		Longitude string `json:"longitude"`
		Name      string `json:"name,omitempty"`
		Address   string `json:"address,omitempty"`
	}
	whatsAppReaction struct {
		MessageID string `json:"message_id"`
		Emoji     string `json:"emoji"`
	}
	// whatsAppReceipt marks a message as read, and may show typing with it.
	whatsAppReceipt struct {
		Product   string    `json:"messaging_product"`
		Status    string    `json:"status"`
		MessageID string    `json:"message_id"`
		Typing    *textType `json:"typing_indicator,omitempty"`
	}
	textType struct {
		Type string `json:"type"`
		Text string `json:"text,omitempty"`
	}
)

// whatsAppBody is the request for a message whose content was checked.
func whatsAppBody(m domain.Outgoing) (whatsAppMessage, error) {
	w := whatsAppMessage{Product: product, RecipientType: "individual", Reference: m.Reference}
	if err := checkReference(m.Reference, domain.MaxWhatsAppReference); err != nil {
		return w, err
	}
	switch m.To.Kind {
	case domain.AliasNumber:
		// Without the + the business number's country code would be put before it.
		w.To = "+" + strings.TrimPrefix(m.To.Value, "+")
	case domain.AliasUserID:
		w.Recipient = m.To.Value
	default:
		return w, fmt.Errorf("recipient: WhatsApp takes a number or a user id, got %s", m.To.Kind)
	}
	if m.To.Value == "" {
		return w, fmt.Errorf("recipient: must not be empty")
	}
	if m.ReplyTo != "" && m.Content.Type != domain.TypeReaction {
		w.Context = &whatsAppContext{MessageID: m.ReplyTo}
	}
	w.put(m.Content)
	return w, nil
}

// put sets the type and the one object that it names.
func (w *whatsAppMessage) put(c domain.Content) {
	w.Type = string(c.Type)
	switch c.Type {
	case domain.TypeText:
		w.Text = &whatsAppText{Body: c.Text, Preview: c.LinkPreview}
	case domain.TypeImage:
		w.Image = whatsAppFileOf(c)
	case domain.TypeVideo:
		w.Video = whatsAppFileOf(c)
	case domain.TypeAudio, domain.TypeVoice:
		w.Type, w.Audio = "audio", whatsAppFileOf(c)
		w.Audio.Voice = c.Type == domain.TypeVoice
	case domain.TypeDocument:
		w.Document = whatsAppFileOf(c)
		w.Document.FileName = c.File.Name
	case domain.TypeSticker:
		w.Sticker = whatsAppFileOf(c)
	case domain.TypeLocation:
		at := c.Location
		w.Location = &whatsAppLocation{degrees(at.Latitude), degrees(at.Longitude), at.Name, at.Address}
	case domain.TypeContacts:
		w.Contacts = whatsAppCards(c.Contacts)
	case domain.TypeTemplate:
		w.Template = whatsAppTemplateOf(*c.Template)
	case domain.TypeInteractive:
		w.Interactive = whatsAppTappableOf(c.Text, *c.Interactive)
	case domain.TypeReaction:
		w.Reaction = &whatsAppReaction{MessageID: c.React.ProviderID, Emoji: c.React.Emoji}
	}
}

func whatsAppFileOf(c domain.Content) *whatsAppFile {
	return &whatsAppFile{ID: c.File.ID, Link: c.File.Link, Caption: c.Text}
}

// The JSON of a template.
type (
	whatsAppTemplate struct {
		Name       string              `json:"name"`
		Language   whatsAppLanguage    `json:"language"`
		Components []whatsAppComponent `json:"components,omitempty"`
	}
	whatsAppLanguage struct {
		Code string `json:"code"`
	}
	whatsAppComponent struct {
		Type       string              `json:"type"`
		SubType    string              `json:"sub_type,omitempty"`
		Index      string              `json:"index,omitempty"`
		Parameters []whatsAppParameter `json:"parameters"`
	}
	whatsAppParameter struct {
		Type     string        `json:"type"`
		Name     string        `json:"parameter_name,omitempty"`
		Text     string        `json:"text,omitempty"`
		Payload  string        `json:"payload,omitempty"`
		Code     string        `json:"coupon_code,omitempty"`
		Image    *whatsAppFile `json:"image,omitempty"`
		Video    *whatsAppFile `json:"video,omitempty"`
		Document *whatsAppFile `json:"document,omitempty"`
	}
)

func whatsAppTemplateOf(t domain.Template) *whatsAppTemplate {
	w := &whatsAppTemplate{Name: t.Name, Language: whatsAppLanguage{Code: t.Language}}
	for _, part := range []struct {
		kind       string
		parameters []domain.TemplateParameter
	}{{"header", t.Header}, {"body", t.Body}} {
		if len(part.parameters) == 0 {
			continue
		}
		component := whatsAppComponent{Type: part.kind}
		for _, p := range part.parameters {
			component.Parameters = append(component.Parameters, whatsAppParameterOf(p))
		}
		w.Components = append(w.Components, component)
	}
	for _, b := range t.Buttons {
		value := whatsAppParameter{Type: "text", Text: b.Value}
		switch b.Kind {
		case domain.ButtonQuickReply:
			value = whatsAppParameter{Type: "payload", Payload: b.Value}
		case domain.ButtonCopyCode:
			value = whatsAppParameter{Type: "coupon_code", Code: b.Value}
		}
		w.Components = append(w.Components, whatsAppComponent{
			Type: "button", SubType: b.Kind, Index: strconv.Itoa(b.Index), Parameters: []whatsAppParameter{value},
		})
	}
	return w
}

func whatsAppParameterOf(p domain.TemplateParameter) whatsAppParameter {
	if p.File == nil {
		return whatsAppParameter{Type: "text", Name: p.Name, Text: p.Text}
	}
	w := whatsAppParameter{Type: string(p.Type), Name: p.Name}
	file := &whatsAppFile{ID: p.File.ID, Link: p.File.Link}
	switch p.Type {
	case domain.TypeImage:
		w.Image = file
	case domain.TypeVideo:
		w.Video = file
	case domain.TypeDocument:
		file.FileName = p.File.Name
		w.Document = file
	}
	return w
}
