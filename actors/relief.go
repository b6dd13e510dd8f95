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

const (
	// reliefBatch is how many conversations are put back between two looks at
	// what is left.
	reliefBatch = 200
	// reliefParallel is how many of them are asked at a time: enough to share
	// commits, few enough to leave room for others.
	reliefParallel = 32
)

// Holdings knows from the storage who holds what.
type Holdings interface {
	// AssignmentsToEnd are up to limit conversations in the hands of users who
	// aren't ACTIVE; of the given one, or, with a zero id, of anybody.
	AssignmentsToEnd(ctx context.Context, of domain.UserID, limit int) ([]domain.Assignment, error)
}

// Commands is the way to conversations; Inbox is it.
type Commands interface {
	Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error
}

// Relief puts the conversations of users who may not work any more back to
// PENDING. Nothing has to be remembered for it: a user who isn't ACTIVE and an
// assignment that still stands say what is to be done, so whatever interrupts
// it, the next round goes on. The releases name the assignment that they mean,
// so any number of nodes may be at it.
type Relief struct {
	commands Commands
	holdings Holdings
	every    time.Duration
	logger   *slog.Logger
}

// NewRelief makes a relief that looks for what is left every so often.
func NewRelief(commands Commands, holdings Holdings, every time.Duration, logger *slog.Logger) *Relief {
	return &Relief{commands: commands, holdings: holdings, every: every, logger: logger}
}

// Run looks for what is left, at once and then every so often, until ctx ends.
func (r *Relief) Run(ctx context.Context) error {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		if err := r.Relieve(ctx, domain.UserID{}); err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "conversations of users who may not work stay with them for now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Relieve puts the conversations of a user who isn't ACTIVE back to PENDING, or,
// with a zero id, of everybody, and returns when that is durable. It gives up on
// the first round that fails; what is left is found by Run.
func (r *Relief) Relieve(ctx context.Context, user domain.UserID) error {
	for {
		left, err := r.holdings.AssignmentsToEnd(ctx, user, reliefBatch)
		if err != nil {
			return fmt.Errorf("look for conversations to release: %w", err)
		}
		if len(left) == 0 {
			return nil
		}
		if err := r.release(ctx, left); err != nil {
			return err
		}
	}
}

func (r *Relief) release(ctx context.Context, left []domain.Assignment) error {
	var (
		asked sync.WaitGroup
		free  = make(chan struct{}, reliefParallel)
		errs  = make([]error, len(left))
	)
	for i, a := range left {
		free <- struct{}{}
		asked.Go(func() {
			defer func() { <-free }()
			err := r.commands.Do(ctx, a.Conversation, domain.ReleaseIf{
				Agent: a.Agent, Assignment: a.Seq, Event: domain.AuditReleased, Reason: domain.ReleaseReason(a.Status),
			})
			if err != nil {
				errs[i] = fmt.Errorf("release conversation %s of agent %s: %w", a.Conversation, a.Agent, err)
			}
		})
	}
	asked.Wait()
	return errors.Join(errs...)
}
