package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// TestStaleOwnersTellTheTruth lets two systems on one database both believe
// that they own every conversation, each with commands pipelined on its own
// state in memory. Whatever the interleaving: the changes form one chain, no
// update is lost, and every reply (done, refused, nothing to change) was true
// of the database at some moment between request and answer.
func TestStaleOwnersTellTheTruth(t *testing.T) {
	t.Parallel()
	const histories, commandsEach = 2000, 14
	db := persistencetest.New(t)
	world := newWorld(t, db)
	owners := []*owningSystem{newOwningSystem(t, db, world.chronicle), newOwningSystem(t, db, world.chronicle)}

	var running sync.WaitGroup
	slots := make(chan struct{}, 100)
	for n := range histories {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			world.history(t, owners, n, commandsEach)
		})
	}
	running.Wait()
	world.check(t, histories)
	t.Logf("%d conflicts over %d histories", world.chronicle.conflicts(), histories)
	require.NotZero(t, world.chronicle.conflicts(), "the owners never met: the test shows nothing")
}

// owningSystem is one node's worth of actors on a database that others write
// to, too.
type owningSystem struct{ inbox *actors.Inbox }

func newOwningSystem(t *testing.T, db *persistencetest.Database, chronicle *chronicle) *owningSystem {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	reads, err := persistence.OpenReads(t.Context(), persistence.Config{URL: db.URL, MaxConns: 4})
	require.NoError(t, err)
	writer, err := persistence.NewWriter(persistence.WriterConfig{URL: db.URL, Lanes: 2, Logger: logger})
	require.NoError(t, err)
	loader := persistence.NewLoader(reads)
	identities, err := persistence.NewIdentities(reads, time.Now)
	require.NoError(t, err)
	system, err := actors.NewSystem(actors.SystemConfig{Logger: logger, Now: time.Now})
	require.NoError(t, err)
	wheel := actors.NewWheel(50*time.Millisecond, time.Now)
	conversations := actors.NewConversations(system, actors.ConversationConfig{
		Writer: chronicle.recording(writer), Loader: loader, Publisher: deaf{}, Wheel: wheel, Entropy: entropy, Logger: logger,
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{writer.Run, loader.Run, identities.Run, wheel.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, conversations.Close(closing))
		require.NoError(t, system.Close(closing))
		stop()
		running.Wait()
		require.NoError(t, reads.Close())
	})
	return &owningSystem{inbox: actors.NewInbox(system, conversations, identities)}
}

// deaf is nobody who listens to notices: this test is about replies.
type deaf struct{}

func (deaf) Publish(domain.OrganizationID, []domain.Notice) {}

// chronicle records every committed state with the times between which it was
// committed, as the systems saw it.
type chronicle struct {
	mu     sync.Mutex
	states map[domain.ConversationID]map[domain.ChangeID]committed // by parent
	failed int
}

type committed struct {
	change            domain.Change
	submitted, stored time.Time
}

func (c *chronicle) conflicts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *chronicle) recording(w *persistence.Writer) actors.Writer { return &recordingWriter{w, c} }

type recordingWriter struct {
	*persistence.Writer
	chronicle *chronicle
}

func (r *recordingWriter) Submit(s domain.Submission) {
	done, submitted := s.Done, time.Now()
	s.Done = func(v domain.Verdict) {
		r.chronicle.note(s, v, submitted)
		done(v)
	}
	r.Writer.Submit(s)
}

func (c *chronicle) note(s domain.Submission, v domain.Verdict, submitted time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case v.Outcome == domain.Conflict:
		c.failed++
	case v.Outcome == domain.Committed && !s.Change.IsZero():
		if c.states[s.Conversation] == nil {
			c.states[s.Conversation] = map[domain.ChangeID]committed{}
		}
		c.states[s.Conversation][s.Change.Parent] = committed{s.Change, submitted, time.Now()}
	}
}

