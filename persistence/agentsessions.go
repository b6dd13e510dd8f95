package persistence

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// nodeBeat is how often a node says that it runs, and nodeDead after how long
	// without that its sessions have ended. Together with the pace of whoever asks
	// for absentees this is how late the loss of a node is noticed.
	nodeBeat = 2 * time.Second
	nodeDead = 6 * time.Second
	// nodesForget is how often the rows of nodes that were are removed.
	nodesForget = time.Hour
	// seenEvery is how often mere signs of life are stored; comings and goings are
	// at once. A crash forgets that much of last_seen_at.
	seenEvery = 15 * time.Second
	// sessionsBatch bounds one statement, and sessionsKept what waits while the
	// database is away: beyond it, sessions that came and went meanwhile are
	// forgotten. Those that are open are bounded by the sockets.
	sessionsBatch = 500
	sessionsKept  = 65_536
	// absentBatch bounds what one question for absentees answers.
	absentBatch = 500
)

// AgentSessions keeps a row for each connection of an agent. Nobody waits for
// it: what happens is coalesced in memory and stored in batches, at once when
// the database is there. A crash loses what the last instant brought.
type AgentSessions struct {
	reads  *Reads
	node   string
	logger *slog.Logger

	mu      sync.Mutex
	waiting map[string]waitingSession
	wake    chan struct{}
}

// waitingSession is a row that is to be stored.
type waitingSession struct {
	domain.AgentSession
	unborn bool // the database knows nothing of it yet
}

// NewAgentSessions makes the keeper for the run of the program that is called
// node; no other run has that name. Run stores.
func NewAgentSessions(reads *Reads, node string, logger *slog.Logger) *AgentSessions {
	return &AgentSessions{reads: reads, node: node, logger: logger, waiting: map[string]waitingSession{}, wake: make(chan struct{}, 1)}
}

// Opened records a new session.
func (a *AgentSessions) Opened(s domain.AgentSession) {
	a.put(waitingSession{s, true})
	a.poke()
}

// Changed records another status of an open session, or that it has ended, or
// that after its end grace is over.
func (a *AgentSessions) Changed(s domain.AgentSession) {
	a.put(waitingSession{s, false})
	a.poke()
}

// Seen records a sign of life.
func (a *AgentSessions) Seen(s domain.AgentSession) { a.put(waitingSession{s, false}) }

func (a *AgentSessions) put(s waitingSession) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.unborn = s.unborn || a.waiting[s.ID].unborn
	if s.unborn && !s.EndedAt.IsZero() && len(a.waiting) > sessionsKept {
		delete(a.waiting, s.ID)
		return
	}
	a.waiting[s.ID] = s
}

func (a *AgentSessions) poke() {
	select {
	case a.wake <- struct{}{}:
	default: // awake already
	}
}

// Run stores what is recorded, and says that this node runs, until ctx ends.
// Then it stores what is left and takes leave, in a second at most.
func (a *AgentSessions) Run(ctx context.Context) error {
	var beating sync.WaitGroup
	beating.Go(func() { a.beat(ctx) })
	seen := time.NewTicker(seenEvery)
	defer seen.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-a.wake:
			a.storeAll(ctx)
		case <-seen.C:
			a.storeAll(ctx)
		}
	}
	beating.Wait()
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for a.size() > 0 {
		if err := a.store(leaving); err != nil {
			a.logger.WarnContext(ctx, "the last sessions are not stored", "error", err)
			return nil
		}
	}
	if _, err := a.reads.pool.Exec(leaving, a.reads.queries.LeaveNode, a.node); err != nil {
		a.logger.WarnContext(ctx, "nobody is told that this node has left; it will be noticed", "error", err)
	}
	return nil
}

func (a *AgentSessions) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting)
}

