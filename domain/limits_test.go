package domain

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func choices(n int) []Choice {
	var cs []Choice
	for i := range n {
		cs = append(cs, Choice{ID: fmt.Sprint("id", i), Title: fmt.Sprint("title ", i)})
	}
	return cs
}

func buttons(n int, change func(*Content)) Content {
	c := Content{Type: TypeInteractive, Text: "choose", Interactive: &Interactive{Buttons: choices(n)}}
	if change != nil {
		change(&c)
	}
	return c
}

func list(sections, rows int, change func(*List)) Content {
	l := &List{Button: "Open"}
	all := choices(sections * rows)
	for i := range sections {
		l.Sections = append(l.Sections, Section{Title: fmt.Sprint("s", i), Rows: all[i*rows : (i+1)*rows]})
	}
	if change != nil {
		change(l)
	}
	return Content{Type: TypeInteractive, Text: "choose", Interactive: &Interactive{List: l}}
}

func template(change func(*Template)) Content {
	t := &Template{
		Name: "order_update", Language: "en_US",
		Header:  []TemplateParameter{{Type: TypeImage, File: &File{ID: "1"}}},
		Body:    []TemplateParameter{{Text: "Dana"}},
		Buttons: []TemplateButton{{Kind: ButtonQuickReply, Value: "track"}},
	}
	if change != nil {
		change(t)
	}
	return Content{Type: TypeTemplate, Template: t}
}

func fileOf(t MessageType, f File) Content { return Content{Type: t, File: &f} }

func captioned(t MessageType, n int) Content {
	return Content{Type: t, Text: strings.Repeat("x", n), File: &File{ID: "1"}}
}

