package actors

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func entropy() (e [16]byte) {
	if _, err := cryptorand.Read(e[:]); err != nil {
		panic(err)
	}
	return e
}

// desk is a system of conversations on a store, with one channel. It lives in
// a synctest: wait returns when everything is done that can be done, and the
// clock moves only when nothing else does.
type desk struct {
	t             *testing.T
	system        *System
	wheel         *Wheel
	conversations *Conversations
	channels      *Channels // nil: nothing is sent
	store         *store
	notices       *noticeLog
	channel       domain.Channel
	dead          atomic.Bool // its node was killed: nothing of it ends in order
}

func atDesk(t *testing.T, limits DirectoryConfig, test func(t *testing.T, o *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, openDesk(t, limits)) })
}

// openDesk opens a desk; the options see it before its conversations are made.
func openDesk(t *testing.T, limits DirectoryConfig, options ...func(*desk, *ConversationConfig)) *desk {
	o := &desk{t: t, store: newStore()}
	var err error
	o.system, err = NewSystem(SystemConfig{
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	require.NoError(t, err)
	org := domain.OrganizationID(entropy())
	o.channel = domain.Channel{ID: domain.ChannelID(entropy()), Organization: org, Provider: domain.WhatsApp, Name: "Support"}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { o.store.run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	o.open(limits, options...)
	return o
}

// open makes the conversations, on the desk's system and store, for its channel.
func (o *desk) open(limits DirectoryConfig, options ...func(*desk, *ConversationConfig)) {
	t, logger := o.t, slog.New(slog.DiscardHandler)
	o.notices = &noticeLog{store: o.store}
	o.wheel = NewWheel(100*time.Millisecond, time.Now)
	cfg := ConversationConfig{
		Writer: o.store, Loader: o.store, Publisher: o.notices, Wheel: o.wheel, Entropy: entropy, Logger: logger, Directory: limits,
	}
	for _, option := range options {
		option(o, &cfg)
	}
	o.conversations = NewConversations(o.system, cfg)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { require.NoError(t, o.wheel.Run(ctx)) })
	t.Cleanup(func() {
		o.resume()
		o.close()
		stop()
		running.Wait()
	})
}

// close ends the desk in order, unless its node was killed.
func (o *desk) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	closes := []func(context.Context) error{o.conversations.Close, o.system.Close}
	if o.channels != nil {
		closes = slices.Insert(closes, 1, o.channels.Close)
	}
	if o.dead.Load() {
		cancel()
	}
	for _, f := range closes {
		if err := f(ctx); err != nil && !o.dead.Load() {
			o.t.Errorf("close: %v", err)
		}
	}
}

func (o *desk) wait() { synctest.Wait() }

// hold makes the store wait for step.
func (o *desk) hold() { o.setHeld(true) }

// resume lets it work by itself again.
func (o *desk) resume() {
	o.setHeld(false)
	o.store.poke()
	o.wait()
}

func (o *desk) setHeld(held bool) {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	o.store.held = held
}

// step lets the held store work on the next n submissions in one batch.
func (o *desk) step(n int) {
	o.wait()
	require.Equal(o.t, n, o.store.step(n))
	o.wait()
}

// change alters the store while nobody uses it.
func (o *desk) change(f func(*store)) {
	o.wait()
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	f(o.store)
}

// see is what f reads of the store.
func see[T any](o *desk, f func(*store) T) T {
	o.wait()
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	return f(o.store)
}

func (o *desk) queued() int { return see(o, func(s *store) int { return len(s.queue) }) }

// inquirer is the process that gets the answer to a Request, and would notice a
// second one.
type inquirer struct {
	pid     *actor.PID
	replies chan any
}

func (a *inquirer) Send(_ *actor.PID, msg any, _ *actor.PID) { a.replies <- msg }
func (a *inquirer) PID() *actor.PID                          { return a.pid }
func (a *inquirer) Start()                                   {}
func (a *inquirer) Shutdown()                                {}
func (a *inquirer) Invoke([]actor.Envelope)                  {}

func (o *desk) newInquirer() *inquirer {
	a := &inquirer{actor.NewPID(o.system.engine.Address(), o.system.name("inquirer")), make(chan any, 8)}
	o.system.engine.SpawnProc(a)
	return a
}

// ask sends a request and doesn't wait.
func (o *desk) ask(id domain.ConversationID, commands ...domain.Command) *inquirer {
	a := o.newInquirer()
	require.NoError(o.t, o.conversations.Tell(id, Request{Commands: commands, Replies: a.pid}))
	return a
}

// reply is the one reply to a request.
func (o *desk) reply(a *inquirer) any {
	o.t.Helper()
	o.wait()
	require.Len(o.t, a.replies, 1)
	return <-a.replies
}

func (o *desk) results(a *inquirer) []error {
	o.t.Helper()
	reply := o.reply(a)
	require.IsType(o.t, Results{}, reply, "%v", reply)
	var errs []error
	for _, r := range reply.(Results) {
		errs = append(errs, r.Err)
	}
	return errs
}

func (o *desk) do(id domain.ConversationID, cmd domain.Command) error {
	o.t.Helper()
	return o.results(o.ask(id, cmd))[0]
}

func (o *desk) unanswered(askers ...*inquirer) {
	o.t.Helper()
	o.wait()
	for _, a := range askers {
		require.Empty(o.t, a.replies, "answered before it was durable")
	}
}

func (o *desk) refusal(code domain.Code, err error) domain.Refusal {
	o.t.Helper()
	var refusal *domain.Refusal
	require.ErrorAs(o.t, err, &refusal)
	require.Equal(o.t, code, refusal.Code)
	return *refusal
}

func (o *desk) panics() int {
	return int(testutil.ToFloat64(o.system.metrics.panics.WithLabelValues("conversation")))
}

// customer is somebody who writes to us.
type customer struct {
	number string
	origin domain.Origin
	id     domain.ConversationID
}

func (o *desk) customer(number string) customer {
	aliases := []domain.Alias{{Kind: domain.AliasNumber, Value: number}}
	person := domain.Identify(o.channel.Organization, o.channel.Provider, aliases, nil)
	return customer{number: number, id: domain.ConversationIDFor(o.channel.ID, person.Contact), origin: domain.Origin{
		Channel: o.channel, Person: person, Customer: domain.Customer{Aliases: aliases, Name: "Robin"},
	}}
}

// known is a customer who has written before.
func (o *desk) known(number string) customer {
	o.t.Helper()
	k := o.customer(number)
	require.NoError(o.t, o.do(k.id, k.says("first")))
	k.origin.Person.Claims[0].Stored = true
	o.notices.forget()
	return k
}

// says is a message; what is in it makes its id.
func (k customer) says(body string) domain.Receive {
	return k.event(domain.CustomerMessage{ProviderID: k.named(body), At: time.Now(), Type: domain.TypeText, Body: body})
}

func (k customer) named(body string) string { return "wamid." + k.number + "." + body }

func (k customer) event(e domain.InboundEvent) domain.Receive {
	return domain.Receive{Origin: k.origin, Event: e}
}

// echo is a message that the business sent elsewhere: an outbound row.
func (k customer) echo(body string) domain.Receive {
	return k.event(domain.BusinessEcho{ProviderID: k.named(body), At: time.Now(), Type: domain.TypeText, Body: body})
}

func (k customer) status(body string, status domain.MessageStatus) domain.Receive {
	return k.event(domain.StatusReport{ProviderID: k.named(body), At: time.Now(), Status: status})
}

func (o *desk) agent(name string) domain.Caller {
	var id domain.UserID
	copy(id[:], name)
	return domain.Caller{Organization: o.channel.Organization, User: id, Name: name, Role: domain.RoleAgent}
}

func (o *desk) admin() domain.Caller {
	admin := o.agent("admin")
	admin.Role = domain.RoleAdmin
	return admin
}

func userOf(c domain.Caller) domain.User {
	return domain.User{ID: c.User, Organization: c.Organization, Name: c.Name, Role: c.Role, Status: domain.UserActive}
}

// noticeLog is who listens to notices.
type noticeLog struct {
	store *store

	mu       sync.Mutex
	notices  []told
	problems []string
}

type told struct {
	domain.Notice
	at time.Time
}

// Publish implements Publisher. Whatever a message.created tells of must be
// durable, and known to be, by now.
func (l *noticeLog) Publish(_ domain.OrganizationID, notices []domain.Notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range notices {
		l.notices = append(l.notices, told{n, time.Now()})
		if created, ok := n.Payload.(domain.MessageCreated); ok && !l.store.isTold(created.ID) {
			l.problems = append(l.problems, fmt.Sprintf("message %s was announced before it was durable", created.ID))
		}
	}
}

func (s *store) isTold(id domain.MessageID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inserted[id]
}

func (l *noticeLog) all() []told {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]told(nil), l.notices...)
}

func (l *noticeLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notices = nil
}

// bodies is the texts of the messages announced, in order.
func (l *noticeLog) bodies() []string {
	var bodies []string
	for _, n := range l.all() {
		if created, ok := n.Payload.(domain.MessageCreated); ok {
			bodies = append(bodies, *created.Body)
		}
	}
	return bodies
}

// named is the notices of one name.
func (l *noticeLog) named(name domain.EventName) []told {
	var found []told
	for _, n := range l.all() {
		if n.Name == name {
			found = append(found, n)
		}
	}
	return found
}
