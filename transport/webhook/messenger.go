package webhook

import (
	"encoding/json"
	"fmt"

	"github.com/chatopshub/chatopshub/domain"
)

// The body of a Messenger webhook (Messenger Platform, "webhook events
// reference").
type (
	msBody struct {
		Object text      `json:"object"`
		Entry  []msEntry `json:"entry"`
	}
	msEntry struct {
		ID        text              `json:"id"` // the page
		Time      stamp             `json:"time"`
		Messaging []json.RawMessage `json:"messaging"`
		Standby   []json.RawMessage `json:"standby"` // the same while another app owns the thread
		Changes   []json.RawMessage `json:"changes"`
	}
	msParty struct {
		ID text `json:"id"`
	}
	// msEvent is one element: what happened is in the member that is there.
	msEvent struct {
		Sender    msParty `json:"sender"`
		Recipient msParty `json:"recipient"`
		Timestamp stamp   `json:"timestamp"`

		Message  *msMessage  `json:"message"`
		Edit     *msEdit     `json:"message_edit"`
		Postback *msPostback `json:"postback"`
		Reaction *msReaction `json:"reaction"`
		Delivery *msReceipt  `json:"delivery"`
		Read     *msReceipt  `json:"read"`

		Order    json.RawMessage `json:"order"`
		Referral json.RawMessage `json:"referral"`
		Optin    json.RawMessage `json:"optin"`
		Pass     json.RawMessage `json:"pass_thread_control"`
		Take     json.RawMessage `json:"take_thread_control"`
		Request  json.RawMessage `json:"request_thread_control"`
		Policy   json.RawMessage `json:"policy_enforcement"`
		Roles    json.RawMessage `json:"app_roles"`
		Linking  json.RawMessage `json:"account_linking"`
		Feedback json.RawMessage `json:"response_feedback"`
		Game     json.RawMessage `json:"game_play"`
	}
)

// What a body is about.
const (
	msObject        = "page"
	msObjectNotOurs = "instagram"
)

// parseMessenger makes pieces of a body. It is pure, and every part of the body
// is in one of them. appID is our Meta app, to know our own echoes by; empty:
// the data that we send along tells.
func parseMessenger(body []byte, appID string) []piece {
	p := parser{provider: domain.Messenger, body: body}
	var b msBody
	readable := decode(body, &b)
	switch {
	case !readable && b.Object == "":
		p.whole(reasonMalformed)
	case b.Object == msObjectNotOurs:
		p.add(place{}, nil, func(it *piece) { it.ignore(ignoredInstagram) })
	case b.Object != msObject:
		p.whole(reasonUnknownObject)
	default:
		for i := range b.Entry {
			p.msEntry(&b.Entry[i], appID)
		}
		if !readable {
			p.whole(reasonMalformed)
		}
	}
	return p.pieces
}

func (p *parser) msEntry(entry *msEntry, appID string) {
	at := place{account: cutBytes(string(entry.ID), maxAlias), at: entry.Time.Time}
	for _, list := range []struct {
		name    string
		raws    []json.RawMessage
		standby bool
	}{{"messaging", entry.Messaging, false}, {"standby", entry.Standby, true}} {
		at.wrap = entry.wrap(list.name)
		reader := msReader{page: entry.ID, appID: appID, standby: list.standby}
		for _, raw := range list.raws {
			p.add(at, raw, reader.read)
		}
	}
	at.wrap = entry.wrap("changes")
	for _, raw := range entry.Changes {
		p.add(at, raw, func(it *piece) { it.ignore(ignoredPageChange) })
	}
}

// wrap makes a body of one element of a list of the entry.
func (e *msEntry) wrap(list string) func([]byte) []byte {
	return func(element []byte) []byte {
		return fmt.Appendf(nil, `{"object":%q,"entry":[{"id":%s,"time":%d,%q:[%s]}]}`,
			msObject, quote(e.ID), max(0, e.Time.UnixMilli()), list, element)
	}
}

// msReader reads the elements of one list.
type msReader struct {
	page    text
	appID   string
	standby bool
}

