package actors

import (
	"context"
	"log/slog"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Absentees reads from what is stored who is absent.
type Absentees interface {
	// Absent is the agents after the given one, in the order of their ids, who hold
	// conversations and have no connection left or may not work; empty when there
	// are none left.
	Absent(ctx context.Context, after domain.UserID) ([]domain.Absence, error)
}

// ReconcileEvery is how often it is looked for what was forgotten. With the time
// after which a node counts as dead it stays below the 15 s that the release of
// an absent agent's conversations may be late.
const ReconcileEvery = 5 * time.Second

// Reconcile makes good, until ctx ends, what was forgotten by those who died:
// it tells the actor of each agent who holds conversations and, by what is
// stored, isn't here. The actor knows better, or lets a grace period run that
// begins with the last connection's end, but not before sockets are accepted
// again: run it from then on. Every node does it for the agents that it owns. A round costs one query and is bounded by its
// pages; the actors it wakes leave when they are done.
func (a *Agents) Reconcile(ctx context.Context, absentees Absentees, logger *slog.Logger) error {
	accepted := a.system.now()
	ticker := time.NewTicker(ReconcileEvery)
	defer ticker.Stop()
	for {
		if err := a.reconcile(ctx, absentees, accepted); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "who is absent can't be told for now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (a *Agents) reconcile(ctx context.Context, absentees Absentees, accepted time.Time) error {
	var after domain.UserID
	for {
		found, err := absentees.Absent(ctx, after)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, x := range found {
			after = x.Agent
			if !a.directory.owns(x.Agent) {
				continue // another node's reconciler finds it, too
			}
			// Who can't be told now is found again.
			_ = a.directory.Tell(x.Agent, absent{x, accepted, a.system.now()})
		}
	}
}
