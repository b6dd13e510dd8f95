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

// Goal: whatever the platform and the store do, while conversations and channels
// move between nodes that learn of it at different times, connections break and
// a node dies: a text that was taken, or may have been, is never sent again; a
// customer's texts go out in order; and in the end none is PENDING.
func TestNothingIsSentTwiceOrForgottenOnSeveralNodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := fleetPlan{sendPlan: drawSendPlan(rt)}
		p.slow = min(p.slow, testClaimLife/2)
		p.changes = rapid.SliceOfN(rapid.IntRange(0, 9), len(p.texts), len(p.texts)).Draw(rt, "changes")
		var problems []string
		synctest.Test(t, func(t *testing.T) { problems = playFleet(t, p) })
		if len(problems) > 0 {
			rt.Fatalf("%d problems, such as: %s", len(problems), problems[0])
		}
	})
}

// fleetPlan says beside what happens on one node what becomes of the nodes
// before each text.
type fleetPlan struct {
	sendPlan
	changes []int
}

func playFleet(t *testing.T, p fleetPlan) []string {
	f := openFleet(t, "a", "b", "c")
	wild, answers := &chaos{}, &ledger{outcomes: map[string][]string{}}
	f.registry.set(f.channel.ID, func(ch *domain.Channel) { ch.SendRate = p.rate })
	f.platform.answers(func(c platformCall) outcome {
		done := outcome{after: time.Duration(wild.below(int64(p.slow)))}
		if wild.permille(p.failing * 10) {
			done.failure = failure(p.classes[wild.below(int64(len(p.classes)))])
		}
		answers.note(c.reference, done.failure)
		return done
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, o := range f.desks {
		running.Go(func() {
			if err := NewResumer(o.conversations, mortalSends{dueSends{o.store}, o.desk}).Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	running.Go(func() { f.mend(ctx) })
	people := []customer{f.held("1"), f.held("2"), f.held("3")}
	f.begin(wild, p.sendPlan)
	random := rand.New(rand.NewPCG(p.seed, 2))
	for i, whose := range p.texts {
		f.happens(p.changes[i], random)
		o := f.living(i)
		_ = o.conversations.Tell(people[whose].id, Request{ // refused: not sent
			Commands: []domain.Command{o.text(fmt.Sprint("text ", i))}, Replies: o.newInquirer().pid,
		})
		<-time.After(time.Duration(p.pauses[i]) * time.Millisecond)
	}
	<-time.After(20 * time.Second)
	wild.end()
	f.heal()
	f.change(func(s *store) { s.weather = weather{} })
	for deadline := time.Now().Add(20 * time.Minute); !f.settled() && time.Now().Before(deadline); {
		<-time.After(5 * time.Second)
	}
	stop()
	running.Wait()
	<-time.After(time.Second) // for what dead nodes began
	return append(f.platform.problems, f.fates(answers)...)
}

// mortalSends finds what is due, for who lives.
type mortalSends struct {
	dueSends
	desk *desk
}

func (d mortalSends) Due(ctx context.Context, before time.Time, after domain.ConversationID, limit int) ([]domain.ConversationID, error) {
	if d.desk.dead.Load() {
		return nil, nil
	}
	return d.dueSends.Due(ctx, before, after, limit)
}

// living is one of the nodes that live.
func (f *fleet) living(n int) *sendingDesk {
	for ; f.on(n).dead.Load(); n++ {
	}
	return f.on(n)
}

// happens is what becomes of the nodes: nothing, mostly.
func (f *fleet) happens(what int, random *rand.Rand) {
	switch what {
	case 0, 1, 2: // some own everything; each node learns of it at another time
		f.learnOneByOne(f.drawOwners(random), random)
	case 3:
		f.cut(random)
	case 4:
		f.heal()
	case 5: // each believes that it owns everything
		f.eachForItself()
	case 6:
		if random.IntN(4) == 0 && !f.desks["c"].dead.Load() {
			f.kill("c")
			<-time.After(time.Duration(random.IntN(5000)) * time.Millisecond)
			f.learnOneByOne([]string{"a", "b"}, random)
		}
	}
}

func (f *fleet) drawOwners(random *rand.Rand) []string {
	owners := []string{"a", "b", "c"}
	if f.desks["c"].dead.Load() {
		owners = owners[:2]
	}
	random.Shuffle(len(owners), func(i, j int) { owners[i], owners[j] = owners[j], owners[i] })
	return slices.Sorted(slices.Values(owners[:1+random.IntN(len(owners))]))
}

func (f *fleet) learnOneByOne(owners []string, random *rand.Rand) {
	f.view = testView{Number: f.view.Number + 1, Nodes: owners}
	for _, addr := range []string{"c", "a", "b"} {
		if f.desks[addr].dead.Load() {
			continue
		}
		f.net.setView(f.view, addr)
		<-time.After(time.Duration(random.IntN(200)) * time.Millisecond)
	}
}

// cut has a node not reach another one any more.
func (f *fleet) cut(random *rand.Rand) {
	from, to := string(rune('a'+random.IntN(3))), string(rune('a'+random.IntN(3)))
	if from != to && !f.desks[from].dead.Load() && !f.desks[to].dead.Load() {
		f.net.nodes[from].cutTo(to, true)
	}
}

// heal mends all connections between those who live, and has them agree.
func (f *fleet) heal() {
	var living []string
	for addr, o := range f.desks {
		for peer, p := range f.desks {
			if peer != addr && !o.dead.Load() && !p.dead.Load() {
				f.net.nodes[addr].cutTo(peer, false)
			}
		}
		if !o.dead.Load() {
			living = append(living, addr)
		}
	}
	slices.Sort(living)
	f.setView(living...)
}
