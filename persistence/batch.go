package persistence

import (
	"context"
	"embed"
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
	fence, frees, inserts, updates       *statement
	events                               *statement
	contacts, claims, merges, load, lock *statement
	expect, use, settle                  *statement // attachments
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
		int4s(), int4s(), uuids(), texts(), texts(), uuids(), uuids(), int4s(), // aliases
		int4s(), uuids(), // capacity
		int4s(), uuids(), uuids()) // checks
	return &batch{
		lock:  &statement{name: "lock_agents", columns: []*column{uuids()}},
		fence: &statement{name: "fence", columns: fence},
		frees: &statement{name: "free_requests", columns: []*column{uuids(), uuids(), uuids()}},
		inserts: &statement{name: "insert_messages", columns: []*column{
			uuids(), uuids(), uuids(), texts(), uuids(), texts(), texts(), texts(), texts(), texts(), texts(), uuids(),
			texts(), texts(), texts(), texts(), times(), texts(), times(), times(), times(), times(),
			int4s(), times(), times(), texts(), byteas(), uuids()}},
		updates: &statement{name: "update_messages", columns: []*column{
			uuids(), uuids(), uuids(), texts(), texts(), texts(), texts(), texts(), texts(), texts(), texts(), times(),
			texts(), times(), times(), times(), int4s(), times(), times(), texts(), uuids()}},
		expect: &statement{name: "expect_attachments", columns: []*column{
			uuids(), uuids(), uuids(), uuids(), texts(), texts(), texts()}},
		use: &statement{name: "use_attachments", columns: []*column{uuids(), uuids(), uuids(), uuids()}},
		settle: &statement{name: "settle_attachments", columns: []*column{
			uuids(), uuids(), uuids(), uuids(), texts(), texts(), texts(), int8s(), texts()}},
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
// conversations, everywhere; idempotency keys are freed before a message takes
// them; contacts and aliases come after the row that they depend on, since their
// foreign keys are checked at commit.
func (b *batch) steps() []*statement {
	return []*statement{
		b.lock, b.fence, b.frees, b.inserts, b.updates, b.expect, b.use, b.settle, b.events, b.contacts, b.claims, b.merges, b.load,
	}
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

// store runs the batch as one transaction in one round trip, after which n
// chains have their findings. Every statement is followed by a Sync: only then
// does the server arm its idle_in_transaction_session_timeout, so that a client
// frozen in the middle of sending can't keep its locks.
func (b *batch) store(ctx context.Context, conn *pgconn.PgConn, n int, replan bool) (*findings, error) {
	p := conn.StartPipeline(ctx)
	var sent []*statement // nil: a command
	command := func(text string) {
		p.SendQueryParams(text, nil, nil, nil, nil)
		p.SendPipelineSync()
		sent = append(sent, nil)
	}
	if replan {
		command("DISCARD PLANS")
	}
	command("BEGIN")
	for _, s := range b.steps() {
		if s.empty() && s != b.fence {
			continue
		}
		p.SendQueryStatement(s.prepared, s.params(), binaryFormat, binaryFormat)
		p.SendPipelineSync()
		sent = append(sent, s)
	}
	command("COMMIT")
	f := newFindings(n)
	err := p.Flush()
	if err == nil {
		err = readBatch(p, sent, b.fence, f)
	}
	if cerr := p.Close(); err == nil && cerr != nil {
		err = cerr
	}
	return f, err
}

// readBatch reads the answers to what was sent; the last is that to COMMIT. The
// first error is the one that counts: the ones after it only say that the
// transaction is aborted.
func readBatch(p *pgconn.Pipeline, sent []*statement, fence *statement, f *findings) error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	next := 0
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
			if next < len(sent) && sent[next] == fence {
				note(readFindings(r, f))
			}
			tag, err := r.Close()
			note(err)
			if next == len(sent)-1 && err == nil && tag.String() != "COMMIT" {
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
