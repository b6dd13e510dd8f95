package webhook

import (
	"encoding/json"

	"github.com/chatopshub/chatopshub/domain"
)

// waMessage is an inbound message, an echo of the business's own, or what an
// edit makes of a message (Cloud API, "messages webhook reference").
type waMessage struct {
	From             text  `json:"from"`
	FromUserID       text  `json:"from_user_id"`
	FromParentUserID text  `json:"from_parent_user_id"`
	To               text  `json:"to"`
	ToUserID         text  `json:"to_user_id"`
	ToParentUserID   text  `json:"to_parent_user_id"`
	GroupID          text  `json:"group_id"`
	ID               text  `json:"id"`
	Timestamp        stamp `json:"timestamp"`
	Type             text  `json:"type"`

	Text        *waText         `json:"text"`
	Image       *waMedia        `json:"image"`
	Video       *waMedia        `json:"video"`
	Audio       *waMedia        `json:"audio"`
	Document    *waMedia        `json:"document"`
	Sticker     *waMedia        `json:"sticker"`
	Location    json.RawMessage `json:"location"`
	Contacts    json.RawMessage `json:"contacts"`
	Interactive json.RawMessage `json:"interactive"`
	Button      json.RawMessage `json:"button"`
	Order       json.RawMessage `json:"order"`
	System      json.RawMessage `json:"system"`
	Identity    json.RawMessage `json:"identity"`
	Unsupported json.RawMessage `json:"unsupported"`
	Errors      json.RawMessage `json:"errors"`
	Referral    json.RawMessage `json:"referral"`
	Context     json.RawMessage `json:"context"`
	Reaction    *waReaction     `json:"reaction"`
	Edit        *waEdit         `json:"edit"`
	Revoke      *waRevoke       `json:"revoke"`
}

type (
	waText struct {
		Body text `json:"body"`
	}
	waReaction struct {
		MessageID text `json:"message_id"`
		Emoji     text `json:"emoji"` // absent or empty: taken back
	}
	waEdit struct {
		Original text            `json:"original_message_id"`
		Message  json.RawMessage `json:"message"`
	}
	waRevoke struct {
		Original text `json:"original_message_id"`
	}
	waContext struct {
		ID                  text            `json:"id"`
		Forwarded           flag            `json:"forwarded"`
		FrequentlyForwarded flag            `json:"frequently_forwarded"`
		ReferredProduct     json.RawMessage `json:"referred_product"`
	}
)

// message reads an element of "messages".
func (v *waValue) message(it *piece) {
	var m waMessage
	if !decodeObject(it.Raw, &m) {
		it.dead(reasonMalformed)
		return
	}
	it.happened(m.Timestamp)
	it.Customer = v.customer(m.From, m.FromUserID, m.FromParentUserID)
	switch {
	case m.GroupID != "":
		it.ignore(ignoredGroup)
	case len(it.Customer.Aliases) == 0:
		it.dead(reasonNoSender)
	case !usableID(string(m.ID)):
		it.dead(reasonNoID)
	case m.Type == "reaction":
		m.reaction(it)
	case m.changes():
		m.change(it)
	case m.Type == "system":
		m.system(it)
	default:
		it.Event = m.customerMessage(it.Raw, v.Errors)
	}
}

func (m *waMessage) customerMessage(raw []byte, errors json.RawMessage) domain.CustomerMessage {
	c := m.content(raw)
	if c.kind == domain.TypeUnsupported && isNull(m.Errors) && len(errors) <= maxFrame {
		c.keep.raw("errors", errors) // of the value: why a part of the message is missing
	}
	e := domain.CustomerMessage{ProviderID: string(m.ID), At: m.Timestamp.Time, ReplyTo: m.context(&c.keep)}
	if !isNull(m.Referral) {
		e.Note = cleanJSON(m.Referral)
	}
	e.Metadata = c.finish(false)
	e.Type, e.Body, e.MediaType = c.kind, c.body, c.mediaType
	return e
}

