package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// race has agents on all nodes accept each of n new conversations at once, and
// checks that one of them has it and the others were told who. Who is told that
// it certainly was not done asks again.
func (f *fleet) race(n, agents int) {
	f.t.Helper()
	winners := make([][]string, n)
	holders := make([][]domain.UserID, n)
	var mu sync.Mutex
	var running sync.WaitGroup
	for i := range n {
		k := f.known(fmt.Sprint("race", f.view.Number, ".", i))
		for a := range agents {
			inbox := NewInbox(f.on(a).system, f.on(a).conversations, nil)
			running.Go(func() {
				<-time.After(rand.N(time.Millisecond))
				by := f.agent(fmt.Sprint("agent", a))
				err := inbox.Do(context.Background(), k.id, domain.Accept{By: by})
				for errors.Is(err, domain.ErrUnavailable) {
					<-time.After(time.Millisecond)
					err = inbox.Do(context.Background(), k.id, domain.Accept{By: by})
				}
				mu.Lock()
				defer mu.Unlock()
				var refusal *domain.Refusal
				switch {
				case err == nil:
					winners[i] = append(winners[i], by.Name)
				case errors.As(err, &refusal):
					holders[i] = append(holders[i], refusal.Holder)
				default:
					f.t.Errorf("accept: %v", err)
				}
			})
		}
	}
	running.Wait()
	for i := range n {
		require.Len(f.t, winners[i], 1)
		require.Len(f.t, holders[i], agents-1)
		for _, h := range holders[i] {
			require.Equal(f.t, f.agent(winners[i][0]).User, h, "losers are told who")
		}
	}
}

// on is one of the nodes that live.
func (f *fleet) on(n int) *sendingDesk { return f.desks[string(rune('a'+n%len(f.desks)))] }

func TestOneOfThreeNodesAgentsWins(t *testing.T) {
	t.Parallel()
	atFleet(t, func(_ *testing.T, f *fleet) { f.race(20, 12) })
}

// Goal: the same while nodes come and go, and learn of it at different times.
func TestOneWinsWhileNodesComeAndGo(t *testing.T) {
	t.Parallel()
	atFleet(t, func(_ *testing.T, f *fleet) {
		stop := make(chan struct{})
		var running sync.WaitGroup
		running.Go(func() {
			views := [][]string{{"a", "b"}, {"b", "c"}, {"a", "b", "c"}, {"c"}, {"a", "c"}}
			for i := 0; ; i++ {
				v := testView{Number: int64(1000 + i), Nodes: views[i%len(views)], Going: []string{"a", "b", "c"}}
				for _, addr := range []string{"a", "b", "c"} {
					f.net.setView(v, addr)
					select {
					case <-stop:
						return
					case <-time.After(rand.N(500 * time.Microsecond)):
					}
				}
			}
		})
		for range 5 {
			f.race(10, 9)
		}
		close(stop)
		running.Wait()
	})
}

// Goal: nodes that don't hear of each other and all believe that they own
// everything do no harm: the fence decides.
func TestOneWinsAmongOwners(t *testing.T) {
	t.Parallel()
	atFleet(t, func(_ *testing.T, f *fleet) {
		f.eachForItself()
		f.race(20, 12)
	})
}

func (f *fleet) eachForItself() {
	f.view.Number++
	for addr := range f.desks {
		f.net.setView(testView{Number: f.view.Number, Nodes: []string{addr}}, addr)
	}
}

// Goal: texts of conversations that several nodes believe to own, in turn, go
// out once and in order.
func TestSeveralOwnersSendOnce(t *testing.T) {
	t.Parallel()
	atFleet(t, func(t *testing.T, f *fleet) {
		k := f.held("1")
		f.platform.answers(func(platformCall) outcome { return outcome{after: 300 * time.Millisecond} })
		f.eachForItself()
		var want []string
		for i := range 12 {
			text := fmt.Sprint("text ", i)
			want = append(want, text)
			f.on(i).sends(k, text)
			f.pass(time.Duration(i%4) * 100 * time.Millisecond)
		}
		f.pass(10 * time.Minute)
		require.Equal(t, want, f.platform.texts("1"))
		require.Empty(t, f.state(k).Outbox)
		f.sound()
	})
}

// hanging has the calls wait until the test lets them go on.
func (f *fleet) hanging(failed *domain.CallError) (goOn func()) {
	until := make(chan struct{})
	f.platform.answers(func(c platformCall) outcome {
		if c.text != "hangs" || c.nth > 1 {
			return outcome{}
		}
		return outcome{until: until, failure: failed}
	})
	return func() { close(until) }
}

