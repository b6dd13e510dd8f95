package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/chatopshub/chatopshub/domain"
)

type (
	msMessage struct {
		Mid         text            `json:"mid"`
		Text        text            `json:"text"`
		Attachments json.RawMessage `json:"attachments"`
		QuickReply  json.RawMessage `json:"quick_reply"`
		Referral    json.RawMessage `json:"referral"`
		ReplyTo     struct {
			Mid text `json:"mid"`
		} `json:"reply_to"`
		IsEcho    flag `json:"is_echo"`
		IsDeleted flag `json:"is_deleted"`
		AppID     text `json:"app_id"`   // echoes: which app sent it
		Metadata  text `json:"metadata"` // echoes: what that app sent along
	}
	msEdit struct {
		Mid    text `json:"mid"`
		Text   text `json:"text"`
		Number text `json:"num_edit"`
	}
	msPostback struct {
		Mid      text            `json:"mid"`
		Title    text            `json:"title"`
		Payload  text            `json:"payload"` // absent in standby
		Referral json.RawMessage `json:"referral"`
	}
	msReaction struct {
		Mid      text `json:"mid"`
		Action   text `json:"action"`
		Reaction text `json:"reaction"`
		Emoji    text `json:"emoji"`
	}
)

func (r msReader) message(e *msEvent, it *piece) {
	m := e.Message
	switch {
	case !usableID(string(m.Mid)):
		it.dead(reasonNoID)
	case bool(m.IsDeleted):
		it.Event = domain.MessageRevoked{Target: string(m.Mid), At: e.Timestamp.Time}
	case bool(m.IsEcho) || e.Sender.ID == r.page:
		r.echo(e, it)
	default:
		c := m.content(it.Raw)
		c.keep.raw("quickReply", m.QuickReply)
		event := domain.CustomerMessage{ProviderID: string(m.Mid), At: e.Timestamp.Time, ReplyTo: m.replyTo()}
		event.Metadata = c.finish(r.standby)
		event.Type, event.Body, event.MediaType = c.kind, c.body, c.mediaType
		if !isNull(m.Referral) {
			event.Note = cleanJSON(m.Referral)
		}
		it.Event = event
	}
}

// echo reads what the page sent. It is ours when the app is, and its data names
// a message of ours; another app's data means nothing to us.
func (r msReader) echo(e *msEvent, it *piece) {
	m := e.Message
	c := m.content(it.Raw)
	c.keep.text("appId", line(string(m.AppID), maxName))
	event := domain.BusinessEcho{ProviderID: string(m.Mid), At: e.Timestamp.Time, ReplyTo: m.replyTo()}
	if r.appID == "" || string(m.AppID) == r.appID {
		it.Conversation, event.Ours = oursOf(string(m.Metadata))
	}
	event.Metadata = c.finish(r.standby)
	event.Type, event.Body, event.MediaType = c.kind, c.body, c.mediaType
	it.Event = event
}

func (m *msMessage) replyTo() string {
	if !usableID(string(m.ReplyTo.Mid)) {
		return ""
	}
	return string(m.ReplyTo.Mid)
}

func (m *msEdit) read(e *msEvent, it *piece) {
	if !usableID(string(m.Mid)) {
		it.dead(reasonNoTarget)
		return
	}
	c := content{body: string(m.Text)}
	c.finish(false)
	event := domain.MessageEdited{Target: string(m.Mid), At: e.Timestamp.Time, Body: c.body}
	if n, err := strconv.Atoi(string(m.Number)); err == nil && 0 < n && n <= maxNamed {
		event.Number = n
	}
	it.Event = event
}

// postback reads a tap on a button or a menu: the customer says its title.
func (r msReader) postback(e *msEvent, it *piece) {
	p := e.Postback
	c := content{kind: domain.TypeButton, body: string(p.Title)}
	c.keep.text("payload", string(p.Payload))
	id := string(p.Mid)
	if !usableID(id) {
		id = r.stableID("postback", e, string(p.Payload)+"\x00"+string(p.Title))
	}
	event := domain.CustomerMessage{ProviderID: id, At: e.Timestamp.Time}
	event.Metadata = c.finish(r.standby)
	event.Type, event.Body = c.kind, c.body
	if !isNull(p.Referral) {
		event.Note = cleanJSON(p.Referral)
	}
	it.Event = event
}

// cart reads an order, which has no id.
func (r msReader) cart(e *msEvent, it *piece) {
	c, ok := order(e.Order)
	if !ok {
		it.dead(reasonMalformed)
		return
	}
	event := domain.CustomerMessage{ProviderID: r.stableID("order", e, string(e.Order)), At: e.Timestamp.Time}
	event.Metadata = c.finish(r.standby)
	event.Type, event.Body = c.kind, c.body
	it.Event = event
}

// stableID is an id for what the platform gives none: the same when it comes
// again.
func (r msReader) stableID(what string, e *msEvent, says string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", e.Sender.ID, e.Timestamp.UnixMilli(), says))
	return what + ":" + hex.EncodeToString(sum[:])
}

// emojiOf are the reactions of clients that name them only.
var emojiOf = map[text]text{
	"smile": "😆", "angry": "😠", "sad": "😢", "wow": "😮", "love": "❤️", "like": "👍", "dislike": "👎",
}

func (r msReader) reaction(e *msEvent, it *piece) {
	m := e.Reaction
	emoji := m.Emoji
	if emoji == "" {
		emoji = emojiOf[m.Reaction]
	}
	switch {
	case e.Sender.ID == r.page:
		it.ignore(ignoredOurReaction)
		return
	case !usableID(string(m.Mid)):
		it.dead(reasonNoTarget)
		return
	case m.Action == "unreact":
		emoji = ""
	case emoji == "":
		emoji = m.Reaction // a name that we don't know says more than nothing
	}
	if emoji == "" && m.Action != "unreact" {
		it.dead(reasonMalformed)
		return
	}
	it.Event = domain.CustomerReaction{
		Target: string(m.Mid), At: e.Timestamp.Time, Emoji: cutBytes(string(emoji), maxEmoji), Standby: r.standby,
	}
}
