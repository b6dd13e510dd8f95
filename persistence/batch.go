package persistence

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/chatopshub/chatopshub/domain"
)

//go:embed statements/*.sql
var statementFiles embed.FS

// statement is one step of a batch: its text, and a column for each parameter.
type statement struct {
	name     string
	prepared *pgconn.StatementDescription
	columns  []*column
}

// batch is the parameters of the transaction that carries many chains. Its
// buffers are kept from one batch to the next; a lane has one.
type batch struct {
	fence, inserts, updates, events      *statement
	contacts, claims, merges, load, lock *statement
	recognize                            *statement
	failed                               error // what couldn't be encoded
}

func newBatch() *batch {
	chainColumns := []*column{
		int4s(), uuids(), uuids(), uuids(), texts(), uuids(), times(), int8s(), times(), times(), times(), times(), times(),
		int4s(), int8s(), int8s(), uuids(), times(), texts(), texts(), uuids(), uuids(), uuids(), times(),
	}
	fence := append(chainColumns,
		int4s(), uuids(), texts(), // duplicates
		int4s(), int4s(), uuids(), texts(), texts(), uuids(), uuids(), // aliases
		int4s(), uuids(), // capacity
		int4s(), uuids(), uuids()) // checks
	return &batch{
		lock:  &statement{name: "lock_agents", columns: []*column{uuids()}},
		fence: &statement{name: "fence", columns: fence},
		inserts: &statement{name: "insert_messages", columns: []*column{
			uuids(), uuids(), uuids(), texts(), uuids(), texts(), texts(), texts(), texts(), texts(), texts(), uuids(),
			texts(), texts(), texts(), texts(), times(), texts(), times(), times(), times(), times()}},
		updates: &statement{name: "update_messages", columns: []*column{
			uuids(), uuids(), uuids(), texts(), texts(), texts(), texts(), texts(), texts(), texts(), texts(), times(),
			texts(), times(), times(), times()}},
		events: &statement{name: "insert_events", columns: []*column{
			uuids(), uuids(), uuids(), int8s(), texts(), uuids(), texts(), times()}},
		contacts: &statement{name: "upsert_contacts", columns: []*column{
			uuids(), uuids(), uuids(), uuids(), texts(), texts(), texts(), texts(), times()}},
		claims: &statement{name: "claim_aliases", columns: []*column{
			uuids(), uuids(), uuids(), texts(), texts(), texts(), uuids(), uuids()}},
		merges: &statement{name: "merge_contacts", columns: []*column{uuids(), uuids(), uuids(), uuids()}},
		load:   &statement{name: "count_load", columns: []*column{uuids(), uuids(), uuids(), int4s()}},
		recognize: &statement{name: "recognize", columns: []*column{
			int4s(), uuids(), uuids(), uuids(), int8s(), uuids()}},
	}
}

// steps is the statements in the order of execution. Agents are locked before
// conversations, everywhere; contacts and aliases come after the row that they
// depend on, since their foreign keys are checked at commit.
func (b *batch) steps() []*statement {
	return []*statement{b.lock, b.fence, b.inserts, b.updates, b.events, b.contacts, b.claims, b.merges, b.load}
}

// prepare makes the statements known to a new connection.
func (b *batch) prepare(ctx context.Context, conn *pgconn.PgConn) error {
	for _, s := range append(b.steps(), b.recognize) {
		text, err := statementFiles.ReadFile("statements/" + s.name + ".sql")
		if err != nil {
			return fmt.Errorf("read statement %s: %w", s.name, err)
		}
		oids := make([]uint32, len(s.columns))
		for i, c := range s.columns {
			oids[i] = c.arrayOID()
		}
		if s.prepared, err = conn.Prepare(ctx, s.name, string(text), oids); err != nil {
			return fmt.Errorf("prepare statement %s: %w", s.name, err)
		}
	}
	return nil
}

func (s *statement) reset() {
	for _, c := range s.columns {
		c.reset()
	}
}

func (s *statement) empty() bool { return s.columns[0].count == 0 }

// binaryFormat says that all parameters are in PostgreSQL's binary format.
var binaryFormat = []int16{pgtype.BinaryFormatCode}

