package persistence

import (
	"encoding/hex"
	"encoding/json"

	"github.com/chatopshub/chatopshub/domain"
)

// fill turns chains into parameters.
func (b *batch) fill(chains []*chain) error {
	for _, s := range b.steps() {
		s.reset()
	}
	b.failed = nil
	for ix, c := range chains {
		if !c.changes() {
			q := b.fence.columns[37:]
			q[0].int4(ix)
			q[1].uuid(c.conversation)
			q[2].uuid(c.base)
			continue
		}
		b.addState(ix, c)
		b.addMessages(ix, c)
		b.addFiles(c)
		b.addEvents(c)
		b.addIdentity(ix, c)
		b.addLoad(ix, c)
	}
	return b.failed
}

func (b *batch) addState(ix int, c *chain) {
	s, k := c.after(), b.fence.columns
	k[0].int4(ix)
	k[1].uuid(c.conversation)
	k[2].uuid(c.base)
	k[3].uuid(c.head)
	k[4].text(string(s.Status))
	k[5].uuid(s.Holder)
	k[6].time(s.AssignedAt)
	k[7].int8(s.Assignment)
	k[8].time(s.PendingSince)
	k[9].time(s.LastMessageAt)
	k[10].time(s.LastInboundAt)
	k[11].time(s.FirstResponseAt)
	k[12].time(s.WindowExpiresAt)
	k[13].int4(s.Unread)
	k[14].int8(s.Version)
	k[15].int8(s.EventSeq)
	k[16].uuid(s.LastMessage)
	k[17].time(s.UpdatedAt)
	k[18].text(object(s.Metadata))
	if len(s.Early) == 0 {
		k[19].text("[]")
	} else {
		b.json(k[19], s.Early)
	}
	k[20].uuid(s.Organization)
	k[21].uuid(s.Channel)
	k[22].uuid(s.Contact)
	k[23].time(s.CreatedAt)
}

func object(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "{}"
	}
	return string(raw)
}

func (b *batch) json(c *column, v any) {
	encoded, err := json.Marshal(v)
	if err != nil {
		b.failed = &encodeError{err}
	}
	c.text(string(encoded))
}

func (b *batch) metadata(c *column, m domain.MessageMetadata) {
	if m.Platform == nil && m.Media == nil && m.Reactions == nil && m.Edits == nil && m.LastEdit == nil && !m.Standby &&
		m.Content == nil && m.Quotes == "" {
		c.text("{}")
		return
	}
	b.json(c, m)
}

func (b *batch) addMessages(ix int, c *chain) {
	inserts, updates := c.messages()
	duplicates := b.fence.columns[24:]
	for i := range inserts {
		m, k := &inserts[i], b.inserts.columns
		if m.ProviderMessageID != "" {
			duplicates[0].int4(ix)
			duplicates[1].uuid(c.after().Channel)
			duplicates[2].text(m.ProviderMessageID)
		}
		k[0].uuid(c.conversation)
		k[1].uuid(c.head)
		k[2].uuid(m.ID)
		k[3].text(string(m.Direction))
		k[4].uuid(m.Agent)
		k[5].text(string(m.Type))
		k[6].optional(m.Body)
		k[7].optional(m.MediaURL)
		k[8].optional(m.MediaType)
		k[9].optional(m.ProviderMessageID)
		k[10].text(string(m.Status))
		k[11].uuid(m.ReplyTo)
		k[12].optional(m.ReplyToProvider)
		b.metadata(k[13], m.Metadata)
		k[14].optional(m.ErrorCode)
		k[15].optional(m.ErrorMessage)
		k[16].time(m.ProviderAt)
		k[17].optional(string(m.SendState))
		k[18].time(m.EditedAt)
		k[19].time(m.DeletedAt)
		k[20].time(m.CreatedAt)
		k[21].time(m.UpdatedAt)
		k[22].int4(m.Attempts)
		k[23].time(m.AttemptStartedAt)
		k[24].time(m.NextAttemptAt)
		k[25].optional(m.IdempotencyKey)
		k[26].bytea(m.RequestHash)
		k[27].uuid(m.Attachment)
	}
	for i := range updates {
		b.addUpdate(c, &updates[i])
	}
	for _, id := range c.freed() {
		k := b.frees.columns
		k[0].uuid(c.conversation)
		k[1].uuid(c.head)
		k[2].uuid(id)
	}
}

