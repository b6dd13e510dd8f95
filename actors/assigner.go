package actors

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// Queue reads what waits to be assigned by policy, and who could take it.
type Queue interface {
	// Waiting is a page of the organization's waiting conversations, oldest first,
	// from after the given one on; empty when there are none left.
	Waiting(ctx context.Context, organization domain.OrganizationID, after domain.Waiting) ([]domain.Waiting, error)
	// Seats is those of the agents who may be given conversations, with what each
	// has.
	Seats(ctx context.Context, organization domain.OrganizationID, agents []domain.UserID) ([]domain.Seat, error)
	// WaitingOrganizations is where anything waits.
	WaitingOrganizations(ctx context.Context) ([]domain.OrganizationID, error)
}

// AssignerConfig is what assigners work with. The functions are asked at work,
// not before.
type AssignerConfig struct {
	Queue    Queue
	Commands Commands
	// Available is who is there to take something.
	Available func(domain.OrganizationID) []domain.UserID
	// Automatic reports whether any channel of the organization assigns by policy.
	// It is asked for every change, so it must be cheap.
	Automatic func(domain.OrganizationID) bool
	Wheel     *Wheel
	Logger    *slog.Logger
}

const (
	// assignRounds is how many organizations are served at the same time, and
	// assignParallel how many conversations of one.
	assignRounds   = 16
	assignParallel = 16
	// assignPause is how long after a failure it is tried again.
	assignPause = time.Second
	// AssignEvery is how often it is looked for what waits though nothing was
	// heard of it: what was noticed just before a crash.
	AssignEvery = 15 * time.Second
)

// Assigners has one actor per organization, where its roster is, which gives waiting conversations
// to agents as domain.Distribute says, as soon as something has happened that
// may make it possible. It keeps nothing in memory: what waits is read, oldest
// first, in pages.
type Assigners struct {
	directory *Directory[domain.OrganizationID]
	system    *System
	config    AssignerConfig

	ctx    context.Context // of the rounds
	cancel context.CancelFunc
	rounds sync.WaitGroup
	free   chan struct{}
}

// NewAssigners makes the directory of assigners. Close it.
func NewAssigners(s *System, cfg AssignerConfig) *Assigners {
	as := &Assigners{system: s, config: cfg, free: make(chan struct{}, assignRounds)}
	as.ctx, as.cancel = context.WithCancel(context.Background())
	as.directory = NewDirectory(s, "assigner", func(id domain.OrganizationID, entry *Entry) Behavior {
		return &assigner{all: as, organization: id, entry: entry}
	}, DirectoryConfig{})
	place(as.directory, placing[domain.OrganizationID]{})
	return as
}

// Look says that something in the organization may have become possible to
// assign. It doesn't block.
func (as *Assigners) Look(organization domain.OrganizationID) {
	if as.config.Automatic(organization) {
		// Refused when closed, or when so many of them wait already that one more
		// tells nothing new.
		_ = as.directory.Tell(organization, look{})
	}
}

// Watch is a Publisher that looks at what it hands on to next.
func (as *Assigners) Watch(next Publisher) Publisher { return watchingPublisher{next, as} }

type watchingPublisher struct {
	next      Publisher
	assigners *Assigners
}

// Publish implements Publisher.
func (w watchingPublisher) Publish(organization domain.OrganizationID, notices []domain.Notice) {
	w.next.Publish(organization, notices)
	for _, n := range notices {
		if opensAssignment(n) {
			w.assigners.Look(organization)
			return
		}
	}
}

// opensAssignment reports whether after n something waits that didn't, or
// somebody has room who hadn't.
func opensAssignment(n domain.Notice) bool {
	switch p := n.Payload.(type) {
	case domain.ConversationCreated:
		return p.Status == domain.Pending
	case domain.AssignmentChanged:
		return p.Status == domain.Pending || p.Previous != nil
	}
	return false
}

