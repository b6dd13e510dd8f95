package webhook

import (
	"cmp"
	"net/url"
	"path"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// msAttachment is a file, a link, a place or something shared. What a link has
// in its payload may stand beside the type instead.
type msAttachment struct {
	Type    text `json:"type"`
	Title   text `json:"title"`
	URL     text `json:"url"`
	Payload struct {
		URL         text `json:"url"`
		Title       text `json:"title"`
		Text        text `json:"text"` // of a template
		StickerID   text `json:"sticker_id"`
		Coordinates *struct {
			Lat  text `json:"lat"`
			Long text `json:"long"`
		} `json:"coordinates"`
		Product struct {
			Elements []msElement `json:"elements"`
		} `json:"product"`
		Elements []msElement `json:"elements"` // of a template
		Status   text        `json:"status"`   // of an appointment
		Start    stamp       `json:"start_time"`
	} `json:"payload"`
}

type msElement struct {
	Title    text `json:"title"`
	Subtitle text `json:"subtitle"`
}

// msFiles are the attachments that are files, and what a message of them is.
var msFiles = map[text]domain.MessageType{
	"image": domain.TypeImage, "video": domain.TypeVideo, "audio": domain.TypeAudio,
	"file": domain.TypeDocument, "sticker": domain.TypeSticker,
}

// content is what m says. Several attachments are one message, of the type of
// the first; a text beside what isn't a file is a text.
func (m *msMessage) content(raw []byte) content {
	var attachments []msAttachment
	if !isNull(m.Attachments) {
		decode(m.Attachments, &attachments) // what is readable of them: all of it is kept
	}
	c := content{body: string(m.Text)}
	plain := len(attachments) > 0
	for i := range attachments {
		if !c.file(&attachments[i]) {
			plain = false
			c.shared(&attachments[i], m.Text == "")
		}
		plain = plain && attachments[i].Payload.StickerID == ""
	}
	if m.Text != "" && len(c.media) == 0 {
		c.kind = domain.TypeText
	}
	c.kind = cmp.Or(c.kind, domain.TypeUnsupported)
	switch {
	case c.kind == domain.TypeUnsupported:
		c.keep.raw("raw", raw)
	case !plain:
		c.keep.raw("attachments", m.Attachments)
	}
	return c
}

// file adds an attachment that is a file; false when it is none. Until August
// 2026 a sticker came twice, as image and as sticker with one URL: it is one.
func (c *content) file(a *msAttachment) bool {
	kind, ok := msFiles[a.Type]
	address := mediaURL(string(a.Payload.URL))
	if !ok || address == "" {
		return false
	}
	word := a.Type
	if a.Payload.StickerID != "" {
		kind, word = domain.TypeSticker, "sticker"
	}
	for _, m := range c.media {
		if m.URL == address && m.Kind == string(word) {
			return true
		}
	}
	c.kind = cmp.Or(c.kind, kind)
	file := domain.Media{URL: address, Kind: string(word)}
	if word == "file" {
		file.FileName = nameInURL(address)
	}
	c.media = append(c.media, file)
	return true
}

// nameInURL is the name of a file, which only its URL has.
func nameInURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return domain.CleanFileName(cleanText(path.Base(u.Path)))
}

// shared takes an attachment that is no file; words makes what it says the
// body of the message.
func (c *content) shared(a *msAttachment, words bool) {
	kind, body := domain.TypeUnsupported, ""
	p := &a.Payload
	switch a.Type {
	case "location":
		kind = domain.TypeLocation
		place := text("")
		if p.Coordinates != nil {
			place = text(joined(", ", p.Coordinates.Lat, p.Coordinates.Long))
		}
		body = joined("\n", a.Title, place)
	case "fallback", "share", "reel", "ig_reel", "post", "ig_post":
		body = joined("\n", cmp.Or(p.Title, a.Title), cmp.Or(p.URL, a.URL))
		if body != "" {
			kind = domain.TypeText
		}
	case "template":
		kind = domain.TypeInteractive
		lines := []text{cmp.Or(p.Text, a.Title)}
		for _, e := range append(p.Product.Elements, p.Elements...) {
			lines = append(lines, text(joined(", ", e.Title, e.Subtitle)))
		}
		body = joined("\n", lines...)
	case "appointment_booking":
		kind = domain.TypeInteractive
		start := text("")
		if !p.Start.IsZero() {
			start = text(p.Start.Format(time.RFC3339))
		}
		body = joined(" ", "Appointment", p.Status, start)
	}
	c.kind = cmp.Or(c.kind, kind)
	if words {
		c.body = joined("\n", text(c.body), text(body))
	}
}
