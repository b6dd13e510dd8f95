package webhook

import (
	"encoding/json"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

// waMedia is a file of a message: an id to look it up by for seven days, and
// since 2025 a URL.
type waMedia struct {
	ID       text `json:"id"`
	URL      text `json:"url"`
	MimeType text `json:"mime_type"`
	SHA256   text `json:"sha256"`
	Caption  text `json:"caption"`
	Filename text `json:"filename"`
	Voice    flag `json:"voice"`
}

// content is what m says; what lacks the object that its type demands is
// unsupported, like a type that we don't know.
func (m *waMessage) content(raw []byte) content {
	c, ok := content{}, false
	switch m.Type {
	case "text":
		if m.Text != nil {
			c, ok = content{kind: domain.TypeText, body: string(m.Text.Body)}, true
		}
	case "image":
		c, ok = m.Image.content(domain.TypeImage, m.Type)
	case "video":
		c, ok = m.Video.content(domain.TypeVideo, m.Type)
	case "audio":
		c, ok = m.Audio.content(domain.TypeAudio, m.Type)
		if ok && bool(m.Audio.Voice) {
			c.kind = domain.TypeVoice
		}
	case "document":
		c, ok = m.Document.content(domain.TypeDocument, m.Type)
	case "sticker":
		c, ok = m.Sticker.content(domain.TypeSticker, m.Type)
	case "location":
		c, ok = location(m.Location)
	case "contacts":
		c, ok = contactCards(m.Contacts)
	case "interactive":
		c, ok = interactive(m.Interactive)
	case "button":
		c, ok = templateButton(m.Button)
	case "order":
		c, ok = order(m.Order)
	case "reaction":
		if m.Reaction != nil {
			c, ok = content{kind: domain.TypeReaction, body: cutBytes(string(m.Reaction.Emoji), maxEmoji)}, true
		}
	case "unsupported":
		c, ok = content{kind: domain.TypeUnsupported}, true
		c.keep.raw("unsupported", m.Unsupported)
	}
	if !ok {
		return unsupported(raw)
	}
	c.keep.raw("errors", m.Errors)
	return c
}

func (f *waMedia) content(kind domain.MessageType, word text) (content, bool) {
	if f == nil || f.ID == "" && f.URL == "" {
		return content{}, false
	}
	c := content{kind: kind, body: string(f.Caption), mediaType: line(string(f.MimeType), maxName)}
	c.media = []domain.Media{{
		ID: cutBytes(string(f.ID), maxID), URL: mediaURL(string(f.URL)), MimeType: c.mediaType,
		SHA256: cutBytes(string(f.SHA256), maxAlias), FileName: domain.CleanFileName(string(f.Filename)), Kind: string(word),
	}}
	return c, true
}

// location is a place: its name and address, or else where it is.
func location(raw json.RawMessage) (content, bool) {
	var l struct {
		Latitude  text `json:"latitude"`
		Longitude text `json:"longitude"`
		Name      text `json:"name"`
		Address   text `json:"address"`
	}
	if !decodeObject(raw, &l) {
		return content{}, false
	}
	c := content{kind: domain.TypeLocation, body: joined("\n", l.Name, l.Address)}
	if c.body == "" {
		c.body = joined(", ", l.Latitude, l.Longitude)
	}
	c.keep.raw("location", raw)
	return c, true
}

// contactCards is the names on the cards; a card may lack any part.
func contactCards(raw json.RawMessage) (content, bool) {
	var cards []struct {
		Name struct {
			Formatted text `json:"formatted_name"`
			First     text `json:"first_name"`
			Last      text `json:"last_name"`
		} `json:"name"`
		Org struct {
			Company text `json:"company"`
		} `json:"org"`
		Phones []struct {
			Phone text `json:"phone"`
		} `json:"phones"`
	}
	decode(raw, &cards) // what is readable of them: all of it is kept
	if len(cards) == 0 {
		return content{}, false
	}
	var names []text
	for _, card := range cards {
		name := card.Name.Formatted
		if name == "" {
			name = text(joined(" ", card.Name.First, card.Name.Last))
		}
		if name == "" {
			name = card.Org.Company
		}
		if name == "" && len(card.Phones) > 0 {
			name = card.Phones[0].Phone
		}
		names = append(names, name)
	}
	c := content{kind: domain.TypeContacts, body: joined(", ", names...)}
	c.keep.raw("contacts", raw)
	return c, true
}

// interactive is an answer to buttons, a list or a form of ours.
func interactive(raw json.RawMessage) (content, bool) {
	type choice struct {
		Title text `json:"title"`
	}
	var i struct {
		Type        text    `json:"type"`
		ButtonReply *choice `json:"button_reply"`
		ListReply   *choice `json:"list_reply"`
		FormReply   *struct {
			Body text `json:"body"`
			Name text `json:"name"`
		} `json:"nfm_reply"`
	}
	if !decodeObject(raw, &i) {
		return content{}, false
	}
	c := content{kind: domain.TypeInteractive}
	switch {
	case i.Type == "button_reply" && i.ButtonReply != nil:
		c.body = string(i.ButtonReply.Title)
	case i.Type == "list_reply" && i.ListReply != nil:
		c.body = string(i.ListReply.Title)
	case i.Type == "nfm_reply" && i.FormReply != nil:
		c.body = string(i.FormReply.Body)
	default:
		return content{}, false
	}
	c.keep.raw("interactive", raw)
	return c, true
}

// templateButton is a tap on a button of a template.
func templateButton(raw json.RawMessage) (content, bool) {
	var b struct {
		Text    text `json:"text"`
		Payload text `json:"payload"`
	}
	if !decodeObject(raw, &b) {
		return content{}, false
	}
	c := content{kind: domain.TypeButton, body: joined("", b.Text)}
	if c.body == "" {
		c.body = string(b.Payload)
	}
	c.keep.raw("button", raw)
	return c, true
}

// order is what a customer wants from a catalogue: the words that came with
// it, or else the items.
func order(raw json.RawMessage) (content, bool) {
	var o struct {
		Text     text        `json:"text"`
		Note     text        `json:"note"` // Messenger's word for it
		Items    []orderItem `json:"product_items"`
		Products []orderItem `json:"products"` // Messenger's
	}
	if !decodeObject(raw, &o) {
		return content{}, false
	}
	c := content{kind: domain.TypeOrder, body: joined("\n", o.Text, o.Note)}
	if c.body == "" {
		var lines []text
		for _, item := range append(o.Items, o.Products...) {
			lines = append(lines, item.line())
		}
		c.body = joined("\n", lines...)
	}
	c.keep.raw("order", raw)
	return c, true
}

type orderItem struct {
	Name       text `json:"name"`
	ID         text `json:"product_retailer_id"`
	RetailerID text `json:"retailer_id"`
	Quantity   text `json:"quantity"`
}

func (i orderItem) line() text {
	name := i.Name
	if name == "" {
		name = text(joined("", i.ID, i.RetailerID))
	}
	return text(joined(" × ", i.Quantity, name))
}

// joined is the parts that aren't empty, with sep between.
func joined(sep string, parts ...text) string {
	var b strings.Builder
	for _, part := range parts {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(sep)
		}
		b.WriteString(string(part))
	}
	return b.String()
}