// TestContentIsChecked has the platforms' limits: the last value that passes
// and the first that doesn't, with the field that is named.
func TestContentIsChecked(t *testing.T) {
	t.Parallel()
	text := func(s string) Content { return Content{Type: TypeText, Text: s} }
	x := func(n int) string { return strings.Repeat("x", n) }
	link := func(s string) Content { return fileOf(TypeImage, File{Link: s}) }
	for _, c := range []struct {
		provider Provider
		content  Content
		field    string // empty: passes
	}{
		{WhatsApp, text(x(4096)), ""},
		{WhatsApp, text(x(4097)), "body"},
		{WhatsApp, text(""), "body"},
		{WhatsApp, text("\xff"), "body"},
		{WhatsApp, text(strings.Repeat("é", 4096)), ""},
		{WhatsApp, text(strings.Repeat("😀", 2048)), ""},
		{WhatsApp, text(strings.Repeat("😀", 2049)), "body"},
		{Messenger, text(x(2000)), ""},
		{Messenger, text(x(2001)), "body"},
		{"TELEGRAM", text("x"), "provider"},

		{WhatsApp, captioned(TypeImage, 1024), ""},
		{WhatsApp, captioned(TypeImage, 1025), "body"},
		{WhatsApp, captioned(TypeAudio, 1), "body"},
		{WhatsApp, captioned(TypeSticker, 0), ""},
		{Messenger, captioned(TypeImage, 1), "body"},
		{Messenger, captioned(TypeSticker, 0), "type"},
		{WhatsApp, Content{Type: TypeImage}, "mediaUrl"},
		{WhatsApp, fileOf(TypeImage, File{ID: "1", Link: "https://a.example/1"}), "mediaUrl"},
		{WhatsApp, fileOf(TypeImage, File{ID: "1", MimeType: "image/JPEG; q=1", Size: 5 << 20}), ""},
		{WhatsApp, fileOf(TypeImage, File{ID: "1", MimeType: "image/gif"}), "mediaType"},
		{WhatsApp, fileOf(TypeImage, File{ID: "1", Size: 5<<20 + 1}), "mediaUrl"},
		{WhatsApp, fileOf(TypeVoice, File{ID: "1", MimeType: "audio/ogg; codecs=opus"}), ""},
		{WhatsApp, fileOf(TypeVoice, File{ID: "1", MimeType: "audio/mpeg"}), "mediaType"},
		{WhatsApp, fileOf(TypeDocument, File{ID: "1", MimeType: "application/pdf", Size: 100 << 20, Name: x(240)}), ""},
		{WhatsApp, fileOf(TypeDocument, File{ID: "1", Name: x(241)}), "fileName"},
		{WhatsApp, fileOf(TypeDocument, File{ID: "1", MimeType: "application/x-msdownload"}), "mediaType"},
		{Messenger, fileOf(TypeImage, File{ID: "1", MimeType: "image/gif", Size: 25 << 20}), ""},
		{Messenger, fileOf(TypeImage, File{ID: "1", Size: 25<<20 + 1}), "mediaUrl"},
		{Messenger, fileOf(TypeImage, File{Link: "https://a.example/1", Size: 8<<20 + 1}), "mediaUrl"},
		{Messenger, fileOf(TypeImage, File{ID: "1", MimeType: "video/mp4"}), "mediaType"},
		{Messenger, fileOf(TypeDocument, File{ID: "1", MimeType: "application/zip"}), ""},
		{Messenger, fileOf(TypeDocument, File{ID: "1", MimeType: "nonsense"}), "mediaType"},

		{WhatsApp, link("https://files.example.com/a/1.jpg?x=1"), ""},
		{WhatsApp, link("https://files.example.com:8443"), ""},
		{WhatsApp, link("http://files.example.com/a/1.jpg"), "mediaUrl"},
		{WhatsApp, link("https://localhost/a"), "mediaUrl"},
		{WhatsApp, link("https://user@files.example.com/a"), "mediaUrl"},
		{WhatsApp, link("https://[::1]/a"), "mediaUrl"},
		{WhatsApp, link("https:///a.b"), "mediaUrl"},
		{WhatsApp, link("https://a.example/x y"), "mediaUrl"},
		{WhatsApp, link("https://a.example/\nx"), "mediaUrl"},
		{WhatsApp, link("https://a.example/" + x(2048)), "mediaUrl"},

		{WhatsApp, Content{Type: TypeLocation, Location: &Location{Latitude: 90, Longitude: -180}}, ""},
		{WhatsApp, Content{Type: TypeLocation}, "location"},
		{WhatsApp, Content{Type: TypeLocation, Location: &Location{Latitude: 90.1}}, "location.latitude"},
		{WhatsApp, Content{Type: TypeLocation, Location: &Location{Longitude: 180.1}}, "location.longitude"},
		{Messenger, Content{Type: TypeLocation, Location: &Location{}}, "type"},
		{WhatsApp, Content{Type: TypeContacts}, "contacts"},
		{WhatsApp, Content{Type: TypeContacts, Contacts: []Card{{Name: "Dana"}, {}}}, "contacts[1].name"},
		{WhatsApp, Content{Type: TypeContacts, Contacts: make([]Card, 258)}, "contacts"},

		{WhatsApp, Content{Type: TypeReaction, React: &React{ProviderID: "wamid.x", Emoji: "👨‍👩‍👧‍👦"}}, ""},
		{WhatsApp, Content{Type: TypeReaction, React: &React{ProviderID: "wamid.x"}}, ""},
		{Messenger, Content{Type: TypeReaction}, "reaction"},
		{WhatsApp, Content{Type: TypeReaction, React: &React{ProviderID: "wamid.x", Emoji: x(33)}}, "reaction.emoji"},

		{WhatsApp, buttons(3, nil), ""},
		{WhatsApp, buttons(4, nil), "interactive.buttons"},
		{WhatsApp, buttons(0, nil), "interactive"},
		{WhatsApp, buttons(2, func(c *Content) { c.Text = x(1025) }), "body"},
		{WhatsApp, buttons(2, func(c *Content) { c.Text = "" }), "body"},
		{WhatsApp, buttons(2, func(c *Content) { c.Interactive.Header = x(61) }), "interactive.header"},
		{WhatsApp, buttons(2, func(c *Content) { c.Interactive.Footer = x(61) }), "interactive.footer"},
		{WhatsApp, buttons(2, func(c *Content) { c.Interactive.Buttons[1].Title = x(21) }), "interactive.buttons[1].title"},
		{WhatsApp, buttons(2, func(c *Content) { c.Interactive.Buttons[1].Title = "title 0" }), "interactive.buttons[1].title"},
		{WhatsApp, buttons(2, func(c *Content) { c.Interactive.Buttons[0].ID = x(257) }), "interactive.buttons[0].id"},
		{WhatsApp, buttons(2, func(c *Content) { c.Interactive.Buttons[1].ID = "id0" }), "interactive.buttons"},
		{WhatsApp, buttons(2, func(c *Content) { c.Interactive.Buttons[1].Description = "x" }), "interactive.buttons[1].description"},
		{Messenger, buttons(13, nil), ""},
		{Messenger, buttons(14, nil), "interactive.buttons"},
		{Messenger, buttons(2, func(c *Content) { c.Interactive.Header = "x" }), "interactive"},
		{Messenger, list(1, 1, nil), "interactive"},

		{WhatsApp, list(2, 5, nil), ""},
		{WhatsApp, list(1, 11, nil), "interactive.list.sections[0].rows"},
		{WhatsApp, list(3, 4, nil), "interactive.list"},
		{WhatsApp, list(11, 0, nil), "interactive.list.sections"},
		{WhatsApp, list(1, 1, func(l *List) { l.Button = x(21) }), "interactive.list.button"},
		{WhatsApp, list(1, 1, func(l *List) { l.Sections[0].Title = "" }), ""},
		{WhatsApp, list(2, 1, func(l *List) { l.Sections[1].Title = "" }), "interactive.list.sections[1].title"},
		{WhatsApp, list(1, 1, func(l *List) { l.Sections[0].Title = x(25) }), "interactive.list.sections[0].title"},
		{WhatsApp, list(2, 2, func(l *List) { l.Sections[1].Rows[1].Description = x(73) }), "interactive.list.sections[1].rows[1].description"},
		{WhatsApp, list(2, 2, func(l *List) { l.Sections[1].Rows[1].ID = "id0" }), "interactive.list"},
		{WhatsApp, list(1, 1, func(l *List) { l.Sections[0].Rows[0].ID = x(201) }), "interactive.list.sections[0].rows[0].id"},
		{WhatsApp, list(1, 1, func(l *List) { l.Sections[0].Rows[0].Title = x(25) }), "interactive.list.sections[0].rows[0].title"},

		{WhatsApp, template(nil), ""},
		{Messenger, template(nil), "type"},
		{WhatsApp, Content{Type: TypeTemplate}, "template"},
		{WhatsApp, template(func(t *Template) { t.Name = "" }), "template.name"},
		{WhatsApp, template(func(t *Template) { t.Language = "" }), "template.language"},
		{WhatsApp, template(func(t *Template) { t.Header[0].Text = "both" }), "template.header[0]"},
		{WhatsApp, template(func(t *Template) { t.Header[0].Type = TypeAudio }), "template.header[0].type"},
		{WhatsApp, template(func(t *Template) { t.Header[0] = TemplateParameter{Text: "Hi"} }), ""},
		{WhatsApp, template(func(t *Template) { t.Body[0].Text = "" }), "template.body[0].text"},
		{WhatsApp, template(func(t *Template) { t.Body[0].File = &File{} }), "template.body[0]"},
		{WhatsApp, template(func(t *Template) { t.Buttons[0].Kind = "otp" }), "template.buttons[0].kind"},
		{WhatsApp, template(func(t *Template) { t.Buttons[0].Index = 10 }), "template.buttons[0].index"},
		{WhatsApp, template(func(t *Template) { t.Buttons[0].Value = "" }), "template.buttons[0].value"},

		{WhatsApp, Content{Type: TypeOrder}, "type"},
		{WhatsApp, Content{}, "type"},
	} {
		err := c.content.Check(c.provider)
		if c.field == "" {
			require.NoError(t, err, "%s %+v", c.provider, c.content)
			continue
		}
		broken := new(LimitError)
		require.ErrorAs(t, err, &broken, "%s %+v: %s must be refused", c.provider, c.content, c.field)
		require.Equal(t, c.field, broken.Field, "%s %+v", c.provider, c.content)
		require.NotEmpty(t, broken.Reason)
	}
}

func TestTypeOfFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		provider Provider
		mime     string
		want     MessageType
	}{
		{WhatsApp, "image/png", TypeImage}, {WhatsApp, "IMAGE/JPEG", TypeImage}, {WhatsApp, "image/webp", TypeSticker},
		{WhatsApp, "video/3gpp", TypeVideo}, {WhatsApp, "audio/ogg; codecs=opus", TypeAudio}, {WhatsApp, "text/plain; charset=utf-8", TypeDocument},
		{WhatsApp, "image/gif", ""}, {WhatsApp, "text/html", ""}, {WhatsApp, "", ""},
		{Messenger, "image/gif", TypeImage}, {Messenger, "video/quicktime", TypeVideo}, {Messenger, "audio/mpeg", TypeAudio},
		{Messenger, "application/zip", TypeDocument}, {Messenger, "image/", ""}, {Messenger, "", ""}, {"TELEGRAM", "image/png", ""},
	} {
		got, ok := TypeOfFile(c.provider, c.mime)
		require.Equal(t, c.want, got, "%s %s", c.provider, c.mime)
		require.Equal(t, c.want != "", ok)
		if ok {
			require.Positive(t, FileSizeLimit(c.provider, got))
		}
	}
	require.Zero(t, FileSizeLimit(Messenger, TypeSticker))
	require.Zero(t, FileSizeLimit(WhatsApp, TypeText))
}

// TestWhatPassesIsShortInEveryReading counts characters in all ways that a
// platform might.
func TestWhatPassesIsShortInEveryReading(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringN(0, 5000, -1).Draw(t, "text")
		units := 0
		for _, r := range s {
			units += len([]byte(string(r)))/4 + 1 // four bytes are two units
		}
		err := Content{Type: TypeText, Text: s}.Check(WhatsApp)
		if err == nil {
			require.LessOrEqual(t, len([]rune(s)), whatsAppText)
			require.LessOrEqual(t, units, whatsAppText)
		} else {
			require.True(t, s == "" || units > whatsAppText)
		}
	})
}

func TestCallErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := error(&CallError{Class: FailurePermanent, Code: "10", Subcode: 2018278, Text: "outside", TraceID: "A1", Cause: cause})
	require.EqualError(t, err, "platform call failed: permanent (10/2018278): outside (trace A1)")
	require.ErrorIs(t, err, cause)
	for class, want := range map[FailureClass][2]bool{ // throttled, ails
		FailurePermanent: {false, false}, FailurePermanentOrOnce: {false, false}, FailureTransient: {false, true},
		FailureThrottleApp: {true, true}, FailureThrottleChannel: {true, true}, FailureThrottleRecipient: {true, false},
		FailureThrottleQuality: {true, false}, FailureChannel: {false, true}, FailureUncertain: {false, true},
	} {
		require.Equal(t, want, [2]bool{class.Throttled(), class.Ails()}, class)
	}
}