// Goal: a call that is under way while its conversation moves is stored by the
// node that made it, and the new owner goes on at once.
func TestACallOutlivesTheMoveOfItsConversation(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]*domain.CallError{
		"sent": nil, "failed": failure(domain.FailureTransient), "refused": failure(domain.FailurePermanent),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			atFleet(t, func(t *testing.T, f *fleet) {
				k := f.customerOf("b")
				goOn := f.hanging(failed)
				f.sends(k, "hangs")
				require.Equal(t, domain.SendSending, f.row("hangs").SendState)
				f.setView("a", "c")
				f.sends(k, "next")
				f.pass(10 * time.Second)
				require.Equal(t, domain.SendSending, f.row("hangs").SendState, "the new owner leaves it alone")
				require.Equal(t, 1, f.desks["b"].conversations.Len(), "it stays until the call is over")
				goOn()
				f.pass(3 * time.Second)
				require.Zero(t, f.desks["b"].conversations.Len())
				switch name {
				case "sent":
					f.status("hangs", domain.StatusSent)
				case "failed":
					f.status("hangs", domain.StatusSent)
					require.Equal(t, []string{"hangs", "hangs", "next"}, f.platform.texts(k.number), "tried again by the new owner")
				case "refused":
					f.status("hangs", domain.StatusFailed)
				}
				f.status("next", domain.StatusSent)
				f.sound()
			})
		})
	}
}

// Goal: the claim of a node that died is uncertain once no node can be at it any
// more, and what waits behind it goes out.
func TestTheClaimOfADeadNodeEnds(t *testing.T) {
	t.Parallel()
	atFleet(t, func(t *testing.T, f *fleet) {
		f.channelAt("a")
		k := f.customerOf("b")
		defer f.hanging(nil)()
		f.sends(k, "hangs", "next")
		begun := time.Now()
		f.kill("b")
		f.setView("a", "c")
		require.NoError(t, f.conversations.Wake(k.id))
		f.pass(testClaimLife - time.Second)
		require.Equal(t, domain.SendSending, f.row("hangs").SendState)
		f.pass(2 * time.Second)
		require.Equal(t, domain.SendUncertain, f.row("hangs").SendState)
		f.pass(uncertainPatience + time.Second)
		f.status("hangs", domain.StatusFailed)
		f.status("next", domain.StatusSent)
		calls := f.platform.made()
		require.Len(t, calls, 2)
		require.GreaterOrEqual(t, calls[1].at.Sub(begun), testClaimLife+uncertainPatience)
	})
}

// Goal: an alarm that was set for one message keeps no other waiting.
func TestNewsEndTheWaitForAMessage(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.platform.answers(func(c platformCall) outcome {
			if c.text == "first" {
				return outcome{failure: failure(domain.FailureUncertain)}
			}
			return outcome{}
		})
		o.sends(k, "first", "second")
		first := o.row("first")
		require.NoError(t, o.do(k.id, k.event(domain.StatusReport{
			ProviderID: "wamid.first", Ours: first.ID, At: time.Now(), Status: domain.StatusDelivered,
		})))
		o.wait()
		o.status("first", domain.StatusDelivered)
		o.status("second", domain.StatusSent)
		o.sound()
	})
}

// Goal: a channel that moves goes on where it was: nothing stands still, and no
// second at the platform has more.
func TestAChannelKeepsItsPaceWhenItMoves(t *testing.T) {
	t.Parallel()
	atFleet(t, func(t *testing.T, f *fleet) {
		f.channelAt("b")
		f.registry.set(f.channel.ID, func(ch *domain.Channel) { ch.SendRate = 5 })
		f.platform.answers(func(platformCall) outcome { return outcome{after: 20 * time.Millisecond} })
		f.burst(60)
		begun := time.Now()
		views := [][]string{{"a", "c"}, {"a", "b", "c"}}
		for i := 0; len(f.platform.made()) < 60; i++ {
			f.pass(100 * time.Millisecond)
			if i%13 == 7 {
				f.setView(views[i/13%len(views)]...)
			}
			require.Less(t, time.Since(begun), time.Minute)
		}
		require.LessOrEqual(t, peak(f.platform.made()), 5)
		require.LessOrEqual(t, time.Since(begun), 13*time.Second, "60 calls at 5/s are 11 full seconds")
		f.pass(time.Second)
		f.sound()
	})
}

