package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// typingStale is how long after the key stroke typing is still news.
	typingStale = 10 * time.Second
	// typingRepeat is how often the same is shown to the same customer: Messenger
	// shows it for 20 seconds, WhatsApp for 25.
	typingRepeat = 10 * time.Second
	// receiptRetry is how long after a receipt that failed the second try comes.
	receiptRetry = 2 * time.Second
	// nameAgain is how long a customer whose name the platform doesn't tell isn't
	// asked for again, and nameRetry where it didn't answer.
	nameAgain = 24 * time.Hour
	nameRetry = 10 * time.Minute
)

// shown is what a customer was shown last.
type shown struct {
	read   string // the platform's id of the message
	typing bool
	at     time.Time // of typing
}

// errSkipped: there was nothing to do after all.
var errSkipped = errors.New("skipped")

// run does all that an errand asks for and returns what the platform had
// against it.
func (e *Errands) run(er *errand) error {
	ctx, cancel := context.WithTimeout(e.ctx, errandTimeout)
	defer cancel()
	ch, known := e.cfg.Channels.Channel(er.thread.Organization, er.thread.Channel)
	if !known || ch.Status != domain.ChannelActive {
		ch = domain.Channel{}
	}
	r := &run{e: e, ctx: ctx, errand: er, channel: ch}
	return errors.Join(
		r.step(kindReceipt, !er.reader.IsZero(), r.receipt),
		r.step(kindTyping, er.typing != nil, r.typing),
		r.step(kindName, er.name, r.name),
	)
}

// run is an errand on its way.
type run struct {
	e       *Errands
	ctx     context.Context
	errand  *errand
	channel domain.Channel // zero: it doesn't send
	read    bool           // newest and view are read
	newest  string
	view    domain.ConversationView
}

// step does one of the things that the errand asks for, and counts it.
func (r *run) step(k kind, wanted bool, do func() error) error {
	if !wanted {
		return nil
	}
	err := errSkipped
	if !r.channel.ID.IsZero() {
		err = do()
	}
	switch {
	case err == nil:
		r.e.metrics.count(k, outcomeDone)
	case errors.Is(err, errSkipped):
		r.e.metrics.count(k, outcomeSkipped)
		return nil
	default:
		r.e.metrics.count(k, outcomeFailed)
		r.e.cfg.Logger.Debug("an errand failed", "kind", string(k), "channel", r.channel.ID,
			"conversation", r.errand.thread.Conversation, "error", err)
	}
	return err
}

// look reads how the conversation is. The newest message is read first: when
// nothing is unread after that, then that message isn't either, and to show it
// as read is true.
func (r *run) look() error {
	if r.read {
		return nil
	}
	t := r.errand.thread
	var err error
	if r.newest, err = r.e.cfg.Threads.NewestInbound(r.ctx, t.Organization, t.Conversation); err != nil {
		return fmt.Errorf("find the newest message: %w", err)
	}
	if r.view, err = r.e.cfg.Threads.Get(r.ctx, t.Organization, t.Conversation); err != nil {
		return fmt.Errorf("read the conversation: %w", err)
	}
	r.read = true
	return nil
}

// holds reports whether the agent has the conversation.
func (r *run) holds(agent domain.UserID) bool {
	return r.view.Status == domain.Assigned && r.view.Holder != nil && *r.view.Holder == agent
}

func (r *run) customer() domain.Alias {
	return domain.AliasOf(r.channel.Provider, r.view.ContactRef.ProviderID)
}

func (r *run) receipt() error {
	if err := r.look(); err != nil {
		return err
	}
	was := r.e.lastShown(r.errand.thread.Conversation)
	if !r.holds(r.errand.reader) || r.view.Unread > 0 || r.newest == "" || r.newest == was.read {
		return errSkipped
	}
	err := r.markRead()
	if failure, ok := errors.AsType[*domain.CallError](err); ok && mayPass(failure) {
		pause(r.ctx, max(receiptRetry, failure.RetryAfter))
		err = r.markRead()
	}
	if err == nil {
		r.e.show(r.errand.thread.Conversation, func(s *shown) { s.read = r.newest })
	}
	return err
}

