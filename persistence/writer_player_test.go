package persistence_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
)

// player plays the actor of one conversation: it pipelines commands, and when
// its lineage breaks it loads the stored state and decides again. It also
// checks the writer's manners: each submission gets one verdict, and each
// lineage breaks once.
type player struct {
	*owner
	loader  *persistence.Loader
	changes int // that committed
}

func newPlayer(t testing.TB, w *persistence.Writer, l *persistence.Loader, n *tenant, number string) *player {
	p := &player{owner: newOwner(t, w, n, number), loader: l}
	p.lineage = nil // to be loaded
	return p
}

// verdicts is what came for the submissions of one lineage.
type verdicts struct {
	mu     sync.Mutex
	broken bool
	given  map[int]bool
	come   chan numbered
}

type numbered struct {
	n int
	domain.Verdict
}

var errManners = errors.New("the writer gave a verdict twice, or one after the lineage broke")

func (v *verdicts) done(t testing.TB, n int) func(domain.Verdict) {
	return func(verdict domain.Verdict) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.given[n] || v.broken {
			t.Error(errManners)
			return
		}
		v.given[n], v.broken = true, verdict.Outcome != domain.Committed
		v.come <- numbered{n, verdict}
	}
}

// play has each command answered as an actor would: nil once it is stored, a
// refusal, domain.ErrUnavailable or domain.ErrOutcomeUnknown.
func (p *player) play(commands ...domain.Command) []error {
	answers := make([]error, len(commands))
	open := make([]int, len(commands))
	for i := range open {
		open[i] = i
	}
	for len(open) > 0 {
		if p.lineage == nil && !p.load() {
			for _, i := range open {
				answers[i] = domain.ErrUnavailable
			}
			break
		}
		open = p.round(commands, answers, open)
	}
	return answers
}

// load reads the state anew; false when the database is away for too long.
func (p *player) load() bool {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		state, err := loadState(p.loader, p.state.ID)
		if err == nil {
			p.state, p.lineage, p.known = state, &domain.Lineage{}, domain.MessageSet{}
			return true
		}
		<-time.After(5 * time.Millisecond)
	}
	p.t.Error("the state can't be loaded")
	return false
}

// round submits what is open under one lineage, and returns what has to be
// decided again.
func (p *player) round(commands []domain.Command, answers []error, open []int) (again []int) {
	v := &verdicts{given: map[int]bool{}, come: make(chan numbered, len(open))}
	changes := map[int]domain.Change{}
	for _, i := range open {
		after, change, err := p.decide(commands[i])
		if err != nil {
			answers[i] = err
			continue
		}
		changes[i] = change
		p.hand(after, change, v.done(p.t, i))
	}
	deadline := time.After(patience)
	for len(changes) > 0 {
		select {
		case verdict := <-v.come:
			if verdict.Outcome == domain.Committed {
				if c := changes[verdict.n]; !c.IsZero() {
					p.changes++
				}
				delete(changes, verdict.n)
				continue
			}
			p.lineage = nil
			return p.undone(verdict.Verdict, changes, answers)
		case <-deadline:
			p.t.Error("no verdict came")
			return nil
		}
	}
	return nil
}

// undone answers what the verdict settles; the rest has to be decided again.
func (p *player) undone(v domain.Verdict, changes map[int]domain.Change, answers []error) (again []int) {
	for i, change := range changes {
		switch {
		case v.Outcome == domain.Unavailable:
			answers[i] = domain.ErrUnavailable
		case v.Outcome == domain.Unknown:
			answers[i] = domain.ErrOutcomeUnknown
		case v.Outcome == domain.OverCapacity && takes(change, v.Agent):
			answers[i] = domain.Refuse(&p.state, domain.CodeCapacityReached)
		case v.Outcome == domain.Refused && change.ID == v.Blame:
			answers[i] = v.Err
		case v.Outcome == domain.Duplicate || v.Outcome == domain.ForeignAlias:
			p.t.Errorf("outcome %v of what was submitted once, %v", v.Outcome, v.Duplicates)
			return nil
		default:
			again = append(again, i)
		}
	}
	slices.Sort(again)
	return again
}

func takes(change domain.Change, agent domain.UserID) bool {
	return slices.ContainsFunc(change.Load, func(l domain.LoadDelta) bool { return l.Agent == agent && l.Delta > 0 })
}

// ledger is what players were answered, by the body of the message they sent.
type ledger struct {
	mu      sync.Mutex
	answers map[string]error
}

func newLedger() *ledger { return &ledger{answers: map[string]error{}} }

func (l *ledger) note(body string, answer error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[body] = answer
}

// bodies is what got that answer.
func (l *ledger) bodies(answer error) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for body, err := range l.answers {
		if errors.Is(err, answer) {
			found = append(found, body)
		}
	}
	return found
}
