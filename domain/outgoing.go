package domain

// Outgoing is one message as it goes out to a customer.
type Outgoing struct {
	To         Alias // WhatsApp: user id or number; Messenger: PSID
	Content    Content
	ReplyTo    string // the platform's id of the message that is quoted; empty: none
	Reference  string // comes back in the status (WhatsApp) or the echo (Messenger); our only thread to a send whose answer got lost
	HumanAgent bool   // Messenger: beyond 24 hours, written by a person
}

// Sent is what a platform answered when it took a message. Taken is not
// delivered: that is told by statuses.
type Sent struct {
	ProviderID string  // empty for what has no id of its own: a Messenger reaction
	Aliases    []Alias // how the platform calls the customer; a number may differ from the one written to
	Held       bool    // a template that WhatsApp looks at before it goes out, or doesn't
}

// Content is what a message says. The fields that Type needs are set, no
// others; Check knows which. Text is the body of a text and of an interactive
// message, and the caption of a file.
type Content struct {
	Type        MessageType  `json:"type,omitempty"` // empty in what is stored: the message has it
	Text        string       `json:"text,omitempty"`
	LinkPreview *bool        `json:"linkPreview,omitempty"` // of a text; nil: as the platform likes
	File        *File        `json:"file,omitempty"`
	Location    *Location    `json:"location,omitempty"`
	Contacts    []Card       `json:"contacts,omitempty"`
	Template    *Template    `json:"template,omitempty"`
	Interactive *Interactive `json:"interactive,omitempty"`
	React       *React       `json:"react,omitempty"`
}

// File is what an image, video, audio, voice, document or sticker message
// shows: one of ours, which is brought to the platform right before the call,
// one that is there, by its id there, or one that the platform fetches by a
// public https link.
type File struct {
	Attachment AttachmentID `json:"attachmentId,omitzero"`

	ID       string `json:"id,omitempty"`
	Link     string `json:"link,omitempty"`
	Name     string `json:"name,omitempty"`     // of a document, as the customer sees it
	MimeType string `json:"mimeType,omitempty"` // empty: unknown, not checked
	Size     int64  `json:"size,omitempty"`     // bytes; 0: unknown, not checked
}

// Location is a place on earth, in degrees.
type Location struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
	Name      string  `json:"name,omitempty"`
	Address   string  `json:"address,omitempty"`
}

// Card is a contact that is shared.
type Card struct {
	Name         string      `json:"name"` // in full
	FirstName    string      `json:"firstName,omitempty"`
	LastName     string      `json:"lastName,omitempty"`
	Organization string      `json:"organization,omitempty"`
	Phones       []CardEntry `json:"phones,omitempty"`
	Emails       []CardEntry `json:"emails,omitempty"`
}

// CardEntry is a phone number or e-mail address, with what it is (HOME, WORK).
type CardEntry struct {
	Value string `json:"value"`
	Kind  string `json:"kind,omitempty"`
}

// Template is an approved message of the business with its gaps filled in.
type Template struct {
	Name     string              `json:"name"`
	Language string              `json:"language"` // such as en_US
	Header   []TemplateParameter `json:"header,omitempty"`
	Body     []TemplateParameter `json:"body,omitempty"`
	Buttons  []TemplateButton    `json:"buttons,omitempty"`
}

// TemplateParameter fills one gap, with text or, in a header, with a file.
type TemplateParameter struct {
	Name string      `json:"name,omitempty"` // of a named gap; empty: the next one
	Text string      `json:"text,omitempty"`
	Type MessageType `json:"type,omitempty"` // of the file: image, video or document
	File *File       `json:"file,omitempty"`
}

// The kinds of buttons of a template that take a value.
const (
	ButtonQuickReply = "quick_reply" // the value comes back with the tap
	ButtonURL        = "url"         // the value ends the address
	ButtonCopyCode   = "copy_code"   // the value is what is copied
)

// TemplateButton gives a button of the template its value.
type TemplateButton struct {
	Index int    `json:"index"` // counted from 0
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// Interactive is what a customer can tap: up to three buttons under the
// message, or a list that opens.
type Interactive struct {
	Header  string   `json:"header,omitempty"`
	Footer  string   `json:"footer,omitempty"`
	Buttons []Choice `json:"buttons,omitempty"`
	List    *List    `json:"list,omitempty"`
}

// List is choices in sections, behind one button.
type List struct {
	Button   string    `json:"button"`
	Sections []Section `json:"sections"`
}

// Section is a part of a list; the title may be left out when it is the only one.
type Section struct {
	Title string   `json:"title,omitempty"`
	Rows  []Choice `json:"rows"`
}

// Choice is one thing to tap; its ID comes back with the tap.
type Choice struct {
	ID          string `json:"id"`
	Title       string `json:"title"`
	Description string `json:"description,omitempty"` // in lists only
}

// React is a reaction of the business to a message.
type React struct {
	ProviderID string `json:"providerId"` // the message's, at the platform
	Emoji      string `json:"emoji"`      // empty: takes the reaction back
}
