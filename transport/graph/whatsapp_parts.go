package graph

import "github.com/chatopshub/chatopshub/domain"

// The JSON of what a customer can tap.
type (
	whatsAppTappable struct {
		Type   string         `json:"type"`
		Header *textType      `json:"header,omitempty"`
		Body   whatsAppLine   `json:"body"`
		Footer *whatsAppLine  `json:"footer,omitempty"`
		Action whatsAppAction `json:"action"`
	}
	whatsAppLine struct {
		Text string `json:"text"`
	}
	whatsAppAction struct {
		Button   string            `json:"button,omitempty"` // opens the list
		Buttons  []whatsAppButton  `json:"buttons,omitempty"`
		Sections []whatsAppSection `json:"sections,omitempty"`
	}
	whatsAppButton struct {
		Type  string      `json:"type"`
		Reply whatsAppRow `json:"reply"`
	}
	whatsAppSection struct {
		Title string        `json:"title,omitempty"`
		Rows  []whatsAppRow `json:"rows"`
	}
	whatsAppRow struct {
		ID          string `json:"id"`
		Title       string `json:"title"`
		Description string `json:"description,omitempty"`
	}
)

func whatsAppTappableOf(body string, i domain.Interactive) *whatsAppTappable {
	w := &whatsAppTappable{Type: "button", Body: whatsAppLine{body}}
	if i.Header != "" {
		w.Header = &textType{Type: "text", Text: i.Header}
	}
	if i.Footer != "" {
		w.Footer = &whatsAppLine{i.Footer}
	}
	for _, b := range i.Buttons {
		w.Action.Buttons = append(w.Action.Buttons, whatsAppButton{"reply", whatsAppRow{ID: b.ID, Title: b.Title}})
	}
	if i.List != nil {
		w.Type, w.Action.Button = "list", i.List.Button
		for _, s := range i.List.Sections {
			section := whatsAppSection{Title: s.Title}
			for _, row := range s.Rows {
				section.Rows = append(section.Rows, whatsAppRow(row))
			}
			w.Action.Sections = append(w.Action.Sections, section)
		}
	}
	return w
}

// The JSON of a contact that is shared.
type (
	whatsAppCard struct {
		Name         whatsAppName    `json:"name"`
		Organization *whatsAppOrg    `json:"org,omitempty"`
		Phones       []whatsAppPhone `json:"phones,omitempty"`
		Emails       []whatsAppEmail `json:"emails,omitempty"`
	}
	whatsAppName struct {
		Formatted string `json:"formatted_name"`
		First     string `json:"first_name,omitempty"`
		Last      string `json:"last_name,omitempty"`
	}
	whatsAppOrg struct {
		Company string `json:"company"`
	}
	whatsAppPhone struct {
		Phone string `json:"phone"`
		Type  string `json:"type,omitempty"`
	}
	whatsAppEmail struct {
		Email string `json:"email"`
		Type  string `json:"type,omitempty"`
	}
)

func whatsAppCards(cards []domain.Card) []whatsAppCard {
	ws := make([]whatsAppCard, 0, len(cards))
	for _, c := range cards {
		w := whatsAppCard{Name: whatsAppName{Formatted: c.Name, First: c.FirstName, Last: c.LastName}}
		if c.Organization != "" {
			w.Organization = &whatsAppOrg{Company: c.Organization}
		}
		for _, p := range c.Phones {
			w.Phones = append(w.Phones, whatsAppPhone{Phone: p.Value, Type: p.Kind})
		}
		for _, e := range c.Emails {
			w.Emails = append(w.Emails, whatsAppEmail{Email: e.Value, Type: e.Kind})
		}
		ws = append(ws, w)
	}
	return ws
}
