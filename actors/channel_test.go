package actors

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// peak is the most calls that came within a second.
func peak(calls []platformCall) int {
	most, first := 0, 0
	for i, c := range calls {
		for c.at.Sub(calls[first].at) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// burst has each of n new customers get one text.
func (o *sendingDesk) burst(n int) {
	o.t.Helper()
	for i := range n {
		o.sends(o.held(fmt.Sprint(i)), fmt.Sprint("text ", i))
	}
}

func TestAChannelKeepsItsPaceAndUsesIt(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = 5 })
		o.platform.answers(func(platformCall) outcome { return outcome{after: 20 * time.Millisecond} })
		o.burst(60)
		begun := time.Now()
		for len(o.platform.made()) < 60 {
			o.pass(100 * time.Millisecond)
		}
		require.Equal(t, 5, peak(o.platform.made()))
		require.LessOrEqual(t, time.Since(begun), 11500*time.Millisecond, "60 calls at 5/s are 11 full seconds")
		require.Zero(t, testutil.ToFloat64(o.system.metrics.sends.WithLabelValues(string(domain.FailureThrottleChannel))), "none is turned away")
		o.sound()
	})
}

// Goal: a platform that asks to slow down is left alone for a while, asked
// less, and asked more again as it takes what it gets; no attempt is lost.
func TestAThrottledChannelSlowsDownAndRecovers(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = 20 })
		throttled := failure(domain.FailureThrottleChannel)
		throttled.RetryAfter = 10 * time.Second
		o.platform.answers(func(platformCall) outcome { return outcome{failure: throttled} })
		begun := time.Now()
		o.burst(200)
		o.pass(100 * time.Millisecond)
		tried := len(o.platform.made())
		require.LessOrEqual(t, tried, 22)
		o.platform.answers(nil)
		o.pass(9 * time.Second)
		require.Len(t, o.platform.made(), tried, "it pauses as long as it was asked to")
		o.pass(2 * time.Second)
		calls := o.platform.made()[tried:]
		require.NotEmpty(t, calls)
		require.GreaterOrEqual(t, calls[0].at.Sub(begun), 10*time.Second)
		require.LessOrEqual(t, peak(calls), 12, "half of the rate, and a little more with each success")
		o.pass(2 * time.Minute)
		for i := range 200 {
			o.status(fmt.Sprint("text ", i), domain.StatusSent)
			require.LessOrEqual(t, o.row(fmt.Sprint("text ", i)).Attempts, 1, "being throttled costs no attempt")
		}
		calls = o.platform.made()
		require.Equal(t, 20, peak(calls), "the full rate, in the end")
		o.sound()
	})
}

// Goal: a platform that only fails is left alone, and tried by one call at a time
// until it works.
func TestTheBreakerTriesOneCall(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = 5 })
		o.platform.answers(func(platformCall) outcome {
			return outcome{after: 100 * time.Millisecond, failure: failure(domain.FailureTransient)}
		})
		o.burst(40)
		o.pass(30 * time.Second)
		calls := o.platform.made()
		require.LessOrEqual(t, len(calls), 5+6+6, "what it takes to trip, what had its turn then, and a few trials")
		require.GreaterOrEqual(t, len(calls), 8)
		trials := 0
		for i := 1; i < len(calls); i++ {
			if calls[i].at.Sub(calls[0].at) < 2*time.Second {
				continue // what had its turn
			}
			trials++
			require.GreaterOrEqual(t, calls[i].at.Sub(calls[i-1].at), time.Second, "one trial at a time")
		}
		require.GreaterOrEqual(t, trials, 3)
		o.platform.answers(nil)
		o.pass(2 * time.Minute)
		sent, failed := 0, 0
		for i := range 40 {
			switch m := o.row(fmt.Sprint("text ", i)); m.Status {
			case domain.StatusSent:
				sent++
			case domain.StatusFailed:
				failed++
				require.Equal(t, 3, m.Attempts)
			}
		}
		require.Equal(t, 40, sent+failed)
		require.LessOrEqual(t, failed, 3)
		o.sound()
	})
}

// Goal: a channel that the platform refuses stops, and its sends wait without
// failing; it goes on once the registry says that it works.
func TestABrokenChannelStopsUntilItIsMended(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = 5 })
		o.registry.failing = errors.New("away")
		o.platform.answers(func(platformCall) outcome {
			return outcome{failure: &domain.CallError{Class: domain.FailureChannel, Code: "190", Text: "Session has expired"}}
		})
		o.burst(30)
		o.pass(10 * time.Second)
		require.LessOrEqual(t, len(o.platform.made()), 6)
		require.Empty(t, o.registry.reasons())
		o.registry.mu.Lock()
		o.registry.failing = nil
		o.registry.mu.Unlock()
		o.pass(time.Minute)
		require.Equal(t, []string{"190: Session has expired"}, o.registry.reasons(), "noted once, when it can be")
		tried := len(o.platform.made())
		o.pass(time.Hour)
		require.Len(t, o.platform.made(), tried)
		for i := range 30 {
			o.status(fmt.Sprint("text ", i), domain.StatusPending)
		}

		o.platform.answers(nil)
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelActive })
		o.pass(10 * time.Second)
		for i := range 30 {
			o.status(fmt.Sprint("text ", i), domain.StatusSent)
			require.LessOrEqual(t, o.row(fmt.Sprint("text ", i)).Attempts, 1)
		}
		o.sound()
	})
}

