package domain

import (
	"fmt"
	"slices"
)

// This file has the limits of what customers can tap, and of templates.

func (l *limits) interactive(body string, i *Interactive) {
	if i == nil || (len(i.Buttons) == 0) == (i.List == nil) {
		l.refuse("interactive", "takes buttons or a list")
		return
	}
	l.text("interactive.header", i.Header, 0, 60)
	l.text("interactive.footer", i.Footer, 0, 60)
	if i.List != nil {
		l.text("body", body, 1, whatsAppText)
		l.list(i.List)
		return
	}
	l.text("body", body, 1, whatsAppCaption)
	l.count("interactive.buttons", len(i.Buttons), 1, whatsAppButtons)
	l.choices("interactive.buttons", i.Buttons, 256, 20, 0)
	for n, b := range i.Buttons {
		if slices.ContainsFunc(i.Buttons[:n], func(o Choice) bool { return o.Title == b.Title }) {
			l.refuse(fmt.Sprintf("interactive.buttons[%d].title", n), "must differ from the other buttons'")
		}
	}
}

func (l *limits) list(list *List) {
	l.text("interactive.list.button", list.Button, 1, 20)
	l.count("interactive.list.sections", len(list.Sections), 1, 10)
	titles := 0
	if len(list.Sections) > 1 {
		titles = 1
	}
	var rows []Choice
	for n, s := range list.Sections {
		field := fmt.Sprintf("interactive.list.sections[%d]", n)
		l.text(field+".title", s.Title, titles, 24)
		l.count(field+".rows", len(s.Rows), 1, whatsAppRows)
		l.choices(field+".rows", s.Rows, 200, 24, 72)
		rows = append(rows, s.Rows...)
	}
	l.count("interactive.list", len(rows), 1, whatsAppRows)
	l.unique("interactive.list", rows)
}

func (l *limits) quickReplies(i *Interactive) {
	if i == nil || i.List != nil || i.Header != "" || i.Footer != "" {
		l.refuse("interactive", "takes buttons alone on Messenger")
		return
	}
	l.count("interactive.buttons", len(i.Buttons), 1, messengerReplies)
	l.choices("interactive.buttons", i.Buttons, 1000, 20, 0)
}

// choices checks each choice, and that no id stands for two of them.
func (l *limits) choices(field string, choices []Choice, id, title, description int) {
	for n, c := range choices {
		at := fmt.Sprintf("%s[%d]", field, n)
		l.text(at+".id", c.ID, 1, id)
		l.text(at+".title", c.Title, 1, title)
		l.text(at+".description", c.Description, 0, description)
	}
	l.unique(field, choices)
}

func (l *limits) unique(field string, choices []Choice) {
	seen := make(map[string]bool, len(choices))
	for _, c := range choices {
		if seen[c.ID] {
			l.refuse(field, "has two choices with the id %q", c.ID)
		}
		seen[c.ID] = true
	}
}

// template checks the form alone: what the gaps take is known to the platform.
func (l *limits) template(t *Template) {
	if t == nil {
		l.refuse("template", "must be given")
		return
	}
	l.text("template.name", t.Name, 1, 512)
	l.text("template.language", t.Language, 1, 20)
	l.count("template.header", len(t.Header), 0, 1)
	for n, p := range t.Header {
		l.headerParameter(fmt.Sprintf("template.header[%d]", n), p)
	}
	for n, p := range t.Body {
		field := fmt.Sprintf("template.body[%d]", n)
		l.text(field+".text", p.Text, 1, whatsAppText)
		if p.File != nil {
			l.refuse(field, "takes text")
		}
	}
	l.count("template.buttons", len(t.Buttons), 0, 10)
	for n, b := range t.Buttons {
		field := fmt.Sprintf("template.buttons[%d]", n)
		if b.Index < 0 || b.Index > 9 {
			l.refuse(field+".index", "takes 0 to 9")
		}
		if !slices.Contains([]string{ButtonQuickReply, ButtonURL, ButtonCopyCode}, b.Kind) {
			l.refuse(field+".kind", "takes %s, %s or %s", ButtonQuickReply, ButtonURL, ButtonCopyCode)
		}
		l.text(field+".value", b.Value, 1, 2000)
	}
}

func (l *limits) headerParameter(field string, p TemplateParameter) {
	switch {
	case p.File == nil:
		l.text(field+".text", p.Text, 1, whatsAppText)
	case p.Text != "":
		l.refuse(field, "takes text or a file")
	case p.Type != TypeImage && p.Type != TypeVideo && p.Type != TypeDocument:
		l.refuse(field+".type", "takes image, video or document")
	default:
		l.file(WhatsApp, p.Type, p.File)
	}
}
