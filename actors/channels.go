package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// Platform makes the calls to the messaging platforms.
type Platform interface {
	// Send hands a message to the channel's platform, in one attempt. Its
	// errors are *domain.CallError; after one of class FailureUncertain the
	// message may be on its way, after any other it certainly isn't.
	Send(ctx context.Context, ch domain.Channel, m domain.Outgoing) (domain.Sent, error)
}

// ChannelRegistry has the channels' configuration in memory.
type ChannelRegistry interface {
	Channel(organization domain.OrganizationID, id domain.ChannelID) (domain.Channel, bool)
}

// ChannelHealth keeps the status of channels.
type ChannelHealth interface {
	// Broken notes that the platform refuses the channel, and why.
	Broken(ctx context.Context, ch domain.Channel, reason string) error
}

// ChannelsConfig is what channels work with.
type ChannelsConfig struct {
	Platform  Platform
	Registry  ChannelRegistry
	Health    ChannelHealth
	Logger    *slog.Logger
	Directory DirectoryConfig
}

// Channels is the directory of channel actors, and owns the calls that
// conversations make: each has a goroutine, and a channel bounds its own, so
// that one whose platform hangs keeps no other waiting.
type Channels struct {
	*Directory[domain.ChannelID]
	system        *System
	cfg           ChannelsConfig
	conversations *Conversations // set before anything is sent

	waiting waiting

	calls  sync.WaitGroup
	notes  sync.WaitGroup  // of what the database is told; begun by the actors
	ctx    context.Context // of the calls' life
	cancel context.CancelFunc
}

// NewChannels makes the directory, for one directory of conversations. Close it
// after that one.
func NewChannels(s *System, cfg ChannelsConfig) *Channels {
	cs := &Channels{system: s, cfg: cfg}
	cs.ctx, cs.cancel = context.WithCancel(context.Background())
	cs.Directory = NewDirectory(s, "channel", func(id domain.ChannelID, entry *Entry) Behavior {
		return &channel{
			all: cs, id: id, entry: entry, pairs: map[domain.ConversationID]*domain.Pair{},
			grants: map[domain.ConversationID]turn{}, calls: map[domain.ConversationID]turn{},
		}
	}, cfg.Directory)
	if place(cs.Directory, placing[domain.ChannelID]{}); cs.placing != nil {
		cs.waiting.turns = map[domain.ConversationID]awaited{}
		s.router.onDisturbance(cs.askAgain)
	}
	return cs
}

// Close waits for the calls under way, gives them up when ctx ends, and then
// ends the channels. What was given up is uncertain when it is found again.
func (cs *Channels) Close(ctx context.Context) error {
	defer cs.cancel()
	ended := make(chan struct{})
	go func() { // ends with the calls, which cancel ends
		cs.calls.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		cs.cancel()
		<-ended
	}
	err := cs.Directory.Close(ctx)
	cs.cancel()
	cs.notes.Wait()
	return err
}

// tell sends a conversation what it waits for, whatever waits there already: it
// comes once for each turn.
func (cs *Channels) tell(id domain.ConversationID, msg any) {
	if err := cs.conversations.conclude(id, msg); err != nil {
		cs.cfg.Logger.Debug("conversation isn't told of its turn", "conversation", id, "error", err) // we are stopping
	}
}

// reserve and unreserve ask a channel for a turn, or give it back. A channel
// that is too busy to be asked grants nothing: the conversation asks again.
func (cs *Channels) reserve(channel domain.ChannelID, msg reserve) bool {
	cs.awaits(msg.Conversation, channel)
	if cs.Tell(channel, msg) != nil {
		cs.served(msg.Conversation)
		return false
	}
	return true
}

func (cs *Channels) unreserve(channel domain.ChannelID, conversation domain.ConversationID) {
	// Refused only when closed: then nobody counts turns any more.
	_ = cs.insist(channel, unreserve{conversation})
}

// attempt is one call for a message that was claimed.
type attempt struct {
	conversation domain.ConversationID
	organization domain.OrganizationID
	channel      domain.ChannelID
	message      domain.MessageID
	claim        time.Time
	target       domain.MessageID
	lane         lane
	outgoing     domain.Outgoing
}

