package persistence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// secret is what a customer wrote beside the value that is refused: it must
// not be in an error nor in a log.
const secret = "my card is 4111"

// refusedValues is what PostgreSQL, or the encoding for it, refuses.
func refusedValues() map[string]func(*domain.Change) {
	noise := make([]byte, 6000)
	for i := range noise {
		noise[i] = byte('!' + rand.N(90))
	}
	message := func(change func(*domain.Message)) func(*domain.Change) {
		return func(c *domain.Change) { change(&c.Inserts[0]) }
	}
	return map[string]func(*domain.Change){
		"NUL in a text":                 message(func(m *domain.Message) { m.Body += "\x00" }),
		"invalid UTF-8":                 message(func(m *domain.Message) { m.Body += "\xc3\x28" }),
		"provider id over the index":    message(func(m *domain.Message) { m.ProviderMessageID = string(noise) }),
		"metadata that isn't JSON":      message(func(m *domain.Message) { m.Metadata.Platform = json.RawMessage(`{"` + secret) }),
		"metadata with an escaped NUL":  message(func(m *domain.Message) { m.Metadata.Platform = json.RawMessage(`"` + secret + `\u0000"`) }),
		"an unknown type":               message(func(m *domain.Message) { m.Type = secret }),
		"a state against its check":     message(func(m *domain.Message) { m.SendState = domain.SendQueued }),
		"notes that aren't JSON":        func(c *domain.Change) { c.After.Metadata = json.RawMessage(`{"` + secret) },
		"a negative count":              func(c *domain.Change) { c.After.Unread = -100 },
		"assigned to nobody":            func(c *domain.Change) { c.After.Status, c.After.Holder = domain.Assigned, domain.UserID{} },
		"a time that PostgreSQL hasn't": func(c *domain.Change) { c.After.LastInboundAt = dawn.AddDate(295_000, 0, 0) },
		"an audit line twice":           func(c *domain.Change) { c.Audit[0].Seq = 1 },
	}
}

// refusedBeginnings can only be wrong where a conversation begins.
func refusedBeginnings() map[string]func(*domain.Change) {
	return map[string]func(*domain.Change){
		"an unknown channel":               func(c *domain.Change) { c.After.Channel = newID[domain.ChannelID]() },
		"no contact, found out at COMMIT":  func(c *domain.Change) { c.Contact, c.Claims = nil, nil },
		"an alias of nobody, at COMMIT":    func(c *domain.Change) { c.Contact = nil },
		"an alias that isn't UTF-8":        func(c *domain.Change) { c.Claims[0].Value = secret + "\xff" },
		"an unknown provider in the claim": func(c *domain.Change) { c.After.Provider = secret },
	}
}

// A value that PostgreSQL refuses, in the middle of a chain in the middle of a
// full batch: what is before it in its conversation is stored, itself is
// refused, what is built on it is dropped, everybody else doesn't notice.
func TestWriterRefusesAValueAlone(t *testing.T) {
	t.Parallel()
	for name, spoil := range refusedValues() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRefusedAlone(t, spoil, 2)
		})
	}
	for name, spoil := range refusedBeginnings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRefusedAlone(t, spoil, 0)
		})
	}
}

// requireRefusedAlone spoils the change of one conversation that comes after
// so many others of it.
func requireRefusedAlone(t *testing.T, spoil func(*domain.Change), before int) {
	db := persistencetest.New(t)
	n := newTenant(t, db, "refused")
	var log lockedBuffer
	w := openWriter(t, db.URL, oneLane, logTo(&log))
	letGo := plug(t, w, n)
	var good, dropped []<-chan domain.Verdict
	var refused <-chan domain.Verdict
	for i := range 60 {
		o := newOwner(t, w, n, fmt.Sprint(i))
		if i != 30 {
			good = append(good, o.submit(o.says(fmt.Sprint("fine ", i))))
			continue
		}
		for k := range before {
			good = append(good, o.submit(o.says(fmt.Sprint("before ", k))))
		}
		refused = o.submit(o.says(secret), spoil)
		there := *n
		there.channel = o.state.Channel // which may be what was spoiled
		o.tenant = &there
		for k := range 3 {
			dropped = append(dropped, o.submit(o.says(fmt.Sprint("after ", k))))
		}
	}
	letGo()

	for _, v := range good {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	v := await(t, refused)
	require.Equal(t, domain.Refused, v.Outcome)
	var value *domain.ValueError
	require.ErrorAs(t, v.Err, &value)
	require.NotContains(t, v.Err.Error(), secret)
	require.NotContains(t, log.String(), secret)
	require.NotEmpty(t, log.String())
	for _, v := range dropped {
		require.Empty(t, v)
	}
	require.Equal(t, len(good)+1, count(t, db, `SELECT count(*) FROM messages`)) // and the plug's
	require.Zero(t, count(t, db, `SELECT count(*) FROM contacts WHERE display_name = 'customer 30'`)-min(before, 1))
	requireLinear(t, db)
}

// plug holds up the one lane of w, so that all that is submitted until it is
// let go waits for the same batch.
func plug(t *testing.T, w *persistence.Writer, n *tenant) (letGo func()) {
	t.Helper()
	o := newOwner(t, w, n, "plug")
	letGo = lock(t, n.db, `SELECT pg_advisory_xact_lock(1)`)
	n.exec(`CREATE FUNCTION wait_for_the_plug() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END'`)
	n.exec(`CREATE TRIGGER plug BEFORE INSERT ON contacts FOR EACH ROW WHEN (new.provider_id = 'plug') EXECUTE FUNCTION wait_for_the_plug()`)
	o.submit(o.says("plug"))
	until(t, func() bool {
		return count(t, n.db, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database =
			(SELECT oid FROM pg_database WHERE datname = current_database())`) > 0
	}, "the batch waits")
	return letGo
}

// lockedBuffer is a log that is written and read at the same time.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// logTo lets the writer log there.
func logTo(b *lockedBuffer) func(*persistence.WriterConfig) {
	return func(cfg *persistence.WriterConfig) { cfg.Logger = slog.New(slog.NewTextHandler(b, nil)) }
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Clone(b.buf.String())
}

// A message that is submitted many times at once is stored once, and nobody's
// batch is taken apart for it.
func TestWriterStoresARepeatedMessageOnce(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "repeated")
	var log lockedBuffer
	w := openWriter(t, db.URL, oneLane, logTo(&log))
	before := newOwner(t, w, n, "1")
	before.store(before.says("hello"))
	rolledBack := func() int {
		return count(t, db, `SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()`)
	}
	was := rolledBack()
	letGo := plug(t, w, n)
	first := before.submit(before.says("again and again"))
	var others []<-chan domain.Verdict
	for range 50 {
		before.known = domain.MessageSet{} // an owner that forgets
		others = append(others, before.submit(before.says("again and again")))
	}
	letGo()
	require.Equal(t, domain.Committed, await(t, first).Outcome)
	v := await(t, others[0])
	require.Equal(t, domain.Duplicate, v.Outcome)
	require.Equal(t, []string{"again and again"}, v.Duplicates)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM messages WHERE body = 'again and again'`))
	require.Empty(t, log.String())
	require.LessOrEqual(t, rolledBack()-was, 1, "the test's own transaction alone")
}
