package actors

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
)

// SystemConfig is what a System needs from outside.
type SystemConfig struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are kept and not shown
	Now        func() time.Time
	Tracer     Tracer // nil: nothing is recorded
	// Remote and Placement make the system one node of several; nil: it is alone.
	Remote    Remote
	Placement Placement
}

// System is the Hollywood engine behind our verbs: Tell, Ask, Reply. All of
// them may be called from anywhere, also from within an actor, except Ask,
// which waits.
type System struct {
	engine  *actor.Engine
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	tracer  Tracer
	router  *router // nil: the node is alone

	// names makes each process id unique. It starts at the nanoseconds of the
	// clock, so that no name returns after a restart: a late message to the
	// former incarnation must not reach somebody new.
	names atomic.Uint64

	closed chan struct{}
	close  sync.Once
}

// NewSystem starts an engine. Close it.
func NewSystem(cfg SystemConfig) (*System, error) {
	if cfg.Logger == nil || cfg.Now == nil {
		return nil, errors.New("actor system: Logger and Now are required")
	}
	if (cfg.Remote == nil) != (cfg.Placement == nil) {
		return nil, errors.New("actor system: takes both Remote and Placement, or neither")
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	s := &System{log: cfg.Logger, now: cfg.Now, metrics: m, tracer: cfg.Tracer, closed: make(chan struct{})}
	s.names.Store(uint64(cfg.Now().UnixNano()))
	engineConfig := actor.NewEngineConfig()
	if cfg.Remote != nil {
		s.router = newRouter(s, cfg.Remote, cfg.Placement)
		engineConfig = engineConfig.WithRemote(cfg.Remote)
	}
	if s.engine, err = actor.NewEngine(engineConfig); err != nil {
		return nil, err
	}
	if s.router != nil {
		s.router.start()
	}
	s.collectDeadLetters()
	return s, nil
}

// Tell sends msg to the process pid and does not wait. Use it for what comes
// back to an actor that waits for it; everybody else goes through a Directory,
// which knows the bounds. Without such a process msg is a dead letter.
func (s *System) Tell(pid *actor.PID, msg any) { s.engine.Send(pid, msg) }

// Reply answers an Ask. A nil address, of somebody who wants no answer, drops
// msg. Send an error value to make the Ask fail with it.
func (s *System) Reply(to *actor.PID, msg any) {
	if to != nil {
		s.engine.Send(to, msg)
	}
}

// Close ends the asks under way with domain.ErrOutcomeUnknown and refuses new
// ones. It is idempotent. Directories are closed before, by their owner; the
// Remote, which is ours, ends here.
func (s *System) Close(context.Context) error {
	s.close.Do(func() {
		close(s.closed)
		if s.router != nil {
			s.router.stop()
			s.router.remote.Stop().Wait()
		}
	})
	return nil
}

// name is a process id that was never used before, below prefix.
func (s *System) name(prefix string) string {
	return prefix + "/" + strconv.FormatUint(s.names.Add(1), 36)
}

// asker is implemented by messages whose sender waits for an answer.
type asker interface{ ReplyTo() *actor.PID }

// refuse answers the one who asked with msg, if anybody did, with err.
func (s *System) refuse(msg any, err error) {
	if m, ok := msg.(asker); ok {
		s.Reply(m.ReplyTo(), err)
	}
}
