package actors

import (
	"errors"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// This file sends what is in a conversation's outbox, one message at a time: a
// turn from the channel, the durable claim, the call, the durable outcome. The
// rules are the domain's; here is who waits for what.

// sends is what a conversation holds while its outbox isn't empty.
type sends struct {
	stage   stage
	message domain.MessageID   // that the stage is about
	outcome *domain.FinishSend // to be stored
	turn    domain.ChannelID   // that granted one which isn't used yet
	timer   *Timer
	tries   int // how often in a row the stage failed
}

// stage is what the first message of the outbox waits for.
type stage int

const (
	resting   stage = iota // a time, or nothing
	reserved               // a turn
	claiming               // its claim to be durable
	calling                // the platform
	recording              // what came of the call to be durable
)

// underWay reports whether the conversation has to stay in memory: what it
// waits for can't be found again by who comes after it. A turn can.
func (s *sends) underWay() bool { return s != nil && s.stage >= claiming }

// What a conversation is told about its sends, beside attempted.
type (
	granted  struct{ by domain.ChannelID } // its turn has come
	deferred struct{ until time.Time }     // no turn before that
	sendDue  struct{}                      // a time it waited for has come
	wake     struct{}                      // there may be something to send
)

// sendRetry is how long a step waits that couldn't be stored, or be asked for;
// it doubles up to maxSendRetry.
const (
	sendRetry    = 500 * time.Millisecond
	maxSendRetry = 15 * time.Second
)

// Wake makes sure that the conversation sends what is due; an error says that it
// couldn't be told.
func (cs *Conversations) Wake(id domain.ConversationID) error { return cs.Tell(id, wake{}) }

func (c *conversation) sendEvent(msg any, self Self) {
	if c.all.cfg.Channels == nil {
		return
	}
	if c.sends == nil {
		c.sends = &sends{}
	}
	s := c.sends
	switch msg := msg.(type) {
	case granted:
		s.turn = msg.by
		if s.stage == reserved {
			s.stage = resting
		}
	case deferred:
		if s.stage == reserved {
			s.stage = resting
			c.wait(msg.until)
		}
	case attempted:
		c.attempted(msg, self)
	case sendDue:
		s.timer = nil
		if s.stage == recording && s.outcome != nil {
			c.record(self)
		}
	}
	if !c.loaded && c.begin().waits == nothing {
		c.load(self)
	}
	c.proceed(self)
}

// pump takes the next step with the outbox, if one can be taken.
func (c *conversation) pump(self Self) {
	if !c.loaded || c.all.cfg.Channels == nil || c.sends == nil && len(c.state.Outbox) == 0 {
		return
	}
	if c.sends == nil {
		c.sends = &sends{}
	}
	s := c.sends
	if s.stage != resting {
		return
	}
	if len(c.state.Outbox) == 0 || c.leave {
		c.stopSending()
		return
	}
	if s.timer != nil {
		return
	}
	c.step(c.state.Outbox[0], self)
}

// step begins what the first message of the outbox needs next.
func (c *conversation) step(head domain.Unsent, self Self) {
	s := c.sends
	if head.State != domain.SendSending && c.all.system.now().Before(head.Due) {
		c.wait(head.Due)
		return
	}
	switch {
	case head.State == domain.SendUncertain:
		s.stage, s.message = claiming, head.Message
		c.ask(domain.ExpireSend{Message: head.Message}, c.stepped, self)
	case head.State == domain.SendSending:
		// Claimed, and no call of ours is under way: it was lost with whoever made it.
		c.finish(domain.FinishSend{Message: head.Message, Claim: head.Claim, Failure: domain.Interrupted()}, self)
	case !s.turn.IsZero():
		s.stage, s.message = claiming, head.Message
		c.ask(domain.ClaimSend{Message: head.Message}, c.claimed, self)
	case c.all.cfg.Channels.reserve(c.state.Channel, reserve{c.state.Organization, c.state.ID, laneOf(head.Type)}):
		s.stage = reserved
	default:
		c.retry()
	}
}

// ask has the conversation decide a command of its own.
func (c *conversation) ask(cmd domain.Command, then func(Result), self Self) {
	c.take(task{command: cmd, answers: &answers{then: then, results: make(Results, 1), missing: 1}}, self)
}

// stepped ends a step that changed the outbox, or didn't.
func (c *conversation) stepped(r Result) {
	c.sends.stage = resting
	if r.Err != nil {
		c.retry()
		return
	}
	c.sends.tries = 0
}

// claimed makes the call, now that nobody else will.
func (c *conversation) claimed(r Result) {
	s := c.sends
	c.stepped(r)
	m, known := c.work.known.Message(r.Message)
	if r.Err != nil || !known {
		return // not claimed: it may not go out any more, or not yet
	}
	s.stage, s.turn = calling, domain.ChannelID{}
	c.all.cfg.Channels.call(attempt{
		conversation: c.state.ID, organization: c.state.Organization, channel: c.state.Channel, message: m.ID, claim: m.AttemptStartedAt,
		target: reactedTo(&m), lane: laneOf(m.Type),
		outgoing: domain.OutgoingOf(&c.state, &m, c.all.system.now()),
	})
}

// reactedTo is the message that m is a reaction on.
func reactedTo(m *domain.Message) domain.MessageID {
	if m.Type == domain.TypeReaction {
		return m.ReplyTo
	}
	return domain.MessageID{}
}

// laneOf is the limit that a message counts for beside the channel's own.
func laneOf(t domain.MessageType) lane {
	switch t {
	case domain.TypeAudio, domain.TypeVoice, domain.TypeVideo:
		return heavy
	}
	return light
}

// attempted stores what came of a call. It may come to a conversation that
// doesn't remember the call.
func (c *conversation) attempted(a attempted, self Self) {
	c.finish(domain.FinishSend{
		Message: a.attempt.message, Claim: a.attempt.claim, Target: a.attempt.target,
		Sent: a.sent, Failure: a.failure,
	}, self)
}

func (c *conversation) finish(cmd domain.FinishSend, self Self) {
	cmd.Patience = c.all.cfg.Patience
	c.sends.outcome = &cmd
	c.record(self)
}

func (c *conversation) record(self Self) {
	s := c.sends
	s.stage = recording
	c.stopTimer()
	outcome := *s.outcome
	c.ask(outcome, func(r Result) { c.recorded(outcome, r) }, self)
}

// recorded tries again what couldn't be stored: as long as the process lives,
// what is known of an attempt isn't lost.
func (c *conversation) recorded(outcome domain.FinishSend, r Result) {
	s := c.sends
	_, foreign := errors.AsType[*domain.MisroutedError](r.Err)
	_, refused := errors.AsType[*domain.ValueError](r.Err)
	switch {
	case r.Err == nil:
		s.outcome, s.stage, s.tries = nil, resting, 0
		return
	case foreign && outcome.Sent != nil:
		s.outcome.Sent = &domain.Sent{ProviderID: outcome.Sent.ProviderID} // the name is another customer's
	case refused && s.tries > 0, errors.Is(r.Err, domain.ErrFailed):
		c.all.cfg.Logger.Error("outcome of a send can't be stored", "conversation", c.state.ID, "message", outcome.Message, "error", r.Err)
		s.outcome, s.stage = nil, resting
	case refused && outcome.Failure != nil:
		bare := *outcome.Failure
		bare.Text, s.outcome.Failure = "", &bare
	}
	c.retry()
}

// retry lets the stage rest for a while.
func (c *conversation) retry() {
	wait := min(sendRetry<<min(c.sends.tries, 6), maxSendRetry)
	c.sends.tries++
	c.wait(c.all.system.now().Add(wait))
}

func (c *conversation) wait(until time.Time) {
	c.stopTimer()
	system, pid := c.all.system, c.entry.pid
	c.sends.timer = c.all.cfg.Wheel.Schedule(until, func() { system.Tell(pid, sendDue{}) })
}

func (c *conversation) stopTimer() {
	if c.sends.timer != nil {
		c.sends.timer.Stop()
		c.sends.timer = nil
	}
}

// stopSending gives back what the channel granted or was asked for.
func (c *conversation) stopSending() {
	s := c.sends
	if s == nil || s.underWay() {
		return
	}
	c.stopTimer()
	switch {
	case !s.turn.IsZero():
		c.all.cfg.Channels.unreserve(s.turn, c.state.ID)
	case s.stage == reserved && c.leave:
		c.all.cfg.Channels.unreserve(c.state.Channel, c.state.ID)
	}
	c.sends = nil
}
