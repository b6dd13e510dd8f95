package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// updates is the conversation.updated notices, and clears the log.
func (o *desk) updates() []told {
	o.wait()
	updates := o.notices.named(domain.EventConversationUpdated)
	o.notices.forget()
	return updates
}

// activity is a message, at another time than the one before.
func (o *desk) activity(k customer, body string) {
	o.t.Helper()
	<-time.After(time.Millisecond)
	require.NoError(o.t, o.do(k.id, k.says(body)))
}

func (o *desk) versionOf(k customer) int64 {
	return see(o, func(s *store) int64 { return s.states[k.id].Version })
}

func version(n told) int64 { return n.Payload.(domain.ConversationUpdated).Version }

// Goal: a customer who writes all the time makes one conversation.updated a
// second, and the last state of it isn't lost.
func TestMereActivityIsToldOncePerSecond(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		for i := range 50 { // within five seconds
			require.NoError(t, o.do(k.id, k.says(fmt.Sprint(i))))
			<-time.After(100 * time.Millisecond)
		}
		<-time.After(1100 * time.Millisecond)
		require.Len(t, o.notices.bodies(), 50, "messages are told one by one")
		updates := o.updates()
		require.GreaterOrEqual(t, len(updates), 5)
		for i, n := range updates[1:] {
			require.GreaterOrEqual(t, n.at.Sub(updates[i].at), activityInterval)
			require.Greater(t, version(n), version(updates[i]))
		}
		require.Equal(t, o.versionOf(k), version(updates[len(updates)-1]), "the last one tells the last state")
		<-time.After(time.Minute)
		require.Empty(t, o.updates(), "nothing is told twice")
	})
}

func TestHeldActivityIsToldByTheWheel(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.activity(k, "a")
		o.activity(k, "b")
		o.activity(k, "c")
		require.Len(t, o.updates(), 1, "the first at once")
		<-time.After(activityInterval - 3*time.Millisecond)
		require.Empty(t, o.updates())
		<-time.After(110 * time.Millisecond) // a tick of the wheel, and a little
		updates := o.updates()
		require.Len(t, updates, 1)
		require.Equal(t, o.versionOf(k), version(updates[0]))
	})
}

// Goal: news is told at once, and takes the place of the activity that was held.
func TestNewsSupersedesHeldActivity(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.activity(k, "a")
		o.activity(k, "b")
		require.Len(t, o.updates(), 1)
		require.NoError(t, o.do(k.id, domain.Accept{By: o.agent("alice")}))
		updates := o.updates()
		require.Len(t, updates, 1)
		require.Equal(t, domain.Assigned, updates[0].Payload.(domain.ConversationUpdated).Status)
		require.NoError(t, o.do(k.id, domain.Release{By: o.agent("alice")}))
		require.Len(t, o.updates(), 1, "news never waits")
		<-time.After(time.Minute)
		require.Empty(t, o.updates(), "the held one would tell less")
		o.activity(k, "c")
		require.Len(t, o.updates(), 1)
	})
}

func TestHeldActivityIsToldBeforeLeaving(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(o *desk, k customer){
		"idle":  func(*desk, customer) { <-time.After(500 * time.Millisecond) },
		"close": func(o *desk, _ customer) { require.NoError(o.t, o.conversations.Close(o.t.Context())) },
		"storage away": func(o *desk, k customer) {
			o.hold()
			o.ask(k.id, k.says("c"))
			var verdicts []func()
			o.change(func(s *store) {
				breakWith(s.queue[0], domain.Verdict{Outcome: domain.Unavailable}, &verdicts)
			})
			verdicts[0]()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			atDesk(t, DirectoryConfig{IdleTTL: 300 * time.Millisecond}, func(t *testing.T, o *desk) {
				k := o.known("1")
				o.activity(k, "a")
				o.activity(k, "b")
				require.Len(t, o.updates(), 1)
				stored := o.versionOf(k)
				leave(o, k)
				updates := o.updates()
				require.Zero(t, o.conversations.Len())
				require.Len(t, updates, 1)
				require.Equal(t, stored, version(updates[0]))
			})
		})
	}
}