func (r msReader) read(it *piece) {
	var e msEvent
	if !decodeObject(it.Raw, &e) {
		it.dead(reasonMalformed)
		return
	}
	it.happened(e.Timestamp)
	if psid := e.customer(r.page); psid != "" && len(psid) <= maxAlias {
		it.Customer.Aliases = []domain.Alias{{Kind: domain.AliasPSID, Value: string(psid)}}
	}
	if what := e.ignorable(); what != "" {
		it.ignore(what)
		return
	}
	if !e.known() {
		it.dead(reasonUnknownEvent)
		return
	}
	if len(it.Customer.Aliases) == 0 {
		e.anonymous(it)
		return
	}
	r.event(&e, it)
}

func (r msReader) event(e *msEvent, it *piece) {
	switch {
	case e.Message != nil:
		r.message(e, it)
	case e.Edit != nil:
		e.Edit.read(e, it)
	case e.Postback != nil:
		r.postback(e, it)
	case e.Reaction != nil:
		r.reaction(e, it)
	case e.Delivery != nil:
		e.Delivery.read(domain.StatusDelivered, it)
	case e.Read != nil:
		e.Read.read(domain.StatusRead, it)
	case !isNull(e.Order):
		r.cart(e, it)
	default:
		e.note(it)
	}
}

// customer is the party that isn't the page.
func (e *msEvent) customer(page text) text {
	if e.Sender.ID == page {
		return e.Recipient.ID
	}
	return e.Sender.ID
}

// known reports whether e is of a kind that means something to an inbox.
func (e *msEvent) known() bool {
	_, note := e.thread()
	return e.Message != nil || e.Edit != nil || e.Postback != nil || e.Reaction != nil ||
		e.Delivery != nil || e.Read != nil || !isNull(e.Order) || !isNull(note)
}

// ignorable is the kind of e when it is none for an inbox; else empty.
func (e *msEvent) ignorable() string {
	switch {
	case e.Message != nil:
		return ""
	case !isNull(e.Roles):
		return "app_roles"
	case !isNull(e.Linking):
		return "account_linking"
	case !isNull(e.Feedback):
		return "response_feedback"
	case !isNull(e.Game):
		return "game_play"
	}
	return ""
}

// thread is what e tells about the thread beside messages: its key and itself.
func (e *msEvent) thread() (string, json.RawMessage) {
	for _, note := range []struct {
		key string
		raw json.RawMessage
	}{
		{"referral", e.Referral}, {"optin", e.Optin}, {"policy", e.Policy},
		{"passThreadControl", e.Pass}, {"takeThreadControl", e.Take}, {"requestThreadControl", e.Request},
	} {
		if !isNull(note.raw) {
			return note.key, note.raw
		}
	}
	return "", nil
}

func (e *msEvent) note(it *piece) {
	key, raw := e.thread()
	it.Event = domain.ThreadNote{At: e.Timestamp.Time, Key: key, Note: cleanJSON(raw)}
}

// anonymous judges what names no customer: a notice to the page, an opt-in of
// a plug-in, or something broken.
func (e *msEvent) anonymous(it *piece) {
	switch {
	case !isNull(e.Policy):
		it.ignore(ignoredPolicy)
	case !isNull(e.Optin):
		it.ignore("optin")
	default:
		it.dead(reasonNoSender)
	}
}

// msReceipt says how far messages have come: all up to the watermark, and those
// that it names.
type msReceipt struct {
	Watermark stamp  `json:"watermark"`
	Mids      []text `json:"mids"`
}

func (m *msReceipt) read(status domain.MessageStatus, it *piece) {
	e := domain.Watermark{Status: status, UpTo: m.Watermark.Time}
	for _, mid := range m.Mids[:min(len(m.Mids), maxNamed)] {
		if usableID(string(mid)) {
			e.Named = append(e.Named, string(mid))
		}
	}
	if e.UpTo.IsZero() && len(e.Named) == 0 {
		it.dead(reasonNoTarget)
		return
	}
	it.Event = e
}
