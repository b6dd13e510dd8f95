package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

// Goal: whatever goes wrong, and whenever: each request is answered exactly
// once and truly, each message is stored once, and of the messages that are
// known to be stored every one is announced once, in order, and no other.
// Method: random requests to few conversations, at random times, on a store that
// takes random time and fails at random, with actors that leave within
// milliseconds, and with a Close somewhere.
func TestConversationsTellTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			r := &run{desk: openDesk(t, DirectoryConfig{IdleTTL: p.ttl}), plan: p}
			problems = r.play()
		})
		if len(problems) > 0 {
			rt.Fatalf("%d problems, such as: %s", len(problems), problems[0])
		}
	})
}

// plan is a scenario.
type plan struct {
	customers int
	steps     []step
	ttl       time.Duration
	closeAt   int // the step before which the directory is closed
	seed      uint64
	weather   weather
}

type step struct {
	customer int
	commands []int // what kind each is, and which message or agent: see command
	pause    time.Duration
}

func drawPlan(rt *rapid.T) plan {
	percent := rapid.SampledFrom([]int{0, 0, 2, 10, 30})
	p := plan{
		customers: rapid.IntRange(1, 3).Draw(rt, "customers"),
		ttl:       time.Duration(rapid.SampledFrom([]int{0, 1, 5, 50}).Draw(rt, "ttl")) * time.Millisecond,
		seed:      rapid.Uint64().Draw(rt, "seed"),
		weather: weather{
			unavailable: percent.Draw(rt, "unavailable"), unknown: percent.Draw(rt, "unknown"),
			elsewhere: percent.Draw(rt, "elsewhere"), load: percent.Draw(rt, "load"), full: percent.Draw(rt, "full"),
			delay: time.Duration(rapid.IntRange(0, 20).Draw(rt, "delay")) * time.Millisecond,
		},
	}
	p.steps = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{
			customer: rapid.IntRange(0, p.customers-1).Draw(rt, "customer"),
			commands: rapid.SliceOfN(rapid.IntRange(0, 89), 1, 4).Draw(rt, "commands"),
			pause:    time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 10, 100}).Draw(rt, "pause")) * time.Millisecond,
		}
	}), 1, 40).Draw(rt, "steps")
	p.closeAt = rapid.IntRange(0, 2*len(p.steps)).Draw(rt, "close at")
	return p
}

// run plays a plan.
type run struct {
	*desk
	plan  plan
	asked []*inquirer

	mu       sync.Mutex
	problems []string
}

func (r *run) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *run) play() []string {
	r.change(func(s *store) {
		s.weather = r.plan.weather
		s.weather.random = rand.New(rand.NewPCG(r.plan.seed, 0))
		s.room[r.agent("agent2").User] = 1
	})
	var asking, closing sync.WaitGroup
	for i, step := range r.plan.steps {
		if i == r.plan.closeAt {
			closing.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				if err := r.conversations.Close(ctx); err != nil {
					r.problem("close: %v", err)
				}
			})
		}
		k := r.customer(fmt.Sprint(step.customer))
		var commands []domain.Command
		for _, n := range step.commands {
			commands = append(commands, r.command(k, n))
		}
		asked := r.past(k.id)
		a := r.newInquirer()
		r.asked = append(r.asked, a)
		if err := r.conversations.Tell(k.id, Request{Commands: commands, Replies: a.pid}); err != nil {
			if i < r.plan.closeAt || !errors.Is(err, domain.ErrUnavailable) {
				r.problem("tell: %v", err)
			}
			continue
		}
		asking.Go(func() {
			select {
			case reply := <-a.replies:
				r.answered(k, step, commands, asked, reply)
			case <-time.After(time.Hour):
				r.problem("a request was never answered")
			}
		})
		<-time.After(step.pause)
	}
	asking.Wait()
	closing.Wait()
	r.checkEnd()
	r.change(func(s *store) { s.weather = weather{} })
	return append(r.problems, r.notices.problems...)
}

// command is one of the kinds there are, for one of ten messages or of three
// agents; messages come again, and so do refused ones.
func (r *run) command(k customer, n int) domain.Command {
	name, agent := fmt.Sprint(n%10), r.agent(fmt.Sprint("agent", n%3))
	switch n / 10 {
	case 0:
		return k.echo(name + "out")
	case 1:
		return k.status(name+"out", domain.StatusRead)
	case 2:
		return domain.Accept{By: agent}
	case 3:
		return domain.Release{By: agent}
	case 4:
		return domain.Reassign{By: r.admin(), To: userOf(agent)}
	case 5:
		return domain.ReleaseIf{Agent: agent.User, Assignment: int64(n % 10), Event: domain.AuditReleased}
	case 6:
		if n%10 == 0 {
			return k.says(poison)
		}
	}
	return k.says(name)
}

