package actors

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestMessagesOfAConversationGoOutOneByOneInOrder(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.platform.answers(func(platformCall) outcome { return outcome{after: time.Second} })
		o.sends(k, "a", "b", "c")
		o.pass(1500 * time.Millisecond)
		require.Equal(t, []string{"a", "b"}, o.platform.texts("1"))
		o.status("a", domain.StatusSent)
		o.status("b", domain.StatusPending)
		o.pass(2 * time.Second)
		require.Equal(t, []string{"a", "b", "c"}, o.platform.texts("1"))
		for _, text := range []string{"a", "b", "c"} {
			o.status(text, domain.StatusSent)
		}
		require.Nil(t, o.state(k).Outbox)
		o.sound()
	})
}

// state is what is stored of the customer's conversation.
func (o *sendingDesk) state(k customer) domain.Conversation {
	return see(o.desk, func(s *store) domain.Conversation { return s.states[k.id] })
}

// Goal: turns are granted in the order in which they were asked for, on a
// channel that can't keep up, and also to conversations that rest in memory.
func TestTurnsAreInOrder(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = 2 })
		for i := range 12 {
			k := o.held(fmt.Sprint(i))
			o.sends(k, fmt.Sprint(i))
		}
		o.pass(6 * time.Second)
		calls := o.platform.made()
		require.Len(t, calls, 12)
		for i, c := range calls {
			n, err := strconv.Atoi(c.text)
			require.NoError(t, err)
			require.InDelta(t, i, n, 3, "three have their turn at a time")
		}
		o.sound()
	})
}

// Goal: a call is made only once its claim is durable.
func TestNoCallWithoutADurableClaim(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.hold()
		a := o.ask(k.id, o.text("hello"))
		o.step(1) // the message
		require.Len(t, a.replies, 1)
		o.pass(time.Second)
		require.Empty(t, o.platform.made(), "its claim waits for the store")
		o.change(func(s *store) { s.held = false })
		o.store.poke()
		o.wait()
		require.Len(t, o.platform.made(), 1)
		o.status("hello", domain.StatusSent)
		o.sound()
	})
}

// Goal: what came of a call is kept and stored once the store is back, without
// another call.
func TestTheOutcomeOutlivesTheStoresAbsence(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		away := make(chan struct{})
		o.platform.answers(func(platformCall) outcome { return outcome{until: away} })
		o.sends(k, "hello")
		o.away(true)
		close(away)
		o.pass(2 * time.Minute)
		o.status("hello", domain.StatusPending)
		o.away(false)
		o.pass(maxSendRetry + time.Second)
		o.status("hello", domain.StatusSent)
		require.Len(t, o.platform.made(), 1)
		o.sound()
	})
}

// away takes the store away, or brings it back: nothing is admitted, stored or
// loaded meanwhile.
func (o *sendingDesk) away(away bool) {
	o.change(func(s *store) {
		s.admit, s.loadError, s.unavailable = nil, nil, away
		if away {
			s.admit = fmt.Errorf("away: %w", domain.ErrUnavailable)
			s.loadError = s.admit
		}
	})
}

// Goal: a message that can't even be claimed goes out once it can be.
func TestAClaimWaitsForTheStore(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelError })
		o.sends(k, "hello")
		o.away(true)
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelActive })
		o.pass(5 * time.Minute)
		require.Empty(t, o.platform.made())
		o.away(false)
		o.pass(maxSendRetry + grantLife)
		o.status("hello", domain.StatusSent)
		require.Len(t, o.platform.made(), 1)
		o.sound()
	})
}

// Goal: Close waits for the call under way, stores what came of it and makes no
// other.
func TestCloseDuringACall(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k, waiting := o.held("1"), o.held("2")
		answer := make(chan struct{})
		o.platform.answers(func(platformCall) outcome { return outcome{until: answer} })
		o.sends(k, "under way", "behind it")
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelError })
		o.sends(waiting, "waits for a turn")
		closed := make(chan error, 1)
		go func() { closed <- o.conversations.Close(context.Background()) }()
		o.pass(10 * time.Second)
		require.Empty(t, closed)
		require.Equal(t, 1, o.conversations.Len(), "only the one with the call is left")
		close(answer)
		o.wait()
		require.Len(t, closed, 1)
		require.NoError(t, <-closed)
		require.Len(t, o.platform.made(), 1)
		o.status("under way", domain.StatusSent)
		o.status("behind it", domain.StatusPending)
		require.Equal(t, domain.SendQueued, o.row("behind it").SendState)
		require.Equal(t, domain.SendQueued, o.row("waits for a turn").SendState)
		o.sound()
	})
}

