package actors

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// Request asks a conversation for one thing or several in a row. The reply is
// a Results. It comes when everything that the answers say is durable.
type Request struct {
	Commands []domain.Command `cbor:"1,keyasint"`
	Replies  *actor.PID       `cbor:"0,keyasint,omitempty"`
	Trace    domain.Trace     `cbor:"2,keyasint,omitzero"` // the step that asks
}

// ReplyTo is where an error goes when the request can't be handled.
func (r Request) ReplyTo() *actor.PID { return r.Replies }

// Results answers a Request, a Result for each command.
type Results []Result

// Result is what came of a command. Err is nil when it is done, or when nothing
// had to be done; else a *domain.Refusal, or another error of the domain.
type Result struct {
	Err     error            `cbor:"1,keyasint,omitempty"`
	Message domain.MessageID `cbor:"2,keyasint,omitzero"` // what a Send made, or had made before; what a ClaimSend claimed
}

// Writer stores changes. Its implementation is the write-behind writer.
type Writer interface {
	// Admit is an error of the domain while no more may be decided. What comes
	// from inside relieves the system and has headroom.
	Admit(internal bool) error
	// Submit takes a change or a check. It never blocks.
	Submit(s domain.Submission)
}

// Loader reads what is stored. Both calls return at once; done is called once,
// elsewhere, and doesn't block.
type Loader interface {
	// Load reads a conversation; one that doesn't exist is the zero state with
	// its id.
	Load(id domain.ConversationID, done func(domain.Conversation, error))
	// LoadMessages reads the messages of a conversation that t names.
	LoadMessages(c domain.ConversationID, channel domain.ChannelID, t domain.Targets, done func([]domain.Message, error))
}

// Publisher tells agents what has become durable, in the order of the calls of
// one conversation.
type Publisher interface {
	Publish(organization domain.OrganizationID, notices []domain.Notice)
}

// ConversationConfig is what conversations work with.
type ConversationConfig struct {
	Writer    Writer
	Loader    Loader
	Publisher Publisher
	Channels  *Channels // nil: nothing is sent
	Errands   Errands   // nil: nobody runs any
	Patience  domain.Patience
	// ClaimLife is how long the claim of a message may be under way on another
	// node: from claiming it to the end of the call. A third of it is for the
	// way to the call. Where a file may have to be uploaded first, it is longer
	// by UploadTime. Both are for several nodes; what one that is alone finds
	// claimed, nobody works on.
	ClaimLife, UploadTime time.Duration
	Wheel                 *Wheel
	Entropy               func() [16]byte // fresh randomness for each call
	Logger                *slog.Logger
	Directory             DirectoryConfig
}

// Conversations is the directory of conversation actors.
type Conversations struct {
	*Directory[domain.ConversationID]
	system *System
	cfg    ConversationConfig
}

// NewConversations makes the directory.
func NewConversations(s *System, cfg ConversationConfig) *Conversations {
	if s.router == nil {
		cfg.ClaimLife, cfg.UploadTime = 0, 0
	}
	cs := &Conversations{system: s, cfg: cfg}
	if cfg.Channels != nil {
		cfg.Channels.conversations = cs
	}
	cs.Directory = NewDirectory(s, "conversation", func(id domain.ConversationID, entry *Entry) Behavior {
		return &conversation{all: cs, entry: entry, state: domain.Conversation{ID: id}}
	}, cfg.Directory)
	place(cs.Directory, placing[domain.ConversationID]{anywhere: true})
	return cs
}

// conversation owns the state of one conversation. It decides a command on the
// state in memory, submits the change, and goes on with the next command
// without waiting; answers and notices wait for the verdict. When a change
// can't be stored, what was decided since is decided again on the state that
// the database has.
//
// A resident conversation that does nothing is this struct and no more: what
// work needs is in work, which goes when the work is done.
type conversation struct {
	all    *Conversations
	entry  *Entry
	state  domain.Conversation // with what is pending
	loaded bool
	leave  bool // Drain was asked for
	stayed bool // when it was, something was under way with the platform
	work   *work
	sends  *sends // nil: nothing to send
	notice heldNotice
}

// work is what a conversation holds while something is under way.
type work struct {
	lineage *domain.Lineage
	pending []decided // submitted, in order; the verdict of the first is next
	stash   []task    // not decided yet
	known   domain.MessageSet
	asked   int // how many messages known was made to learn
	reach   int // how many tasks a load may serve; 0: as many as there are
	waits   waitsFor
	retries int // how often in a row everything was undone and nobody to blame
}

// waitsFor says why nothing is decided at the moment.
type waitsFor int

const (
	nothing  waitsFor = iota
	state             // a load of the conversation
	messages          // a load of messages
	quiet             // the verdicts of all that is pending; then a load
)

// task is one command of a request.
type task struct {
	command domain.Command
	answers *answers
	index   int
	trace   domain.Trace
	settled error // decided already by what the database said of an earlier try
}

// answers collects the results of a request.
type answers struct {
	to      *actor.PID
	then    func(Result) // for what the conversation asks of itself
	results Results
	missing int
}

// decided is a task whose outcome waits for the database.
type decided struct {
	task
	answer error
	change domain.Change
	step   domain.Trace         // zero: nobody records it
	end    func(outcome string) // of the step
}

// What comes back to a conversation from elsewhere. A lineage that isn't the
// current one any more makes it stale.
type (
	verdictReached struct {
		lineage *domain.Lineage
		verdict domain.Verdict
	}
	stateLoaded struct {
		lineage *domain.Lineage
		state   domain.Conversation
		err     error
	}
	messagesLoaded struct {
		lineage *domain.Lineage
		targets domain.Targets
		tasks   int // how many of the stash asked for them
		found   []domain.Message
		err     error
	}
	noticeDue struct{}
	goOn      struct{ lineage *domain.Lineage }
)

