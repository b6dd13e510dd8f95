package actors

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func (s *store) statusOf(message string) domain.MessageStatus {
	for _, m := range s.messages {
		if m.ProviderMessageID == message {
			return m.Status
		}
	}
	return ""
}

func (o *desk) statusOf(k customer, body string) domain.MessageStatus {
	return see(o, func(s *store) domain.MessageStatus { return s.statusOf(k.named(body)) })
}

// targetLoads is what was asked of messages since the last call.
func (o *desk) targetLoads() []domain.Targets {
	return see(o, func(s *store) []domain.Targets {
		asked := s.asked
		s.asked = nil
		return asked
	})
}

// leaveMemory waits until the conversations have gone, as they do when idle.
func (o *desk) leaveMemory() {
	o.t.Helper()
	<-time.After(2 * time.Minute)
	o.wait()
	require.Zero(o.t, o.conversations.Len())
}

var minuteTTL = DirectoryConfig{IdleTTL: time.Minute}

// Goal: what is about a message that hasn't committed finds it in memory.
func TestTargetsThatAreNotCommitted(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		require.NoError(t, o.do(k.id, k.echo("warm")))
		o.targetLoads()
		o.hold()
		a := o.ask(k.id, k.says("in"),
			k.event(domain.MessageEdited{Target: k.named("in"), At: time.Now(), Body: "edited"}),
			k.event(domain.CustomerReaction{Target: k.named("in"), At: time.Now(), Emoji: "👍"}))
		require.Equal(t, 3, o.queued(), "all decided before the first commit")
		require.Empty(t, o.targetLoads())
		o.resume()
		require.Equal(t, []error{nil, nil, nil}, o.results(a))
		m := see(o, func(s *store) domain.Message {
			for _, m := range s.messages {
				if m.ProviderMessageID == k.named("in") {
					return m.Message
				}
			}
			return domain.Message{}
		})
		require.Equal(t, "edited", m.Body)
		require.Equal(t, "👍", m.Metadata.Reactions["customer"].Emoji)
	})
}

// Goal: what is about stored messages has them loaded, many at once, and only
// when nothing is on its way to the database.
func TestTargetsThatAreStored(t *testing.T) {
	t.Parallel()
	atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
		k := o.known("1")
		require.Equal(t, []error{nil, nil, nil}, o.results(o.ask(k.id, k.echo("a"), k.echo("b"), k.echo("c"))))
		o.leaveMemory()
		o.targetLoads()

		o.hold()
		first := o.ask(k.id, k.says("hello"))
		statuses := o.ask(k.id, k.status("a", domain.StatusDelivered), k.status("b", domain.StatusRead), k.status("a", domain.StatusRead))
		last := o.ask(k.id, k.status("c", domain.StatusFailed), k.says("bye"))
		require.Equal(t, 1, o.queued(), "the rest waits until the first is stored")
		require.Empty(t, o.targetLoads())
		o.step(1)
		require.Equal(t, []error{nil}, o.results(first))
		loads := o.targetLoads()
		require.Len(t, loads, 1)
		require.Equal(t, []string{k.named("a"), k.named("b"), k.named("c")}, loads[0].ProviderIDs)
		o.resume()
		require.Equal(t, []error{nil, nil, nil}, o.results(statuses))
		require.Equal(t, []error{nil, nil}, o.results(last))
		require.Equal(t, domain.StatusRead, o.statusOf(k, "a"))
		require.Equal(t, domain.StatusRead, o.statusOf(k, "b"))
		require.Equal(t, domain.StatusFailed, o.statusOf(k, "c"))
		require.Empty(t, o.targetLoads())
	})
}

func TestWatermarkLoadsTheUnread(t *testing.T) {
	t.Parallel()
	atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
		k := o.known("1")
		require.Equal(t, []error{nil, nil}, o.results(o.ask(k.id, k.echo("a"), k.echo("b"))))
		o.leaveMemory()
		now := time.Now()
		a := o.ask(k.id,
			k.event(domain.Watermark{Status: domain.StatusDelivered, UpTo: now.Add(-time.Second), Named: []string{k.named("a")}}),
			k.event(domain.Watermark{Status: domain.StatusRead, UpTo: now}))
		require.Equal(t, []error{nil, nil}, o.results(a))
		require.Equal(t, domain.StatusRead, o.statusOf(k, "a"))
		require.Equal(t, domain.StatusRead, o.statusOf(k, "b"))
		loads := o.targetLoads()
		require.True(t, loads[len(loads)-1].UnreadUpTo.Equal(now))
	})
}

// Goal: what overtook its message is kept, and known not to be there without
// asking again.
func TestTargetsThatAreUnknown(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		a := o.ask(k.id, k.status("out", domain.StatusDelivered), k.status("out", domain.StatusRead))
		require.Equal(t, 2, o.queued())
		require.Len(t, o.targetLoads(), 1)
		b := o.ask(k.id, k.echo("out"))
		require.Equal(t, 3, o.queued(), "known not to be stored")
		o.resume()
		require.Equal(t, []error{nil, nil}, o.results(a))
		require.Equal(t, []error{nil}, o.results(b))
		require.Equal(t, domain.StatusRead, o.statusOf(k, "out"))

		stranger := o.customer("2")
		require.ErrorIs(t, o.do(stranger.id, stranger.status("out", domain.StatusRead)), domain.ErrNoTarget)
	})
}

