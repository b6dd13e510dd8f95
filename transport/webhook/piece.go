package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// MaxElements bounds the elements of one POST. WhatsApp announces up to 1,000;
// what is over the bound is kept together as one dead letter.
const MaxElements = 20_000

// The reasons for which an element becomes a dead letter.
const (
	reasonMalformed      = "malformed"         // no JSON, or not of the shape that its place demands
	reasonUnknownObject  = "unknown_object"    // a body of a product that doesn't post here
	reasonUnknownField   = "unknown_field"     // a change of a kind that nobody knew when this was written
	reasonUnknownEvent   = "unknown_event"     // the same, on Messenger
	reasonNoID           = "no_id"             // nothing to know it by when it comes again
	reasonNoSender       = "no_sender"         // nobody whose conversation it could be in
	reasonNoTarget       = "no_target"         // a reaction, edit or removal that names no message
	reasonTooMany        = "too_many_elements" // the POST has more than MaxElements
	reasonPanic          = "panic"             // our own mistake; the log has the place
	reasonUnknownChannel = "unknown_channel"   // no channel receives for the account
	reasonUntrusted      = "untrusted_channel" // the channel is bound to another secret
	reasonRefused        = "refused_value"     // the database refuses a value
	reasonUnknownTarget  = "unknown_target"    // an edit or removal in a conversation that we don't have
)

// What is known and nothing for an inbox: counted under these names. Other
// fields of WhatsApp changes are counted under their own.
const (
	ignoredEmpty         = "empty"                // a change without elements
	ignoredErrors        = "value_errors"         // trouble of the app or the account
	ignoredGroup         = "group_message"        // never put into the sender's own conversation
	ignoredGroupStatus   = "group_status"         // aggregated: many of one message
	ignoredStatus        = "unknown_status"       // neither progress nor failure
	ignoredOurReaction   = "reaction_of_business" // taken back, or on our own behalf
	ignoredInstagram     = "instagram"
	ignoredPageChange    = "page_change"
	ignoredPolicy        = "policy_enforcement"
	ignoredAccountUpdate = "account_update"
	ignoredAccountAlerts = "account_alerts"
	ignoredQuality       = "phone_number_quality_update"
)

// piece is one part of a POST: an element, or what couldn't be made one.
type piece struct {
	domain.Element
	broken string                  // why it is no element; empty: it is one
	detail string                  // what broken doesn't say, never content
	at     time.Time               // the platform's time, to order by; zero: it gave none
	wrap   func(raw []byte) []byte // makes a body of it that could be posted; nil: Raw is one
	trace  []byte                  // where our own mistake was
}

// payload is what a dead letter keeps: a body that holds this piece alone.
func (p *piece) payload() []byte {
	if p.wrap == nil {
		return p.Raw
	}
	return p.wrap(p.Raw)
}

// parser gathers the pieces of one body.
type parser struct {
	provider domain.Provider
	body     []byte
	pieces   []piece
	full     bool
}

// whole keeps the body itself as a dead letter, beside what could be read of
// it. No account stands for a body.
func (p *parser) whole(reason string) {
	p.pieces = append(p.pieces, piece{
		Element: domain.Element{Provider: p.provider, Position: len(p.pieces), Raw: append([]byte(nil), p.body...)},
		broken:  reason,
	})
}

// place is where pieces stand: what they have in common.
type place struct {
	account string
	at      time.Time
	wrap    func(raw []byte) []byte
}

// add reads one piece at a place. A panic in read breaks that piece alone.
func (p *parser) add(at place, raw []byte, read func(*piece)) {
	if len(p.pieces) >= MaxElements {
		if !p.full {
			p.full = true
			p.whole(reasonTooMany)
		}
		return
	}
	p.pieces = append(p.pieces, piece{
		Element: domain.Element{Provider: p.provider, Account: at.account, Position: len(p.pieces), Raw: raw},
		at:      at.at,
		wrap:    at.wrap,
	})
	guard(&p.pieces[len(p.pieces)-1], read)
}

// guard keeps a panic of read in its piece.
func guard(it *piece, read func(*piece)) {
	defer func() {
		if r := recover(); r != nil {
			it.Event, it.Ignored, it.Conversation = nil, "", domain.ConversationID{}
			it.broken, it.detail, it.trace = reasonPanic, fmt.Sprintf("%T", r), debug.Stack()
		}
	}()
	read(it)
}

// dead makes the piece a dead letter.
func (p *piece) dead(reason string) { p.broken, p.Event = reason, nil }

// ignore makes the piece one that is counted only.
func (p *piece) ignore(what string) { p.Ignored, p.Event = what, nil }

// happened sets the piece's time, if it is one.
func (p *piece) happened(t stamp) {
	if !t.IsZero() {
		p.at = t.Time
	}
}

// usableID reports whether id can be stored as a message's id.
func usableID(id string) bool { return id != "" && len(id) <= maxID }

// oursOf reads the data that we send along with a message: the ids of its
// conversation and of itself, with a dot between. Both are zero for what isn't
// ours.
func oursOf(data string) (conversation domain.ConversationID, message domain.MessageID) {
	const id = 36
	if len(data) != 2*id+1 || data[id] != '.' {
		return conversation, message
	}
	errs := errors.Join(conversation.UnmarshalText([]byte(data[:id])), message.UnmarshalText([]byte(data[id+1:])))
	if errs != nil || conversation.IsZero() || message.IsZero() {
		return domain.ConversationID{}, domain.MessageID{}
	}
	return conversation, message
}

// content is what a message says, whoever wrote it.
type content struct {
	kind      domain.MessageType
	body      string
	mediaType string
	media     []domain.Media
	keep      keeper
}

// finish bounds the content and gives the metadata of its message.
func (c *content) finish(standby bool) domain.MessageMetadata {
	if len(c.body) > MaxText {
		c.keep.put("bodyCutFrom", strconv.AppendInt(nil, int64(len(c.body)), 10))
		c.body = cutBytes(c.body, MaxText)
	}
	if len(c.media) > maxMedia {
		c.keep.put("mediaCutFrom", strconv.AppendInt(nil, int64(len(c.media)), 10))
		c.media = c.media[:maxMedia]
	}
	return domain.MessageMetadata{Platform: c.keep.kept(), Media: c.media, Standby: standby}
}

// unsupported is the content of what we can't show: the raw element is kept.
func unsupported(raw []byte) content {
	c := content{kind: domain.TypeUnsupported}
	c.keep.raw("raw", raw)
	return c
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
