package actors

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// remember makes the register answer from an old memory.
func (c *counter) remember(a domain.Alias, owner domain.ContactID, userIDs ...string) {
	c.register.remembered[a] = domain.KnownAlias{Alias: a, Contact: owner, ProviderID: a.Value, UserIDs: userIDs}
}

func (c *counter) owner(a domain.Alias) domain.ContactID {
	return see(c.desk, func(s *store) domain.ContactID { return s.aliases[a] })
}

// Goal: a customer who has had a conversation gets into it by any alias, and what is
// remembered of aliases is forgotten exactly when a new one is claimed.
func TestRouteByAliases(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(c.from(says("by number"), number("1")))
		require.Equal(t, []domain.Alias{number("1")}, c.register.takeForgotten(), "claimed just now")
		c.delivered(c.from(says("again"), number("1")))
		require.Empty(t, c.register.takeForgotten())
		c.delivered(c.from(says("with user id"), userID("u"), number("1")))
		require.Equal(t, []domain.Alias{userID("u"), number("1")}, c.register.takeForgotten())
		c.delivered(c.from(says("by user id"), userID("u")))
		require.Empty(t, c.register.takeForgotten())
		require.Equal(t, []string{"by number", "again", "with user id", "by user id"}, c.thread("by number"))

		c.delivered(c.from(says("new owner of the number"), userID("v"), number("1")))
		require.Equal(t, []domain.Alias{userID("v"), number("1")}, c.register.takeForgotten())
		require.Equal(t, []string{"new owner of the number"}, c.thread("new owner of the number"))
		require.Equal(t, c.owner(userID("v")), c.owner(number("1")))
		require.Equal(t, 2, c.conversationCount())
		require.Empty(t, c.register.lookups)
	})
}

// Goal: of one POST, elements with the same person's aliases are one thread and
// claim them together.
func TestAliasesOfOneThreadAreUnited(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(
			c.from(says("a"), userID("u")), c.from(says("b"), userID("u"), number("1")), c.from(says("c"), userID("u")))
		require.Equal(t, []string{"a", "b", "c"}, c.thread("a"))
		require.Equal(t, c.owner(userID("u")), c.owner(number("1")))
	})
}

// Goal: an alias that is remembered wrong costs one detour.
func TestMisroutedOnceGoesToTheOwner(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(c.from(says("old"), userID("u"), number("1")))
		c.remember(number("1"), domain.ContactID(entropy())) // whose it was long ago
		c.register.takeForgotten()
		c.delivered(c.from(says("new"), number("1")))
		require.Equal(t, []string{"old", "new"}, c.thread("old"))
		require.Equal(t, 1, c.conversationCount(), "nothing was begun for the wrong one")
		require.Equal(t, []domain.Alias{number("1")}, c.register.takeForgotten())
	})
}

// Goal: what is sent on twice stays where it is then, without claiming anything:
// an element never bounces.
func TestMisroutedForEverStaysInTheEnd(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(c.from(says("old"), userID("u"), number("1")))
		owner := c.owner(number("1"))
		stubborn := &stubbornRegister{register: c.register, says: domain.KnownAlias{
			Alias: number("1"), Contact: domain.ContactID(entropy()), ProviderID: "1",
		}}
		inbox := NewInbox(c.system, c.conversations, stubborn)
		c.register.takeForgotten()
		for _, err := range inbox.Deliver(t.Context(), []domain.Delivery{c.from(says("a"), number("1")), c.from(says("b"), number("1"))}) {
			require.NoError(t, err)
		}
		require.Equal(t, maxDetours+1, stubborn.asked)
		require.Equal(t, []domain.Alias{number("1"), number("1")}, c.register.takeForgotten(), "once for each detour")
		require.Equal(t, []string{"a", "b"}, c.thread("a"), "not lost, and in order")
		require.Equal(t, owner, c.owner(number("1")), "nothing was taken from its owner")
	})
}

// stubbornRegister is one whose memory nothing cures.
type stubbornRegister struct {
	*register
	says  domain.KnownAlias
	asked int
}

