package domain

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// LimitError is content that the platform would refuse.
type LimitError struct {
	Field  string // as clients of the API name it, such as interactive.buttons[1].title
	Reason string // what the field takes
}

func (e *LimitError) Error() string { return e.Field + ": " + e.Reason }

// The platforms' limits, in characters unless they count something.
const (
	whatsAppText     = 4096
	whatsAppCaption  = 1024
	whatsAppButtons  = 3
	whatsAppRows     = 10
	whatsAppContacts = 257
	messengerText    = 2000
	messengerReplies = 13

	// MaxWhatsAppReference and MaxMessengerReference bound Outgoing.Reference.
	MaxWhatsAppReference  = 512
	MaxMessengerReference = 1000
)

// Check is nil where the platform takes such content, or a *LimitError that
// names the first field it wouldn't.
func (c Content) Check(p Provider) error {
	l := limits{}
	switch p {
	case WhatsApp:
		l.whatsApp(c)
	case Messenger:
		l.messenger(c)
	default:
		l.refuse("provider", "takes %s or %s", WhatsApp, Messenger)
	}
	if l.broken == nil {
		return nil
	}
	return l.broken
}

// limits collects the first limit that is broken.
type limits struct{ broken *LimitError }

func (l *limits) refuse(field, reason string, args ...any) {
	if l.broken == nil {
		l.broken = &LimitError{Field: field, Reason: fmt.Sprintf(reason, args...)}
	}
}

// text wants s to have least to most characters. The platforms don't say what
// a character is: what is counted is UTF-16 units, never fewer than code
// points, so nothing that passes is too long in any reading.
func (l *limits) text(field, s string, least, most int) {
	switch n := utf16Length(s); {
	case !utf8.ValidString(s):
		l.refuse(field, "takes valid UTF-8")
	case n < least:
		l.refuse(field, "must not be empty")
	case n > 0 && most == 0:
		l.refuse(field, "must be empty here")
	case n > most:
		l.refuse(field, "takes at most %d characters, got %d", most, n)
	}
}

func (l *limits) count(field string, n, least, most int) {
	if n < least || n > most {
		l.refuse(field, "takes %d to %d elements, got %d", least, most, n)
	}
}

// utf16Length counts as JavaScript does: two for what is beyond the basic plane.
func utf16Length(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

func (l *limits) whatsApp(c Content) {
	switch c.Type {
	case TypeText:
		l.text("body", c.Text, 1, whatsAppText)
	case TypeImage, TypeVideo, TypeDocument:
		l.text("body", c.Text, 0, whatsAppCaption)
		l.file(WhatsApp, c.Type, c.File)
	case TypeAudio, TypeVoice, TypeSticker:
		l.text("body", c.Text, 0, 0)
		l.file(WhatsApp, c.Type, c.File)
	case TypeLocation:
		l.location(c.Location)
	case TypeContacts:
		l.contacts(c.Contacts)
	case TypeTemplate:
		l.template(c.Template)
	case TypeInteractive:
		l.interactive(c.Text, c.Interactive)
	case TypeReaction:
		l.react(c.React)
	default:
		l.refuse("type", "%q can't be sent on WhatsApp", c.Type)
	}
}

func (l *limits) messenger(c Content) {
	switch c.Type {
	case TypeText:
		l.text("body", c.Text, 1, messengerText)
	case TypeImage, TypeVideo, TypeAudio, TypeVoice, TypeDocument:
		l.text("body", c.Text, 0, 0) // Messenger takes text or a file, never both
		l.file(Messenger, c.Type, c.File)
	case TypeInteractive:
		l.text("body", c.Text, 1, messengerText)
		l.quickReplies(c.Interactive)
	case TypeReaction:
		l.react(c.React)
	default:
		l.refuse("type", "%q can't be sent on Messenger", c.Type)
	}
}

func (l *limits) file(p Provider, t MessageType, f *File) {
	if f == nil || !onlyOne(!f.Attachment.IsZero(), f.ID != "", f.Link != "") {
		l.refuse("mediaUrl", "takes one file: uploaded, or by link")
		return
	}
	if f.Link != "" && !publicLink(f.Link) {
		l.refuse("mediaUrl", "takes a public https address")
	}
	if f.MimeType != "" && !takesMime(p, t, bareMime(f.MimeType)) {
		l.refuse("mediaType", "%q can't be sent as %s", f.MimeType, t)
	}
	most := FileSizeLimit(p, t)
	if p == Messenger && t == TypeImage && f.Link != "" {
		most = messengerLinkSize
	}
	if f.Size > most {
		l.refuse("mediaUrl", "takes a file of at most %d bytes as %s, got %d", most, t, f.Size)
	}
	l.text("fileName", f.Name, 0, 240)
}

func onlyOne(there ...bool) bool {
	n := 0
	for _, t := range there {
		if t {
			n++
		}
	}
	return n == 1
}

// hostCharacters are those of a host name in ASCII form, with a port: no user
// name, no address literal in brackets.
const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:"

// publicLink reports whether s has the form of an address that a platform can
// fetch; whether it can, only the platform finds out.
func publicLink(s string) bool {
	rest, https := strings.CutPrefix(s, "https://")
	host := rest[:len(rest)-len(strings.TrimLeft(rest, hostCharacters))]
	after := rest[len(host):]
	ends := after == "" || after[0] == '/' || after[0] == '?'
	odd := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
	return https && strings.Contains(host, ".") && ends && !odd && len(s) <= 2048
}

func (l *limits) location(at *Location) {
	switch {
	case at == nil:
		l.refuse("location", "must be given")
	case math.IsNaN(at.Latitude) || math.Abs(at.Latitude) > 90:
		l.refuse("location.latitude", "takes -90 to 90 degrees")
	case math.IsNaN(at.Longitude) || math.Abs(at.Longitude) > 180:
		l.refuse("location.longitude", "takes -180 to 180 degrees")
	}
}

func (l *limits) contacts(cards []Card) {
	l.count("contacts", len(cards), 1, whatsAppContacts)
	for i, card := range cards {
		if card.Name == "" {
			l.refuse(fmt.Sprintf("contacts[%d].name", i), "must not be empty")
		}
	}
}

func (l *limits) react(r *React) {
	switch {
	case r == nil || r.ProviderID == "":
		l.refuse("reaction", "takes a message that the platform knows")
	case utf16Length(r.Emoji) > 32: // the longest emoji in use has 15 units, with its joiners
		l.refuse("reaction.emoji", "takes one emoji")
	}
}
