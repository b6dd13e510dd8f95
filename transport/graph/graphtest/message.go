package graphtest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"
)

// incoming is a message as it was understood.
type incoming struct {
	Taken
	refused *Error // what is wrong with it
	answer  func(Taken) any
}

// messages takes what customers get to see.
func (s *Server) messages(w http.ResponseWriter, r *http.Request, a *account) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if object := r.PathValue("object"); object != a.ID && !(object == "me" && a.Provider == Messenger) {
		unknownObject(w, object)
		return
	}
	if err != nil || !json.Valid(body) {
		Failure(100, 0, "Invalid parameter").write(w, product(a.Provider))
		return
	}
	if a.Provider == WhatsApp {
		s.whatsApp(w, r, a, body)
		return
	}
	s.messenger(w, r, a, body)
}

// take plays one message: what is planned for it, what is wrong with it, what
// its account may send, and only then takes it.
func (s *Server) take(w http.ResponseWriter, r *http.Request, a *account, in incoming) {
	in.Provider, in.Account, in.At = a.Provider, a.ID, time.Now()
	c := s.note(Call{Provider: a.Provider, Account: a.ID, Kind: KindMessage, Recipient: in.Recipient, At: in.At})
	fault := s.plan(c)
	if !fault.Take && (fault.Cut || fault.Error != nil || fault.Page != "") {
		s.play(w, r, c, fault)
		return
	}
	t, first, refused := s.keep(a, in, c.Sequence)
	if refused != nil {
		refused.write(w, product(a.Provider))
		return
	}
	if s.cfg.Habits.Overtake && first != nil {
		select {
		case <-first:
		case <-r.Context().Done():
		case <-s.closing:
		}
	}
	if s.play(w, r, c, fault) {
		answer(w, http.StatusOK, in.answer(t))
	}
}

// keep takes the message for good, and has the customer react; first is closed
// when the first report about it was taken, nil if there is none.
func (s *Server) keep(a *account, in incoming, sequence int) (t Taken, first <-chan struct{}, refused *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.refused != nil {
		return t, nil, in.refused
	}
	if refused = a.limited(in.Recipient, in.At); refused != nil {
		return t, nil, refused
	}
	if s.post.backlog() > s.cfg.Backlog {
		return t, nil, Failure(2, 0, "Service temporarily unavailable")
	}
	t = in.Taken
	t.Sequence, t.ID = sequence, messageID(a.Provider, s.newID())
	s.heard[t.Recipient]++
	t.Nth = s.heard[t.Recipient]
	s.taken.add(t)
	s.change()
	return t, s.react(t), nil
}

// change wakes who waits for something to be taken or shown. The caller holds
// the lock.
func (s *Server) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func messageID(p Provider, id string) string {
	if p == WhatsApp {
		return "wamid." + id
	}
	return "m_" + id
}

// whatsAppTypes is what can be sent.
var whatsAppTypes = []string{
	"text", "image", "video", "audio", "document", "sticker", "location", "contacts", "reaction", "interactive", "template",
}

func (s *Server) whatsApp(w http.ResponseWriter, r *http.Request, a *account, body []byte) {
	var m struct {
		Product   string    `json:"messaging_product"`
		To        string    `json:"to"`
		Recipient string    `json:"recipient"`
		Type      string    `json:"type"`
		Status    string    `json:"status"`
		MessageID string    `json:"message_id"`
		Typing    *struct{} `json:"typing_indicator"`
		Reference string    `json:"biz_opaque_callback_data"`
		Context   struct {
			MessageID string `json:"message_id"`
		} `json:"context"`
	}
	var objects map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil || json.Unmarshal(body, &objects) != nil || m.Product != "whatsapp" {
		missing("messaging_product").write(w, "whatsapp")
		return
	}
	if m.Status == "read" {
		action := Action{Account: a.ID, Kind: "read", MessageID: m.MessageID}
		if m.Typing != nil {
			action.Kind = "typing"
		}
		s.act(w, r, a, action, map[string]any{"success": true})
		return
	}
	in := incoming{Taken: Taken{
		Recipient: digits(m.To), Reference: m.Reference, Type: m.Type, ReplyTo: m.Context.MessageID, Body: body,
	}}
	input := m.To
	if m.To == "" {
		in.Recipient, input = m.Recipient, m.Recipient
	}
	in.Text, in.refused = s.readWhatsApp(a, m.Type, objects[m.Type])
	switch {
	case !slices.Contains(whatsAppTypes, m.Type):
		in.refused = Failure(131051, 0, "Unsupported message type")
	case in.Recipient == "":
		in.refused = missing("to")
	case in.Recipient == a.Number:
		in.refused = Failure(131021, 0, "Recipient cannot be sender")
	}
	in.answer = func(t Taken) any {
		contact := map[string]any{"input": input}
		if m.To != "" {
			contact["wa_id"] = t.Recipient
		} else {
			contact["user_id"] = t.Recipient
		}
		message := map[string]any{"id": t.ID}
		if t.Type == "template" {
			message["message_status"] = "accepted"
		}
		return map[string]any{"messaging_product": "whatsapp", "contacts": []any{contact}, "messages": []any{message}}
	}
	s.take(w, r, a, in)
}

