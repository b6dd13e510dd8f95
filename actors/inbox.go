package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// Identities knows whose the aliases of customers are.
type Identities interface {
	// Known is what is stored of the aliases.
	Known(ctx context.Context, organization domain.OrganizationID, provider domain.Provider, aliases []domain.Alias) ([]domain.KnownAlias, error)
	// Forget drops what is remembered of the aliases: it has proved wrong or
	// has just changed.
	Forget(organization domain.OrganizationID, provider domain.Provider, aliases ...domain.Alias)
	// ConversationOf is the conversation on the channel that has the message;
	// the zero id when none has.
	ConversationOf(ctx context.Context, channel domain.ChannelID, providerMessageID string) (domain.ConversationID, error)
}

// Inbox is the way to conversations for those who aren't actors: REST calls and
// webhooks.
type Inbox struct {
	system        *System
	conversations *Conversations
	identities    Identities
}

// NewInbox makes the inbox.
func NewInbox(s *System, conversations *Conversations, identities Identities) *Inbox {
	return &Inbox{system: s, conversations: conversations, identities: identities}
}

// Do asks a conversation for one thing and waits for the answer: nil when it is
// done and durable, or when nothing had to change; a *domain.Refusal;
// domain.ErrNotFound; domain.ErrOverloaded or domain.ErrUnavailable when it
// certainly was not done; domain.ErrOutcomeUnknown when ctx ended first; a
// *domain.ValueError when the database refuses a value; domain.ErrFailed when a
// bug of ours broke it.
func (b *Inbox) Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error {
	results, err := b.ask(ctx, id, []domain.Command{cmd})
	if err != nil {
		return err
	}
	return results[0].Err
}

// Send writes an outbound message and returns its id when it is durable: of the
// new one, or of the one that an earlier request with the same key made. Errors
// are as Do's.
func (b *Inbox) Send(ctx context.Context, id domain.ConversationID, cmd domain.Send) (domain.MessageID, error) {
	results, err := b.ask(ctx, id, []domain.Command{cmd})
	if err != nil {
		return domain.MessageID{}, err
	}
	return results[0].Message, results[0].Err
}

func (b *Inbox) ask(ctx context.Context, id domain.ConversationID, commands []domain.Command) (Results, error) {
	trace := b.system.trace(ctx)
	reply, err := b.system.Ask(ctx, func(replyTo *actor.PID) {
		if err := b.conversations.Tell(id, Request{Commands: commands, Replies: replyTo, Trace: trace}); err != nil {
			b.system.Reply(replyTo, err)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("conversation: %w", err)
	}
	results, ok := reply.(Results)
	if !ok || len(results) != len(commands) {
		return nil, fmt.Errorf("conversation answered a %T to %d commands", reply, len(commands))
	}
	return results, nil
}

// maxParallel bounds the customers of one POST that are served at once.
const maxParallel = 64

// Deliver hands the elements of one POST to their conversations and returns,
// for each, when it is durable: nil; domain.ErrNoTarget, domain.ErrFailed or a
// *domain.ValueError, which no repetition cures; or a passing error.
// What concerns one customer arrives in the given order; different customers
// don't wait for each other.
func (b *Inbox) Deliver(ctx context.Context, deliveries []domain.Delivery) []error {
	errs := make([]error, len(deliveries))
	threads := threadsOf(deliveries)
	if len(threads) == 1 {
		b.deliver(ctx, threads[0], errs)
		return errs
	}
	var running sync.WaitGroup
	free := make(chan struct{}, maxParallel)
	for _, t := range threads {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			b.deliver(ctx, t, errs)
		})
	}
	running.Wait()
	return errs
}

// thread is the deliveries of one POST that go to one conversation.
type thread struct {
	channel      domain.Channel
	conversation domain.ConversationID // zero: by the customer
	customer     domain.Customer
	events       []domain.InboundEvent
	customers    []domain.Customer // for each event
	indexes      []int             // of each event in the POST
}

type threadKey struct {
	channel      domain.ChannelID
	conversation domain.ConversationID
	alias        domain.Alias
	message      string // for what only a message id tells
}

// threadsOf groups deliveries by conversation, as far as can be told before
// identities are resolved: two threads may still meet in one.
func threadsOf(deliveries []domain.Delivery) []*thread {
	var threads []*thread
	byKey := map[threadKey]*thread{}
	for i, d := range deliveries {
		key := threadKey{channel: d.Channel.ID, conversation: d.Element.Conversation}
		if len(d.Element.Customer.Aliases) > 0 {
			key.alias = d.Element.Customer.Aliases[0]
		} else if key.conversation.IsZero() {
			key.message = targetOf(d.Element.Event)
		}
		t := byKey[key]
		if t == nil {
			t = &thread{channel: d.Channel, conversation: d.Element.Conversation, customer: d.Element.Customer}
			byKey[key] = t
			threads = append(threads, t)
		}
		t.events = append(t.events, d.Element.Event)
		t.customers = append(t.customers, d.Element.Customer)
		t.indexes = append(t.indexes, i)
		t.customer.Aliases = union(t.customer.Aliases, d.Element.Customer.Aliases)
	}
	return threads
}

func union(a, b []domain.Alias) []domain.Alias {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(slices.Clip(a), x)
		}
	}
	return a
}

// targetOf is the message that an event is about.
func targetOf(e domain.InboundEvent) string {
	switch e := e.(type) {
	case domain.StatusReport:
		return e.ProviderID
	case domain.MessageEdited:
		return e.Target
	case domain.MessageRevoked:
		return e.Target
	case domain.CustomerReaction:
		return e.Target
	}
	return ""
}

