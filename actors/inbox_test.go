package actors

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// register is Identities over the store of a desk. What is remembered answers
// before it, until it is forgotten.
type register struct {
	store *store

	mu         sync.Mutex
	remembered map[domain.Alias]domain.KnownAlias
	forgotten  []domain.Alias
	lookups    []string // messages by which conversations were looked for
	fail       error
	waiting    int           // calls of Known under way
	most       int           // of them at once
	gate       chan struct{} // when not nil, Known waits for it
}

func (r *register) Known(ctx context.Context, _ domain.OrganizationID, _ domain.Provider, aliases []domain.Alias) ([]domain.KnownAlias, error) {
	r.mu.Lock()
	r.waiting++
	r.most = max(r.most, r.waiting)
	gate, err := r.gate, r.fail
	r.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	var known []domain.KnownAlias
	for _, a := range aliases {
		if k, ok := r.remembered[a]; ok {
			known = append(known, k)
		} else if k, ok := r.store.whose(a); ok {
			known = append(known, k)
		}
	}
	return known, err
}

func (r *register) Forget(_ domain.OrganizationID, _ domain.Provider, aliases ...domain.Alias) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten = append(r.forgotten, aliases...)
	for _, a := range aliases {
		delete(r.remembered, a)
	}
}

func (r *register) ConversationOf(_ context.Context, _ domain.ChannelID, message string) (domain.ConversationID, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups = append(r.lookups, message)
	return r.store.conversationOf(message), r.fail
}

// takeForgotten is what was forgotten since the last call.
func (r *register) takeForgotten() []domain.Alias {
	r.mu.Lock()
	defer r.mu.Unlock()
	forgotten := r.forgotten
	r.forgotten = nil
	return forgotten
}

func (s *store) whose(a domain.Alias) (domain.KnownAlias, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, ok := s.aliases[a]
	known := domain.KnownAlias{Alias: a, Contact: owner, ProviderID: s.contacts[owner].ProviderID}
	for alias, contact := range s.aliases {
		if alias.Kind == domain.AliasUserID && contact == owner {
			known.UserIDs = append(known.UserIDs, alias.Value)
		}
	}
	return known, ok
}

func (s *store) conversationOf(message string) domain.ConversationID {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if m.ProviderMessageID == message {
			return m.conversation
		}
	}
	return domain.ConversationID{}
}

// counter is a desk with an inbox.
type counter struct {
	*desk
	inbox    *Inbox
	register *register
}

func atCounter(t *testing.T, test func(t *testing.T, c *counter)) {
	t.Helper()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		r := &register{store: o.store, remembered: map[domain.Alias]domain.KnownAlias{}}
		test(t, &counter{o, NewInbox(o.system, o.conversations, r), r})
	})
}

func number(n string) domain.Alias { return domain.Alias{Kind: domain.AliasNumber, Value: n} }
func userID(n string) domain.Alias { return domain.Alias{Kind: domain.AliasUserID, Value: n} }

// from is an element about a customer with these aliases.
func (c *counter) from(e domain.InboundEvent, aliases ...domain.Alias) domain.Delivery {
	return domain.Delivery{Channel: c.channel, Element: domain.Element{
		Provider: domain.WhatsApp, Customer: domain.Customer{Aliases: aliases, Name: "Robin"}, Event: e,
	}}
}

func says(body string) domain.InboundEvent {
	return domain.CustomerMessage{ProviderID: "wamid." + body, At: time.Now(), Type: domain.TypeText, Body: body}
}

func wrote(body string) domain.InboundEvent {
	return domain.BusinessEcho{ProviderID: "wamid." + body, At: time.Now(), Type: domain.TypeText, Body: body}
}

func seen(body string) domain.InboundEvent {
	return domain.StatusReport{ProviderID: "wamid." + body, At: time.Now(), Status: domain.StatusRead}
}

func (c *counter) deliver(deliveries ...domain.Delivery) []error {
	return c.inbox.Deliver(c.t.Context(), deliveries)
}

func (c *counter) delivered(deliveries ...domain.Delivery) {
	c.t.Helper()
	for _, err := range c.deliver(deliveries...) {
		require.NoError(c.t, err)
	}
}

// thread is the texts of the conversation that the message is in, in order.
func (c *counter) thread(message string) []string {
	id := c.store.conversationOf("wamid." + message)
	return see(c.desk, func(s *store) []string {
		var messages []domain.Message
		for _, m := range s.messages {
			if m.conversation == id {
				messages = append(messages, m.Message)
			}
		}
		slices.SortFunc(messages, func(a, b domain.Message) int { return slices.Compare(a.ID[:], b.ID[:]) })
		var bodies []string
		for _, m := range messages {
			bodies = append(bodies, m.Body)
		}
		return bodies
	})
}