func (b *batch) addUpdate(c *chain, m *domain.Message) {
	k := b.updates.columns
	k[0].uuid(c.conversation)
	k[1].uuid(c.head)
	k[2].uuid(m.ID)
	k[3].text(string(m.Status))
	k[4].optional(m.Body)
	k[5].optional(m.MediaURL)
	k[6].optional(m.MediaType)
	k[7].optional(m.ProviderMessageID)
	b.metadata(k[8], m.Metadata)
	k[9].optional(m.ErrorCode)
	k[10].optional(m.ErrorMessage)
	k[11].time(m.ProviderAt)
	k[12].optional(string(m.SendState))
	k[13].time(m.EditedAt)
	k[14].time(m.DeletedAt)
	k[15].time(m.UpdatedAt)
	k[16].int4(m.Attempts)
	k[17].time(m.AttemptStartedAt)
	k[18].time(m.NextAttemptAt)
	k[19].optional(m.IdempotencyKey)
	k[20].uuid(m.Attachment)
}

// addFiles writes down which files new messages bring or use, and what has
// become of those that were to be fetched.
func (b *batch) addFiles(c *chain) {
	for i := range c.items {
		change := &c.items[i].Change
		for j := range change.Inserts {
			b.addFilesOf(c, &change.Inserts[j])
		}
		for j := range change.Files {
			f, k := &change.Files[j], b.settle.columns
			k[0].uuid(c.conversation)
			k[1].uuid(c.head)
			k[2].uuid(f.FileKey.Attachment)
			k[3].uuid(f.Message)
			k[4].text(string(f.State))
			k[5].optional(f.Name)
			k[6].optional(f.MimeType)
			k[7].int8(f.Size)
			k[8].text(hex.EncodeToString(f.SHA256))
		}
	}
}

func (b *batch) addFilesOf(c *chain, m *domain.Message) {
	if !m.Attachment.IsZero() {
		k := b.use.columns
		k[0].uuid(c.conversation)
		k[1].uuid(c.head)
		k[2].uuid(m.Attachment)
		k[3].uuid(m.ID)
	}
	for i := range m.Metadata.Media {
		f, k := &m.Metadata.Media[i], b.expect.columns
		if f.Attachment.IsZero() {
			continue
		}
		k[0].uuid(c.conversation)
		k[1].uuid(c.head)
		k[2].uuid(f.Attachment)
		k[3].uuid(m.ID)
		b.json(k[4], domain.FileSource{ID: f.ID, URL: f.URL, SHA256: f.SHA256})
		k[5].optional(f.FileName)
		k[6].optional(f.MimeType)
	}
}

func (b *batch) addEvents(c *chain) {
	k := b.events.columns
	for i := range c.items {
		for _, e := range c.items[i].Change.Audit {
			k[0].uuid(c.conversation)
			k[1].uuid(c.head)
			k[2].uuid(e.ID)
			k[3].int8(e.Seq)
			k[4].text(string(e.Type))
			k[5].uuid(e.Actor)
			b.json(k[6], e.Facts)
			k[7].time(e.At)
		}
	}
}

func (b *batch) addIdentity(ix int, c *chain) {
	s := c.after()
	if k := c.contact(); k != nil {
		q := b.contacts.columns
		q[0].uuid(c.conversation)
		q[1].uuid(c.head)
		q[2].uuid(k.ID)
		q[3].uuid(k.Organization)
		q[4].text(string(k.Provider))
		q[5].text(k.ProviderID)
		q[6].text(k.Name)
		b.json(q[7], k.Profile)
		q[8].time(k.SeenAt)
	}
	checks := b.fence.columns[27:]
	for n, k := range c.claims() {
		checks[0].int4(ix)
		checks[1].int4(n)
		checks[2].uuid(s.Organization)
		checks[3].text(string(s.Provider))
		checks[4].text(k.Value)
		checks[5].uuid(s.Contact)
		checks[6].uuid(k.MoveFrom)
		stored := 0
		if k.Stored {
			stored = 1
		}
		checks[7].int4(stored)
		if !k.Stored {
			q := b.claims.columns
			q[0].uuid(c.conversation)
			q[1].uuid(c.head)
			q[2].uuid(s.Organization)
			q[3].text(string(s.Provider))
			q[4].text(k.Value)
			q[5].text(string(k.Kind))
			q[6].uuid(s.Contact)
			q[7].uuid(k.MoveFrom)
		}
	}
	for _, id := range c.merged() {
		q := b.merges.columns
		q[0].uuid(c.conversation)
		q[1].uuid(c.head)
		q[2].uuid(id)
		q[3].uuid(s.Contact)
	}
}

func (b *batch) addLoad(ix int, c *chain) {
	for _, l := range c.load() {
		b.lock.columns[0].uuid(l.agent)
		if l.peak > 0 {
			need := b.fence.columns[35:]
			need[0].int4(ix)
			need[1].uuid(l.agent)
		}
		q := b.load.columns
		q[0].uuid(c.conversation)
		q[1].uuid(c.head)
		q[2].uuid(l.agent)
		q[3].int4(l.delta)
	}
}
