package domain

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// This file decides what elements of webhooks do: the table "What an inbound
// element does" of docs/rules.md.

// contactRefresh is how stale a contact's last_seen_at may be: not worth a row
// for every message.
const contactRefresh = time.Hour

func (d *decision) receive(cmd Receive) error {
	if _, stored := d.known.provider(rowID(cmd.Event)); stored {
		return nil // a repeat: the row is there, or on its way
	}
	// The data that we sent along can name the conversation, and it comes back
	// from outside: what names another channel's finds nothing there.
	if d.before.Exists() && cmd.Origin.Channel.ID != d.before.Channel {
		return ErrNoTarget
	}
	if !d.before.Exists() && cmd.Origin.Person.Contact.IsZero() {
		return ErrNoTarget // only named by such data: whose it would be is unknown
	}
	switch e := cmd.Event.(type) {
	case CustomerMessage:
		d.customerMessage(cmd.Origin, e)
		return nil
	case CustomerReaction:
		d.customerReaction(cmd.Origin, e)
		return nil
	case BusinessEcho:
		d.businessEcho(cmd.Origin, e)
		return nil
	}
	if !d.before.Exists() {
		return ErrNoTarget
	}
	switch e := cmd.Event.(type) {
	case MessageEdited:
		d.messageEdited(e)
	case MessageRevoked:
		d.messageRevoked(e)
	case StatusReport:
		d.statusReport(e)
	case Watermark:
		d.watermark(e)
	case SystemNotice:
		d.systemNotice(cmd.Origin, e)
	case ThreadNote:
		d.keepNote(e.Key, e.Note)
	default:
		return fmt.Errorf("decide: unknown inbound event %T", e)
	}
	return nil
}

// rowID is the platform's id of the row that an event inserts; empty where it
// inserts none, or may settle one that is there.
func rowID(e InboundEvent) string {
	switch e := e.(type) {
	case CustomerMessage:
		return e.ProviderID
	case SystemNotice:
		return e.ProviderID
	case CustomerReaction:
		return reactionID(e)
	}
	return ""
}

func (d *decision) customerMessage(o Origin, e CustomerMessage) {
	e.Metadata.Media = d.expectMedia(e.Metadata.Media)
	m := Message{
		Direction: Inbound, Type: e.Type, Body: e.Body, MediaType: e.MediaType, Status: StatusDelivered,
		ProviderMessageID: e.ProviderID, ReplyToProvider: e.ReplyTo, ProviderAt: e.At, Metadata: e.Metadata,
	}
	if e.Metadata.Standby {
		d.insertQuietly(o, m, d.identityFacts(o))
	} else {
		d.open(o, Pending)
		d.fromCustomer(o, e.At)
		d.reopenCompleted()
		d.insert(m, AuditMessageReceived, d.identityFacts(o))
		d.c.Unread++
	}
	if len(e.Note) > 0 {
		d.keepNote("referral", e.Note)
	}
}

func (d *decision) customerReaction(o Origin, e CustomerReaction) {
	if target, found := d.known.provider(e.Target); found {
		d.reactionOn(o, target, e)
		return
	}
	if e.Emoji == "" {
		d.strayRemoval(o, e)
		return
	}
	m := Message{
		Direction: Inbound, Type: TypeReaction, Body: e.Emoji, Status: StatusDelivered,
		ProviderMessageID: reactionID(e), ReplyToProvider: e.Target, ProviderAt: e.At,
		Metadata: MessageMetadata{Standby: e.Standby},
	}
	if e.Standby {
		d.insertQuietly(o, m, d.identityFacts(o))
		return
	}
	d.open(o, Pending)
	d.fromCustomer(o, e.At)
	d.reopenCompleted()
	d.insert(m, AuditMessageReceived, d.identityFacts(o))
	d.c.Unread++
}

// reactionOn keeps a reaction, or that it was taken back, on its message.
func (d *decision) reactionOn(o Origin, target Message, e CustomerReaction) {
	if !react(&target, byCustomer, Reaction{Emoji: e.Emoji, ID: e.ProviderID, At: e.At}) {
		return
	}
	if !e.Standby {
		d.fromCustomer(o, e.At)
		d.c.LastMessageAt = d.now()
		if e.Emoji != "" {
			d.reopenCompleted()
			d.c.Unread++
		}
	}
	d.update(target)
	facts := d.identityFacts(o)
	facts.Message, facts.Reason = target.ID, "reaction"
	d.audit(AuditMessageReceived, UserID{}, facts)
}

// strayRemoval takes a removal whose target is unknown for what it is: the
// customer is there. A row for something that was taken back would tell nobody
// anything, so there is none to tell a repeat by: only a newer time counts.
func (d *decision) strayRemoval(o Origin, e CustomerReaction) {
	if d.c.Exists() && !e.Standby && e.At.After(d.c.LastInboundAt) {
		d.fromCustomer(o, e.At)
		d.c.LastMessageAt, d.changed = d.now(), true
	}
}

