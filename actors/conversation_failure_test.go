package actors

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// mined is a customer in whose conversation the rules panic over one message:
// what overtook it is stored as it never should be.
func (o *desk) mined(number string) (customer, domain.Command) {
	k := o.customer(number)
	o.change(func(s *store) {
		s.createElsewhere(k, k.says("first"))
		state := s.states[k.id]
		state.Early = []domain.EarlyEvent{{ProviderID: k.named("mine"), Body: new("an edit without its stamp")}}
		s.states[k.id] = state
	})
	k.origin.Person.Claims[0].Stored = true
	return k, k.says("mine")
}

func TestStashIsBounded(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		first := o.ask(k.id, k.says("hello"), k.status("unknown", domain.StatusRead)) // the status waits for the message
		commands := make([]domain.Command, maxStash+10)
		for i := range commands {
			commands[i] = domain.Accept{By: o.agent("alice")}
		}
		a := o.ask(k.id, commands...)
		o.unanswered(first, a)
		require.Equal(t, 1, o.queued())
		o.resume()
		refused := 0
		for i, err := range o.results(a) {
			if err != nil {
				require.ErrorIs(t, err, domain.ErrOverloaded)
				require.GreaterOrEqual(t, i, maxStash-1, "the ones that came last")
				refused++
			}
		}
		require.Equal(t, 11, refused)
		require.Equal(t, []error{nil, nil}, o.results(first))
	})
}

func TestConversationThatDoesNotExistIsNotKept(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.customer("1")
		require.ErrorIs(t, o.do(k.id, domain.Accept{By: o.agent("alice")}), domain.ErrNotFound)
		require.NoError(t, o.do(k.id, domain.ReleaseIf{}))
		require.ErrorIs(t, o.do(k.id, k.status("out", domain.StatusRead)), domain.ErrNoTarget)
		require.Zero(t, o.conversations.Len())
		require.Empty(t, o.store.history, "nothing to store, nothing to check")
		require.NoError(t, o.do(k.id, k.says("hello")))
		require.Equal(t, 1, o.conversations.Len())
		require.ErrorIs(t, o.do(k.id, domain.Accept{By: domain.Caller{Organization: domain.OrganizationID{9}}}), domain.ErrNotFound)
	})
}

// Goal: Close waits for what is under way, and answers all of it.
func TestCloseWithWorkUnderWay(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, idle := o.known("1"), o.known("2")
		o.hold()
		pending := o.ask(k.id, k.says("pending"))
		stashed := o.ask(k.id, k.status("unknown", domain.StatusRead), k.says("stashed"))
		closed := make(chan error, 1)
		go func() { closed <- o.conversations.Close(context.Background()) }()
		o.wait()
		require.Equal(t, 1, o.conversations.Len(), "the idle one has left")
		require.ErrorIs(t, o.conversations.Tell(idle.id, Request{}), domain.ErrUnavailable)
		require.ErrorIs(t, o.conversations.Tell(k.id, Request{}), domain.ErrUnavailable)
		o.unanswered(pending, stashed)
		require.Empty(t, closed)
		o.step(1)
		require.Equal(t, []error{nil}, o.results(pending))
		require.Empty(t, closed)
		o.step(2)
		require.Equal(t, []error{nil, nil}, o.results(stashed))
		require.NoError(t, <-closed)
		require.Zero(t, o.conversations.Len())
	})
}

// Goal: closing while a change conflicts loses nothing: it is decided again.
func TestCloseWhileDecidingAgain(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		a := o.ask(k.id, k.says("hello"))
		closed := make(chan error, 1)
		go func() { closed <- o.conversations.Close(context.Background()) }()
		o.change(func(s *store) { s.changeElsewhere(k.id) })
		o.step(1)
		o.unanswered(a)
		o.step(1)
		require.Equal(t, []error{nil}, o.results(a))
		require.NoError(t, <-closed)
	})
}

// Goal: an idle conversation leaves memory, a busy one stays, and one that
// comes back knows what it was.
func TestIdleConversationLeavesAndReturns(t *testing.T) {
	t.Parallel()
	atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		a := o.ask(k.id, domain.Accept{By: o.agent("alice")})
		<-time.After(5 * time.Minute)
		o.wait()
		require.Equal(t, 1, o.conversations.Len(), "has something under way")
		o.resume()
		require.NoError(t, o.results(a)[0])
		o.leaveMemory()
		require.Equal(t, "alice", o.refusal(domain.CodeAlreadyAssigned, o.do(k.id, domain.Accept{By: o.agent("bob")})).HolderName)
	})
}

