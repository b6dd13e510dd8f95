package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

// Goal: whatever the platform does, the store, and conversations that leave or
// panic: a text that was taken, or may have been, is never sent again; a
// customer's texts go out in order; and in the end none is PENDING.
// Method: random texts to few customers while everything fails at random; then
// everything works again.
func TestNothingIsSentTwiceOrForgotten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := drawSendPlan(rt)
		var problems []string
		synctest.Test(t, func(t *testing.T) { problems = playSends(t, p) })
		if len(problems) > 0 {
			rt.Fatalf("%d problems, such as: %s", len(problems), problems[0])
		}
	})
}

// sendPlan is a scenario; what fails is in percent.
type sendPlan struct {
	texts   []int // whose turn it is to get one
	pauses  []int // in ms
	rate    int
	ttl     time.Duration
	slow    time.Duration // the longest call
	classes []domain.FailureClass
	failing int   // calls
	panics  int   // decisions, in per mille
	crashes []int // before which texts the customer's conversation is lost with all that it knows
	weather weather
	seed    uint64
}

func drawSendPlan(rt *rapid.T) sendPlan {
	percent := rapid.SampledFrom([]int{0, 0, 2, 10, 30})
	return sendPlan{
		texts:  rapid.SliceOfN(rapid.IntRange(0, 2), 1, 20).Draw(rt, "texts"),
		pauses: rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 1, 100, 2000}), 20, 20).Draw(rt, "pauses"),
		rate:   rapid.SampledFrom([]int{0, 2, 5}).Draw(rt, "rate"),
		ttl:    time.Duration(rapid.SampledFrom([]int{0, 1000, 5000}).Draw(rt, "ttl")) * time.Millisecond,
		slow:   time.Duration(rapid.SampledFrom([]int{0, 500, 5000, 20_000}).Draw(rt, "slow")) * time.Millisecond,
		classes: rapid.SliceOfN(rapid.SampledFrom([]domain.FailureClass{
			domain.FailurePermanent, domain.FailurePermanentOrOnce, domain.FailureTransient, domain.FailureThrottleChannel,
			domain.FailureThrottleRecipient, domain.FailureThrottleQuality, domain.FailureChannel, domain.FailureUncertain,
		}), 1, 4).Draw(rt, "classes"),
		failing: rapid.SampledFrom([]int{0, 20, 60, 100}).Draw(rt, "failing"),
		panics:  rapid.SampledFrom([]int{0, 0, 10, 50}).Draw(rt, "panics"),
		crashes: rapid.SliceOfN(rapid.IntRange(0, 19), 0, 6).Draw(rt, "crashes"),
		weather: weather{
			unavailable: percent.Draw(rt, "unavailable"), unknown: percent.Draw(rt, "unknown"), elsewhere: percent.Draw(rt, "elsewhere"),
			load: percent.Draw(rt, "load"), full: percent.Draw(rt, "full"),
			delay: time.Duration(rapid.IntRange(0, 20).Draw(rt, "delay")) * time.Millisecond,
		},
		seed: rapid.Uint64().Draw(rt, "seed"),
	}
}

// chaos is randomness that can be turned off.
type chaos struct {
	mu     sync.Mutex
	random *rand.Rand
	storm  bool // everything panics
}

func (c *chaos) permille(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.storm || c.random != nil && c.random.IntN(1000) < n
}

func (c *chaos) below(n int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.random == nil || n <= 0 {
		return 0
	}
	return c.random.Int64N(n)
}

func (c *chaos) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.random = nil
}

// ledger is what the platform answered, by reference.
type ledger struct {
	mu       sync.Mutex
	outcomes map[string][]string
}

func (l *ledger) note(reference string, failed *domain.CallError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what := "sent"
	if failed != nil {
		what = string(failed.Class)
	}
	l.outcomes[reference] = append(l.outcomes[reference], what)
}

