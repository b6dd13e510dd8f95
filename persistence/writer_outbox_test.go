package persistence_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// sender is an owner whose conversation an agent holds, and a look at what is
// stored of it.
type sender struct {
	*owner
	loader *persistence.Loader
	by     domain.Caller
	last   domain.Message // as the newest step left it
}

func newSender(t *testing.T, w *persistence.Writer, n *tenant, number string) *sender {
	t.Helper()
	s := &sender{owner: newOwner(t, w, n, number), loader: newLoader(t, n.db), by: n.caller(n.agent("agent of " + number))}
	s.store(s.says("hello of " + number))
	s.store(domain.Accept{By: s.by})
	return s
}

func (s *sender) template(body, key string) domain.Send {
	cmd := send(s.by, body)
	cmd.Key, cmd.Hash = key, []byte("hash of "+body)
	return cmd
}

// step submits cmd; the message that it leaves is the last.
func (s *sender) step(cmd domain.Command) <-chan domain.Verdict {
	s.t.Helper()
	return s.submit(cmd, func(c *domain.Change) {
		for _, m := range append(c.Updates, c.Inserts...) {
			s.last = m
		}
	})
}

func (s *sender) claim() domain.ClaimSend { return domain.ClaimSend{Message: s.last.ID} }

// fails is the end of the attempt under way.
func (s *sender) fails(failure domain.CallError) domain.FinishSend {
	return domain.FinishSend{
		Message: s.last.ID, Claim: s.last.AttemptStartedAt, Failure: &failure, Patience: domain.Patience{Uncertain: time.Minute},
	}
}

func (s *sender) sent(id string) domain.FinishSend {
	return domain.FinishSend{Message: s.last.ID, Claim: s.last.AttemptStartedAt, Sent: &domain.Sent{ProviderID: id}}
}

// requireStored checks that the last message and the outbox are stored as they
// are in memory.
func (s *sender) requireStored(state domain.SendState) {
	s.t.Helper()
	require.Equal(s.t, state, s.last.SendState)
	require.Equal(s.t, []domain.Message{s.last}, s.load(domain.Targets{IDs: []domain.MessageID{s.last.ID}}))
	stored, err := loadState(s.loader, s.state.ID)
	require.NoError(s.t, err)
	require.Equal(s.t, s.state.Outbox, stored.Outbox)
}

func (s *sender) load(targets domain.Targets) []domain.Message {
	s.t.Helper()
	found, err := wait(func(done func([]domain.Message, error)) {
		s.loader.LoadMessages(s.state.ID, s.tenant.channel, targets, done)
	})
	require.NoError(s.t, err)
	return found
}

func (s *sender) commit(cmd domain.Command) {
	s.t.Helper()
	require.Equal(s.t, domain.Committed, await(s.t, s.step(cmd)).Outcome)
}