const (
	// maxStash bounds what waits for a load.
	maxStash = 16_384
	// maxKnown bounds the messages in memory; over it they are forgotten as
	// soon as nothing is pending.
	maxKnown = 4_096
	// maxAsked bounds the messages that one load asks for, but for what a single
	// command needs. With the unread ones that a watermark brings they are less
	// than maxKnown.
	maxAsked = 1_024
	// maxRetries is how often in a row a conversation decides again because
	// somebody else was faster: with two owners each time one of them gets on.
	maxRetries = 100
)

// Receive implements Behavior.
func (c *conversation) Receive(msg any, self Self) {
	switch msg := msg.(type) {
	case Request:
		c.request(msg, self)
	case verdictReached:
		if c.work != nil && c.work.lineage == msg.lineage {
			c.verdict(msg.verdict, self)
		}
	case stateLoaded:
		if c.work != nil && c.work.lineage == msg.lineage {
			c.stateLoaded(msg, self)
		}
	case messagesLoaded:
		if c.work != nil && c.work.lineage == msg.lineage {
			c.messagesLoaded(msg, self)
		}
	case goOn:
		if c.work != nil && c.work.lineage == msg.lineage {
			c.proceed(self)
		}
	case granted, deferred, attempted, sendDue, wake, moved:
		c.sendEvent(msg, self)
	case noticeDue:
		c.flushNotice()
	case Idle:
		if c.done() {
			c.passivate()
		}
	case Drain:
		c.leave, c.stayed = true, c.stayed || c.sends.underWay()
		c.rest()
	case Failed:
		c.failed(msg)
	}
}

func (c *conversation) request(r Request, self Self) {
	a := &answers{to: r.Replies, results: make(Results, len(r.Commands)), missing: len(r.Commands)}
	for i, cmd := range r.Commands {
		c.take(task{command: cmd, answers: a, index: i, trace: r.Trace}, self)
	}
	c.proceed(self)
}

func (c *conversation) take(t task, self Self) {
	w := c.begin()
	if !c.loaded && w.waits == nothing {
		c.load(self)
	}
	if w.waits == nothing && len(w.stash) == 0 {
		c.decide(t, self)
		return
	}
	if len(w.stash) >= maxStash {
		c.answer(t, fmt.Errorf("conversation has too much waiting: %w", domain.ErrOverloaded))
		return
	}
	w.stash = append(w.stash, t)
}

func (c *conversation) begin() *work {
	if c.work == nil {
		c.work = &work{lineage: &domain.Lineage{}}
	}
	return c.work
}

// proceed decides what waits, and what sending asks for, as far as it can be
// decided now.
func (c *conversation) proceed(self Self) {
	c.decideStash(self)
	for c.pump() {
		c.decideStash(self)
	}
	c.rest()
}

func (c *conversation) decideStash(self Self) {
	w := c.begin()
	for {
		if w.waits == quiet && len(w.pending) == 0 {
			c.learn(self)
		}
		if w.waits != nothing || len(w.stash) == 0 {
			return
		}
		t := w.stash[0]
		w.stash[0] = task{}
		w.stash = w.stash[1:]
		c.decideStashed(t, self)
	}
}

// decideStashed decides a task that isn't the message in hand. Should that
// panic, it costs this one task: who asked is told, and the others go on.
func (c *conversation) decideStashed(t task, self Self) {
	panics := true
	defer func() {
		if panics {
			c.answer(t, fmt.Errorf("conversation panicked: %w", domain.ErrFailed))
			c.all.system.Tell(self.PID, goOn{c.work.lineage})
		}
	}()
	c.decide(t, self)
	panics = false
}

// answer settles one task; the reply goes when all of its request are.
func (c *conversation) answer(t task, err error) {
	a := t.answers
	a.results[t.index].Err = err
	a.missing--
	switch {
	case a.missing > 0:
	case a.then != nil:
		a.then(a.results[t.index])
	default:
		c.all.system.Reply(a.to, a.results)
	}
}

// done drops what only work needs, when there is none left, and tells whether
// that is so.
func (c *conversation) done() bool {
	w := c.work
	if w != nil && (len(w.pending) > 0 || len(w.stash) > 0 || w.waits != nothing) || c.sends.underWay() {
		return false
	}
	c.work = nil
	return true
}

// rest ends what a message began. A conversation that doesn't exist isn't kept:
// somebody else may create it.
func (c *conversation) rest() {
	if c.done() && (c.leave || !c.loaded || !c.state.Exists()) {
		c.loaded = c.loaded && c.state.Exists()
		c.passivate()
	}
}

func (c *conversation) passivate() {
	c.flushNotice()
	c.stopSending()
	if c.all.Passivate(c.state.ID, c.entry) {
		c.handOn()
	}
}

// failed follows the failure policy. What is submitted stands or falls without
// us; its askers are told that the outcome is unknown.
func (c *conversation) failed(f Failed) {
	w := c.work
	c.work, c.loaded = nil, false
	if w != nil {
		for i := range w.pending {
			w.pending[i].end("failed")
		}
		c.answerAll(w.pending, domain.ErrOutcomeUnknown)
		for _, t := range w.stash {
			c.answer(t, domain.ErrUnavailable)
		}
		c.resync(len(w.pending))
	}
	c.all.cfg.Logger.Error("conversation drops its state", "conversation", c.state.ID, "error", f.Reason)
	if !c.sends.underWay() {
		c.passivate()
	}
}