// world is one organization with agents, and what they were told.
type world struct {
	db        *persistencetest.Database
	channel   domain.Channel
	agents    []domain.Caller
	chronicle *chronicle

	mu      sync.Mutex
	replies map[domain.ConversationID][]reply
}

type reply struct {
	command     domain.Command
	err         error
	asked, told time.Time
}

func newWorld(t *testing.T, db *persistencetest.Database) *world {
	t.Helper()
	org, channel := domain.OrganizationID(entropy()), domain.ChannelID(entropy())
	exec := func(query string, args ...any) {
		_, err := db.SQL.ExecContext(t.Context(), query, args...)
		require.NoError(t, err)
	}
	exec(`INSERT INTO organizations (id, name, slug) VALUES ($1, 'o', 'o')`, org)
	exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status) VALUES ($1, $2, 'WHATSAPP', 'c', '1', 'ACTIVE')`, channel, org)
	w := &world{
		db: db, channel: domain.Channel{ID: channel, Organization: org, Provider: domain.WhatsApp, Name: "c"},
		chronicle: &chronicle{states: map[domain.ConversationID]map[domain.ChangeID]committed{}},
		replies:   map[domain.ConversationID][]reply{},
	}
	for i := range 3 {
		id := domain.UserID(entropy())
		exec(`INSERT INTO users (id, organization_id, email, password_hash, name) VALUES ($1, $2, $3, 'x', $3)`, id, org, fmt.Sprint("agent", i))
		role := domain.RoleAgent
		if i == 2 {
			role = domain.RoleAdmin
		}
		w.agents = append(w.agents, domain.Caller{Organization: org, User: id, Name: fmt.Sprint("agent", i), Role: role})
	}
	return w
}

// history creates a conversation and sends random commands to both owners,
// several at a time.
func (w *world) history(t *testing.T, owners []*owningSystem, n, commands int) {
	number := fmt.Sprint(49150000000 + n)
	delivery := func(i int) domain.Delivery {
		return domain.Delivery{Channel: w.channel, Element: domain.Element{
			Provider: domain.WhatsApp,
			Customer: domain.Customer{Aliases: []domain.Alias{{Kind: domain.AliasNumber, Value: number}}},
			Event:    domain.CustomerMessage{ProviderID: fmt.Sprintf("%d.%d", n, i), At: time.Now(), Type: domain.TypeText, Body: "hello"},
		}}
	}
	contact := domain.ContactIDFor(w.channel.Organization, domain.WhatsApp, number)
	id := domain.ConversationIDFor(w.channel.ID, contact)
	if err := owners[n%2].inbox.Deliver(t.Context(), []domain.Delivery{delivery(0)})[0]; err != nil {
		t.Errorf("create: %v", err)
		return
	}
	var running sync.WaitGroup
	for i := range commands {
		owner, caller := owners[mathrand.IntN(2)], w.agents[mathrand.IntN(len(w.agents))]
		running.Go(func() {
			asked := time.Now()
			if mathrand.IntN(6) == 0 {
				if err := owner.inbox.Deliver(t.Context(), []domain.Delivery{delivery(i + 1)})[0]; err != nil {
					t.Errorf("deliver: %v", err)
				}
				return
			}
			cmd := w.command(caller)
			err := owner.inbox.Do(t.Context(), id, cmd)
			w.told(id, reply{cmd, err, asked, time.Now()})
		})
		if i%4 == 3 {
			running.Wait()
		}
	}
	running.Wait()
}

func (w *world) command(by domain.Caller) domain.Command {
	switch mathrand.IntN(8) {
	case 0:
		return domain.Release{By: by}
	case 1:
		return domain.Complete{By: by}
	case 2:
		return domain.Reopen{By: by}
	case 3:
		return domain.Read{By: by}
	case 4:
		to := w.agents[mathrand.IntN(len(w.agents))]
		return domain.Reassign{By: by, To: domain.User{
			ID: to.User, Organization: to.Organization, Name: to.Name, Role: to.Role, Status: domain.UserActive,
		}}
	}
	return domain.Accept{By: by}
}

func (w *world) told(id domain.ConversationID, r reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replies[id] = append(w.replies[id], r)
}

// check decides whether what was told is true of what was stored.
func (w *world) check(t *testing.T, histories int) {
	t.Helper()
	require.Len(t, w.chronicle.states, histories)
	for id, byParent := range w.chronicle.states {
		chain := linear(t, byParent)
		w.checkStored(t, id, chain)
		for _, r := range w.replies[id] {
			require.Truef(t, trueOf(chain, r), "conversation %s: %T by %v was answered %v, which the database never meant",
				id, r.command, callerName(r.command), r.err)
		}
	}
	require.Zero(t, w.count(t, `SELECT count(*) FROM users u WHERE assigned_count <>
		(SELECT count(*) FROM conversations c WHERE c.assigned_agent_id = u.id AND c.status = 'ASSIGNED')`))
}

func callerName(cmd domain.Command) string {
	by, _ := domain.CallerOf(cmd)
	return by.Name
}

// linear orders the committed changes; it fails when they aren't one chain.
func linear(t *testing.T, byParent map[domain.ChangeID]committed) []committed {
	t.Helper()
	var chain []committed
	for parent := (domain.ChangeID{}); ; {
		next, ok := byParent[parent]
		if !ok {
			break
		}
		chain = append(chain, next)
		parent = next.change.ID
	}
	require.Len(t, chain, len(byParent), "changes that build on nothing: a lost update")
	return chain
}

func (w *world) checkStored(t *testing.T, id domain.ConversationID, chain []committed) {
	t.Helper()
	last := chain[len(chain)-1].change
	require.Equal(t, 1, w.count(t, `SELECT count(*) FROM conversations WHERE id = $1 AND change_id = $2 AND event_seq = $3`,
		id, last.ID, last.After.EventSeq))
	require.Equal(t, int(last.After.EventSeq), w.count(t, `SELECT count(*) FROM conversation_events WHERE conversation_id = $1`, id))
	inserts := 0
	for _, c := range chain {
		inserts += len(c.change.Inserts)
	}
	require.Equal(t, inserts, w.count(t, `SELECT count(*) FROM messages WHERE conversation_id = $1`, id))
}

func (w *world) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, w.db.SQL.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

// trueOf reports whether the reply fits a state that was, or may have been, the
// stored one at some moment between request and answer.
func trueOf(chain []committed, r reply) bool {
	for i, state := range chain {
		began, ended := state.submitted, r.told
		if i+1 < len(chain) {
			ended = chain[i+1].stored
		}
		if began.After(r.told) || ended.Before(r.asked) {
			continue
		}
		_, change, err := domain.Decide(state.change.After, r.command, &domain.MessageSet{}, domain.Moment{Now: time.Now(), Entropy: entropy()})
		switch {
		case r.err != nil:
			if sameRefusal(err, r.err) {
				return true
			}
		case err == nil && change.IsZero():
			return true // nothing had to change
		case err == nil && i+1 < len(chain) && sameStep(change, chain[i+1].change):
			return true // it was done, and is the next change
		}
	}
	return false
}

func sameRefusal(a, b error) bool {
	var x, y *domain.Refusal
	return errors.As(a, &x) && errors.As(b, &y) && x.Code == y.Code && x.Holder == y.Holder && x.AssignedAt.Equal(y.AssignedAt)
}

// sameStep reports whether two changes do the same to the assignment.
func sameStep(a, b domain.Change) bool {
	if len(a.Audit) != len(b.Audit) || a.After.Status != b.After.Status || a.After.Holder != b.After.Holder || a.After.Unread != b.After.Unread {
		return false
	}
	for i := range a.Audit {
		if a.Audit[i].Type != b.Audit[i].Type || a.Audit[i].Actor != b.Audit[i].Actor {
			return false
		}
	}
	return true
}
