package webhook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

// The body of a WhatsApp webhook (Cloud API, "Webhooks overview").
type (
	waBody struct {
		Object text      `json:"object"`
		Entry  []waEntry `json:"entry"`
	}
	waEntry struct {
		ID      text       `json:"id"` // the business account
		Time    stamp      `json:"time"`
		Changes []waChange `json:"changes"`
	}
	waChange struct {
		Field text            `json:"field"`
		Value json.RawMessage `json:"value"`
	}
	waValue struct {
		Metadata struct {
			PhoneNumberID text `json:"phone_number_id"`
		} `json:"metadata"`
		Contacts json.RawMessage   `json:"contacts"`
		Messages []json.RawMessage `json:"messages"`
		Statuses []json.RawMessage `json:"statuses"`
		Echoes   []json.RawMessage `json:"message_echoes"`
		Errors   json.RawMessage   `json:"errors"`

		people map[string]*waContact // by every name; made when first asked
	}
)

// What a body is about, and the fields of changes that hold elements.
const (
	waObject      = "whatsapp_business_account"
	fieldMessages = "messages"
	fieldEchoes   = "smb_message_echoes"
)

// waOtherFields are the kinds of changes that are known and are nothing for an
// inbox.
var waOtherFields = []string{
	ignoredAccountAlerts, "account_review_update", ignoredAccountUpdate, "account_settings_update", "automatic_events",
	"business_capability_update", "business_status_update", "calls", "flows", "group_lifecycle_update",
	"group_participants_update", "group_settings_update", "group_status_update", "history",
	"message_template_components_update", "message_template_quality_update", "message_template_status_update",
	"partner_solutions", "payment_configuration_update", "phone_number_name_update", ignoredQuality,
	"phone_number_username_update", "security", "smb_app_state_sync", "template_category_update",
	"user_id_update", "user_preferences",
}

// parseWhatsApp makes pieces of a body. It is pure, and every part of the body
// is in one of them.
func parseWhatsApp(body []byte) []piece {
	p := parser{provider: domain.WhatsApp, body: body}
	var b waBody
	readable := decode(body, &b)
	switch {
	case !readable && b.Object == "":
		p.whole(reasonMalformed)
	case b.Object != waObject:
		p.whole(reasonUnknownObject)
	default:
		for i := range b.Entry {
			for j := range b.Entry[i].Changes {
				p.waChange(&b.Entry[i], &b.Entry[i].Changes[j])
			}
		}
		if !readable {
			p.whole(reasonMalformed)
		}
	}
	return p.pieces
}

func (p *parser) waChange(entry *waEntry, c *waChange) {
	at := place{at: entry.Time.Time, wrap: c.wrap(entry)}
	switch field := string(c.Field); {
	case field == fieldMessages || field == fieldEchoes:
		p.waValue(at, entry, c)
	case slices.Contains(waOtherFields, field):
		p.add(at, c.Value, func(it *piece) { it.ignore(field) })
	default:
		p.add(at, c.Value, func(it *piece) { it.dead(reasonUnknownField) })
	}
}

// waValue reads the elements of a change, which is kept whole as well when a
// part of it isn't what it should be.
func (p *parser) waValue(at place, entry *waEntry, c *waChange) {
	var v waValue
	readable := decode(c.Value, &v)
	at.account = cutBytes(string(v.Metadata.PhoneNumberID), maxAlias)
	before, inside := len(p.pieces), at
	for _, list := range []struct {
		name string
		raws []json.RawMessage
		read func(*waValue, *piece)
	}{
		{"messages", v.Messages, (*waValue).message},
		{"statuses", v.Statuses, (*waValue).status},
		{"message_echoes", v.Echoes, (*waValue).echo},
	} {
		if len(list.raws) == 0 {
			continue
		}
		inside.wrap = v.wrap(entry, c.Field, list.name)
		for _, raw := range list.raws {
			p.add(inside, raw, func(it *piece) { list.read(&v, it) })
		}
	}
	switch {
	case !readable:
		p.add(at, c.Value, func(it *piece) { it.dead(reasonMalformed) })
	case !isNull(v.Errors):
		p.add(at, c.Value, func(it *piece) { it.ignore(ignoredErrors) })
	case len(p.pieces) == before:
		p.add(at, c.Value, func(it *piece) { it.ignore(ignoredEmpty) })
	}
}

