package persistence_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// PostgreSQL is stopped and killed under load and comes back. Nobody restarts
// the writer. What it answered is true: stored once, or not executed.
func TestWriterOutlivesOutages(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	db := server.New(t)
	n := newTenant(t, db, "outage")
	w, loader, book := openWriter(t, db.URL), newLoader(t, db), newLedger()
	load := newLoad(t)
	for i := range 20 {
		load.run(func(round int) { keepTalking(newPlayer(t, w, loader, n, fmt.Sprint(i)), round, book) })
		load.run(func(round int) { knock(newOwner(t, w, n, fmt.Sprintf("new %d, %d", i, round)), book) })
	}
	outage := func(end func()) {
		stored := len(book.bodies(nil))
		until(t, func() bool { return len(book.bodies(nil)) > stored+200 }, "messages are stored")
		require.NoError(t, w.Admit(false))
		end()
		until(t, func() bool { return w.Ready() != nil }, "not ready")
		until(t, func() bool { return w.Admit(true) != nil }, "refuses everybody")
		require.ErrorIs(t, w.Ready(), domain.ErrUnavailable)
		require.ErrorIs(t, w.Admit(true), domain.ErrUnavailable)
		refused := len(book.bodies(domain.ErrUnavailable))
		until(t, func() bool { return len(book.bodies(domain.ErrUnavailable)) > refused+200 }, "submissions are refused")
		server.Start()
		until(t, func() bool { return w.Ready() == nil && w.Admit(false) == nil }, "ready again")
	}

	outage(server.Stop)
	outage(server.Kill)
	stored := len(book.bodies(nil))
	until(t, func() bool { return len(book.bodies(nil)) > stored+200 }, "messages are stored")
	load.stop()

	requireLinear(t, db)
	requireStored(t, db, book.bodies(nil), true)
	requireStored(t, db, book.bodies(domain.ErrUnavailable), false)
	t.Logf("%d stored, %d refused", len(book.bodies(nil)), len(book.bodies(domain.ErrUnavailable)))
}

// keepTalking sends a few messages at once in a conversation that is there.
func keepTalking(p *player, round int, book *ledger) {
	var bodies []string
	var commands []domain.Command
	for k := range 4 {
		bodies = append(bodies, fmt.Sprintf("%s: %d.%d", p.number, round, k))
		commands = append(commands, p.says(bodies[k]))
	}
	for i, answer := range p.play(commands...) {
		book.note(bodies[i], answer)
	}
}

// knock begins a new conversation without looking first.
func knock(o *owner, book *ledger) {
	body := "by " + o.number
	outcomes := map[domain.Outcome]error{domain.Unavailable: domain.ErrUnavailable, domain.Unknown: domain.ErrOutcomeUnknown}
	select {
	case v := <-o.submit(o.says(body)):
		if v.Outcome != domain.Committed && outcomes[v.Outcome] == nil {
			o.t.Errorf("outcome %v of a new conversation", v.Outcome)
			return
		}
		book.note(body, outcomes[v.Outcome])
	case <-time.After(patience):
		o.t.Error("no verdict came")
	}
}

// requireStored checks that each of the messages is there once, or that none is.
func requireStored(t *testing.T, db *persistencetest.Database, bodies []string, stored bool) {
	t.Helper()
	require.NotEmpty(t, bodies)
	want := 0
	if stored {
		want = len(bodies)
	}
	require.Equal(t, want, count(t, db, `SELECT count(*) FROM messages WHERE body = ANY ($1)`, bodies))
}

// load is work that goes on until it is stopped.
type load struct {
	end     chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

func newLoad(t testing.TB) *load {
	l := &load{end: make(chan struct{})}
	t.Cleanup(l.stop)
	return l
}

// run repeats work, at most some hundred times a second.
func (l *load) run(work func(round int)) {
	l.running.Go(func() {
		for round := 0; ; round++ {
			select {
			case <-l.end:
				return
			case <-time.After(3 * time.Millisecond):
				work(round)
			}
		}
	})
}

func (l *load) stop() {
	l.once.Do(func() { close(l.end) })
	l.running.Wait()
}
