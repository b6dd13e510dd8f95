package actors

import (
	"cmp"
	"slices"

	"github.com/chatopshub/chatopshub/domain"
)

// This file takes a channel along when another node becomes its owner: nobody
// loses a turn, and the platform's second goes on. A channel whose node died
// begins anew; who waited for it asks again.

// channelState is a channel on its way to another node.
type channelState struct {
	Organization domain.OrganizationID            `cbor:"1,keyasint"`
	Queues       [lanes][][]domain.ConversationID `cbor:"2,keyasint"` // in order, each in parts
	Paces        [lanes]domain.PaceState          `cbor:"3,keyasint"`
	Breaker      domain.BreakerState              `cbor:"4,keyasint"`
	Pairs        []pairState                      `cbor:"5,keyasint,omitempty"`
	Grants       []turnState                      `cbor:"6,keyasint,omitempty"`
	Calls        []turnState                      `cbor:"7,keyasint,omitempty"`
	Leaves       []depart                         `cbor:"8,keyasint,omitempty"`
	Broken       *broken                          `cbor:"9,keyasint,omitempty"`
}

type (
	pairState struct {
		Conversation domain.ConversationID `cbor:"1,keyasint"`
		Pair         domain.PairState      `cbor:"2,keyasint"`
	}
	turnState struct {
		Conversation domain.ConversationID `cbor:"1,keyasint"`
		Turn         turn                  `cbor:"2,keyasint"`
	}
)

const (
	// queuePart bounds the conversations in one list of a message.
	queuePart = maxElements / 2
	// maxMovedPairs bounds the customers of whom is told what they got. Overflow:
	// of those who got least nothing is known after a move.
	maxMovedPairs = maxElements / 2
)

// Depart implements Mover.
func (c *channel) Depart() (state any, ok bool) {
	c.ring(c.now().Add(recheck)) // should what follows panic
	s := channelState{
		Organization: c.organization, Breaker: c.breaker.State(), Pairs: c.pairStates(),
		Grants: turnStates(c.grants), Calls: turnStates(c.calls), Leaves: c.leaves, Broken: c.broken,
	}
	for l := range lanes {
		s.Paces[l] = c.paces[l].State(c.now())
		s.Queues[l] = slices.Collect(slices.Chunk(c.queues[l].all(), queuePart))
	}
	c.stop()
	return s, true
}

func turnStates(turns map[domain.ConversationID]turn) []turnState {
	states := make([]turnState, 0, len(turns))
	for id, t := range turns {
		states = append(states, turnState{id, t})
	}
	return states
}

func (c *channel) pairStates() []pairState {
	states := make([]pairState, 0, len(c.pairs))
	for id, p := range c.pairs {
		if !p.Full(c.now()) {
			states = append(states, pairState{id, p.State()})
		}
	}
	if len(states) > maxMovedPairs {
		slices.SortFunc(states, func(a, b pairState) int { return cmp.Compare(b.Pair.Spent, a.Pair.Spent) })
		states = states[:maxMovedPairs]
	}
	return states
}

// Arrive implements Mover.
func (c *channel) Arrive(state any, _ Self) {
	s, ok := state.(channelState)
	if !ok {
		return // begun anew
	}
	c.organization, c.breaker, c.leaves = s.Organization, s.Breaker.Breaker(), s.Leaves
	if ch, known := c.all.cfg.Registry.Channel(c.organization, c.id); known {
		c.follow(ch)
		for l := range lanes {
			c.paces[l].Resume(s.Paces[l])
		}
	}
	for l := range lanes {
		for _, part := range s.Queues[l] {
			for _, id := range part {
				c.queues[l].push(id)
			}
		}
	}
	for _, p := range s.Pairs {
		pair := p.Pair.Pair()
		c.pairs[p.Conversation] = &pair
	}
	for _, g := range s.Grants {
		c.grants[g.Conversation] = g.Turn
		c.granted[g.Turn.Lane]++
	}
	for _, t := range s.Calls {
		c.calls[t.Conversation] = t.Turn
	}
	if c.broken = s.Broken; c.broken != nil && !c.broken.Noted {
		c.all.note(c.organization, c.id, c.broken.Failure) // the node that was at it may be gone
	}
	c.advance()
}
