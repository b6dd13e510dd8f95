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
	alarm   *alarm             // set: it rests until then
	tries   int                // how often in a row the stage failed
}

// alarm is a time that a conversation waits for. One that went off too late to
// be stopped is known by not being the current one.
type alarm struct {
	timer *Timer
	head  domain.Unsent // the message that waits; zero: whichever it is
}

// isOf reports whether it is that message which waits, as it is. Of one that has
// got on meanwhile, by news or by another owner, something else is due.
func (a *alarm) isOf(head domain.Unsent) bool {
	return a.head.Message.IsZero() ||
		a.head.Message == head.Message && a.head.State == head.State && a.head.Claim.Equal(head.Claim) && a.head.Due.Equal(head.Due)
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
	// granted: its turn has come.
	granted struct {
		By domain.ChannelID `cbor:"1,keyasint"`
	}
	// deferred: no turn before that.
	deferred struct {
		Until time.Time `cbor:"1,keyasint"`
	}
	sendDue struct{ alarm *alarm } // a time it waited for has come
	wake    struct{}               // there may be something to send
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
		s.turn = msg.By
		c.unreserved()
	case deferred:
		if c.unreserved() {
			c.wait(msg.Until)
		}
	case attempted:
		c.attempted(msg)
	case sendDue:
		if s.alarm == msg.alarm {
			c.alarmed()
		}
	case wake:
		c.unreserved() // who was asked for the turn may have forgotten; asking twice does no harm
		if len(c.state.Outbox) == 0 {
			c.overtaken(domain.ChangeID{}) // as who is woken has something to send
		}
	case moved:
		c.unreserved()
		c.overtaken(msg.Head)
	}
	if !c.loaded && c.begin().waits == nothing {
		c.load(self)
	}
	c.proceed(self)
}

// unreserved ends the wait for a turn, if that is what it waits for.
func (c *conversation) unreserved() bool {
	c.all.cfg.Channels.served(c.state.ID)
	if c.sends.stage != reserved {
		return false
	}
	c.sends.stage = resting
	return true
}

func (c *conversation) alarmed() {
	c.sends.alarm = nil
	if c.sends.stage == recording {
		c.record()
	}
}

// pump takes the next step with the outbox, if one can be taken, and tells
// whether that asks for a decision.
func (c *conversation) pump() bool {
	if !c.loaded || c.all.cfg.Channels == nil || c.sends == nil && len(c.state.Outbox) == 0 {
		return false
	}
	if c.sends == nil {
		c.sends = &sends{}
	}
	s := c.sends
	if s.stage != resting {
		return false
	}
	if len(c.state.Outbox) == 0 || c.leave {
		c.stopSending()
		return false
	}
	head := c.state.Outbox[0]
	if s.alarm != nil {
		if s.alarm.isOf(head) {
			return false
		}
		c.stopAlarm()
	}
	c.step(head)
	return s.stage >= claiming
}

// step begins what the first message of the outbox needs next.
func (c *conversation) step(head domain.Unsent) {
	s := c.sends
	if due := c.dueOf(head); c.all.system.now().Before(due) {
		c.wait(due)
		return
	}
	switch {
	case head.State == domain.SendUncertain:
		s.stage, s.message = claiming, head.Message
		c.ask(domain.ExpireSend{Message: head.Message}, c.expired)
	case head.State == domain.SendSending:
		// Claimed, no call of ours is under way, and none of another node's can be:
		// it was lost with whoever made it.
		c.finish(domain.FinishSend{Message: head.Message, Claim: head.Claim, Failure: domain.Interrupted()})
	case !s.turn.IsZero():
		s.stage, s.message = claiming, head.Message
		c.ask(domain.ClaimSend{Message: head.Message}, c.claimed)
	case c.all.cfg.Channels.reserve(c.state.Channel, reserve{c.state.Organization, c.state.ID, laneOf(head.Type)}):
		s.stage = reserved
	default:
		c.retry()
	}
}

// ask has the conversation decide a command of its own when it proceeds. Then
// is called once, whatever happens. It doesn't count against maxStash: there are
// one or two at a time.
func (c *conversation) ask(cmd domain.Command, then func(Result)) {
	w := c.begin()
	w.stash = append(w.stash, task{command: cmd, answers: &answers{then: then, results: make(Results, 1), missing: 1}})
}

// expired ends a wait for news.
func (c *conversation) expired(r Result) { c.stepped(r.Err) }