// wrap makes a body of the value of a change.
func (c *waChange) wrap(entry *waEntry) func([]byte) []byte {
	return func(value []byte) []byte {
		if len(value) == 0 {
			value = []byte("null")
		}
		return fmt.Appendf(nil, `{"object":%q,"entry":[{"id":%s,"changes":[{"field":%s,"value":%s}]}]}`,
			waObject, quote(entry.ID), quote(c.Field), value)
	}
}

// maxFrame bounds what an element takes along of the value that it stands in:
// a POST full of broken elements must not multiply it.
const maxFrame = 1 << 10

// wrap makes a body of one element of a list of the value.
func (v *waValue) wrap(entry *waEntry, field text, list string) func([]byte) []byte {
	contacts := v.Contacts
	if len(contacts) == 0 || len(contacts) > maxFrame {
		contacts = json.RawMessage("[]")
	}
	change := waChange{Field: field}
	return func(element []byte) []byte {
		return change.wrap(entry)(fmt.Appendf(nil, `{"metadata":{"phone_number_id":%s},"contacts":%s,%q:[%s]}`,
			quote(v.Metadata.PhoneNumberID), contacts, list, element))
	}
}

// quote is s as JSON, of a length that an id or a name may have.
func quote(s text) string {
	quoted, err := json.Marshal(cutBytes(string(s), maxAlias))
	if err != nil {
		return `""` // a string always is JSON
	}
	return string(quoted)
}

// waContact is who a value is about.
type waContact struct {
	Profile struct {
		Name     text `json:"name"`
		Username text `json:"username"`
	} `json:"profile"`
	WaID            text `json:"wa_id"`
	UserID          text `json:"user_id"`
	ParentUserID    text `json:"parent_user_id"`
	IdentityKeyHash text `json:"identity_key_hash"`
}

// person finds the contact of a number or a user id. Contacts don't stand in
// the order of the elements.
func (v *waValue) person(number, userID string) *waContact {
	if v.people == nil {
		var contacts []waContact
		decode(v.Contacts, &contacts) // what is readable of them; an element has its ids itself
		v.people = make(map[string]*waContact, len(contacts))
		for i := range contacts {
			for _, name := range []string{digits(contacts[i].WaID), string(contacts[i].UserID)} {
				if name != "" && v.people[name] == nil {
					v.people[name] = &contacts[i]
				}
			}
		}
	}
	if c := v.people[userID]; c != nil {
		return c
	}
	return v.people[number]
}

// customer is who has that number or user id (either may be empty: customers
// with a username hide their number), as the contacts of the value complete it.
func (v *waValue) customer(from, fromUserID, parentID text) domain.Customer {
	number := digits(from)
	c := v.person(number, string(fromUserID))
	if c == nil {
		c = &waContact{}
	}
	customer := domain.Customer{Name: line(string(c.Profile.Name), maxName)}
	customer.Profile.Username = strings.TrimPrefix(line(string(c.Profile.Username), maxName), "@")
	customer.Profile.IdentityHash = cutBytes(string(c.IdentityKeyHash), maxAlias)
	customer.Profile.ParentUserID = cutBytes(string(cmp.Or(parentID, c.ParentUserID)), maxAlias)
	customer.Aliases = aliases(nil, string(cmp.Or(fromUserID, c.UserID)), number, digits(c.WaID))
	return customer
}

// aliases adds what isn't there yet: the user id, then the numbers.
func aliases(known []domain.Alias, userID string, numbers ...string) []domain.Alias {
	add := func(kind domain.AliasKind, value string) {
		a := domain.Alias{Kind: kind, Value: value}
		if value != "" && len(value) <= maxAlias && !slices.Contains(known, a) {
			known = append(known, a)
		}
	}
	add(domain.AliasUserID, userID)
	for _, n := range numbers {
		add(domain.AliasNumber, n)
	}
	return known
}

// digits is a number as webhooks write it: without the plus that other parts of
// the platform put before it.
func digits(number text) string { return strings.TrimPrefix(string(number), "+") }
