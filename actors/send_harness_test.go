package actors

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// sendingDesk is a desk whose conversations send, on a platform that does what
// the test says.
type sendingDesk struct {
	*desk
	platform *fakePlatform
	registry *fakeRegistry
}

func atSendingDesk(t *testing.T, limits DirectoryConfig, test func(t *testing.T, o *sendingDesk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, openSendingDesk(t, limits)) })
}

// uncertainPatience is how long the desk's conversations wait for news.
const uncertainPatience = 30 * time.Second

func openSendingDesk(t *testing.T, limits DirectoryConfig, options ...func(*desk, *ConversationConfig)) *sendingDesk {
	o := &sendingDesk{}
	sending := func(d *desk, cfg *ConversationConfig) {
		d.channel.Status = domain.ChannelActive
		o.registry = &fakeRegistry{channels: map[domain.ChannelID]domain.Channel{d.channel.ID: d.channel}}
		o.platform = &fakePlatform{store: d.store, inFlight: map[string]int{}}
		o.sending(d, cfg)
	}
	o.desk = openDesk(t, limits, append([]func(*desk, *ConversationConfig){sending}, options...)...)
	return o
}

func (o *sendingDesk) sending(d *desk, cfg *ConversationConfig) {
	d.channels = NewChannels(d.system, ChannelsConfig{
		Platform: o.platform, Registry: o.registry, Health: o.registry, Logger: slog.New(slog.DiscardHandler),
	})
	cfg.Channels, cfg.Patience = d.channels, domain.Patience{Uncertain: uncertainPatience}
}

// fakeRegistry has the channels' configuration, and notes their health in it
// as the database does: once it has been told, and told everybody.
type fakeRegistry struct {
	mu       sync.Mutex
	channels map[domain.ChannelID]domain.Channel
	broken   []string // reasons
	failing  error    // what Broken says
	poisoned int      // how often Channel panics yet
}

// Channel implements ChannelRegistry.
func (r *fakeRegistry) Channel(_ domain.OrganizationID, id domain.ChannelID) (domain.Channel, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.poisoned > 0 {
		r.poisoned--
		panic("poisoned registry")
	}
	ch, ok := r.channels[id]
	return ch, ok
}

// Broken implements ChannelHealth.
func (r *fakeRegistry) Broken(_ context.Context, ch domain.Channel, reason string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing != nil {
		return r.failing
	}
	r.broken = append(r.broken, reason)
	now := r.channels[ch.ID]
	if now.Status == domain.ChannelActive {
		now.Status = domain.ChannelError
	}
	r.channels[ch.ID] = now
	return nil
}

func (r *fakeRegistry) set(id domain.ChannelID, change func(*domain.Channel)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ch := r.channels[id]
	change(&ch)
	r.channels[id] = ch
}

func (r *fakeRegistry) poison(times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poisoned = times
}

func (r *fakeRegistry) reasons() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.broken)
}

// fakePlatform takes what is sent, and writes down each call.
type fakePlatform struct {
	store *store

	mu       sync.Mutex
	calls    []platformCall
	inFlight map[string]int // by recipient
	answer   func(platformCall) outcome
	problems []string
}

// platformCall is one call.
type platformCall struct {
	channel   domain.ChannelID
	to        string
	text      string
	reference string
	nth       int // of this text to this customer, from 1
	at        time.Time
}

// outcome is what comes of a call: the zero one is that the message is taken at once.
type outcome struct {
	after   time.Duration
	until   <-chan struct{} // before the answer; nil: no waiting
	failure *domain.CallError
}