func (r *stubbornRegister) Known(context.Context, domain.OrganizationID, domain.Provider, []domain.Alias) ([]domain.KnownAlias, error) {
	r.asked++
	return []domain.KnownAlias{r.says}, nil
}

// Goal: statuses find their conversation by the customer, by the id that we sent
// along, or by the message; what none of them tells has no target.
func TestRouteOfStatuses(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(c.from(wrote("out"), userID("u")))
		id := c.store.conversationOf("wamid.out")
		status := func(s domain.MessageStatus) domain.InboundEvent {
			return domain.StatusReport{ProviderID: "wamid.out", Status: s}
		}
		is := func(want domain.MessageStatus) {
			t.Helper()
			require.Equal(t, want, see(c.desk, func(s *store) domain.MessageStatus {
				return s.statusOf("wamid.out")
			}))
		}
		is(domain.StatusSent)
		c.delivered(c.from(status(domain.StatusDelivered), number("unknown")))
		is(domain.StatusDelivered)
		require.Equal(t, []string{"wamid.out"}, c.register.lookups)

		named := c.from(status(domain.StatusRead), number("unknown"))
		named.Element.Conversation = id
		c.delivered(named)
		is(domain.StatusRead)
		require.Len(t, c.register.lookups, 1, "told by what we sent along")

		noted := domain.Watermark{Status: domain.StatusRead}
		for _, d := range []domain.Delivery{
			c.from(seen("nobody's"), number("unknown")), c.from(seen("nobody's")),
			c.from(noted, number("unknown")), c.from(noted), c.from(domain.SystemNotice{ProviderID: "s"}, number("unknown")),
		} {
			require.ErrorIs(t, c.deliver(d)[0], domain.ErrNoTarget)
		}
		require.Equal(t, 1, c.conversationCount(), "none of them begins a conversation")
		require.NoError(t, c.deliver(c.from(seen("out")))[0], "a message id alone tells")
	})
}

// Goal: statuses of one unknown customer find their conversation also when
// another app wrote some of the messages; looking for it is bounded.
func TestStatusesOfAnUnknownCustomerFindTheirConversation(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(c.from(wrote("ours"), userID("u")))
		c.delivered(
			c.from(seen("theirs"), number("unknown")), c.from(seen("theirs"), number("unknown")), c.from(seen("ours"), number("unknown")))
		require.Equal(t, []string{"wamid.theirs", "wamid.ours"}, c.register.lookups)

		c.register.lookups = nil
		var deliveries []domain.Delivery
		for i := range 1000 {
			deliveries = append(deliveries, c.from(seen(fmt.Sprint(i)), number("unknown")))
		}
		for _, err := range c.deliver(deliveries...) {
			require.ErrorIs(t, err, domain.ErrNoTarget)
		}
		require.Len(t, c.register.lookups, maxLookups)
	})
}

// Goal: the platform's own notices are kept in the thread they are about.
func TestSystemNoticesAreKept(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(c.from(says("hello"), number("1")))
		c.delivered(c.from(domain.SystemNotice{ProviderID: "s", Body: "changed number"}, number("1")))
		require.Equal(t, []string{"hello", "changed number"}, c.thread("hello"))
	})
}

// Goal: an element that breaks the rules breaks itself alone.
func TestElementThatPanicsIsAlone(t *testing.T) {
	t.Parallel()
	for _, resident := range []bool{true, false} {
		atCounter(t, func(t *testing.T, c *counter) {
			k, _ := c.mined("1")
			if resident {
				require.NoError(t, c.do(k.id, domain.ReleaseIf{}))
			}
			mine := says("mine").(domain.CustomerMessage)
			mine.ProviderID = k.named("mine")
			errs := c.deliver(c.from(says("before"), number("1")), c.from(mine, number("1")), c.from(says("after"), number("1")))
			require.ErrorIs(t, errs[1], domain.ErrFailed)
			require.Equal(t, []error{nil, nil}, []error{errs[0], errs[2]})
			require.Equal(t, []string{"first", "before", "after"}, c.thread("before"))
		})
	}
}
