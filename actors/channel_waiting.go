package actors

import (
	"context"
	"sync"

	"github.com/chatopshub/chatopshub/domain"
)

// This file has what a cluster adds to the turns of channels: who asks again
// when a channel's node is another one, and until when a claim holds.

// waiting is the conversations of this node that asked for a turn, those that
// have left memory meanwhile included. Nil, when there is one node: then no
// channel forgets them.
type waiting struct {
	mu    sync.Mutex
	turns map[domain.ConversationID]awaited
}

// awaited is the channel that was asked, and where it was then.
type awaited struct {
	channel domain.ChannelID
	owner   string
}

func (cs *Channels) ownerOf(id domain.ChannelID) string {
	owner, _ := cs.system.router.placement.Owner(id)
	return owner
}

// awaits notes that a conversation asks for a turn.
func (cs *Channels) awaits(id domain.ConversationID, channel domain.ChannelID) {
	if cs.placing == nil {
		return
	}
	owner := cs.ownerOf(channel)
	cs.waiting.mu.Lock()
	defer cs.waiting.mu.Unlock()
	cs.waiting.turns[id] = awaited{channel, owner}
}

// served notes that it doesn't wait any more.
func (cs *Channels) served(id domain.ConversationID) {
	if cs.placing == nil {
		return
	}
	cs.waiting.mu.Lock()
	defer cs.waiting.mu.Unlock()
	delete(cs.waiting.turns, id)
}

// askAgain wakes the conversations whose channel is elsewhere now, as its queue
// may have died with its node. If it has not, they are in it, and asking twice
// does no harm.
func (cs *Channels) askAgain() {
	for _, id := range cs.displaced() {
		if err := cs.conversations.Wake(id); err != nil {
			cs.cfg.Logger.Debug("conversation isn't told to ask for a turn again", "conversation", id, "error", err) // the resumer will
		}
	}
}

// displaced takes out who waits for a channel that is elsewhere by now: who
// still waits comes in again when it asks. Those who are another node's by now
// are that one's to note.
func (cs *Channels) displaced() []domain.ConversationID {
	cs.waiting.mu.Lock()
	defer cs.waiting.mu.Unlock()
	var ids []domain.ConversationID
	for id, a := range cs.waiting.turns {
		moved := cs.ownerOf(a.channel) != a.owner
		if moved {
			ids = append(ids, id)
		}
		if moved || !cs.conversations.owns(id) {
			delete(cs.waiting.turns, id)
		}
	}
	return ids
}

// claimTime is what is left of a claim. Its call begins early, so that the
// platform has the rest for its answer, and ends with it: after that nobody has
// to ask whether some node is still at it.
type claimTime struct {
	begin, end context.Context
	cancel     func()
}

func (cs *Channels) claimOf(a attempt) claimTime {
	cfg := &cs.conversations.cfg
	if cfg.ClaimLife == 0 {
		return claimTime{cs.ctx, cs.ctx, func() {}}
	}
	begin, cancelBegin := context.WithDeadline(cs.ctx, a.claim.Add(cfg.ClaimLife/3))
	end, cancelEnd := context.WithDeadline(cs.ctx, a.claim.Add(cfg.claimLife(a.outgoing.Content.Type)))
	return claimTime{begin, end, func() {
		cancelBegin()
		cancelEnd()
	}}
}