// reactionID names the row of a reaction. Messenger gives reactions no id, and
// a repeat of the webhook must find the row that is there.
func reactionID(e CustomerReaction) string {
	if e.ProviderID != "" {
		return e.ProviderID
	}
	return fmt.Sprintf("reaction:%s:%d:%s", e.Target, e.At.UnixMilli(), e.Emoji)
}

// The keys of reactions in a message's metadata: who reacted.
const (
	byCustomer = "customer"
	byBusiness = "business"
)

// react puts a reaction on m; false for a repeat or an older one.
func react(m *Message, who string, now Reaction) bool {
	was := m.Metadata.Reactions[who]
	repeat := now.ID != "" && now.ID == was.ID || now.At.Equal(was.At) && now.Emoji == was.Emoji
	if repeat || now.At.Before(was.At) {
		return false
	}
	reactions := make(map[string]Reaction, len(m.Metadata.Reactions)+1)
	maps.Copy(reactions, m.Metadata.Reactions)
	reactions[who] = now
	m.Metadata.Reactions = reactions
	return true
}

func (d *decision) businessEcho(o Origin, e BusinessEcho) {
	m, found := d.known.message(e.Ours)
	if !found {
		m, found = d.known.provider(e.ProviderID)
	}
	if found {
		d.settle(m, StatusReport{ProviderID: e.ProviderID, At: e.At, Status: StatusSent})
		return
	}
	// Nobody waits for an answer in a thread that the business began elsewhere:
	// the customer's reply reopens it.
	e.Metadata.Media = d.expectMedia(e.Metadata.Media)
	d.open(o, Completed)
	d.rely(o)
	d.insert(Message{
		Direction: Outbound, Type: e.Type, Body: e.Body, MediaType: e.MediaType, Status: StatusSent,
		ProviderMessageID: e.ProviderID, ReplyToProvider: e.ReplyTo, ProviderAt: e.At, Metadata: e.Metadata,
	}, AuditMessageSent, AuditFacts{})
}

func (d *decision) messageEdited(e MessageEdited) {
	stamp := &EditStamp{ID: e.ProviderID, Number: e.Number, At: e.At}
	target, found := d.known.provider(e.Target)
	if !found {
		d.keepEarly(EarlyEvent{ProviderID: e.Target, At: e.At, Body: &e.Body, Edit: stamp})
		return
	}
	if edit(&target, e.Body, stamp) {
		d.update(target)
	}
}

// edit changes the text of m; false for a repeat or an edit older than the
// newest.
func edit(m *Message, body string, stamp *EditStamp) bool {
	if was := m.Metadata.LastEdit; was != nil {
		repeat := stamp.ID != "" && stamp.ID == was.ID
		older := stamp.At.Before(was.At)
		if stamp.Number > 0 && was.Number > 0 {
			older = stamp.Number <= was.Number
		}
		if repeat || older || stamp.Number == was.Number && stamp.At.Equal(was.At) {
			return false
		}
	}
	edits := append(slices.Clone(m.Metadata.Edits), Edit{Body: m.Body, At: stamp.At})
	m.Metadata.Edits = edits[max(0, len(edits)-MaxEdits):]
	m.Metadata.LastEdit = stamp
	m.Body, m.EditedAt = body, stamp.At
	return true
}

func (d *decision) messageRevoked(e MessageRevoked) {
	target, found := d.known.provider(e.Target)
	if !found {
		d.keepEarly(EarlyEvent{ProviderID: e.Target, At: e.At, Revoked: true})
		return
	}
	if target.DeletedAt.IsZero() {
		target.DeletedAt = d.orNow(e.At)
		d.update(target)
	}
}

func (d *decision) systemNotice(o Origin, e SystemNotice) {
	facts := d.identityFacts(o)
	facts.Reason = "system"
	d.insertQuietly(o, Message{
		Direction: Inbound, Type: TypeSystem, Body: e.Body, Status: StatusDelivered,
		ProviderMessageID: e.ProviderID, ProviderAt: e.At, Metadata: e.Metadata,
	}, facts)
}

// insertQuietly adds a row that waits for nobody here: the platform's own
// notice, or what another app that owns the thread has to answer. A thread
// that begins so is nobody's work yet.
func (d *decision) insertQuietly(o Origin, m Message, facts AuditFacts) {
	d.open(o, Completed)
	last := d.c.LastMessageAt
	d.insert(m, AuditMessageReceived, facts)
	d.c.LastMessageAt = last
	d.rely(o)
}

