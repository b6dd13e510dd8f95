package actors

import (
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// channel owns the pace of one number or page: it grants conversations their
// turn, lets calls depart within the platform's limits, and stops when the
// platform doesn't work or the credentials don't. It makes no calls itself.
//
// A turn has two steps. A conversation asks for a grant before it claims its
// message, so that nothing is claimed that has to wait long; and the call asks
// for its departure after the claim is durable, when its place in the platform's
// second counts. A conversation gets one grant at a time.
type channel struct {
	all          *Channels
	id           domain.ChannelID
	entry        *Entry
	organization domain.OrganizationID // told with each reserve
	queues       [lanes]queue
	paces        [lanes]domain.Pace // a heavy call has to keep both
	leaves       []depart           // calls that wait for their place, in order

	breaker domain.Breaker
	pairs   map[domain.ConversationID]*domain.Pair
	grants  map[domain.ConversationID]turn // not departed yet
	calls   map[domain.ConversationID]turn // departed and not answered
	granted [lanes]int                     // of grants
	broken  *broken                        // the platform refused the channel; nil: it works, as far as we know
	timer   *time.Timer                    // not on the wheel: a second has to be used up to its end
	swept   time.Time
}

// turn is a conversation's. Until is when it doesn't count any more: what holds
// one may get lost.
type turn struct {
	Lane  lane      `cbor:"1,keyasint"`
	Until time.Time `cbor:"2,keyasint"`
}

// lane tells messages with a limit of their own apart.
type lane int

const (
	light lane = iota
	heavy      // audio and video
	lanes
)

// broken is what is known of a channel that the platform refused.
type broken struct {
	Noted   bool              `cbor:"1,keyasint,omitempty"` // in the database
	Trusted time.Time         `cbor:"2,keyasint,omitzero"`  // from when on the registry is believed again: it lags behind the database
	Failure *domain.CallError `cbor:"3,keyasint"`
}

const (
	// maxQueued bounds who waits for a turn on one channel; others are told to
	// ask again later.
	maxQueued = 20_000
	// maxCalls bounds the calls of one channel that are under way: many times
	// what its rate and the platform's usual time to answer give.
	maxCalls = 256
	// grantLife is how long a grant may take to depart: a conversation that
	// doesn't come back with it is gone.
	grantLife = 30 * time.Second
	// callLife is longer than any call may take, its upload included. What came
	// of it may get lost between two nodes.
	callLife = 3 * time.Minute
	// maxHeld is how long a claimed message waits for its place: longer than any
	// pace but that of a paused channel makes it wait.
	maxHeld = 2 * time.Second
	// recheck is how often a channel that doesn't send looks whether it may again.
	recheck = time.Second
	// registryLag is how long the registry may need to learn what is stored.
	registryLag = 2 * time.Second
)

// What a channel is told.
type (
	// reserve asks for a grant.
	reserve struct {
		Organization domain.OrganizationID `cbor:"1,keyasint"`
		Conversation domain.ConversationID `cbor:"2,keyasint"`
		Lane         lane                  `cbor:"3,keyasint"`
	}
	// unreserve takes back a reserve, a grant that isn't used, or a departure of
	// which the reply was lost.
	unreserve struct {
		Conversation domain.ConversationID `cbor:"1,keyasint"`
	}
	// depart asks for the place of a call; the reply is a departed, or an error:
	// the call isn't made then.
	depart struct {
		Conversation domain.ConversationID `cbor:"1,keyasint"`
		Lane         lane                  `cbor:"2,keyasint"`
		Replies      *actor.PID            `cbor:"0,keyasint,omitempty"`
	}
	// answered tells what came of a call that departed.
	answered struct {
		Conversation domain.ConversationID `cbor:"1,keyasint"`
		Departed     departed              `cbor:"2,keyasint"`
		Failure      *domain.CallError     `cbor:"3,keyasint,omitempty"`
	}
	// brokenNoted: the database knows that the channel doesn't work.
	brokenNoted struct{}
	channelDue  struct{}
)

// ReplyTo is where an error goes when the call can't depart.
func (d depart) ReplyTo() *actor.PID { return d.Replies }

// departed is the place of a call.
type departed struct {
	Lane  lane               `cbor:"1,keyasint"`
	Slots [lanes]domain.Slot `cbor:"2,keyasint"`
}

// Receive implements Behavior.
func (c *channel) Receive(msg any, _ Self) {
	switch msg := msg.(type) {
	case reserve:
		c.reserve(msg)
	case unreserve:
		c.unreserve(msg.Conversation)
		c.endCall(msg.Conversation)
	case depart:
		c.leaves = append(c.leaves, msg)
	case answered:
		c.answered(msg)
	case brokenNoted:
		if c.broken != nil {
			c.broken.Noted, c.broken.Trusted = true, c.now().Add(registryLag)
		}
	case channelDue:
		c.ring(c.now().Add(recheck)) // should what follows panic
	case Idle, Drain:
		c.rest(msg)
		return
	case Failed:
		c.turnBack() // grants run out, and who is queued is found by the sweep
		return
	}
	c.advance()
}

func (c *channel) now() time.Time { return c.all.system.now() }

// reserve queues a conversation, or sends it away until it may be written to.
func (c *channel) reserve(r reserve) {
	now := c.now()
	c.organization = r.Organization
	c.endCall(r.Conversation) // a conversation makes one at a time: what came of the last one was lost on the way
	if _, has := c.grants[r.Conversation]; has {
		c.all.tell(r.Conversation, granted{c.id}) // it was passivated in between
		return
	}
	if c.queues[light].has(r.Conversation) || c.queues[heavy].has(r.Conversation) {
		return
	}
	if c.queues[r.Lane].len() >= maxQueued {
		c.all.tell(r.Conversation, deferred{now.Add(grantLife)})
		return
	}
	if at, ok := c.takePair(r.Conversation, now); !ok {
		c.all.tell(r.Conversation, deferred{at})
		return
	}
	c.queues[r.Lane].push(r.Conversation)
}

// takePair takes a message of what the customer may get.
func (c *channel) takePair(id domain.ConversationID, now time.Time) (time.Time, bool) {
	if ch, _ := c.all.cfg.Registry.Channel(c.organization, c.id); ch.Provider != domain.WhatsApp {
		return time.Time{}, true
	}
	pair := c.pairs[id]
	if pair == nil {
		pair = &domain.Pair{}
		c.pairs[id] = pair
	}
	ok, at := pair.Take(now)
	return at, ok
}

func (c *channel) unreserve(id domain.ConversationID) {
	had := c.endGrant(id)
	if had {
		c.breaker.Leaves()
	}
	queued := c.queues[light].remove(id) || c.queues[heavy].remove(id)
	if pair := c.pairs[id]; pair != nil && (had || queued) {
		pair.Give()
	}
}

func (c *channel) endGrant(id domain.ConversationID) bool {
	t, has := c.grants[id]
	if has {
		delete(c.grants, id)
		c.granted[t.Lane]--
	}
	return has
}

// endCall forgets a call without an answer.
func (c *channel) endCall(id domain.ConversationID) {
	if _, has := c.calls[id]; has {
		delete(c.calls, id)
		c.breaker.Leaves()
	}
}

// answered learns from a call what it says of the channel.
func (c *channel) answered(a answered) {
	now := c.now()
	if _, counts := c.calls[a.Conversation]; counts { // else it departed before the channel began anew
		c.paces[light].Arrived(a.Departed.Slots[light], now)
		if a.Departed.Lane == heavy {
			c.paces[heavy].Arrived(a.Departed.Slots[heavy], now)
		}
	}
	delete(c.calls, a.Conversation)
	switch f := a.Failure; {
	case f == nil:
		c.breaker.Works()
		c.paces[light].Eased()
		c.paces[heavy].Eased()
	case f.Class == domain.FailureChannel:
		c.breakDown(f)
	case f.Class == domain.FailureThrottleApp || f.Class == domain.FailureThrottleChannel:
		c.breaker.Leaves() // it works, and asks for patience
		c.paces[a.Departed.Lane].Strained(now, f.RetryAfter)
	case f.Class.Ails():
		c.breaker.Fails(now)
	default:
		c.breaker.Works() // it answered: what is wrong is the message's
	}
}

// breakDown stops the channel until somebody mends it: its sends wait.
func (c *channel) breakDown(f *domain.CallError) {
	if c.broken != nil {
		return
	}
	c.broken = &broken{Failure: f}
	c.all.note(c.organization, c.id, f)
}

// advance lets go what may go, and has itself woken when more may.
func (c *channel) advance() {
	now := c.now()
	c.sweep(now)
	ch, known := c.all.cfg.Registry.Channel(c.organization, c.id)
	if known {
		c.follow(ch)
	}
	wake := c.stopped(ch, known, now)
	if wake.IsZero() {
		wake = sooner(c.depart(now), c.grant(now))
	} else {
		c.turnBack()
	}
	if c.busy() {
		wake = sooner(wake, now.Add(grantLife)) // for what gets lost
	}
	c.ring(wake)
}

// follow takes the channel's rate from the configuration.
func (c *channel) follow(ch domain.Channel) {
	light, heavyRate := ch.SendRate, domain.MessengerHeavyRate
	if light == 0 {
		light = domain.MessengerRate
		if ch.Provider == domain.WhatsApp {
			light = domain.WhatsAppRate
		}
	}
	if ch.Provider == domain.WhatsApp {
		heavyRate = light // the number has one limit for all
	}
	for l, rate := range [lanes]int{light, min(heavyRate, light)} {
		if c.paces[l].Rate() != rate {
			c.paces[l] = domain.NewPace(rate)
		}
	}
}

// stopped is when to look again at a channel that may not send now; zero: it may.
func (c *channel) stopped(ch domain.Channel, known bool, now time.Time) time.Time {
	works := known && ch.Status == domain.ChannelActive
	if c.broken != nil && c.broken.Noted && works && !now.Before(c.broken.Trusted) {
		c.broken = nil // its credentials were renewed, or a check found it well
		c.breaker = domain.Breaker{}
	}
	if works && c.broken == nil {
		return time.Time{}
	}
	if !c.busy() {
		return now.Add(time.Hour) // the next message asks anyway
	}
	return now.Add(recheck)
}

// sweep forgets turns that ran out, and customers who may get everything.
func (c *channel) sweep(now time.Time) {
	if now.Sub(c.swept) < recheck {
		return
	}
	c.swept = now
	for id, t := range c.grants {
		if t.Until.Before(now) {
			c.unreserve(id)
		}
	}
	for id, t := range c.calls {
		if t.Until.Before(now) {
			c.endCall(id)
		}
	}
	for id, p := range c.pairs {
		if p.Full(now) {
			delete(c.pairs, id)
		}
	}
}

// busy reports whether anybody waits for the channel, or holds a turn.
func (c *channel) busy() bool {
	return len(c.grants)+len(c.calls)+len(c.leaves)+c.queues[light].len()+c.queues[heavy].len() > 0
}

// ring has the actor woken at a time, instead of when it was to be woken before.
func (c *channel) ring(at time.Time) {
	c.stop()
	if at.IsZero() {
		return
	}
	system, pid := c.all.system, c.entry.pid
	c.timer = time.AfterFunc(at.Sub(c.now()), func() { system.Tell(pid, channelDue{}) })
}

// stop has the actor not woken any more.
func (c *channel) stop() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// rest ends the actor when nothing is under way, or the node stops.
func (c *channel) rest(why any) {
	if _, draining := why.(Drain); draining || !c.busy() && len(c.pairs) == 0 {
		c.turnBack()
		c.stop()
		c.all.Passivate(c.id, c.entry)
	}
}