// past is how many states the conversation has had.
func (r *run) past(id domain.ConversationID) int {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	return len(r.store.history[id])
}

// answered checks each answer against what was stored between the request and
// now.
func (r *run) answered(k customer, step step, commands []domain.Command, asked int, reply any) {
	results, ok := reply.(Results)
	if !ok || len(results) != len(commands) {
		r.problem("%d commands were answered %v", len(commands), reply)
		return
	}
	r.store.mu.Lock()
	history := r.store.history[k.id]
	lived := history[max(asked-1, 0):]
	stored := map[string]int{}
	for id, n := range r.store.stored {
		stored[id] = n
	}
	r.store.mu.Unlock()
	for i, cmd := range commands {
		if !trueAnswer(cmd, results[i].Err, lived, asked == 0, stored) {
			r.problem("command %d of step %v was answered %v, which was never true: %T", i, step.commands, results[i], cmd)
		}
	}
}

// trueAnswer reports whether an answer fits one of the states that the
// conversation had meanwhile; absent is whether it may not have existed.
func trueAnswer(cmd domain.Command, err error, lived []domain.Conversation, absent bool, stored map[string]int) bool {
	if errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrOverloaded) || errors.Is(err, domain.ErrOutcomeUnknown) {
		return true
	}
	if errors.Is(err, domain.ErrNotFound) || errors.Is(err, domain.ErrNoTarget) {
		return absent
	}
	if receive, ok := cmd.(domain.Receive); ok {
		return trueOfElement(receive, err, stored)
	}
	by, _ := domain.CallerOf(cmd)
	var no *domain.Refusal
	if errors.As(err, &no) && no.Code == domain.CodeCapacityReached {
		for i := range lived {
			if *domain.Refuse(&lived[i], no.Code) == *no {
				return true
			}
		}
		return false
	}
	known := &domain.MessageSet{}
	for i := range lived {
		after, change, want := domain.Decide(lived[i], cmd, known, domain.Moment{Now: lived[i].UpdatedAt, Entropy: entropy()})
		switch {
		case no != nil:
			var expected *domain.Refusal
			if errors.As(want, &expected) && *expected == *no {
				return true
			}
		case err == nil && want == nil && change.IsZero():
			return true
		case err == nil && want == nil && i+1 < len(lived):
			next := &lived[i+1] // done: the next state is this command's
			if next.Status == after.Status && next.Holder == after.Holder && next.EventSeq == after.EventSeq {
				return true
			}
		}
	}
	_, isRelease := cmd.(domain.ReleaseIf)
	return by.User.IsZero() && isRelease && absent && err == nil
}

// trueOfElement: done is stored, refused is the one with the poison.
func trueOfElement(receive domain.Receive, err error, stored map[string]int) bool {
	var refused *domain.ValueError
	switch e := receive.Event.(type) {
	case domain.CustomerMessage:
		if e.Body == poison {
			return errors.As(err, &refused)
		}
		return err == nil && stored[e.ProviderID] == 1
	case domain.BusinessEcho:
		return err == nil && stored[e.ProviderID] == 1
	}
	return err == nil
}

// checkEnd checks what is left when all has been answered.
func (r *run) checkEnd() {
	if n := r.panics(); n > 0 {
		r.problem("%d panics", n)
	}
	<-time.After(activityInterval + 300*time.Millisecond) // what was held is told by now
	r.wait()
	for _, a := range r.asked {
		if len(a.replies) > 0 {
			r.problem("a request was answered twice, the second time %v", <-a.replies)
		}
	}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	for id, n := range r.store.stored {
		if n != 1 {
			r.problem("message %q is stored %d times", id, n)
		}
	}
	for id, told := range r.store.told {
		r.checkNotices(id, told)
	}
}

// checkNotices: what a conversation announced is what its actors were told is
// stored, in that order; of mere activity the last may stand for others.
func (r *run) checkNotices(id domain.ConversationID, changes []domain.Change) {
	var want, got []domain.MessageID
	last := int64(0)
	for i := range changes {
		for _, m := range changes[i].Inserts {
			want = append(want, m.ID)
		}
		for _, n := range changes[i].Notices {
			if n.Name == domain.EventConversationUpdated {
				last = changes[i].After.Version
			}
		}
	}
	version := int64(0)
	for _, n := range r.notices.all() {
		switch p := n.Payload.(type) {
		case domain.MessageCreated:
			if p.Conversation == id {
				got = append(got, p.ID)
			}
		case domain.ConversationUpdated:
			if p.ID == id {
				if p.Version <= version {
					r.problem("version %d was told after %d", p.Version, version)
				}
				version = p.Version
			}
		}
	}
	if fmt.Sprint(want) != fmt.Sprint(got) {
		r.problem("stored %v and announced %v", want, got)
	}
	if version != last {
		r.problem("the last state told has version %d, want %d", version, last)
	}
}