func playSends(t *testing.T, p sendPlan) []string {
	wild, answers := &chaos{}, &ledger{outcomes: map[string][]string{}}
	o := openSendingDesk(t, DirectoryConfig{IdleTTL: p.ttl}, func(_ *desk, cfg *ConversationConfig) {
		cfg.Entropy = func() [16]byte {
			if wild.permille(p.panics) {
				panic("chaos")
			}
			return entropy()
		}
	})
	o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.SendRate = p.rate })
	o.platform.answers(func(c platformCall) outcome {
		done := outcome{after: time.Duration(wild.below(int64(p.slow)))}
		if wild.permille(p.failing * 10) {
			done.failure = failure(p.classes[wild.below(int64(len(p.classes)))])
		}
		answers.note(c.reference, done.failure)
		return done
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := NewResumer(o.conversations, dueSends{o.store}).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { o.mend(ctx) })
	people := []customer{o.held("1"), o.held("2"), o.held("3")}
	o.begin(wild, p)
	for i, whose := range p.texts {
		if slices.Contains(p.crashes, i) {
			o.crash(people[whose], wild)
		}
		a := o.newInquirer()
		_ = o.conversations.Tell(people[whose].id, Request{Commands: []domain.Command{o.text(fmt.Sprint("text ", i))}, Replies: a.pid}) // refused: not sent
		<-time.After(time.Duration(p.pauses[i]) * time.Millisecond)
	}
	<-time.After(20 * time.Second)
	wild.end()
	o.change(func(s *store) { s.weather = weather{} })
	for deadline := time.Now().Add(20 * time.Minute); !o.settled() && time.Now().Before(deadline); {
		<-time.After(5 * time.Second)
	}
	stop()
	running.Wait()
	return append(o.platform.problems, o.fates(answers)...)
}

func (o *sendingDesk) begin(wild *chaos, p sendPlan) {
	wild.mu.Lock()
	wild.random = rand.New(rand.NewPCG(p.seed, 1))
	wild.mu.Unlock()
	o.change(func(s *store) {
		s.weather = p.weather
		s.weather.random = rand.New(rand.NewPCG(p.seed, 0))
	})
}

// crash has the failure policy end the conversation's actor, whatever it is at.
func (o *sendingDesk) crash(k customer, wild *chaos) {
	wild.set(true)
	for range stopAt {
		_ = o.conversations.Tell(k.id, Request{Commands: []domain.Command{o.text("lost")}}) // nobody waits for the answer
	}
	o.wait()
	wild.set(false)
}

func (c *chaos) set(storm bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.storm = storm
}

// mend turns the channel back to ACTIVE now and then, as who renews its
// credentials does.
func (o *sendingDesk) mend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(17 * time.Second):
			o.registry.set(o.channel.ID, func(ch *domain.Channel) { ch.Status = domain.ChannelActive })
		}
	}
}

// settled reports whether nothing waits to be sent.
func (o *sendingDesk) settled() bool {
	return see(o.desk, func(s *store) bool {
		for _, m := range s.messages {
			if m.SendState != "" {
				return false
			}
		}
		return true
	})
}

// fates finds what became of messages that shouldn't.
func (o *sendingDesk) fates(answers *ledger) (problems []string) {
	sequence := map[string][]string{} // of the references called with, by customer
	for _, c := range o.platform.made() {
		if !slices.Contains(sequence[c.to], c.reference) {
			sequence[c.to] = append(sequence[c.to], c.reference)
		} else if last := sequence[c.to]; last[len(last)-1] != c.reference {
			problems = append(problems, fmt.Sprintf("%s was sent again after a later one", c.text))
		}
	}
	for to, references := range sequence {
		if !slices.IsSorted(references) { // ids grow with the order of writing
			problems = append(problems, fmt.Sprintf("texts to %s went out in another order", to))
		}
	}
	return append(problems, see(o.desk, func(s *store) (problems []string) {
		for id, m := range s.messages {
			if m.Direction != domain.Outbound {
				continue
			}
			outcomes := answers.outcomes[domain.ReferenceOf(m.conversation, id)]
			if problem := fate(m.Message, outcomes); problem != "" {
				problems = append(problems, fmt.Sprintf("%s, whose calls were %v, is %s %s: %s", m.Body, outcomes, m.Status, m.ErrorCode, problem))
			}
		}
		return problems
	})...)
}

// fate checks the end of a message against what its calls came to.
func fate(m domain.Message, outcomes []string) string {
	for i, what := range outcomes {
		if (what == "sent" || what == string(domain.FailureUncertain)) && i+1 < len(outcomes) {
			return "sent again after it may have been taken"
		}
	}
	taken := len(outcomes) > 0 && outcomes[len(outcomes)-1] == "sent"
	switch {
	case m.Status == domain.StatusPending:
		return "left behind"
	case m.Status == domain.StatusSent && !taken:
		return "not sent"
	case taken && m.Status != domain.StatusSent && m.ErrorCode != domain.CodeSendUncertain:
		return "sent"
	}
	return ""
}
