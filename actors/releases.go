package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Holdings reads what agents hold.
type Holdings interface {
	// Held is what the release means, of the conversations after the given one in
	// the order of their ids; empty when there are none left.
	Held(ctx context.Context, r domain.AgentRelease, after domain.ConversationID) ([]domain.Holding, error)
}

// Commands asks a conversation for one thing and waits until the answer is
// durable. Inbox implements it.
type Commands interface {
	Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error
}

const (
	// releaseWorkers is how many agents are released at the same time; the others
	// wait in line. The conversations of one agent follow each other: hundreds of
	// agents that are lost at once must not crowd out those that are here.
	releaseWorkers = 16
	// commandTimeout is how long one command may take before it is asked again.
	commandTimeout = 10 * time.Second
	// releasePause is the first wait before what couldn't be done is tried again,
	// and releasePauseMax the longest.
	releasePause    = 100 * time.Millisecond
	releasePauseMax = 5 * time.Second
)

// Releases takes conversations from agents who are gone or may not work, each
// by release-if with the assignment that is meant. So it does no harm to do it
// twice, nor late: an assignment that is over is never hit again.
type Releases struct {
	holdings Holdings
	commands Commands
	logger   *slog.Logger

	mu      sync.Mutex
	waiting []awaitedRelease // each from an actor that waits for it: no more than there are agents
	ended   bool
	wake    chan struct{}
}

type awaitedRelease struct {
	domain.AgentRelease
	done func()
}

// NewReleases makes the component. Release works at once; Begin while Run runs.
func NewReleases(holdings Holdings, commands Commands, logger *slog.Logger) *Releases {
	return &Releases{holdings: holdings, commands: commands, logger: logger, wake: make(chan struct{}, releaseWorkers)}
}

// Release gives back everything that r means, and returns when that is durable.
// While the database is away or there is no room it goes on trying, until ctx
// ends. It returns ctx's error then, and that of a conversation that can't be
// released, after the others were.
func (rs *Releases) Release(ctx context.Context, r domain.AgentRelease) error {
	var after domain.ConversationID
	var failed error
	for {
		var held []domain.Holding
		err := untilKnown(ctx, func() (err error) {
			held, err = rs.holdings.Held(ctx, r, after)
			return err
		})
		if err != nil {
			return errors.Join(failed, fmt.Errorf("release what agent %s holds: %w", r.Agent, err))
		}
		if len(held) == 0 {
			return failed
		}
		for _, h := range held {
			after = h.Conversation
			if err := rs.releaseOne(ctx, r, h); err != nil {
				failed = errors.Join(failed, fmt.Errorf("release conversation %s: %w", h.Conversation, err))
			}
		}
	}
}

func (rs *Releases) releaseOne(ctx context.Context, r domain.AgentRelease, h domain.Holding) error {
	cmd := domain.ReleaseIf{Agent: r.Agent, Assignment: h.Assignment, Event: r.Event, Reason: r.Reason}
	return untilKnown(ctx, func() error {
		asking, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		return rs.commands.Do(asking, h.Conversation, cmd)
	})
}

// untilKnown calls try until it succeeds or its error is one that no repetition
// cures, and pauses in between.
func untilKnown(ctx context.Context, try func() error) error {
	for pause := releasePause; ; pause = min(2*pause, releasePauseMax) {
		err := try()
		if err == nil || !passes(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// passes reports whether an error is one of those that pass by themselves.
func passes(err error) bool {
	return errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrOverloaded) ||
		errors.Is(err, domain.ErrOutcomeUnknown)
}

// Begin does the release elsewhere and then calls done, which must not block.
// When Run has ended it does nothing: the reconciler of the next start will.
func (rs *Releases) Begin(r domain.AgentRelease, done func()) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.ended {
		return
	}
	rs.waiting = append(rs.waiting, awaitedRelease{r, done})
	select {
	case rs.wake <- struct{}{}:
	default: // all are awake
	}
}

// Run does what Begin asks for until ctx ends. What hasn't ended then stays to
// be found by the reconciler.
func (rs *Releases) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range releaseWorkers {
		workers.Go(func() { rs.work(ctx) })
	}
	workers.Wait()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.waiting, rs.ended = nil, true
	return nil
}

func (rs *Releases) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-rs.wake:
		}
		for r, ok := rs.next(); ok && ctx.Err() == nil; r, ok = rs.next() {
			if err := rs.Release(ctx, r.AgentRelease); err != nil && ctx.Err() == nil {
				rs.logger.ErrorContext(ctx, "conversations stay with an agent who is gone; it will be tried again", "error", err)
			}
			r.done()
		}
	}
}

func (rs *Releases) next() (awaitedRelease, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.waiting) == 0 {
		return awaitedRelease{}, false
	}
	r := rs.waiting[0]
	rs.waiting[0] = awaitedRelease{}
	rs.waiting = rs.waiting[1:]
	return r, true
}