// attempted is what came of it.
type attempted struct {
	Message domain.MessageID  `cbor:"1,keyasint"`
	Claim   time.Time         `cbor:"2,keyasint"`
	Target  domain.MessageID  `cbor:"3,keyasint,omitzero"`
	Sent    *domain.Sent      `cbor:"4,keyasint,omitempty"`
	Failure *domain.CallError `cbor:"5,keyasint,omitempty"`
}

// call makes the call and tells the conversation what came of it.
func (cs *Channels) call(a attempt) {
	cs.calls.Go(func() {
		sent, failure := cs.attempt(a)
		cs.system.metrics.sent(failure)
		cs.tell(a.conversation, attempted{Message: a.message, Claim: a.claim, Target: a.target, Sent: sent, Failure: failure})
	})
}

func (cs *Channels) attempt(a attempt) (*domain.Sent, *domain.CallError) {
	claim := cs.claimOf(a)
	defer claim.cancel()
	reply, err := cs.system.Ask(claim.begin, func(replyTo *actor.PID) {
		if err := cs.insist(a.channel, depart{a.conversation, a.lane, replyTo}); err != nil {
			cs.system.Reply(replyTo, err)
		}
	})
	if err == nil {
		err = claim.begin.Err() // we may have been frozen
	}
	place, ok := reply.(departed)
	if err != nil || !ok {
		if _, told := errors.AsType[*domain.CallError](err); !told {
			cs.unreserve(a.channel, a.conversation) // it may have been let go, and the reply was lost
		}
		return nil, notMade(err)
	}
	var failure *domain.CallError
	ch, known := cs.cfg.Registry.Channel(a.organization, a.channel)
	if !known {
		failure = notMade(fmt.Errorf("channel %s: %w", a.channel, domain.ErrNotFound))
	}
	var sent domain.Sent
	if failure == nil {
		if sent, err = cs.cfg.Platform.Send(claim.end, ch, a.outgoing); err != nil {
			failure = asCallError(err)
		}
	}
	// Refused only when closed.
	_ = cs.insist(a.channel, answered{a.conversation, place, failure})
	if failure != nil {
		return nil, failure
	}
	return &sent, nil
}

// notMade is the failure of a call that didn't depart: it costs no attempt.
func notMade(err error) *domain.CallError {
	if failure, ok := errors.AsType[*domain.CallError](err); ok {
		return failure
	}
	return &domain.CallError{Class: domain.FailureThrottleChannel, Code: domain.CallUnsendable, Text: "the channel is not available", Cause: err}
}

// asCallError is err with its class. One that says nothing of itself may have
// come from anywhere: the message may have gone out.
func asCallError(err error) *domain.CallError {
	if failure, ok := errors.AsType[*domain.CallError](err); ok {
		return failure
	}
	return &domain.CallError{Class: domain.FailureUncertain, Code: domain.CallNoAnswer, Text: "the call failed", Cause: err}
}

// note has the database know that a channel is broken, and tells the channel
// once it does.
func (cs *Channels) note(org domain.OrganizationID, id domain.ChannelID, failure *domain.CallError) {
	cs.notes.Go(func() {
		for wait := time.Second; ; wait = min(2*wait, time.Minute) {
			err := cs.broken(org, id, failure)
			if err == nil {
				break
			}
			cs.cfg.Logger.Error("channel is broken, which couldn't be stored", "channel", id, "error", err)
			select {
			case <-time.After(wait):
			case <-cs.ctx.Done():
				return
			}
		}
		// Refused only when closed.
		_ = cs.insist(id, brokenNoted{})
	})
}

func (cs *Channels) broken(org domain.OrganizationID, id domain.ChannelID, failure *domain.CallError) error {
	ch, known := cs.cfg.Registry.Channel(org, id)
	if !known {
		return nil
	}
	cs.cfg.Logger.Error("platform refuses channel; its sends wait", "channel", id, "organization", ch.Organization,
		"code", failure.Code, "reason", failure.Text, "trace", failure.TraceID)
	return cs.cfg.Health.Broken(cs.ctx, ch, failure.Code+": "+failure.Text)
}