// Goal: calls that outlast the time there is to close are given up; they are
// uncertain when they are found again.
func TestCloseGivesUpHangingCalls(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.platform.answers(func(platformCall) outcome { return outcome{after: time.Hour} })
		o.sends(k, "hello")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.Error(t, o.conversations.Close(ctx))
		require.Error(t, o.channels.Close(ctx))
		o.wait()
		require.Equal(t, domain.SendUncertain, o.row("hello").SendState)
		require.NoError(t, o.conversations.Close(context.Background()))
	})
}

// Goal: a conversation that isn't in memory gets its turn all the same.
func TestAPassivatedConversationGetsItsTurn(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{IdleTTL: 2 * time.Second}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelError })
		o.sends(k, "hello")
		o.pass(time.Minute)
		require.Zero(t, o.conversations.Len())
		require.Empty(t, o.platform.made())
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelActive })
		o.pass(2 * recheck)
		o.status("hello", domain.StatusSent)
		o.sound()
	})
}

// Goal: a message that may have gone out is never sent again; late news settles it.
func TestAnUncertainSendIsNotRepeated(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.platform.answers(func(c platformCall) outcome {
			if c.text == "second" {
				return outcome{}
			}
			return outcome{failure: failure(domain.FailureUncertain)}
		})
		o.sends(k, "first", "second")
		o.pass(uncertainPatience - time.Second)
		require.Equal(t, domain.SendUncertain, o.row("first").SendState)
		require.Equal(t, []string{"first"}, o.platform.texts("1"), "the next waits for the verdict")
		o.pass(2 * time.Second)
		o.status("first", domain.StatusFailed)
		require.Equal(t, domain.CodeSendUncertain, o.row("first").ErrorCode)
		o.status("second", domain.StatusSent)

		require.NoError(t, o.do(k.id, k.event(domain.StatusReport{
			ProviderID: "wamid.late", Ours: o.row("first").ID, At: time.Now(), Status: domain.StatusDelivered,
		})))
		o.status("first", domain.StatusDelivered)
		require.Empty(t, o.row("first").ErrorCode)
		require.Equal(t, []string{"first", "second"}, o.platform.texts("1"))
		o.sound()
	})
}

// Goal: who comes after a process that died in a call treats its message as
// uncertain, and sends what was only queued.
func TestACrashDuringACall(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.platform.answers(func(platformCall) outcome { return outcome{after: time.Hour} })
		o.sends(k, "first", "second")
		state, rows := o.state(k), []domain.Message{o.row("first"), o.row("second")}
		require.Equal(t, domain.SendSending, rows[0].SendState)

		next := openSendingDesk(t, DirectoryConfig{})
		next.change(func(s *store) {
			s.states[k.id] = state
			for _, m := range rows {
				s.messages[m.ID] = storedMessage{k.id, m}
			}
		})
		next.registry.mu.Lock()
		next.registry.channels = o.registry.channels
		next.registry.mu.Unlock()
		require.NoError(t, next.conversations.Wake(k.id))
		next.wait()
		require.Equal(t, domain.SendUncertain, next.row("first").SendState)
		next.pass(uncertainPatience + time.Second)
		next.status("first", domain.StatusFailed)
		next.status("second", domain.StatusSent)
		require.Equal(t, []string{"second"}, next.platform.texts("1"))
		next.sound()
		o.platform.answers(nil)
	})
}

// Goal: the resumer finds what nobody works on, and nothing else.
func TestTheResumerWakesWhatIsDue(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelInactive })
		o.sendsWhileInactive(k, "hello")
		o.forgetTurns()
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelActive })
		o.pass(time.Minute)
		require.Empty(t, o.platform.made(), "the channel has forgotten who waits")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- NewResumer(o.conversations, dueSends{o.store}).Run(ctx) }()
		o.pass(time.Second)
		o.status("hello", domain.StatusSent)
		stop()
		require.NoError(t, <-ended)
		o.sound()
	})
}

// sendsWhileInactive puts a message into the outbox that waits for the channel.
func (o *sendingDesk) sendsWhileInactive(k customer, text string) {
	o.t.Helper()
	o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelError })
	o.sends(k, text)
	o.wait()
}

// forgetTurns ends the channel's actor as the failure policy does.
func (o *sendingDesk) forgetTurns() {
	o.t.Helper()
	o.registry.poison(20)
	for range 20 {
		require.NoError(o.t, o.channels.Tell(o.channel.ID, brokenNoted{}))
	}
	o.wait()
	o.registry.poison(0)
}

// Goal: requests with one key, all at once, make one message.
func TestRequestsWithOneKey(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		var askers []*inquirer
		for range 20 {
			send := o.text("once")
			send.Key, send.Hash = "key", []byte{1}
			askers = append(askers, o.ask(k.id, send))
		}
		for _, a := range askers {
			require.Equal(t, []error{nil}, o.results(a))
		}
		require.Equal(t, []string{"once"}, o.platform.texts("1"))
		o.sound()
	})
}