// Goal: a command that makes the rules panic costs itself: what was decided
// before it stands, what waits goes on, and the conversation can leave.
func TestPoisonedCommandInHand(t *testing.T) {
	t.Parallel()
	atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
		k, exploding := o.mined("1")
		require.NoError(t, o.do(k.id, domain.ReleaseIf{})) // loads it
		o.hold()
		before := o.ask(k.id, k.says("before"))
		poisoned := o.ask(k.id, k.says("of the same request"), exploding, k.says("never decided"))
		after := o.ask(k.id, k.says("after"))
		require.Equal(t, 3, o.queued())
		require.ErrorIs(t, o.reply(poisoned).(error), domain.ErrFailed)
		o.unanswered(before, after)
		o.resume()
		require.Equal(t, []error{nil}, o.results(before))
		require.Equal(t, []error{nil}, o.results(after))
		require.Empty(t, poisoned.replies, "answered once")
		require.Equal(t, []string{"before", "of the same request", "after"}, o.notices.bodies())
		require.Equal(t, 1, o.panics())
		require.ErrorIs(t, o.reply(o.ask(k.id, exploding)).(error), domain.ErrFailed)
		o.leaveMemory()
	})
}

// Goal: one that had to wait costs itself as well. (The message in hand is a
// load then, with nobody to tell.)
func TestPoisonedCommandInTheStash(t *testing.T) {
	t.Parallel()
	atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
		k, exploding := o.mined("1")
		a := o.ask(k.id, k.says("before"), exploding, k.says("after"))
		b := o.ask(k.id, k.says("another's"))
		results := o.results(a)
		require.NoError(t, results[0])
		require.ErrorIs(t, results[1], domain.ErrFailed)
		require.NoError(t, results[2])
		require.Equal(t, []error{nil}, o.results(b))
		require.Equal(t, []string{"before", "after", "another's"}, o.notices.bodies())
		require.Equal(t, 1, o.panics())
		o.leaveMemory()
	})
}

// Goal: after the third panic the state is loaded again. What was submitted
// stands or falls without us: who asked is told that, and agents are told to
// look again.
func TestConversationThatFailsOftenLoadsAgain(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, exploding := o.mined("1")
		require.NoError(t, o.do(k.id, domain.ReleaseIf{}))
		loads := see(o, func(s *store) int { return s.loads })
		o.hold()
		pending := o.ask(k.id, k.says("pending"))
		for i := range reloadAt {
			require.ErrorIs(t, o.reply(o.ask(k.id, exploding)).(error), domain.ErrFailed, "panic %d", i)
		}
		require.ErrorIs(t, o.results(pending)[0], domain.ErrOutcomeUnknown)
		require.Len(t, o.notices.named(domain.EventResync), 1)
		require.Empty(t, o.notices.bodies())

		after := o.ask(k.id, k.says("after"))
		o.wait()
		require.Equal(t, loads+1, see(o, func(s *store) int { return s.loads }))
		o.resume() // "pending" is stored now, "after" conflicts with it and is decided again
		require.NoError(t, o.results(after)[0])
		require.Equal(t, 3, see(o, func(s *store) int { return s.states[k.id].Unread }))
		require.Equal(t, []string{"after"}, o.notices.bodies())
	})
}

// Goal: a conversation that only fails is replaced; every request is answered.
func TestConversationThatOnlyFailsIsReplaced(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, exploding := o.mined("1")
		for range 2 * stopAt {
			a := o.ask(k.id, exploding)
			switch reply := o.reply(a).(type) {
			case error:
				require.ErrorIs(t, reply, domain.ErrFailed)
			case Results: // it had been loaded again
				require.ErrorIs(t, reply[0].Err, domain.ErrFailed)
			}
		}
		require.Equal(t, 2*stopAt, o.panics())
		require.NoError(t, o.do(k.id, k.says("hello")))
	})
}

// Goal: work that fails to load leaves nothing behind, however much of it.
func TestNothingStaysOfWhatFailed(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		o.change(func(s *store) { s.loadError = domain.ErrUnavailable })
		for i := range 100 {
			k := o.customer(fmt.Sprint(i))
			require.ErrorIs(t, o.do(k.id, k.says("hello")), domain.ErrUnavailable)
		}
		require.Zero(t, o.conversations.Len())
	})
}