// Send implements Platform.
func (p *fakePlatform) Send(ctx context.Context, ch domain.Channel, m domain.Outgoing) (domain.Sent, error) {
	done := p.begin(ch, m)
	defer p.end(m.To.Value)
	select {
	case <-time.After(done.after):
	case <-ctx.Done():
	}
	if done.until != nil {
		select {
		case <-done.until:
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return domain.Sent{}, ctx.Err()
	case done.failure != nil:
		return domain.Sent{}, done.failure
	}
	return domain.Sent{ProviderID: "wamid.out." + m.Reference}, nil
}

func (p *fakePlatform) begin(ch domain.Channel, m domain.Outgoing) outcome {
	claimed := p.store.claimed(m.Reference)
	p.mu.Lock()
	defer p.mu.Unlock()
	call := platformCall{channel: ch.ID, to: m.To.Value, text: m.Content.Text, reference: m.Reference, nth: 1, at: time.Now()}
	for _, before := range p.calls {
		if before.reference == call.reference {
			call.nth++
		}
	}
	if !claimed {
		p.problems = append(p.problems, fmt.Sprintf("%q was called with before its claim was durable", call.text))
	}
	if p.inFlight[call.to]++; p.inFlight[call.to] > 1 {
		p.problems = append(p.problems, fmt.Sprintf("two calls at a time for %s", call.to))
	}
	p.calls = append(p.calls, call)
	if p.answer == nil {
		return outcome{}
	}
	return p.answer(call)
}

func (p *fakePlatform) end(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight[to]--
}

// claimed reports whether the message with that reference is stored as being sent.
func (s *store) claimed(reference string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, m := range s.messages {
		if strings.HasSuffix(reference, "."+id.String()) {
			return m.SendState == domain.SendSending
		}
	}
	return false
}

// answers says what comes of the calls from now on.
func (p *fakePlatform) answers(answer func(platformCall) outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func failure(class domain.FailureClass) *domain.CallError {
	return &domain.CallError{Class: class, Code: "131000", Text: "it didn't work"}
}

func (p *fakePlatform) made() []platformCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// texts is what was called with, in order, for one customer.
func (p *fakePlatform) texts(to string) []string {
	var texts []string
	for _, c := range p.made() {
		if c.to == to {
			texts = append(texts, c.text)
		}
	}
	return texts
}

// held is a customer whose conversation the desk's agent has.
func (o *sendingDesk) held(number string) customer {
	o.t.Helper()
	k := o.known(number)
	require.NoError(o.t, o.do(k.id, domain.Accept{By: o.agent("alice")}))
	o.notices.forget()
	return k
}

func (o *sendingDesk) text(body string) domain.Send { return o.draft(domain.TypeText, body) }

func (o *sendingDesk) draft(kind domain.MessageType, body string) domain.Send {
	return domain.Send{By: o.agent("alice"), Draft: domain.Draft{Type: kind, Body: body}}
}

// sends has the agent write texts.
func (o *sendingDesk) sends(k customer, texts ...string) {
	o.t.Helper()
	for _, text := range texts {
		require.NoError(o.t, o.do(k.id, o.text(text)))
	}
}

// row is the stored message with that text.
func (o *sendingDesk) row(text string) domain.Message {
	o.t.Helper()
	return see(o.desk, func(s *store) domain.Message {
		for _, m := range s.messages {
			if m.Body == text && m.Direction == domain.Outbound {
				return m.Message
			}
		}
		return domain.Message{}
	})
}

// pass lets time pass.
func (o *sendingDesk) pass(d time.Duration) {
	<-time.After(d)
	o.wait()
}

func (o *sendingDesk) status(text string, want domain.MessageStatus) {
	o.t.Helper()
	m := o.row(text)
	require.Equal(o.t, want, m.Status, "%q: %+v", text, m)
}

// sound checks what holds always.
func (o *sendingDesk) sound() {
	o.t.Helper()
	o.wait()
	require.Empty(o.t, o.platform.problems)
	require.Zero(o.t, o.panics())
}

// dueSends finds what is due in the fake database.
type dueSends struct{ store *store }

// Due implements DueSends.
func (d dueSends) Due(_ context.Context, before time.Time, _ domain.ConversationID, _ int) ([]domain.ConversationID, error) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	var due []domain.ConversationID
	for _, m := range d.store.messages {
		at := m.NextAttemptAt
		if at.IsZero() {
			at = m.CreatedAt
		}
		if m.SendState != "" && at.Before(before) && !slices.Contains(due, m.conversation) {
			due = append(due, m.conversation)
		}
	}
	return due, nil
}
