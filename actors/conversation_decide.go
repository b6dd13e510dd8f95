package actors

import (
	"errors"
	"fmt"

	"github.com/chatopshub/chatopshub/domain"
)

// decide applies the rules to one command, and hands the outcome to the writer.
func (c *conversation) decide(t task, self Self) {
	w := c.work
	if errors.Is(t.settled, errFull) && c.state.Exists() {
		c.submit(decided{task: t, answer: domain.Refuse(&c.state, domain.CodeCapacityReached)}, self)
		return
	}
	if t.settled != nil {
		c.answerSettled(t)
		return
	}
	if err := c.all.cfg.Writer.Admit(isInternal(t.command)); err != nil {
		c.answer(t, err)
		return
	}
	if lacking := w.known.Lacks(domain.TargetsOf(t.command)); !lacking.IsZero() && c.state.Exists() {
		w.stash = append([]task{t}, w.stash...)
		w.waits = quiet
		return
	}
	moment := domain.Moment{Now: c.all.system.now(), Entropy: c.all.cfg.Entropy()}
	after, change, err := domain.Decide(c.state, c.informed(t.command), &w.known, moment)
	if !c.state.Exists() && change.IsZero() {
		c.answer(t, err) // nothing is stored, so there is nothing to check
		return
	}
	c.submit(decided{task: t, answer: err, change: change}, self)
	c.state = after
	w.known.Apply(change)
	if w.known.Len() > maxKnown {
		w.waits = quiet
	}
}

// informed is the command with what only the configuration knows.
func (c *conversation) informed(cmd domain.Command) domain.Command {
	send, ok := cmd.(domain.Send)
	if !ok || c.all.cfg.Channels == nil {
		return cmd
	}
	if ch, known := c.all.cfg.Channels.cfg.Registry.Channel(c.state.Organization, c.state.Channel); known {
		send.Channel = ch.Status
	}
	return send
}

func (c *conversation) submit(d decided, self Self) {
	w := c.work
	d.step, d.end = c.all.system.begin(d.trace, stepDecide)
	w.pending = append(w.pending, d)
	system, lineage, pid := c.all.system, w.lineage, self.PID
	c.all.cfg.Writer.Submit(domain.Submission{
		Conversation: c.state.ID, Lineage: lineage, Base: c.state.Head, Change: d.change, Trace: d.step,
		Done: func(v domain.Verdict) { system.Tell(pid, verdictReached{lineage, v}) },
	})
}

// isInternal reports whether a command comes from inside or from the platform
// about what we sent: work that relieves the system rather than adds to it.
func isInternal(cmd domain.Command) bool {
	switch cmd := cmd.(type) {
	case domain.ReleaseIf, domain.FinishSend, domain.ExpireSend, domain.MediaSettled:
		return true
	case domain.Receive:
		switch cmd.Event.(type) {
		case domain.StatusReport, domain.Watermark:
			return true
		}
	}
	return false
}

func (c *conversation) verdict(v domain.Verdict, self Self) {
	if v.Outcome == domain.Committed {
		c.committed()
	} else {
		c.undone(v, self)
	}
	c.proceed(self)
}

func (c *conversation) committed() {
	w := c.work
	first := w.pending[0]
	w.pending[0] = decided{}
	w.pending = w.pending[1:]
	w.retries = 0
	c.publish(first.change.Notices, first.step)
	first.end("committed")
	c.errand(&first)
	first.answers.results[first.index].Message = first.change.Message
	c.answer(first.task, first.answer)
}

// undone deals with a change that couldn't be stored: what the verdict blames
// is answered, everything else is decided again on what the database has.
func (c *conversation) undone(v domain.Verdict, self Self) {
	w := c.work
	pending := w.pending
	w.pending = nil
	c.startOver()
	for i := range pending {
		pending[i].end("undone")
	}
	switch v.Outcome {
	case domain.Unavailable:
		c.answerAll(pending, domain.ErrUnavailable)
	case domain.Unknown:
		c.answerAll(pending, domain.ErrOutcomeUnknown)
		c.resync(len(pending))
	default:
		c.decideAgain(pending, v)
	}
	if len(w.stash) > 0 {
		c.load(self)
	}
}

// startOver forgets the state: it is loaded before anything else is decided.
func (c *conversation) startOver() {
	w := c.work
	w.lineage, w.known, w.asked = &domain.Lineage{}, domain.MessageSet{}, 0
	w.waits, c.loaded = nothing, false
}

// decideAgain puts what a verdict has undone before everything else that waits.
func (c *conversation) decideAgain(pending []decided, v domain.Verdict) {
	w := c.work
	again, blamed := make([]task, 0, len(pending)+len(w.stash)), false
	for i := range pending {
		t := pending[i].task
		t.settled = blame(v, &pending[i])
		blamed = blamed || t.settled != nil
		again = append(again, t)
	}
	if !blamed {
		w.retries++
	}
	if !blamed && w.retries > maxRetries {
		c.answerAll(pending, fmt.Errorf("conversation is changed faster than it can be read: %w", domain.ErrOverloaded))
		return
	}
	w.stash = append(again, w.stash...)
}

func (c *conversation) answerAll(pending []decided, err error) {
	for i := range pending {
		c.answer(pending[i].task, err)
	}
}

// What settles a task without another decision.
var (
	errStored = errors.New("stored already")         // its message is: answered as done
	errFull   = errors.New("agent has no room left") // refused, with the facts of now
)

// answerSettled answers a task that the database has decided.
func (c *conversation) answerSettled(t task) {
	switch {
	case errors.Is(t.settled, errStored):
		c.answer(t, nil)
	case errors.Is(t.settled, errFull):
		c.answer(t, domain.Refuse(&c.state, domain.CodeCapacityReached))
	default:
		c.answer(t, t.settled)
	}
}

// blame is what a verdict means for one of the tasks that it undid; nil: to be
// decided again.
func blame(v domain.Verdict, d *decided) error {
	switch v.Outcome {
	case domain.Duplicate:
		for i := range d.change.Inserts {
			for _, id := range v.Duplicates {
				if d.change.Inserts[i].ProviderMessageID == id {
					return errStored
				}
			}
		}
	case domain.ForeignAlias:
		for _, claim := range d.change.Claims {
			if claim.Alias == v.Foreign.Alias {
				return &v.Foreign
			}
		}
	case domain.OverCapacity:
		for _, l := range d.change.Load {
			if l.Agent == v.Agent && l.Delta > 0 {
				return errFull
			}
		}
	case domain.Refused:
		if d.change.ID == v.Blame {
			return v.Err
		}
	}
	return nil
}
