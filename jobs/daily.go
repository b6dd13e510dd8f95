package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	upkeepQueue = "upkeep"
	// upkeepAttempts is how often a round that fails is tried. What it leaves is
	// the next day's.
	upkeepAttempts = 2
	// upkeepRetry is how long after a failure the second attempt comes.
	upkeepRetry = 5 * time.Minute
	// upkeepTimeout bounds one attempt; what is left then goes on in another one.
	upkeepTimeout = 15 * time.Minute
	// daysAtOnce is how many days one job aggregates, and catchUpPause is after how
	// long it goes on.
	daysAtOnce   = 31
	catchUpPause = time.Minute
	// cleanUpTime is how long one job cleans up; what is left is the next one's.
	cleanUpTime = 10 * time.Minute
	// erasureAge is when an erasure isn't its request's any more, and erasureScan
	// how often somebody looks for such.
	erasureAge  = time.Minute
	erasureScan = time.Minute
)

// Aggregator aggregates figures; persistence.Figures is it.
type Aggregator interface {
	// AggregateNext does the earliest finished day that isn't done; false: there
	// is none.
	AggregateNext(ctx context.Context) (domain.Day, bool, error)
}

// Cleaner removes what has had its time, until there is no more of it.
type Cleaner interface {
	Clean(ctx context.Context, logger *slog.Logger) error
}

// Eraser finishes erasures that were asked for at least that long ago;
// persistence.Erasures is it.
type Eraser interface {
	Finish(ctx context.Context, age time.Duration) error
}

// UpkeepConfig is what keeps the database in order.
type UpkeepConfig struct {
	Figures  Aggregator
	Cleaner  Cleaner
	Erasures Eraser
	Logger   *slog.Logger
	Now      func() time.Time
}

// Upkeep is what happens at fixed times, on one node of all: at 00:05 UTC the
// figures of the day before, at 03:00 UTC the clean-up, every minute erasures
// that a crash has interrupted.
type Upkeep struct{ cfg UpkeepConfig }

// NewUpkeep makes the work; a Client does it.
func NewUpkeep(cfg UpkeepConfig) *Upkeep { return &Upkeep{cfg} }

type (
	figuresArgs  struct{}
	cleanUpArgs  struct{}
	erasuresArgs struct{}
)

// Kind implements river.JobArgs.
func (figuresArgs) Kind() string { return "aggregate_figures" }

// Kind implements river.JobArgs.
func (cleanUpArgs) Kind() string { return "clean_up" }

// Kind implements river.JobArgs.
func (erasuresArgs) Kind() string { return "finish_erasures" }

func (u *Upkeep) configure(c *river.Config) {
	c.Queues[upkeepQueue] = river.QueueConfig{MaxWorkers: 2}
	river.AddWorker(c.Workers, &upkeepWorker[figuresArgs]{do: u.figures, now: u.cfg.Now})
	river.AddWorker(c.Workers, &upkeepWorker[cleanUpArgs]{do: u.cleanUp, now: u.cfg.Now})
	river.AddWorker(c.Workers, &upkeepWorker[erasuresArgs]{do: u.erasures, now: u.cfg.Now})
	// At the start, too: the node may have been away at five past midnight.
	c.PeriodicJobs = append(c.PeriodicJobs,
		river.NewPeriodicJob(daily{hour: 0, minute: 5}, made[figuresArgs], &river.PeriodicJobOpts{ID: "figures", RunOnStart: true}),
		river.NewPeriodicJob(daily{hour: 3}, made[cleanUpArgs], &river.PeriodicJobOpts{ID: "clean_up"}),
		river.NewPeriodicJob(river.PeriodicInterval(erasureScan), made[erasuresArgs], &river.PeriodicJobOpts{ID: "erasures", RunOnStart: true}),
	)
}

// run has nothing to look for: River's leader makes the jobs.
func (u *Upkeep) run(ctx context.Context, _ *river.Client[pgx.Tx]) error {
	<-ctx.Done()
	return nil
}

// made is a job of its kind, unless there is one that isn't done.
func made[T river.JobArgs]() (river.JobArgs, *river.InsertOpts) {
	var args T
	return args, &river.InsertOpts{
		Queue: upkeepQueue, MaxAttempts: upkeepAttempts,
		UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

// daily is once a day, at a time in UTC.
type daily struct{ hour, minute int }

// Next implements river.PeriodicSchedule.
func (d daily) Next(now time.Time) time.Time {
	at := domain.DayOf(now).Start().Add(time.Duration(d.hour)*time.Hour + time.Duration(d.minute)*time.Minute)
	if !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}

// upkeepWorker does one kind of job.
type upkeepWorker[T river.JobArgs] struct {
	river.WorkerDefaults[T]
	do  func(context.Context) error
	now func() time.Time
}

// Timeout implements river.Worker.
func (w *upkeepWorker[T]) Timeout(*river.Job[T]) time.Duration { return upkeepTimeout }

// NextRetry implements river.Worker: what failed needs a while to be mended.
func (w *upkeepWorker[T]) NextRetry(*river.Job[T]) time.Time { return w.now().Add(upkeepRetry) }

// Work implements river.Worker.
func (w *upkeepWorker[T]) Work(ctx context.Context, _ *river.Job[T]) error { return w.do(ctx) }

func (u *Upkeep) figures(ctx context.Context) error {
	for range daysAtOnce {
		day, found, err := u.cfg.Figures.AggregateNext(ctx)
		if err != nil {
			return fmt.Errorf("aggregate figures: %w", err)
		}
		if !found {
			return nil
		}
		u.cfg.Logger.InfoContext(ctx, "figures are aggregated", "day", day)
	}
	return river.JobSnooze(catchUpPause)
}

func (u *Upkeep) cleanUp(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, cleanUpTime)
	defer cancel()
	err := u.cfg.Cleaner.Clean(limited, u.cfg.Logger)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return river.JobSnooze(catchUpPause) // there is more than fits into one job
	}
	return err
}

func (u *Upkeep) erasures(ctx context.Context) error {
	return u.cfg.Erasures.Finish(ctx, erasureAge)
}