// maxDetours is how often a thread is sent on to the owner of an alias that
// proved to be somebody else's. After that it stays where it is: an element
// never bounces.
const maxDetours = 2

func (b *Inbox) deliver(ctx context.Context, t *thread, errs []error) {
	for detour := 0; ; detour++ {
		id, person, err := b.route(ctx, t)
		if err != nil {
			t.fail(errs, err)
			return
		}
		if detour >= maxDetours {
			person.Claims, person.Merged = nil, nil
		}
		results, err := b.askTwice(ctx, id, t.commands(person))
		if errors.Is(err, domain.ErrFailed) && len(t.events) > 1 {
			b.deliverSingly(ctx, t, errs)
			return
		}
		if err != nil {
			t.fail(errs, err)
			return
		}
		b.settled(t, person)
		misrouted := t.take(results, errs)
		if misrouted == nil {
			return
		}
		b.identities.Forget(t.channel.Organization, t.channel.Provider, t.customer.Aliases...)
		t = misrouted
	}
}

// askTwice is ask for commands of which a repeat changes nothing: when the
// connection to another node broke, so that nobody knows whether they are done,
// it asks once more.
func (b *Inbox) askTwice(ctx context.Context, id domain.ConversationID, commands []domain.Command) (Results, error) {
	results, err := b.ask(ctx, id, commands)
	if errors.Is(err, domain.ErrOutcomeUnknown) && ctx.Err() == nil {
		return b.ask(ctx, id, commands)
	}
	return results, err
}

// deliverSingly finds the element that breaks the handling of a thread: it must
// not take its neighbours along. Those that were taken before are repeats now.
func (b *Inbox) deliverSingly(ctx context.Context, t *thread, errs []error) {
	for i := range t.events {
		single := *t
		single.events, single.customers, single.indexes = t.events[i:i+1], t.customers[i:i+1], t.indexes[i:i+1]
		b.deliver(ctx, &single, errs)
	}
}

// route finds the conversation of a thread and the person whose it is.
func (b *Inbox) route(ctx context.Context, t *thread) (domain.ConversationID, domain.Person, error) {
	if !t.conversation.IsZero() {
		return t.conversation, domain.Person{}, nil
	}
	aliases := t.customer.Aliases
	var known []domain.KnownAlias
	if len(aliases) > 0 {
		var err error
		if known, err = b.identities.Known(ctx, t.channel.Organization, t.channel.Provider, aliases); err != nil {
			return domain.ConversationID{}, domain.Person{}, fmt.Errorf("look up aliases: %w", err)
		}
	}
	if len(aliases) == 0 || len(known) == 0 && !slices.ContainsFunc(t.events, begins) {
		return b.routeByMessage(ctx, t)
	}
	person := domain.Identify(t.channel.Organization, t.channel.Provider, aliases, known)
	return domain.ConversationIDFor(t.channel.ID, person.Contact), person, nil
}

// begins reports whether an event may begin a conversation.
func begins(e domain.InboundEvent) bool {
	switch e.(type) {
	case domain.CustomerMessage, domain.CustomerReaction, domain.BusinessEcho:
		return true
	}
	return false
}

// maxLookups bounds the messages of a thread by which its conversation is
// looked for: what one person's messages don't tell, many won't.
const maxLookups = 16

// routeByMessage finds the thread of something whose customer we don't know,
// such as a status that names the recipient otherwise than the messages do. Not
// all of the messages need be ours: another app may write to the customer, too.
func (b *Inbox) routeByMessage(ctx context.Context, t *thread) (domain.ConversationID, domain.Person, error) {
	asked := map[string]bool{"": true}
	for _, e := range t.events {
		target := targetOf(e)
		if asked[target] || len(asked) > maxLookups {
			continue
		}
		asked[target] = true
		id, err := b.identities.ConversationOf(ctx, t.channel.ID, target)
		if err != nil {
			return domain.ConversationID{}, domain.Person{}, fmt.Errorf("find the conversation of a message: %w", err)
		}
		if !id.IsZero() {
			return id, domain.Person{}, nil
		}
	}
	return domain.ConversationID{}, domain.Person{}, fmt.Errorf("find the conversation of a message: %w", domain.ErrNoTarget)
}

// settled forgets what was known of aliases that are claimed only now.
func (b *Inbox) settled(t *thread, p domain.Person) {
	for _, claim := range p.Claims {
		if !claim.Stored {
			b.identities.Forget(t.channel.Organization, t.channel.Provider, t.customer.Aliases...)
			return
		}
	}
}

func (t *thread) commands(p domain.Person) []domain.Command {
	commands := make([]domain.Command, len(t.events))
	for i, e := range t.events {
		commands[i] = domain.Receive{
			Origin: domain.Origin{Channel: t.channel, Person: p, Customer: t.customers[i]}, Event: e,
		}
	}
	return commands
}

func (t *thread) fail(errs []error, err error) {
	for _, i := range t.indexes {
		errs[i] = err
	}
}

// take notes the results and returns what has to be sent elsewhere, if any.
func (t *thread) take(results Results, errs []error) *thread {
	var rest *thread
	for i, result := range results {
		err := result.Err
		var misrouted *domain.MisroutedError
		if !errors.As(err, &misrouted) {
			errs[t.indexes[i]] = err
			continue
		}
		if rest == nil {
			rest = &thread{channel: t.channel, customer: t.customer}
		}
		rest.events = append(rest.events, t.events[i])
		rest.customers = append(rest.customers, t.customers[i])
		rest.indexes = append(rest.indexes, t.indexes[i])
	}
	return rest
}