func (s *statement) params() [][]byte {
	params := make([][]byte, len(s.columns))
	for i, c := range s.columns {
		params[i] = c.param()
	}
	return params
}

// fill turns chains into parameters.
func (b *batch) fill(chains []*chain) error {
	for _, s := range b.steps() {
		s.reset()
	}
	b.failed = nil
	for ix, c := range chains {
		if !c.changes() {
			q := b.fence.columns[36:]
			q[0].int4(ix)
			q[1].uuid(c.conversation)
			q[2].uuid(c.base)
			continue
		}
		b.addState(ix, c)
		b.addMessages(ix, c)
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
	if m.Platform == nil && m.Media == nil && m.Reactions == nil && m.Edits == nil && m.LastEdit == nil && !m.Standby {
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
	}
	for i := range updates {
		b.addUpdate(c, &updates[i])
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
			need := b.fence.columns[34:]
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

// findings is what the fence says of each chain of a batch.
type findings struct {
	passed     []bool
	duplicates map[int][]string
	foreign    map[int]foreignAlias
	full       map[int]fullAgent
}

type foreignAlias struct {
	claim int
	owner domain.ContactID
}

type fullAgent struct {
	agent domain.UserID
	room  int
}

func newFindings(n int) *findings {
	return &findings{
		passed: make([]bool, n), duplicates: map[int][]string{}, foreign: map[int]foreignAlias{}, full: map[int]fullAgent{},
	}
}

// store runs the batch as one transaction in one round trip. Every statement
// is followed by a Sync: only then does the server arm its
// idle_in_transaction_session_timeout, so that a client frozen in the middle
// of sending can't keep its locks.
func (b *batch) store(ctx context.Context, conn *pgconn.PgConn, n int) (*findings, error) {
	p := conn.StartPipeline(ctx)
	var sent []*statement
	p.SendQueryParams("BEGIN", nil, nil, nil, nil)
	p.SendPipelineSync()
	for _, s := range b.steps() {
		if s.empty() && s != b.fence {
			continue
		}
		p.SendQueryStatement(s.prepared, s.params(), binaryFormat, binaryFormat)
		p.SendPipelineSync()
		sent = append(sent, s)
	}
	p.SendQueryParams("COMMIT", nil, nil, nil, nil)
	f := newFindings(n)
	err := p.Sync()
	if err == nil {
		err = readBatch(p, sent, b.fence, f)
	}
	if cerr := p.Close(); err == nil && cerr != nil {
		err = cerr
	}
	return f, err
}

// readBatch reads the answers. The first error is the one that counts: the
// ones after it only say that the transaction is aborted.
func readBatch(p *pgconn.Pipeline, sent []*statement, fence *statement, f *findings) error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	next := -1 // BEGIN
	for {
		results, err := p.GetResults()
		switch r := results.(type) {
		case nil:
			if err == nil {
				return first
			}
			note(err)
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || isFatal(pgErr) {
				return first
			}
		case *pgconn.PipelineSync:
			next++
		case *pgconn.ResultReader:
			if next >= 0 && next < len(sent) && sent[next] == fence {
				note(readFindings(r, f))
			}
			tag, err := r.Close()
			note(err)
			if next == len(sent) && err == nil && tag.String() != "COMMIT" {
				note(fmt.Errorf("commit answered %q", tag.String()))
			}
		}
	}
}

func readFindings(r *pgconn.ResultReader, f *findings) error {
	for r.NextRow() {
		v := r.Values()
		ix := int(int32(be32(v[1])))
		if ix < 0 || ix >= len(f.passed) {
			return fmt.Errorf("the fence names chain %d of %d", ix, len(f.passed))
		}
		switch string(v[0]) {
		case "passed":
			f.passed[ix] = true
		case "duplicate":
			f.duplicates[ix] = append(f.duplicates[ix], string(v[4]))
		case "foreign":
			f.foreign[ix] = foreignAlias{claim: int(be32(v[2])), owner: domain.ContactID(v[3])}
		case "full":
			f.full[ix] = fullAgent{agent: domain.UserID(v[3]), room: int(int32(be32(v[2])))}
		}
	}
	return nil
}