func (r *run) markRead() error {
	return r.e.cfg.Platform.MarkRead(r.ctx, r.channel, r.customer(), r.newest)
}

// mayPass reports whether a second try may do what the first didn't.
func mayPass(failure *domain.CallError) bool {
	switch failure.Class {
	case domain.FailureTransient, domain.FailureUncertain, domain.FailureThrottleApp, domain.FailureThrottleChannel:
		return true
	}
	return false
}

func (r *run) typing() error {
	on, now := r.errand.typing.on, r.e.cfg.Now()
	was := r.e.lastShown(r.errand.thread.Conversation)
	repeated := on == was.typing && now.Sub(was.at) < typingRepeat
	if repeated || now.Sub(r.errand.typing.at) > typingStale || !on && r.channel.Provider == domain.WhatsApp {
		return errSkipped
	}
	if err := r.look(); err != nil {
		return err
	}
	implied := r.channel.Provider == domain.WhatsApp // a receipt
	if !r.holds(r.errand.typing.agent) || implied && (r.view.Unread > 0 || r.newest == "") {
		return errSkipped
	}
	if err := r.e.cfg.Platform.Typing(r.ctx, r.channel, r.customer(), r.newest, on); err != nil {
		return err
	}
	r.e.show(r.errand.thread.Conversation, func(s *shown) {
		if s.typing, s.at = on, now; implied {
			s.read = r.newest
		}
	})
	return nil
}

func (r *run) name() error {
	id := r.errand.thread.Conversation
	if r.e.wasAsked(id) { // while this errand waited for the former
		return errSkipped
	}
	if err := r.look(); err != nil {
		return err
	}
	if r.view.ContactRef.DisplayName != "" {
		return errSkipped
	}
	name, err := r.e.cfg.Platform.NameOf(r.ctx, r.channel, r.customer())
	if failure, ok := errors.AsType[*domain.CallError](err); ok && mayPass(failure) || r.ctx.Err() != nil {
		r.e.asks(id, nameRetry)
		return err
	}
	r.e.asks(id, nameAgain)
	if err != nil || name == "" {
		return err // also what has a reason: many profiles can't be seen, for ever
	}
	if err := r.e.cfg.Conversations.Do(r.ctx, id, domain.NameLearned{Name: name}); err != nil {
		r.e.asks(id, nameRetry)
		return fmt.Errorf("tell the conversation: %w", err)
	}
	return nil
}

func (e *Errands) lastShown(id domain.ConversationID) shown {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, _ := e.shown.get(id)
	return s
}

func (e *Errands) show(id domain.ConversationID, put func(*shown)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, _ := e.shown.get(id)
	put(&s)
	e.shown.put(id, s)
}

// wasAsked reports whether a name was asked for so lately that it isn't again.
func (e *Errands) wasAsked(id domain.ConversationID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	until, asked := e.asked.get(id)
	return asked && e.cfg.Now().Before(until)
}

// asks notes that a name isn't to be asked for again for a while.
func (e *Errands) asks(id domain.ConversationID, again time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked.put(id, e.cfg.Now().Add(again))
}

// maxRemembered bounds each memory of conversations, at some 100 bytes for each.
const maxRemembered = 50_000

// memory is what is remembered of conversations. Over its bound any of them is
// forgotten: its errand may then be run once more, which does no harm. The zero
// value is empty.
type memory[V any] struct{ of map[domain.ConversationID]V }

func (m *memory[V]) get(id domain.ConversationID) (V, bool) {
	v, ok := m.of[id]
	return v, ok
}

func (m *memory[V]) put(id domain.ConversationID, v V) {
	if m.of == nil {
		m.of = map[domain.ConversationID]V{}
	}
	for other := range m.of {
		if len(m.of) < maxRemembered {
			break
		}
		delete(m.of, other)
	}
	m.of[id] = v
}