// storeAll stores what waits; what can't be stored waits on.
func (a *AgentSessions) storeAll(ctx context.Context) {
	for pause := 100 * time.Millisecond; a.size() > 0; {
		err := a.store(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() == nil && pause == 100*time.Millisecond {
			a.logger.WarnContext(ctx, "agents' sessions can't be stored yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, registryRetry)
		}
	}
}

// store stores one batch.
func (a *AgentSessions) store(ctx context.Context) error {
	batch := a.take()
	var (
		agents                                [][16]byte
		ids, nodes, statuses, addresses, used []string
		opened, seen                          []time.Time
		ended                                 []*time.Time
	)
	for _, s := range batch {
		agents, ids, nodes, statuses = append(agents, s.Agent), append(ids, s.ID), append(nodes, s.Node), append(statuses, string(s.Status))
		addresses, used = append(addresses, s.IP), append(used, strings.ReplaceAll(s.UserAgent, "\x00", ""))
		opened, seen, ended = append(opened, s.OpenedAt), append(seen, s.LastSeenAt), append(ended, orNull(s.EndedAt))
	}
	limited, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	_, err := a.reads.pool.Exec(limited, a.reads.queries.RecordAgentSessions,
		agents, ids, nodes, statuses, addresses, used, opened, seen, ended)
	if err != nil {
		a.putBack(batch)
	}
	return readError("store agents' sessions", err)
}

func (a *AgentSessions) take() []waitingSession {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := make([]waitingSession, 0, min(len(a.waiting), sessionsBatch))
	for id, s := range a.waiting {
		if len(batch) == sessionsBatch {
			break
		}
		batch = append(batch, s)
		delete(a.waiting, id)
	}
	return batch
}

// putBack makes the batch wait again, but for what newer is known of.
func (a *AgentSessions) putBack(batch []waitingSession) {
	a.mu.Lock()
	defer a.mu.Unlock()
	newer := maps.Clone(a.waiting)
	for _, s := range batch {
		if n, known := newer[s.ID]; known {
			s = waitingSession{n.AgentSession, s.unborn}
		}
		a.waiting[s.ID] = s
	}
}

// beat says that this node runs.
func (a *AgentSessions) beat(ctx context.Context) {
	beat, forget := time.NewTicker(nodeBeat), time.NewTicker(nodesForget)
	defer beat.Stop()
	defer forget.Stop()
	query, args := a.reads.queries.RenewNode, []any{a.node}
	for {
		limited, cancel := context.WithTimeout(ctx, batchTimeout)
		if _, err := a.reads.pool.Exec(limited, query, args...); err != nil && ctx.Err() == nil {
			a.logger.WarnContext(ctx, "this node can't say that it runs", "error", err)
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			query, args = a.reads.queries.RenewNode, []any{a.node}
		case <-forget.C:
			query, args = a.reads.queries.ForgetNodes, nil
		}
	}
}

// Absent is the agents after the given one, in the order of their ids, who hold
// conversations and have no connection left or may not work: at most 500. Asked
// for the first of them, it ends the sessions of other nodes that are no more.
// domain.ErrUnavailable when the
// database is away.
func (a *AgentSessions) Absent(ctx context.Context, after domain.UserID) ([]domain.Absence, error) {
	if after.IsZero() {
		if _, err := a.reads.pool.Exec(ctx, a.reads.queries.EndOrphanedSessions, nodeDead, a.node); err != nil {
			return nil, readError("end the sessions of dead nodes", err)
		}
	}
	rows, err := a.reads.pool.Query(ctx, a.reads.queries.AbsentAgents, [16]byte(after), absentBatch)
	if err != nil {
		return nil, readError("read who is absent", err)
	}
	absent, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (x domain.Absence, err error) {
		var shown *string
		var seen, lost *time.Time
		err = row.Scan(&x.Organization, &x.Agent, &x.Suspended, &shown, &seen, &lost)
		x.Shown, x.LastSeenAt, x.LostAt = domain.Presence(orZero(shown)), orZero(seen), orZero(lost)
		return x, err
	})
	return absent, readError("read who is absent", err)
}