func (c *counter) conversationCount() int {
	return see(c.desk, func(s *store) int { return len(s.states) })
}

func TestDoAnswers(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		k, alice := c.known("1"), c.agent("alice")
		do := func(ctx context.Context, cmd domain.Command) error { return c.inbox.Do(ctx, k.id, cmd) }
		require.NoError(t, do(t.Context(), domain.Accept{By: alice}))
		require.NoError(t, do(t.Context(), domain.Accept{By: alice}), "it is hers already")
		c.refusal(domain.CodeAlreadyAssigned, do(t.Context(), domain.Accept{By: c.agent("bob")}))
		require.ErrorIs(t, do(t.Context(), domain.Accept{}), domain.ErrNotFound, "another organization's")
		var refused *domain.ValueError
		require.ErrorAs(t, do(t.Context(), k.says(poison)), &refused)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.hold()
		require.ErrorIs(t, do(ctx, k.says("late")), domain.ErrOutcomeUnknown)
		require.ErrorIs(t, do(ctx, k.says("later")), domain.ErrUnavailable, "not sent at all")
		c.resume()
		require.Equal(t, []string{"first", "late"}, c.thread("1.first"))

		c.change(func(s *store) { s.admit = domain.ErrUnavailable })
		require.ErrorIs(t, do(t.Context(), k.says("x")), domain.ErrUnavailable)
		c.change(func(s *store) { s.admit = nil })
		require.NoError(t, c.conversations.Close(t.Context()))
		require.ErrorIs(t, do(t.Context(), k.says("x")), domain.ErrUnavailable)
	})
}

func TestDoWhenTheMailboxIsFull(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{MaxResidents: 1}, func(t *testing.T, o *desk) {
		inbox := NewInbox(o.system, o.conversations, &register{store: o.store})
		o.known("1")
		require.ErrorIs(t, inbox.Do(t.Context(), o.customer("2").id, domain.ReleaseIf{}), domain.ErrOverloaded)
	})
}

// Goal: what concerns one customer arrives in the order of the POST; customers
// don't wait for each other, but not all at once.
func TestDeliverKeepsTheOrderOfEachCustomer(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		const customers, each = 200, 5
		c.register.gate = make(chan struct{})
		var deliveries []domain.Delivery
		for i := range customers * each {
			n := i % customers
			deliveries = append(deliveries, c.from(says(fmt.Sprintf("%d.%d", n, i/customers)), number(fmt.Sprint(n))))
		}
		done := make(chan []error)
		go func() { done <- c.deliver(deliveries...) }()
		c.wait()
		require.Equal(t, maxParallel, c.register.most)
		close(c.register.gate)
		for _, err := range <-done {
			require.NoError(t, err)
		}
		require.Equal(t, maxParallel, c.register.most)
		require.Equal(t, customers, c.conversationCount())
		for n := range customers {
			require.Equal(t, []string{
				fmt.Sprint(n, ".0"), fmt.Sprint(n, ".1"), fmt.Sprint(n, ".2"), fmt.Sprint(n, ".3"), fmt.Sprint(n, ".4"),
			}, c.thread(fmt.Sprint(n, ".0")))
		}
		require.Empty(t, c.deliver())
	})
}

func TestDeliverTellsElementsApart(t *testing.T) {
	t.Parallel()
	atCounter(t, func(t *testing.T, c *counter) {
		c.delivered(c.from(says("known"), number("1")))
		errs := c.deliver(
			c.from(says("a"), number("1")), c.from(says(poison), number("1")), c.from(says("b"), number("1")),
			c.from(seen("nothing"), number("2")), c.from(says("known"), number("1")))
		var refused *domain.ValueError
		require.ErrorAs(t, errs[1], &refused)
		require.ErrorIs(t, errs[3], domain.ErrNoTarget)
		require.Equal(t, []error{nil, nil, nil}, []error{errs[0], errs[2], errs[4]})
		require.Equal(t, []string{"known", "a", "b"}, c.thread("known"))

		c.register.fail = domain.ErrUnavailable
		require.ErrorIs(t, c.deliver(c.from(says("c"), number("1")))[0], domain.ErrUnavailable)
		require.ErrorIs(t, c.deliver(c.from(seen("c")))[0], domain.ErrUnavailable)
	})
}