// stepped ends a step with the first message of the outbox. One that brought it
// no further is tried again later.
func (c *conversation) stepped(err error) {
	s := c.sends
	s.stage = resting
	if err != nil || len(c.state.Outbox) > 0 && c.state.Outbox[0].Message == s.message {
		c.retry()
		return
	}
	s.tries = 0
}

// claimed makes the call, now that nobody else will.
func (c *conversation) claimed(r Result) {
	s := c.sends
	if r.Err != nil {
		c.stepped(r.Err)
		return
	}
	m, known := c.work.known.Message(r.Message)
	if !known || m.SendState != domain.SendSending {
		c.stepped(nil) // not claimed, as it may not go out any more; or news of an earlier attempt came
		return
	}
	s.stage, s.turn, s.tries = calling, domain.ChannelID{}, 0
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
// doesn't remember the call, and works on another message by now.
func (c *conversation) attempted(a attempted) {
	outcome := domain.FinishSend{
		Message: a.Message, Claim: a.Claim, Target: a.Target,
		Sent: a.Sent, Failure: a.Failure, Patience: c.all.cfg.Patience,
	}
	if c.sends.underWay() && c.sends.message != outcome.Message {
		c.ask(outcome, func(r Result) {
			if r.Err != nil {
				c.unrecorded(outcome, r.Err)
			}
		})
		return
	}
	c.finish(outcome)
}

func (c *conversation) finish(outcome domain.FinishSend) {
	outcome.Patience = c.all.cfg.Patience
	c.sends.outcome = &outcome
	c.record()
}

func (c *conversation) record() {
	s := c.sends
	outcome := s.outcome
	s.stage, s.message = recording, outcome.Message
	c.stopAlarm()
	c.ask(*outcome, func(r Result) {
		if s.outcome == outcome { // else better news came meanwhile
			c.recorded(r.Err)
		}
	})
}

// maxRecordings is how often an outcome that is refused is offered.
const maxRecordings = 3

// recorded tries again what couldn't be stored: as long as the process lives,
// what is known of an attempt isn't lost.
func (c *conversation) recorded(err error) {
	s := c.sends
	_, foreign := errors.AsType[*domain.MisroutedError](err)
	_, refused := errors.AsType[*domain.ValueError](err)
	hopeless := refused || errors.Is(err, domain.ErrFailed)
	switch {
	case err == nil:
		s.outcome, s.stage, s.tries = nil, resting, 0
		return
	case hopeless && s.tries+1 >= maxRecordings:
		c.unrecorded(*s.outcome, err)
		s.outcome, s.stage = nil, resting
	case foreign && s.outcome.Sent != nil:
		s.outcome.Sent = &domain.Sent{ProviderID: s.outcome.Sent.ProviderID} // the name is another customer's
	case refused && s.outcome.Failure != nil:
		bare := *s.outcome.Failure
		bare.Text, s.outcome.Failure = "", &bare
	}
	c.retry()
}

func (c *conversation) unrecorded(outcome domain.FinishSend, err error) {
	c.all.cfg.Logger.Error("outcome of a send can't be stored", "conversation", c.state.ID, "message", outcome.Message, "error", err)
}

// retry lets the stage rest for a while.
func (c *conversation) retry() {
	wait := min(sendRetry<<min(c.sends.tries, 6), maxSendRetry)
	c.sends.tries++
	c.wait(c.all.system.now().Add(wait))
}

func (c *conversation) wait(until time.Time) {
	c.stopAlarm()
	system, pid, a := c.all.system, c.entry.pid, &alarm{}
	if c.loaded && len(c.state.Outbox) > 0 {
		a.head = c.state.Outbox[0]
	}
	a.timer = c.all.cfg.Wheel.Schedule(until, func() { system.Tell(pid, sendDue{a}) })
	c.sends.alarm = a
}

func (c *conversation) stopAlarm() {
	if c.sends.alarm != nil {
		c.sends.alarm.timer.Stop()
		c.sends.alarm = nil
	}
}

// stopSending gives back what the channel granted or was asked for, but for what
// the next owner has a use for.
func (c *conversation) stopSending() {
	s := c.sends
	if s == nil || s.underWay() {
		return
	}
	c.stopAlarm()
	if c.leave {
		c.all.cfg.Channels.served(c.state.ID)
	}
	switch {
	case c.leave && c.all.placing != nil && len(c.state.Outbox) > 0: // it asks, and gets the turn at once
	case !s.turn.IsZero():
		c.all.cfg.Channels.unreserve(s.turn, c.state.ID)
	case s.stage == reserved && c.leave:
		c.all.cfg.Channels.unreserve(c.state.Channel, c.state.ID)
	}
	c.sends = nil
}
