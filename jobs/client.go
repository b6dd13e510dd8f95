package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"golang.org/x/sync/errgroup"
)

const (
	// jobTimeout is how long a job may take; longer than the longest transfer.
	jobTimeout = 150 * time.Second
	// rescueAfter is when a job of a process that died is given to another one.
	rescueAfter = jobTimeout + 30*time.Second
	// doneKept is how long jobs that are done stay in the queue's table, for who
	// looks; what they did is in the rows that they worked off.
	doneKept = time.Hour
	// softStop is how long jobs may go on when the program ends.
	softStop = 5 * time.Second
)

// Work is a kind of work that a Client does. Its implementations are the types of
// this package.
type Work interface {
	// configure adds workers, their queue, and what is done periodically.
	configure(c *river.Config)
	// run makes jobs of what there is to do until ctx ends.
	run(ctx context.Context, queue *river.Client[pgx.Tx]) error
}

// Config is what a Client works with.
type Config struct {
	Pool   *pgxpool.Pool // of the queue alone; a few connections are enough
	Logger *slog.Logger
	// Registerer gets the metrics of jobs; nil: there are none.
	Registerer prometheus.Registerer
	Now        func() time.Time // of the metrics
}

// Client does work in the background.
type Client struct {
	river *river.Client[pgx.Tx]
	works []Work
}

// New makes a client of these kinds of work; Run begins.
func New(cfg Config, works ...Work) (*Client, error) {
	c := &river.Config{
		Logger: cfg.Logger, JobTimeout: jobTimeout, RescueStuckJobsAfter: rescueAfter, SoftStopTimeout: softStop,
		CompletedJobRetentionPeriod: doneKept, Workers: river.NewWorkers(), Queues: map[string]river.QueueConfig{},
	}
	if cfg.Registerer != nil {
		metrics, err := newJobMetrics(cfg.Registerer, cfg.Logger, cfg.Now)
		if err != nil {
			return nil, fmt.Errorf("make the jobs' metrics: %w", err)
		}
		c.Middleware = []rivertype.Middleware{metrics}
	}
	for _, w := range works {
		w.configure(c)
	}
	client, err := river.NewClient(riverpgxv5.New(cfg.Pool), c)
	if err != nil {
		return nil, fmt.Errorf("make the jobs' client: %w", err)
	}
	return &Client{river: client, works: works}, nil
}

// Run works until ctx ends and what was under way is done or back in the queue.
func (c *Client) Run(ctx context.Context) error {
	if err := c.river.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("start the jobs: %w", err)
	}
	group, working := errgroup.WithContext(ctx)
	for _, w := range c.works {
		group.Go(func() error { return w.run(working, c.river) })
	}
	err := group.Wait()
	if ctx.Err() == nil { // a part failed: the others mustn't go on alone
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), softStop)
		defer cancel()
		err = errors.Join(err, c.river.StopAndCancel(stopping))
	}
	<-c.river.Stopped()
	return err
}