// keepNote puts a note about the thread into the conversation's metadata.
func (d *decision) keepNote(key string, note json.RawMessage) {
	notes := map[string]json.RawMessage{}
	if len(d.c.Metadata) > 0 {
		if err := json.Unmarshal(d.c.Metadata, &notes); err != nil {
			notes = map[string]json.RawMessage{} // not an object: nothing of ours
		}
	}
	if sameJSON(notes[key], note) {
		return
	}
	notes[key] = note
	if encoded, err := json.Marshal(notes); err == nil { // note isn't JSON: the normalizers make none such
		d.c.Metadata, d.changed = encoded, true
	}
}

// sameJSON compares values, not spellings: the database keeps jsonb in a
// spelling of its own.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// open makes sure that the conversation exists.
func (d *decision) open(o Origin, status ConversationStatus) {
	if d.c.Exists() || d.change.Contact != nil {
		return
	}
	d.c.Organization, d.c.Channel, d.c.Provider = o.Channel.Organization, o.Channel.ID, o.Channel.Provider
	d.c.Contact, d.c.ContactAlias, d.c.ContactName = o.Person.Contact, o.Person.ProviderID, o.Customer.Name
	d.c.Recipient = o.Person.ProviderID
	d.c.ChannelName, d.c.Status = o.Channel.Name, status
	d.c.CreatedAt, d.c.LastMessageAt = d.now(), d.now()
	if status == Pending {
		d.c.PendingSince = d.now()
	}
	d.change.Contact = &Contact{
		ID: d.c.Contact, Organization: d.c.Organization, Provider: d.c.Provider,
		ProviderID: o.Person.ProviderID, Name: o.Customer.Name, Profile: o.Customer.Profile, SeenAt: d.now(),
	}
	d.rely(o)
	d.audit(AuditCreated, UserID{}, AuditFacts{})
}

// fromCustomer notes that the customer did something at a time of the
// platform: the window opens, name and aliases are brought up to date.
func (d *decision) fromCustomer(o Origin, at time.Time) {
	if at = d.orNow(at); at.After(d.now()) {
		at = d.now()
	}
	renamed := o.Customer.Name != "" && o.Customer.Name != d.c.ContactName
	stale := at.Sub(d.c.LastInboundAt) > contactRefresh
	if at.After(d.c.LastInboundAt) {
		d.c.LastInboundAt, d.c.WindowExpiresAt = at, at.Add(WindowLength)
	}
	if renamed {
		d.c.ContactName = o.Customer.Name
	}
	d.answerTo(o.Person.Claims)
	if d.change.Contact == nil && (renamed || stale) {
		d.change.Contact = &Contact{
			ID: d.c.Contact, Organization: d.c.Organization, Provider: d.c.Provider,
			ProviderID: d.c.ContactAlias, Name: d.c.ContactName, Profile: o.Customer.Profile, SeenAt: d.now(),
		}
	}
	d.rely(o)
}

// answerTo has the customer written to by a name that they go by now.
func (d *decision) answerTo(claims []AliasClaim) {
	goesBy := func(k AliasClaim) bool { return k.Value == d.c.Recipient }
	if len(claims) > 0 && !d.c.Merged && !slices.ContainsFunc(claims, goesBy) {
		d.c.Recipient = claims[0].Value
	}
}

// rely makes the change depend on who the customer was found to be.
func (d *decision) rely(o Origin) {
	d.change.Claims, d.change.Merged = o.Person.Claims, o.Person.Merged
}

// orNow is the platform's time, or ours where it gave none.
func (d *decision) orNow(at time.Time) time.Time {
	if at.IsZero() {
		return d.now()
	}
	return at
}

func (d *decision) reopenCompleted() {
	if d.c.Status == Completed {
		d.reopenFor(UserID{})
	}
}

// identityFacts tells the audit trail which aliases moved.
func (d *decision) identityFacts(o Origin) AuditFacts {
	var facts AuditFacts
	for _, claim := range o.Person.Claims {
		if !claim.MoveFrom.IsZero() {
			facts.Moved = append(facts.Moved, AliasMove{Alias: claim.Alias, From: claim.MoveFrom})
		}
	}
	facts.Merged = o.Person.Merged
	return facts
}

// insert adds a message and what had overtaken it.
func (d *decision) insert(m Message, event AuditType, facts AuditFacts) {
	m.ID, m.CreatedAt, m.UpdatedAt = d.newMessageID(), d.now(), d.now()
	facts.Message = m.ID
	d.audit(event, m.Agent, facts)
	d.c.LastMessageAt = d.now()
	d.catchUp(&m)
	d.change.Inserts = append(d.change.Inserts, m)
}

// update writes m as it is now. A message that is updated twice in one
// decision is written once.
func (d *decision) update(m Message) {
	m.UpdatedAt, d.changed = d.now(), true
	d.keepOutbox(m)
	for i := range d.change.Updates {
		if d.change.Updates[i].ID == m.ID {
			d.change.Updates[i] = m
			return
		}
	}
	d.change.Updates = append(d.change.Updates, m)
}