// echo reads an element of "message_echoes": what the business wrote in the
// WhatsApp Business app. The customer is who it was written to.
func (v *waValue) echo(it *piece) {
	var m waMessage
	if !decodeObject(it.Raw, &m) {
		it.dead(reasonMalformed)
		return
	}
	it.happened(m.Timestamp)
	it.Customer = v.customer(m.To, m.ToUserID, m.ToParentUserID)
	switch {
	case m.GroupID != "":
		it.ignore(ignoredGroup)
	case len(it.Customer.Aliases) == 0:
		it.dead(reasonNoSender)
	case !usableID(string(m.ID)):
		it.dead(reasonNoID)
	case m.changes():
		m.change(it)
	case m.Type == "reaction" && (m.Reaction == nil || m.Reaction.Emoji == ""):
		it.ignore(ignoredOurReaction)
	default:
		c := m.content(it.Raw)
		e := domain.BusinessEcho{ProviderID: string(m.ID), At: m.Timestamp.Time, ReplyTo: m.context(&c.keep)}
		if c.kind == domain.TypeReaction {
			e.ReplyTo = cutBytes(string(m.Reaction.MessageID), maxID)
		}
		e.Metadata = c.finish(false)
		e.Type, e.Body, e.MediaType = c.kind, c.body, c.mediaType
		it.Event = e
	}
}

func (m *waMessage) reaction(it *piece) {
	if m.Reaction == nil || !usableID(string(m.Reaction.MessageID)) {
		it.dead(reasonNoTarget)
		return
	}
	it.Event = domain.CustomerReaction{
		ProviderID: string(m.ID), Target: string(m.Reaction.MessageID), At: m.Timestamp.Time,
		Emoji: cutBytes(string(m.Reaction.Emoji), maxEmoji),
	}
}

// changes reports whether m is no message, but changes one.
func (m *waMessage) changes() bool { return m.Type == "edit" || m.Type == "revoke" }

func (m *waMessage) change(it *piece) {
	switch {
	case m.Type == "revoke" && m.Revoke != nil && usableID(string(m.Revoke.Original)):
		it.Event = domain.MessageRevoked{Target: string(m.Revoke.Original), At: m.Timestamp.Time}
	case m.Type == "edit" && m.Edit != nil && usableID(string(m.Edit.Original)):
		var edited waMessage
		if !decodeObject(m.Edit.Message, &edited) {
			it.dead(reasonMalformed)
			return
		}
		c := edited.content(m.Edit.Message)
		c.finish(false)
		it.Event = domain.MessageEdited{
			ProviderID: string(m.ID), Target: string(m.Edit.Original), At: m.Timestamp.Time, Body: c.body,
		}
	default:
		it.dead(reasonNoTarget)
	}
}

// context is the id of the message replied to, where there is one; what else
// the context tells is kept.
func (m *waMessage) context(keep *keeper) string {
	var c waContext
	if isNull(m.Context) || !decodeObject(m.Context, &c) {
		return ""
	}
	if bool(c.Forwarded || c.FrequentlyForwarded) || !isNull(c.ReferredProduct) {
		keep.raw("context", m.Context)
	}
	if !usableID(string(c.ID)) {
		return ""
	}
	return string(c.ID)
}

// waSystem is the platform's own notice (Cloud API, "system messages webhook").
type waSystem struct {
	Type    text `json:"type"`
	Body    text `json:"body"`
	WaID    text `json:"wa_id"`     // user_changed_number: the new number
	NewWaID text `json:"new_wa_id"` // the same in its older form, customer_changed_number
	UserID  text `json:"user_id"`   // user_changed_user_id: the new id
}

// system reads a notice. The former names of the customer stay first, because
// they find the thread; the new ones follow, to be claimed for it.
func (m *waMessage) system(it *piece) {
	var s waSystem
	if !decodeObject(m.System, &s) {
		it.dead(reasonMalformed)
		return
	}
	it.Customer.Aliases = aliases(it.Customer.Aliases, string(s.UserID), digits(s.WaID), digits(s.NewWaID))
	var keep keeper
	keep.raw("system", m.System)
	keep.raw("identity", m.Identity)
	it.Event = domain.SystemNotice{
		ProviderID: string(m.ID), At: m.Timestamp.Time, Body: line(string(s.Body), maxLine),
		Metadata: domain.MessageMetadata{Platform: keep.kept()},
	}
}
