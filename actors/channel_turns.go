package actors

import (
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// This file gives the turns of a channel: grants to those who wait, and places
// to the calls that were claimed.

// turnBack refuses the calls that wait for their place: they go back to wait for
// a grant.
func (c *channel) turnBack() {
	for _, d := range c.leaves {
		c.turnAway(d)
	}
	c.leaves = nil
}

// turnAway refuses a departure, at the cost of no attempt.
func (c *channel) turnAway(d depart) {
	c.unreserve(d.Conversation)
	c.all.system.Reply(d.Replies, &domain.CallError{
		Class: domain.FailureThrottleChannel, Code: domain.CallUnsendable, Text: "the channel stopped sending",
	})
}

// depart lets the calls go whose place has come, and tells when the next one's
// comes.
func (c *channel) depart(now time.Time) time.Time {
	var held []depart
	var next time.Time
	var full [lanes]bool
	if c.paces[light].At(now).Sub(now) > maxHeld {
		c.turnBack() // the platform asked to slow down: nothing stays claimed that long
	}
	for i, d := range c.leaves {
		if _, granted := c.grants[d.Conversation]; !granted {
			c.turnAway(d) // its grant ran out
			continue
		}
		at := c.paces[light].At(now)
		if d.Lane == heavy {
			at = later(at, c.paces[heavy].At(now))
		}
		if full[d.Lane] || at.After(now) {
			full[d.Lane] = true
			held, next = append(held, d), sooner(next, at)
			if full[light] { // a heavy call needs a place among all
				held = append(held, c.leaves[i+1:]...)
				break
			}
			continue
		}
		c.leave(d, now)
	}
	c.leaves = held
	return next
}

// leave lets a call go.
func (c *channel) leave(d depart, now time.Time) {
	place := departed{Lane: d.Lane}
	place.Slots[light] = c.paces[light].Depart(now)
	if d.Lane == heavy {
		place.Slots[heavy] = c.paces[heavy].Depart(now)
	}
	c.endGrant(d.Conversation)
	c.calls[d.Conversation] = turn{d.Lane, now.Add(callLife)}
	c.all.system.Reply(d.Replies, place)
}

// grant gives turns to those who wait, as many as may depart soon, and tells
// when it could give more; zero: when something else happens.
func (c *channel) grant(now time.Time) time.Time {
	var wake time.Time
	for l := range lanes {
		for c.queues[l].len() > 0 && len(c.grants)+len(c.calls) < maxCalls {
			if ok, at := c.breaker.Lets(now); !ok {
				return sooner(wake, at)
			}
			// A tenth of a second more than have room: by then their claims are stored.
			pace := &c.paces[l]
			if c.granted[l] >= pace.Room(now, maxCalls)+max(1, pace.Rate()/10) || pace.At(now).Sub(now) > maxHeld {
				wake = sooner(wake, later(pace.At(now), now.Add(time.Millisecond)))
				break
			}
			id, ok := c.queues[l].pop()
			if !ok {
				break
			}
			c.grants[id] = turn{l, now.Add(grantLife)}
			c.granted[l]++
			c.breaker.Tries()
			c.all.tell(id, granted{c.id})
		}
	}
	return wake
}

// sooner is the earlier of two times; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