// Run looks, until ctx ends, for what was overlooked.
func (as *Assigners) Run(ctx context.Context) error {
	ticker := time.NewTicker(AssignEvery)
	defer ticker.Stop()
	for {
		organizations, err := as.config.Queue.WaitingOrganizations(ctx)
		if err != nil && ctx.Err() == nil {
			as.config.Logger.WarnContext(ctx, "what waits to be assigned can't be told for now", "error", err)
		}
		for _, id := range organizations {
			if as.directory.owns(id) {
				as.Look(id)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Close ends the rounds under way and forgets the assigners.
func (as *Assigners) Close(ctx context.Context) error {
	as.cancel()
	err := as.directory.Close(ctx)
	as.rounds.Wait()
	return err
}

// What assigners are told.
type (
	look      struct{}
	roundDone struct {
		again bool      // somebody was faster: the next look finds what is true now
		at    time.Time // when to look again in any case; zero: never
	}
)

// assigner is the actor of one organization. It runs one round at a time; what
// happens meanwhile makes for one more.
type assigner struct {
	all          *Assigners
	organization domain.OrganizationID
	entry        *Entry
	running      bool
	again        bool
	timer        *Timer // nil: none
	leaving      bool   // Drain was asked for
}

// Receive implements Behavior.
func (a *assigner) Receive(msg any, self Self) {
	switch m := msg.(type) {
	case look:
		a.look(self)
	case roundDone:
		a.running = false
		if m.again || a.again {
			a.look(self)
		} else if !m.at.IsZero() {
			system, pid := a.all.system, self.PID
			a.timer = a.all.config.Wheel.Schedule(m.at, func() { system.Tell(pid, look{}) })
		}
	case Failed:
		a.running = false // should a round run, a second one does no harm
	case Drain:
		a.leaving = true
	}
	if !a.running && (a.leaving || a.timer == nil) {
		a.stopTimer()
		a.all.directory.Passivate(a.organization, a.entry)
	}
}

func (a *assigner) look(self Self) {
	a.stopTimer()
	a.again = a.running
	if !a.running {
		a.running = true
		a.all.begin(a.organization, self.PID)
	}
}

func (a *assigner) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// begin runs a round and tells its assigner when it is over.
func (as *Assigners) begin(organization domain.OrganizationID, pid *actor.PID) {
	as.rounds.Go(func() {
		select {
		case as.free <- struct{}{}:
			defer func() { <-as.free }()
		case <-as.ctx.Done():
		}
		done, err := as.round(as.ctx, organization)
		if err != nil && as.ctx.Err() == nil {
			done.again = false
			as.config.Logger.Warn("conversations can't be assigned for now", "organization", organization, "error", err)
			done.at = as.system.now().Add(assignPause)
		}
		as.system.Tell(pid, done)
	})
}

// round gives what waits to those who are there, page by page, until nobody has
// room or nothing waits.
func (as *Assigners) round(ctx context.Context, organization domain.OrganizationID) (done roundDone, err error) {
	agents := as.config.Available(organization)
	if len(agents) == 0 {
		return done, nil
	}
	seats, err := as.config.Queue.Seats(ctx, organization, agents)
	var last domain.Waiting
	for err == nil && domain.HasRoom(seats) {
		var page []domain.Waiting
		page, err = as.config.Queue.Waiting(ctx, organization, last)
		if err != nil || len(page) == 0 {
			break
		}
		given, paused := domain.Distribute(page, seats, as.system.now())
		if done.at.IsZero() || !paused.IsZero() && paused.Before(done.at) {
			done.at = paused
		}
		var outrun bool
		outrun, err = as.give(ctx, given)
		done.again = done.again || outrun
		last = page[len(page)-1]
	}
	return done, err
}

// give carries out what was decided. Outrun tells that somebody else was faster,
// so that others may get what is left.
func (as *Assigners) give(ctx context.Context, given []domain.Given) (outrun bool, err error) {
	results := make([]error, len(given))
	var running sync.WaitGroup
	free := make(chan struct{}, assignParallel)
	for i, g := range given {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			asking, cancel := context.WithTimeout(ctx, commandTimeout)
			defer cancel()
			results[i] = as.config.Commands.Do(asking, g.Conversation, domain.Assign{To: g.To, Since: g.Since})
		})
	}
	running.Wait()
	for _, result := range results {
		var refusal *domain.Refusal
		switch {
		case errors.As(result, &refusal):
			outrun = true
		case passes(result):
			err = errors.Join(err, result)
		case result != nil:
			as.config.Logger.Error("a conversation can't be assigned", "error", result)
		}
	}
	return outrun, err
}
