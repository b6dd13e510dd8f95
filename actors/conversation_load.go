package actors

import (
	"errors"
	"fmt"

	"github.com/chatopshub/chatopshub/domain"
)

// This file gets what decisions need to know: the state of the conversation,
// and the messages that commands are about.

func (c *conversation) load(self Self) {
	w := c.work
	w.waits = state
	system, lineage, pid := c.all.system, w.lineage, self.PID
	c.all.cfg.Loader.Load(c.state.ID, func(s domain.Conversation, err error) {
		system.Tell(pid, stateLoaded{lineage, s, err})
	})
}

func (c *conversation) stateLoaded(m stateLoaded, self Self) {
	w := c.work
	w.waits = nothing
	if m.err != nil {
		c.giveUp(fmt.Errorf("load conversation: %w", m.err))
		return
	}
	c.state, c.loaded = m.state, true
	c.proceed(self)
}

// giveUp answers everything that waits: it certainly was not executed.
func (c *conversation) giveUp(err error) {
	stash := c.work.stash
	c.work.stash = nil
	for _, t := range stash {
		if t.settled == nil || errors.Is(t.settled, errFull) { // a refusal's facts are what couldn't be had
			c.answer(t, err)
			continue
		}
		c.answerSettled(t)
	}
	c.rest()
}

// learn has the messages loaded that waiting tasks lack. That is done while
// nothing is pending: the database doesn't show what hasn't committed.
func (c *conversation) learn(self Self) {
	w := c.work
	if w.known.Len()+w.asked > maxKnown {
		w.known, w.asked = domain.MessageSet{}, 0
	}
	want, tasks := w.lacking()
	if want.IsZero() {
		w.waits = nothing
		return
	}
	w.waits, w.asked = messages, w.asked+want.Len()
	system, lineage, pid := c.all.system, w.lineage, self.PID
	c.all.cfg.Loader.LoadMessages(c.state.ID, c.state.Channel, want, func(found []domain.Message, err error) {
		system.Tell(pid, messagesLoaded{lineage, want, tasks, found, err})
	})
}

// lacking is what the first tasks of the stash have to know and don't, each
// message once, and how many tasks these are.
func (w *work) lacking() (want domain.Targets, tasks int) {
	var named domain.MessageSet
	for _, t := range w.stash {
		if tasks > 0 && (tasks == w.reach || want.Len() >= maxAsked) {
			break
		}
		tasks++
		lacking := named.Lacks(w.known.Lacks(domain.TargetsOf(t.command)))
		named.Learn(lacking, nil)
		want.ProviderIDs = append(want.ProviderIDs, lacking.ProviderIDs...)
		want.IDs = append(want.IDs, lacking.IDs...)
		want.Requests = append(want.Requests, lacking.Requests...)
		if lacking.UnreadUpTo.After(want.UnreadUpTo) {
			want.UnreadUpTo = lacking.UnreadUpTo
		}
	}
	return want, tasks
}

func (c *conversation) messagesLoaded(m messagesLoaded, self Self) {
	w := c.work
	w.waits = nothing
	var refused *domain.ValueError
	switch {
	case m.err == nil:
		w.known.Learn(m.targets, m.found)
		w.reach = 0
	case !errors.As(m.err, &refused):
		c.giveUp(fmt.Errorf("load messages: %w", m.err))
		return
	case m.tasks > 1: // a value that one of them names: find it
		w.reach, w.waits = m.tasks/2, quiet
	default:
		c.answer(w.stash[0], fmt.Errorf("load messages: %w", m.err))
		w.stash, w.reach = w.stash[1:], 0
	}
	c.proceed(self)
}