// Goal: a POST of 10,000 statuses is served with few loads, whether the
// messages are there or not, and one message is asked for once.
func TestTenThousandStatuses(t *testing.T) {
	t.Parallel()
	name := func(i int) string { return fmt.Sprint("out", i) }
	for _, c := range []struct {
		name   string
		many   int
		stored func(i int) bool
	}{
		{"stored", 10_000, func(int) bool { return true }},
		{"every other", 3_000, func(i int) bool { return i%2 == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
				k := o.known("1")
				var statuses []domain.Command
				o.change(func(s *store) {
					for i := range c.many {
						if c.stored(i) {
							id := domain.MessageID(entropy())
							s.messages[id] = storedMessage{k.id, domain.Message{
								ID: id, Direction: domain.Outbound, Status: domain.StatusSent, ProviderMessageID: k.named(name(i)),
							}}
						}
					}
				})
				for i := range c.many {
					statuses = append(statuses, k.status(name(i), domain.StatusRead))
				}
				for _, err := range o.results(o.ask(k.id, statuses...)) {
					require.NoError(t, err)
				}
				loads := o.targetLoads()
				require.LessOrEqual(t, len(loads), c.many/maxAsked+2)
				asked := 0
				for _, l := range loads {
					require.LessOrEqual(t, len(l.ProviderIDs), maxAsked)
					asked += len(l.ProviderIDs)
				}
				require.Equal(t, c.many, asked)
				read := see(o, func(s *store) (n int) {
					for _, m := range s.messages {
						if m.Status == domain.StatusRead {
							n++
						}
					}
					return n
				})
				wanted := 0
				for i := range c.many {
					if c.stored(i) {
						wanted++
					}
				}
				require.Equal(t, wanted, read)
			})
		})
	}
}

func TestManyStatusesOfOneMessage(t *testing.T) {
	t.Parallel()
	atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
		k := o.known("1")
		require.NoError(t, o.do(k.id, k.echo("out")))
		o.leaveMemory()
		o.targetLoads()
		var statuses []domain.Command
		for range 1000 {
			statuses = append(statuses, k.status("out", domain.StatusRead))
		}
		o.results(o.ask(k.id, statuses...))
		loads := o.targetLoads()
		require.Len(t, loads, 1)
		require.Equal(t, []string{k.named("out")}, loads[0].ProviderIDs)
	})
}

func TestFailedLoadOfMessagesIsAnswered(t *testing.T) {
	t.Parallel()
	atDesk(t, minuteTTL, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.change(func(s *store) { s.targetError = func(domain.Targets) error { return domain.ErrOverloaded } })
		a := o.ask(k.id, k.says("before"), k.status("out", domain.StatusRead), k.says("after"))
		results := o.results(a)
		require.NoError(t, results[0])
		require.ErrorIs(t, results[1], domain.ErrOverloaded)
		require.ErrorIs(t, results[2], domain.ErrOverloaded)
		require.NoError(t, o.do(k.id, k.says("after")))
		o.leaveMemory()
	})
}

// Goal: a command whose target the database refuses to look for is refused
// alone, not with everything else that was looked for at the same time.
func TestRefusedTargetIsBlamedAlone(t *testing.T) {
	t.Parallel()
	const many = 300
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.change(func(s *store) {
			s.targetError = func(t domain.Targets) error {
				if slices.Contains(t.ProviderIDs, k.named(poison)) {
					return fmt.Errorf("load messages: %w", &domain.ValueError{Reason: "22021"})
				}
				return nil
			}
		})
		var statuses []domain.Command
		for i := range many {
			statuses = append(statuses, k.status(fmt.Sprint(i), domain.StatusRead))
		}
		for _, i := range []int{0, 137, many - 1} {
			statuses[i] = k.status(poison, domain.StatusRead)
		}
		for i, err := range o.results(o.ask(k.id, statuses...)) {
			var refused *domain.ValueError
			require.Equal(t, i == 0 || i == 137 || i == many-1, errors.As(err, &refused), "status %d: %v", i, err)
		}
		require.Less(t, len(o.targetLoads()), 60)
	})
}

// Goal: a conversation that never rests doesn't remember ever more messages.
func TestKnownMessagesAreBounded(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		var asked []*inquirer
		for i := range maxKnown + 100 {
			asked = append(asked, o.ask(k.id, k.says(fmt.Sprint(i))))
		}
		require.Equal(t, maxKnown+1, o.queued(), "decides until as much is in memory, and waits then")
		o.step(maxKnown)
		require.Equal(t, 1, o.queued())
		o.step(1)
		require.Equal(t, 99, o.queued(), "and goes on with an empty memory")
		o.resume()
		for _, a := range asked {
			require.Equal(t, []error{nil}, o.results(a))
		}
	})
}
