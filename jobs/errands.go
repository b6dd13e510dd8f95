package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/domain"
)

// ErrandPlatform makes calls for a channel that are no messages. Their errors
// are *domain.CallError; making one twice does no harm.
type ErrandPlatform interface {
	// MarkRead shows the customer that the message and what came before it was read.
	MarkRead(ctx context.Context, ch domain.Channel, to domain.Alias, providerID string) error
	// Typing shows the customer that an answer is being written, or no longer is.
	// On WhatsApp it marks the message as read, too.
	Typing(ctx context.Context, ch domain.Channel, to domain.Alias, providerID string, on bool) error
	// NameOf is the name of a customer; empty: the platform doesn't tell it.
	NameOf(ctx context.Context, ch domain.Channel, customer domain.Alias) (string, error)
}

// Threads reads conversations as they are stored.
type Threads interface {
	Get(ctx context.Context, org domain.OrganizationID, id domain.ConversationID) (domain.ConversationView, error)
	// NewestInbound is the platform's id of the customer's newest message; empty:
	// there is none.
	NewestInbound(ctx context.Context, org domain.OrganizationID, id domain.ConversationID) (string, error)
}

// Channels has the channels' configuration in memory.
type Channels interface {
	Channel(org domain.OrganizationID, id domain.ChannelID) (domain.Channel, bool)
}

// Conversations carries out commands on conversations.
type Conversations interface {
	Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error
}

// ErrandsConfig is what errands are run with.
type ErrandsConfig struct {
	Platform      ErrandPlatform
	Threads       Threads
	Channels      Channels
	Conversations Conversations
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	Now           func() time.Time
}

const (
	// maxWaiting bounds the conversations that wait for an errand on this node,
	// and maxWaitingOf those of one channel, so that one whose platform hangs
	// leaves room for the others. What comes over it is dropped, and counted.
	maxWaiting   = 10_000
	maxWaitingOf = 1_000
	// runners is how many errands of one channel are run at a time.
	runners = 4
	// errandRate is how many errands of one channel are begun in a second at
	// most: an eighth of what a WhatsApp number may send by default. A channel
	// that sends less has less, see rateOf.
	errandRate = 10
	// errandTimeout bounds one errand, with its look-ups and its second try.
	errandTimeout = 20 * time.Second
)

// Errands makes the small calls to the platforms that nobody waits for: read
// receipts, typing, the names of customers. They are asked for by conversation;
// what is asked again before it is done is done once.
type Errands struct {
	cfg     ErrandsConfig
	metrics errandMetrics
	ctx     context.Context // of the runners' life
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	waiting int
	lanes   map[domain.ChannelID]*lane // kept: they are as few as channels
	shown   memory[shown]              // what customers were shown
	asked   memory[time.Time]          // until when names aren't asked for again
}

// lane is the errands of one channel.
type lane struct {
	order   []domain.ConversationID // whose turn is next; none twice, none that is being run
	due     map[domain.ConversationID]*errand
	running map[domain.ConversationID]bool
	runners int
	pace    domain.Pace
}

// errand is what is to be done for one conversation.
type errand struct {
	thread domain.Thread
	reader domain.UserID // has read everything; zero: nobody
	typing *typing
	name   bool
}

// typing is what an agent does at the keyboard.
type typing struct {
	agent domain.UserID
	on    bool
	at    time.Time
}

// NewErrands makes the errand runner. Close it.
func NewErrands(cfg ErrandsConfig) (*Errands, error) {
	e := &Errands{cfg: cfg, lanes: map[domain.ChannelID]*lane{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e, e.metrics.register(cfg.Registerer, e)
}

// Close drops what waits, gives up what is under way, and waits for its end.
func (e *Errands) Close(context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.work.Wait() // calls end with their context
	return nil
}

// MarkRead shows the customer that the agent, who has the conversation, has
// read everything.
func (e *Errands) MarkRead(t domain.Thread, agent domain.UserID) {
	e.add(t, kindReceipt, func(er *errand) { er.reader = agent })
}

// Typing shows the customer that the agent, who has the conversation, writes an
// answer, or no longer does.
func (e *Errands) Typing(t domain.Thread, agent domain.UserID, on bool) {
	at := e.cfg.Now()
	e.add(t, kindTyping, func(er *errand) { er.typing = &typing{agent, on, at} })
}

// LearnName asks the platform who the customer is, unless it was asked lately.
func (e *Errands) LearnName(t domain.Thread) {
	if e.wasAsked(t.Conversation) {
		return
	}
	e.add(t, kindName, func(er *errand) { er.name = true })
}

// add puts something to an errand, and has it run.
func (e *Errands) add(t domain.Thread, k kind, put func(*errand)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	l := e.laneOf(t)
	er := l.due[t.Conversation]
	if er == nil {
		if e.waiting >= maxWaiting || len(l.due) >= maxWaitingOf {
			e.metrics.count(k, outcomeDropped)
			return
		}
		er = &errand{thread: t}
		l.due[t.Conversation] = er
		e.waiting++
		if !l.running[t.Conversation] {
			l.order = append(l.order, t.Conversation)
		}
	}
	put(er)
	if l.runners < runners && len(l.order) > 0 {
		l.runners++
		e.work.Go(func() { e.serve(l) })
	}
}

// laneOf is the thread's lane. The caller holds the lock.
func (e *Errands) laneOf(t domain.Thread) *lane {
	l := e.lanes[t.Channel]
	if l == nil {
		l = &lane{due: map[domain.ConversationID]*errand{}, running: map[domain.ConversationID]bool{}}
		e.lanes[t.Channel] = l
	}
	ch, _ := e.cfg.Channels.Channel(t.Organization, t.Channel)
	if rate := rateOf(ch); l.pace.Rate() != rate {
		l.pace = domain.NewPace(rate)
	}
	return l
}

// rateOf is how many errands a second a channel may have.
func rateOf(ch domain.Channel) int {
	if ch.SendRate == 0 {
		return errandRate
	}
	return max(1, min(errandRate, ch.SendRate/8))
}

// serve runs the lane's errands until there is none left.
func (e *Errands) serve(l *lane) {
	for {
		er, wait := e.next(l)
		switch {
		case er != nil:
			e.done(l, er, e.run(er))
		case wait == 0:
			return
		default:
			pause(e.ctx, wait)
		}
	}
}

// next is an errand that may be run now, or how long to wait for one; neither:
// there is nothing to do, and the runner has left.
func (e *Errands) next(l *lane) (*errand, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(l.order) == 0 || e.closed {
		l.runners--
		return nil, 0
	}
	now := e.cfg.Now()
	if at := l.pace.At(now); at.After(now) {
		return nil, at.Sub(now)
	}
	l.pace.Depart(now)
	id := l.order[0]
	l.order = l.order[1:]
	er := l.due[id]
	delete(l.due, id)
	e.waiting--
	l.running[id] = true
	return er, 0
}

// done lets the conversation's next errand run, and slows the lane down where
// the platform asked for it.
func (e *Errands) done(l *lane, er *errand, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(l.running, er.thread.Conversation)
	if l.due[er.thread.Conversation] != nil {
		l.order = append(l.order, er.thread.Conversation)
	}
	failure, _ := errors.AsType[*domain.CallError](err)
	switch {
	case failure == nil:
		l.pace.Eased()
	case failure.Class.Throttled():
		l.pace.Strained(e.cfg.Now(), failure.RetryAfter)
	}
}

func (e *Errands) waitingNow() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return float64(e.waiting)
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