func TestAnInactiveChannelSendsNothing(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		k := o.held("1")
		o.platform.answers(func(platformCall) outcome { return outcome{after: time.Second} })
		o.sends(k, "under way", "waits")
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelInactive })
		o.pass(time.Minute)
		o.status("under way", domain.StatusSent)
		o.status("waits", domain.StatusPending)
		o.refusal(domain.CodeChannelInactive, o.do(k.id, o.text("refused")))
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelActive })
		o.pass(2 * recheck)
		o.pass(2 * recheck)
		o.status("waits", domain.StatusSent)
		o.sound()
	})
}

// Goal: the pair limit holds back the one customer who got too much.
func TestThePairLimitIsOneCustomers(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		much, other := o.held("1"), o.held("2")
		for i := range 50 {
			o.sends(much, fmt.Sprint("much ", i))
		}
		o.pass(time.Second)
		require.Len(t, o.platform.texts("1"), 40)
		o.sends(other, "other")
		o.wait()
		o.status("other", domain.StatusSent)
		o.pass(70 * time.Second)
		require.Len(t, o.platform.texts("1"), 50)
		for i, text := range o.platform.texts("1") {
			require.Equal(t, fmt.Sprint("much ", i), text)
		}
		o.sound()
	})
}

// Goal: videos wait for a limit of their own, and nothing else waits for them.
func TestVideosDoNotHoldUpTexts(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		o.onMessenger()
		for i := range 40 {
			video := o.draft(domain.TypeVideo, "")
			video.Draft.MediaURL = "https://files.example.com/video.mp4"
			require.NoError(t, o.do(o.held(fmt.Sprint("v", i)).id, video))
		}
		for i := range 40 {
			o.sends(o.held(fmt.Sprint("t", i)), fmt.Sprint("text ", i))
		}
		o.pass(500 * time.Millisecond)
		videos := 0
		for _, c := range o.platform.made() {
			if c.to[0] == 'v' {
				videos++
			}
		}
		require.Equal(t, domain.MessengerHeavyRate, videos)
		for i := range 40 {
			o.status(fmt.Sprint("text ", i), domain.StatusSent)
		}
		o.pass(4 * time.Second)
		require.Len(t, o.platform.made(), 80)
		o.sound()
	})
}

// onMessenger makes the channel a page.
func (o *sendingDesk) onMessenger() {
	o.channel.Provider = domain.Messenger
	o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Provider = domain.Messenger })
}

// Goal: a turn that wasn't used in time is somebody else's; its holder asks again.
func TestUnusedTurnsRunOut(t *testing.T) {
	t.Parallel()
	atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
		o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = 2 })
		slow := o.held("1")
		o.hold()
		a := o.ask(slow.id, o.text("slow"))
		o.step(1) // the message; its claim takes long
		require.Len(t, a.replies, 1)
		o.pass(3 * grantLife)
		require.Empty(t, o.platform.made())
		o.resume()
		o.pass(5 * time.Second)
		o.status("slow", domain.StatusSent)
		require.Equal(t, 1, o.row("slow").Attempts)
		require.Len(t, o.platform.made(), 1)
		o.burst(10)
		o.pass(6 * time.Second)
		require.Len(t, o.platform.made(), 11, "no turn was lost")
		o.sound()
	})
}

// Goal: a panic in the channel costs nobody more than time.
func TestAPanicInTheChannel(t *testing.T) {
	t.Parallel()
	for _, panics := range []int{1, 3, 12} { // dropped, told to reload, stopped
		t.Run(fmt.Sprint(panics), func(t *testing.T) {
			t.Parallel()
			atSendingDesk(t, DirectoryConfig{}, func(t *testing.T, o *sendingDesk) {
				o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = 2 })
				o.burst(10) // more wait for turns and for their places
				o.registry.poison(panics)
				for range panics {
					require.NoError(t, o.channels.Tell(o.channel.ID, brokenNoted{}))
				}
				o.wait()
				o.registry.poison(0)
				for i := range 10 {
					require.NoError(t, o.conversations.Wake(o.customer(fmt.Sprint(i)).id), "as the resumer does")
				}
				o.pass(time.Minute)
				for i := range 10 {
					o.status(fmt.Sprint("text ", i), domain.StatusSent)
				}
				require.Len(t, o.platform.made(), 10)
				require.Empty(t, o.platform.problems)
			})
		})
	}
}
