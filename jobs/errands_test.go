package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestTheHoldersReceiptNamesTheNewestMessage(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		a := w.assigned(on(line, 1))
		e.MarkRead(a, domain.UserID{9})
		require.Empty(t, w.called(), "somebody else has read it")
		e.MarkRead(a, holder)
		require.Equal(t, []string{"read m"}, w.called())
		e.MarkRead(a, holder)
		require.Empty(t, w.called(), "it is shown already")
		w.set(func() { w.newest[a.Conversation] = "m2" })
		w.alter(a, func(v *domain.ConversationView) { v.Unread = 1 })
		e.MarkRead(a, holder)
		require.Empty(t, w.called(), "a message came that nobody has read")
		w.alter(a, func(v *domain.ConversationView) { v.Unread, v.Status = 0, domain.Pending })
		e.MarkRead(a, holder)
		require.Empty(t, w.called(), "it was released")
		w.alter(a, func(v *domain.ConversationView) { v.Status = domain.Assigned })
		e.MarkRead(a, holder)
		require.Equal(t, []string{"read m2"}, w.called())
		require.Equal(t, 2.0, counted(e, kindReceipt, outcomeDone))
		require.Equal(t, 4.0, counted(e, kindReceipt, outcomeSkipped))
	})
}

func TestTypingIsShownWhereItImpliesNothingUntrue(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		a, b := w.assigned(on(page, 1)), w.assigned(on(line, 1))
		w.alter(a, func(v *domain.ConversationView) { v.Unread = 3 })
		w.alter(b, func(v *domain.ConversationView) { v.Unread = 3 })
		e.Typing(a, holder, true)
		e.Typing(b, holder, true)
		require.Equal(t, []string{"typing true 77"}, w.called(), "on WhatsApp it would mark as read what isn't")
		w.alter(b, func(v *domain.ConversationView) { v.Unread = 0 })
		e.Typing(b, holder, true)
		require.Len(t, w.called(), 1)
		e.MarkRead(b, holder)
		require.Empty(t, w.called(), "typing has said so")

		e.Typing(a, domain.UserID{9}, false)
		e.Typing(b, holder, false)
		require.Empty(t, w.called(), "not the holder; WhatsApp can't be told to stop")
		e.Typing(a, holder, true)
		require.Empty(t, w.called(), "it still shows")
		e.Typing(a, holder, false)
		require.Equal(t, []string{"typing false 77"}, w.called())
		e.Typing(a, holder, true)
		<-time.After(typingRepeat)
		e.Typing(a, holder, true)
		require.Len(t, w.called(), 2)
	})
}

func TestFailuresOfErrands(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		a := w.assigned(on(page, 1))
		w.set(func() {
			w.answers = func(string) (string, error) { return "", &domain.CallError{Class: domain.FailureTransient} }
		})
		e.MarkRead(a, holder)
		require.Len(t, w.called(), 1)
		<-time.After(receiptRetry)
		require.Len(t, w.called(), 1, "a receipt is tried once more")
		<-time.After(time.Minute)
		require.Empty(t, w.called())
		e.Typing(a, holder, true)
		<-time.After(time.Minute)
		require.Len(t, w.called(), 1, "typing isn't")
		w.set(func() {
			w.answers = func(string) (string, error) { return "", &domain.CallError{Class: domain.FailurePermanent} }
		})
		e.MarkRead(a, holder)
		<-time.After(time.Minute)
		require.Len(t, w.called(), 1, "no more is what will never do")
		require.Equal(t, 2.0, counted(e, kindReceipt, outcomeFailed))
		require.Equal(t, 1.0, counted(e, kindTyping, outcomeFailed))

		for _, status := range []domain.ChannelStatus{domain.ChannelError, domain.ChannelInactive} {
			off := page
			off.Status = status
			w.set(func() { w.channels[page.ID] = off })
			e.MarkRead(a, holder)
			e.Typing(a, holder, true)
			e.LearnName(a)
			require.Empty(t, w.called(), "a channel that is %s", status)
		}
	})
}

func TestNamesAreAskedForOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		name    string
		err     error
		learned int
		again   time.Duration // when it is asked for again; 0: at no time
	}{
		"told":               {"Dana Okafor", nil, 1, 0},
		"not told":           {"", nil, 0, nameAgain},
		"no profile":         {"", &domain.CallError{Class: domain.FailurePermanent, Code: "100", Subcode: 2018218}, 0, nameAgain},
		"not allowed to see": {"", &domain.CallError{Class: domain.FailureChannel, Code: "200"}, 0, nameAgain},
		"no answer":          {"", &domain.CallError{Class: domain.FailureTransient}, 0, nameRetry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			errands(t, func(w *world, e *Errands) {
				a := w.assigned(on(page, 1))
				w.set(func() { w.answers = func(string) (string, error) { return c.name, c.err } })
				for range 3 {
					e.LearnName(a)
					e.LearnName(a)
					synctest.Wait()
				}
				require.Equal(t, []string{"name 77"}, w.called())
				require.Len(t, w.learned, c.learned)
				<-time.After(max(c.again, nameAgain) - time.Second)
				if c.again == nameAgain {
					e.LearnName(a)
					require.Empty(t, w.called(), "not yet")
				}
				<-time.After(2 * time.Second)
				e.LearnName(a)
				require.Len(t, w.called(), min(1, int(c.again)), "who has a name isn't asked about")
			})
		})
	}
}

func TestANameThatIsBeingAskedForIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		w.hold = make(chan struct{})
		a := w.assigned(on(line, 1))
		e.LearnName(a)
		synctest.Wait()
		e.LearnName(a) // another message came meanwhile
		close(w.hold)
		<-time.After(time.Second)
		require.Equal(t, []string{"name 77"}, w.called())
	})
}

// TestAHangingPlatformCostsOnlyItsChannel: its errands wait and, over the bound,
// are dropped; another channel's are run at once. Closing doesn't wait for it.
func TestAHangingPlatformCostsOnlyItsChannel(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		w.hold = make(chan struct{})
		for i := range maxWaitingOf + runners + 10 {
			e.MarkRead(w.assigned(on(line, i)), holder)
			if i < runners { // these are under way
				<-time.After(time.Second)
				synctest.Wait()
			}
		}
		require.Len(t, w.called(), runners)
		require.Equal(t, runners, w.most[line.ID])
		require.Equal(t, 10.0, counted(e, kindReceipt, outcomeDropped))
		require.Equal(t, float64(maxWaitingOf), e.waitingNow())
		begun := time.Now()
		e.MarkRead(w.assigned(on(page, 1)), holder)
		require.Len(t, w.called(), 1)
		require.Zero(t, time.Since(begun))
	})
}

func TestOneConversationHasOneErrandAtATime(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		w.hold = make(chan struct{})
		a := w.assigned(on(line, 1))
		e.MarkRead(a, holder)
		synctest.Wait()
		for range 10 { // more comes in while it is under way
			e.MarkRead(a, holder)
			e.Typing(a, holder, true)
		}
		synctest.Wait()
		require.Equal(t, 1, w.most[line.ID])
		require.Equal(t, 1.0, e.waitingNow())
		close(w.hold)
		<-time.After(time.Second)
		require.Equal(t, []string{"read m", "typing true 77"}, w.called())
		require.Equal(t, 1, w.most[line.ID])
	})
}

// TestErrandsKeepAPaceOfTheirOwn: a fraction of what the channel may send.
func TestErrandsKeepAPaceOfTheirOwn(t *testing.T) {
	t.Parallel()
	for rate, most := range map[int]int{0: errandRate, 1000: errandRate, 40: 5, 1: 1} {
		errands(t, func(w *world, e *Errands) {
			slow := line
			slow.SendRate = rate
			w.set(func() { w.channels[line.ID] = slow })
			for i := range 60 {
				e.MarkRead(w.assigned(on(line, i)), holder)
			}
			<-time.After(2 * time.Minute)
			require.Len(t, w.called(), 60)
			for i, first := range w.at {
				n := 0
				for _, at := range w.at[i:] {
					if at.Sub(first) < time.Second {
						n++
					}
				}
				require.LessOrEqual(t, n, most, "send rate %d", rate)
			}
		})
	}
}

func TestThrottledErrandsPause(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		w.set(func() {
			w.answers = func(string) (string, error) {
				return "", &domain.CallError{Class: domain.FailureThrottleChannel, RetryAfter: 30 * time.Second}
			}
		})
		e.Typing(w.assigned(on(page, 1)), holder, true)
		require.Len(t, w.called(), 1)
		e.Typing(w.assigned(on(page, 2)), holder, true)
		e.MarkRead(w.assigned(on(page, 3)), holder)
		<-time.After(29 * time.Second)
		require.Empty(t, w.called())
		w.set(func() { w.answers = nil })
		<-time.After(10 * time.Second)
		require.Equal(t, []string{"read m"}, w.called(), "typing is no news any more")
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	var m memory[int]
	for i := range maxRemembered + 100 {
		m.put(domain.ConversationID{byte(i >> 16), byte(i >> 8), byte(i)}, i)
	}
	require.Len(t, m.of, maxRemembered)
	last := maxRemembered + 99
	v, ok := m.get(domain.ConversationID{byte(last >> 16), byte(last >> 8), byte(last)})
	require.True(t, ok)
	require.Equal(t, last, v)
}

func TestNothingIsRunAfterClose(t *testing.T) {
	t.Parallel()
	errands(t, func(w *world, e *Errands) {
		require.NoError(t, e.Close(t.Context()))
		e.MarkRead(w.assigned(on(page, 1)), holder)
		require.Empty(t, w.called())
	})
}
