package persistence_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// openWriter runs a writer for as long as the test does.
func openWriter(t testing.TB, url string, configure ...func(*persistence.WriterConfig)) *persistence.Writer {
	t.Helper()
	cfg := persistence.WriterConfig{URL: url}
	for _, change := range configure {
		change(&cfg)
	}
	w, err := persistence.NewWriter(cfg)
	require.NoError(t, err)
	running(t, w.Run)
	return w
}

// oneLane puts everything that waits into one batch.
func oneLane(cfg *persistence.WriterConfig) { cfg.Lanes = 1 }

// owner decides for one conversation and submits, as its actor would, but
// leaves it to the test what to do with the verdicts.
type owner struct {
	t       testing.TB
	writer  *persistence.Writer
	tenant  *tenant
	number  string
	state   domain.Conversation
	known   domain.MessageSet
	lineage *domain.Lineage
}

func newOwner(t testing.TB, w *persistence.Writer, n *tenant, number string) *owner {
	contact := domain.ContactIDFor(n.org, domain.WhatsApp, number)
	return &owner{
		t: t, writer: w, tenant: n, number: number, lineage: &domain.Lineage{},
		state: domain.Conversation{ID: domain.ConversationIDFor(n.channel, contact)},
	}
}

// rival is another owner of the same conversation who knows the same state.
func (o *owner) rival(w *persistence.Writer) *owner {
	r := *o
	r.writer, r.lineage, r.known = w, &domain.Lineage{}, domain.MessageSet{}
	return &r
}

func (o *owner) origin(number string) domain.Origin {
	contact := domain.ContactIDFor(o.tenant.org, domain.WhatsApp, number)
	return domain.Origin{
		Channel: domain.Channel{ID: o.tenant.channel, Organization: o.tenant.org, Provider: domain.WhatsApp, Name: "channel"},
		Person: domain.Person{Contact: contact, ProviderID: number, Claims: []domain.AliasClaim{
			{Alias: domain.Alias{Kind: domain.AliasNumber, Value: number}},
		}},
		Customer: domain.Customer{Name: "customer " + number},
	}
}

func (o *owner) text(number, id, body string) domain.Receive {
	return domain.Receive{Origin: o.origin(number), Event: domain.CustomerMessage{
		ProviderID: id, At: dawn, Type: domain.TypeText, Body: body,
	}}
}

// says is a text of the customer whose platform id is its body.
func (o *owner) says(body string) domain.Receive { return o.text(o.number, body, body) }

// decide is the change that cmd makes; it isn't applied yet.
func (o *owner) decide(cmd domain.Command) (domain.Conversation, domain.Change, error) {
	moment := domain.Moment{Now: time.Now()}
	if _, err := rand.Read(moment.Entropy[:]); err != nil {
		return o.state, domain.Change{}, err
	}
	return domain.Decide(o.state, cmd, &o.known, moment)
}

// hand gives a change to the writer and goes on from the state after it.
func (o *owner) hand(after domain.Conversation, change domain.Change, done func(domain.Verdict)) {
	o.writer.Submit(domain.Submission{
		Conversation: o.state.ID, Lineage: o.lineage, Base: o.state.Head, Change: change, Done: done,
	})
	o.state = after
	o.known.Apply(change)
}

// submit decides and hands over; the verdict comes on the channel.
func (o *owner) submit(cmd domain.Command, distort ...func(*domain.Change)) <-chan domain.Verdict {
	o.t.Helper()
	after, change, err := o.decide(cmd)
	require.NoError(o.t, err)
	for _, d := range distort {
		d(&change)
		after = change.After
	}
	verdict := make(chan domain.Verdict, 1)
	o.hand(after, change, func(v domain.Verdict) { verdict <- v })
	return verdict
}

// check asks whether the owner's state is the stored one.
func (o *owner) check() <-chan domain.Verdict {
	verdict := make(chan domain.Verdict, 1)
	o.hand(o.state, domain.Change{}, func(v domain.Verdict) { verdict <- v })
	return verdict
}

// store submits and waits until it is stored.
func (o *owner) store(cmd domain.Command) {
	o.t.Helper()
	require.Equal(o.t, domain.Committed, await(o.t, o.submit(cmd)).Outcome)
}

// caller is the agent with that id.
func (n *tenant) caller(agent domain.UserID) domain.Caller {
	return domain.Caller{Organization: n.org, User: agent, Name: "agent", Role: domain.RoleAgent}
}

// patience is how long a test waits for what has to come.
const patience = 60 * time.Second

func await(t testing.TB, verdict <-chan domain.Verdict) domain.Verdict {
	t.Helper()
	select {
	case v := <-verdict:
		return v
	case <-time.After(patience):
		require.Fail(t, "no verdict came")
		return domain.Verdict{}
	}
}

// come waits for a signal.
func come(t testing.TB, signal <-chan struct{}) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(patience):
		require.Fail(t, "what was to come didn't")
	}
}

// until returns once it is so.
func until(t testing.TB, so func() bool, what string) {
	t.Helper()
	require.Eventually(t, so, patience, 5*time.Millisecond, what)
}

func count(t testing.TB, db *persistencetest.Database, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, db.SQL.QueryRow(query, args...).Scan(&n))
	return n
}

// lock is a foreign session that holds what the statement locks until it is
// let go, or the test ends.
func lock(t testing.TB, db *persistencetest.Database, statement string, args ...any) (letGo func()) {
	t.Helper()
	tx, err := db.SQL.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = tx.Exec(statement, args...)
	require.NoError(t, err)
	letGo = func() {
		if err := tx.Rollback(); err != nil {
			require.ErrorIs(t, err, sql.ErrTxDone)
		}
	}
	t.Cleanup(letGo)
	return letGo
}

// requireLinear checks what must be true of every database: each audit trail
// is without gap and as long as its conversation says, no message is there
// twice, and the agents' load is counted right.
func requireLinear(t testing.TB, db *persistencetest.Database) {
	t.Helper()
	require.Zero(t, count(t, db, `SELECT count(*) FROM conversations c WHERE c.event_seq <> ALL (ARRAY[
		(SELECT count(*) FROM conversation_events e WHERE e.conversation_id = c.id),
		(SELECT coalesce(max(seq), 0) FROM conversation_events e WHERE e.conversation_id = c.id)])`), "audit trails with gaps")
	require.Zero(t, count(t, db, `SELECT count(*) FROM (SELECT FROM messages GROUP BY conversation_id, body HAVING count(*) > 1) AS twice`), "messages stored twice")
	require.Zero(t, count(t, db, `SELECT count(*) FROM users u WHERE u.assigned_count <>
		(SELECT count(*) FROM conversations c WHERE c.assigned_agent_id = u.id AND c.status = 'ASSIGNED')`), "agents counted wrong")
	require.Zero(t, count(t, db, `SELECT count(*) FROM messages m WHERE NOT EXISTS (SELECT FROM conversations c WHERE c.id = m.conversation_id)`), "messages without conversation")
}