func TestWriterStoresEachStepOfASend(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	s := newSender(t, openWriter(t, db.URL), newTenant(t, db, "send"), "1")
	transient := domain.CallError{Class: domain.FailureThrottleApp, Code: "4"}
	uncertain := domain.CallError{Class: domain.FailureUncertain, Code: "timeout"}
	s.commit(s.template("one", "key"))
	s.requireStored(domain.SendQueued)
	require.Equal(t, "key", s.last.IdempotencyKey)
	s.commit(s.claim())
	s.requireStored(domain.SendSending)
	require.Equal(t, 1, s.last.Attempts)
	s.commit(s.fails(transient))
	s.requireStored(domain.SendQueued)
	require.False(t, s.last.NextAttemptAt.IsZero())
	s.commit(s.claim())
	s.commit(s.fails(uncertain))
	s.requireStored(domain.SendUncertain)
	s.commit(s.sent("wamid.one"))
	s.requireStored("")
	require.Equal(t, domain.StatusSent, s.last.Status)
	require.Empty(t, s.state.Outbox)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM messages WHERE idempotency_key = 'key' AND request_hash = 'hash of one'`))
}

// Steps that share a batch become one row as the last of them leaves it, whether
// the message is in the same batch or was there before.
func TestWriterStoresTheLastOfManyStepsOfASend(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "send")
	w := openWriter(t, db.URL, oneLane)
	throttled := domain.CallError{Class: domain.FailureThrottleApp, Code: "4"}
	uncertain := domain.CallError{Class: domain.FailureUncertain, Code: "timeout"}
	ends := []func(*sender) domain.Command{
		func(s *sender) domain.Command { return s.fails(throttled) },
		func(s *sender) domain.Command { return s.fails(uncertain) },
		func(s *sender) domain.Command { return s.sent("wamid." + s.number) },
	}
	var old, fresh []*sender
	for i := range ends {
		there := newSender(t, w, n, fmt.Sprint("there ", i))
		there.commit(there.template(there.number, "key"))
		old, fresh = append(old, there), append(fresh, newSender(t, w, n, fmt.Sprint("new ", i)))
	}
	letGo := plug(t, w, n)
	var verdicts []<-chan domain.Verdict
	for i, end := range ends {
		verdicts = append(verdicts, fresh[i].step(fresh[i].template(fresh[i].number, "key")))
		for _, s := range []*sender{old[i], fresh[i]} {
			verdicts = append(verdicts, s.step(s.claim()))
			verdicts = append(verdicts, s.step(s.fails(throttled)), s.step(s.claim()))
			verdicts = append(verdicts, s.step(end(s)))
		}
	}
	letGo()
	for _, v := range verdicts {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	for _, s := range append(old, fresh...) {
		s.requireStored(s.last.SendState)
	}
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM messages WHERE send_state = 'queued'`))
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM messages WHERE send_state = 'uncertain'`))
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM messages WHERE status = 'SENT'`))
}

// A key that is old enough names another message: the former one gives it up in
// the transaction that stores the new one.
func TestWriterFreesAnOldKeyForANewMessage(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "key")
	w := openWriter(t, db.URL, oneLane)
	s, other := newSender(t, w, n, "1"), newSender(t, w, n, "2")
	s.commit(s.template("old", "key"))
	old := s.last
	other.commit(other.template("of another conversation", "key"))
	n.exec(`UPDATE messages SET created_at = created_at - interval '25 hours' WHERE id = $1`, old.ID)
	request := domain.Targets{Requests: []domain.RequestKey{{Agent: s.by.User, Key: "key"}}}
	s.known = domain.MessageSet{}
	s.known.Learn(request, s.load(request))

	letGo := plug(t, w, n)
	verdicts := []<-chan domain.Verdict{
		s.submit(s.template("new", "key"), func(c *domain.Change) {
			require.Equal(t, []domain.MessageID{old.ID}, c.Freed)
			s.last = c.Inserts[0]
		}),
		s.submit(s.says("what follows in the same batch")),
	}
	letGo()
	for _, v := range verdicts {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	require.Equal(t, []domain.Message{s.last}, s.load(request))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM messages
		WHERE body = 'old' AND send_state = 'queued' AND idempotency_key IS NULL AND request_hash IS NULL`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM messages
		WHERE body = 'of another conversation' AND idempotency_key = 'key' AND request_hash IS NOT NULL`))
}

// What a platform said of a failure may hold what PostgreSQL refuses: the
// attempts of everybody else in the batch are stored all the same.
func TestWriterRefusesTheStepOfOneSendAlone(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "refused")
	w := openWriter(t, db.URL, oneLane)
	senders := make([]*sender, 12)
	for i := range senders {
		senders[i] = newSender(t, w, n, fmt.Sprint(i))
		senders[i].commit(senders[i].template(fmt.Sprint("to ", i), "key"))
	}
	letGo := plug(t, w, n)
	var good []<-chan domain.Verdict
	var refused <-chan domain.Verdict
	for i, s := range senders {
		good = append(good, s.step(s.claim()))
		text := "no such number"
		if i == 7 {
			text += "\x00"
		}
		end := s.step(s.fails(domain.CallError{Class: domain.FailurePermanent, Code: "131026", Text: text}))
		if i == 7 {
			refused = end
			continue
		}
		good = append(good, end)
	}
	letGo()
	for _, v := range good {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	require.Equal(t, domain.Refused, await(t, refused).Outcome)
	require.Equal(t, 11, count(t, db, `SELECT count(*) FROM messages WHERE status = 'FAILED' AND error_code = '131026' AND send_state IS NULL`))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM messages WHERE send_state = 'sending' AND attempts = 1`))
}