// Goal: who waits for a turn of a channel whose node died asks the new one at
// once.
func TestADeadChannelsTurnsAreAskedForAgain(t *testing.T) {
	t.Parallel()
	atFleet(t, func(t *testing.T, f *fleet) {
		f.channelAt("b")
		f.registry.set(f.channel.ID, func(ch *domain.Channel) { ch.SendRate = 2 })
		var people []customer
		for i := range 12 {
			people = append(people, f.customerOf([]string{"a", "c"}[i%2]))
			f.sends(people[i], fmt.Sprint("text ", i))
		}
		f.pass(time.Second)
		before := len(f.platform.made())
		require.Less(t, before, 8)
		f.kill("b")
		f.pass(4 * time.Second)
		require.Len(t, f.platform.made(), before, "nobody grants turns meanwhile")
		f.setView("a", "c")
		f.pass(time.Second)
		require.Greater(t, len(f.platform.made()), before)
		f.pass(10 * time.Second)
		require.Len(t, f.platform.made(), 12)
		require.Empty(t, f.platform.problems)
	})
}

// Goal: each node wakes what it owns, and what a dead node left is woken as soon
// as that is known.
func TestResumersWakeWhatTheyOwn(t *testing.T) {
	t.Parallel()
	atFleet(t, func(t *testing.T, f *fleet) {
		f.channelAt("a")
		f.registry.set(f.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelError })
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		for _, o := range f.desks {
			running.Go(func() {
				if err := NewResumer(o.conversations, dueSends{o.store}).Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		for _, addr := range []string{"a", "b", "c", "a", "b", "c"} {
			k := f.customerOf(addr)
			f.sends(k, "text for "+k.number)
		}
		f.pass(time.Minute)
		for addr, o := range f.desks {
			require.Equal(t, 2, o.conversations.Len(), addr)
			require.Zero(t, f.net.nodes[addr].wakes, "nobody wakes what is another's")
		}
		f.kill("b")
		f.pass(time.Minute)
		f.setView("a", "c")
		f.pass(time.Second)
		require.Equal(t, 6, f.desks["a"].conversations.Len()+f.desks["c"].conversations.Len())
		f.registry.set(f.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelActive })
		f.pass(5 * time.Second)
		require.Len(t, f.platform.made(), 6)
		stop()
		running.Wait()
	})
}

// Goal: when the connection breaks on which a call asked for its place, the call
// isn't made, at the cost of no attempt, and the channel counts it no longer.
func TestABrokenConnectionEndsTheWaitForADeparture(t *testing.T) {
	t.Parallel()
	atFleet(t, func(t *testing.T, f *fleet) {
		f.channelAt("b")
		f.registry.set(f.channel.ID, func(ch *domain.Channel) { ch.SendRate = 1 })
		k := f.customerOf("a")
		f.hold()
		a := f.ask(k.id, f.text("hello"))
		f.step(1) // the message; its claim waits for the store
		f.results(a)
		b, a2b := f.net.nodes["b"], f.net.nodes["a"]
		b.cutTo("a", true) // replies of b don't arrive
		f.step(1)
		require.Empty(t, f.platform.made())
		a2b.lost("b")
		b.cutTo("a", false)
		f.resume()
		f.pass(5 * time.Second)
		f.status("hello", domain.StatusSent)
		require.Equal(t, 1, f.row("hello").Attempts)
		require.Len(t, f.platform.made(), 1)
		f.sound()
	})
}

// Goal: a webhook's elements whose outcome is unknown because a connection broke
// are asked for once more, and stored once.
func TestABrokenConnectionCostsAWebhookNothing(t *testing.T) {
	t.Parallel()
	atFleet(t, func(t *testing.T, f *fleet) {
		k := f.customerOf("b")
		f.hold()
		inbox := NewInbox(f.system, f.conversations, &register{store: f.store, remembered: map[domain.Alias]domain.KnownAlias{}})
		done := make(chan []error, 1)
		go func() {
			done <- inbox.Deliver(context.Background(), []domain.Delivery{{
				Channel: f.channel, Element: domain.Element{Conversation: k.id, Customer: k.origin.Customer, Event: k.says("hello").Event},
			}})
		}()
		f.wait()
		f.net.nodes["a"].lost("b")
		f.wait()
		require.Empty(t, done)
		f.resume()
		require.Equal(t, []error{nil}, <-done)
		require.Equal(t, 1, see(f.desk, func(s *store) int { return s.stored[k.named("hello")] }))
	})
}