func missing(parameter string) *Error {
	e := Failure(131008, 0, "Required parameter is missing")
	e.Details = "The parameter " + parameter + " is required."
	return e
}

// readWhatsApp finds what the customer reads, and what the platform would
// refuse. Contacts are a list; all else is an object.
func (s *Server) readWhatsApp(a *account, kind string, object json.RawMessage) (string, *Error) {
	if len(object) == 0 || string(object) == "null" {
		return "", missing(kind)
	}
	if kind == "contacts" {
		return "", nil
	}
	var c struct {
		Body    json.RawMessage `json:"body"` // a string, of a text; an object, of an interactive message
		Caption string          `json:"caption"`
		Name    string          `json:"name"`
		Emoji   string          `json:"emoji"`
		ID      string          `json:"id"`
		Link    string          `json:"link"`
	}
	if json.Unmarshal(object, &c) != nil {
		return "", Failure(131009, 0, "Parameter value is not valid")
	}
	switch kind {
	case "text":
		var text string
		if json.Unmarshal(c.Body, &text) != nil || text == "" {
			return "", missing("text['body']")
		}
		if utf8.RuneCountInString(text) > 4096 {
			return "", Failure(100, 0, "Param text['body'] must be at most 4096 characters long.")
		}
		return text, nil
	case "interactive":
		var line struct {
			Text string `json:"text"`
		}
		if json.Unmarshal(c.Body, &line) != nil || line.Text == "" {
			return "", missing("interactive['body']")
		}
		return line.Text, nil
	case "image", "video", "audio", "document", "sticker":
		if c.Link == "" && !s.hasFile(a.ID, c.ID) {
			return "", Failure(131009, 0, "Parameter value is not valid")
		}
	}
	return c.Caption + c.Name + c.Emoji, nil // each type has one of them at most
}

func (s *Server) messenger(w http.ResponseWriter, r *http.Request, a *account, body []byte) {
	var m struct {
		Recipient struct {
			ID string `json:"id"`
		} `json:"recipient"`
		Type    string `json:"messaging_type"`
		Tag     string `json:"tag"`
		Action  string `json:"sender_action"`
		Payload struct {
			MessageID string `json:"message_id"`
			Reaction  string `json:"reaction"`
		} `json:"payload"`
		ReplyTo struct {
			MessageID string `json:"mid"`
		} `json:"reply_to"`
		Message struct {
			Text       string `json:"text"`
			Reference  string `json:"metadata"`
			Attachment *struct {
				Type    string `json:"type"`
				Payload struct {
					URL string `json:"url"`
					ID  string `json:"attachment_id"`
				} `json:"payload"`
			} `json:"attachment"`
		} `json:"message"`
	}
	if json.Unmarshal(body, &m) != nil || m.Recipient.ID == "" {
		Failure(100, 0, "The parameter recipient is required").write(w, "")
		return
	}
	if m.Action != "" {
		s.act(w, r, a, Action{
			Account: a.ID, Kind: m.Action, Recipient: m.Recipient.ID, MessageID: m.Payload.MessageID, Emoji: m.Payload.Reaction,
		}, map[string]any{"recipient_id": m.Recipient.ID})
		return
	}
	in := incoming{Taken: Taken{
		Recipient: m.Recipient.ID, Reference: m.Message.Reference, Type: "text", Text: m.Message.Text,
		ReplyTo: m.ReplyTo.MessageID, Tag: m.Tag, Body: body,
	}}
	if file := m.Message.Attachment; file != nil {
		in.Type = file.Type
		if file.Payload.URL == "" && !s.hasFile(a.ID, file.Payload.ID) {
			in.refused = Failure(100, 0, "Invalid parameter")
		}
	}
	switch {
	case (m.Message.Text == "") == (m.Message.Attachment == nil), utf8.RuneCountInString(m.Message.Text) > 2000:
		in.refused = Failure(100, 0, "Invalid parameter")
	case m.Type == "MESSAGE_TAG" && m.Tag != "HUMAN_AGENT":
		in.refused = Failure(100, 1893061, "Invalid parameter")
	case !slices.Contains([]string{"RESPONSE", "UPDATE", "MESSAGE_TAG"}, m.Type):
		in.refused = Failure(100, 0, "The parameter messaging_type is required")
	}
	in.answer = func(t Taken) any { return map[string]any{"recipient_id": t.Recipient, "message_id": t.ID} }
	s.take(w, r, a, in)
}

// act takes what shows but is no message.
func (s *Server) act(w http.ResponseWriter, r *http.Request, a *account, action Action, done any) {
	action.At = time.Now()
	c := s.note(Call{Provider: a.Provider, Account: a.ID, Kind: KindAction, Recipient: action.Recipient, At: action.At})
	if !s.play(w, r, c, s.plan(c)) {
		return
	}
	s.mu.Lock()
	s.actions.add(action)
	s.change()
	s.mu.Unlock()
	answer(w, http.StatusOK, done)
}

// digits is a phone number without + and separators.
func digits(s string) string {
	var out []rune
	for _, r := range s {
		if r >= '0' && r <= '9' {
			out = append(out, r)
		}
	}
	return string(out)
}
