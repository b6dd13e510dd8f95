package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestTheHourOfDailyWork(t *testing.T) {
	t.Parallel()
	for now, want := range map[string]string{
		"2026-03-01T00:00:00Z":      "2026-03-01T00:05:00Z",
		"2026-03-01T00:05:00Z":      "2026-03-02T00:05:00Z",
		"2026-03-01T00:04:59.9Z":    "2026-03-01T00:05:00Z",
		"2026-02-28T23:59:00Z":      "2026-03-01T00:05:00Z",
		"2026-03-29T01:30:00+02:00": "2026-03-29T00:05:00Z", // summer time has no part in it
	} {
		at, err := time.Parse(time.RFC3339Nano, now)
		require.NoError(t, err)
		require.Equal(t, want, daily{hour: 0, minute: 5}.Next(at).Format(time.RFC3339), now)
	}
}

// chores counts what is done, and fails as often as it is told to.
type chores struct {
	mu   sync.Mutex
	days int // that are left to aggregate
	ran  int
	fail int
}

func (c *chores) AggregateNext(context.Context) (domain.Day, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran++
	if c.fail > 0 {
		c.fail--
		return domain.Day{}, false, errors.New("the disk is full")
	}
	if c.days == 0 {
		return domain.Day{}, false, nil
	}
	c.days--
	return domain.Day{}, true, nil
}

func (c *chores) counted() (ran, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ran, c.days
}

func (c *chores) Clean(context.Context, *slog.Logger) error { return nil }

func (c *chores) Finish(context.Context, time.Duration) error { return nil }

// node runs upkeep as one node of several.
func node(t *testing.T, db *persistencetest.Database, c *chores) *prometheus.Registry {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), db.URL)
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	client, err := New(Config{Pool: pool, Logger: slog.New(slog.DiscardHandler), Registerer: registry, Now: time.Now}, NewUpkeep(UpkeepConfig{
		Figures: c, Cleaner: c, Erasures: c, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		pool.Close()
	})
	return registry
}

// Three nodes start together: one of them is the leader, and what is due is done
// once. Missed days are caught up, more than a job takes in another one.
func TestDailyWorkIsDoneOnce(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	c := &chores{days: daysAtOnce + 4}
	for range 3 {
		node(t, db, c)
	}
	require.Eventually(t, func() bool { _, left := c.counted(); return left == 4 }, 30*time.Second, 10*time.Millisecond)
	var waiting string
	require.Eventually(t, func() bool {
		return db.SQL.QueryRow(`SELECT string_agg(state::text || ' ' || (scheduled_at > now() + interval '30 seconds')::text, ',')
			FROM river_job WHERE kind = 'aggregate_figures'`).Scan(&waiting) == nil && waiting == "scheduled true"
	}, 10*time.Second, 10*time.Millisecond, "the rest comes in a minute")
	_, err := db.SQL.Exec(`UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE kind = 'aggregate_figures'`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, left := c.counted(); return left == 0 }, 30*time.Second, 10*time.Millisecond)
	ran, _ := c.counted()
	require.Equal(t, daysAtOnce+5, ran, "the last time there was nothing left")
	var leaders, jobs int
	require.NoError(t, db.SQL.QueryRow(`SELECT (SELECT count(*) FROM river_leader), (SELECT count(*) FROM river_job WHERE kind = 'aggregate_figures')`).Scan(&leaders, &jobs))
	require.Equal(t, []int{1, 1}, []int{leaders, jobs})
}

// A job that fails is tried twice, and seen; the program goes on.
func TestAFailureOfDailyWorkIsSeen(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	c := &chores{fail: 2}
	registry := node(t, db, c)
	again := func() {
		require.Eventually(t, func() bool {
			result, err := db.SQL.Exec(`UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE kind = 'aggregate_figures' AND state = 'retryable'`)
			if err != nil {
				return false
			}
			n, err := result.RowsAffected()
			return err == nil && n == 1
		}, 30*time.Second, 10*time.Millisecond)
	}
	again()
	require.Eventually(t, func() bool {
		var state string
		return db.SQL.QueryRow(`SELECT state FROM river_job WHERE kind = 'aggregate_figures'`).Scan(&state) == nil && state == "discarded"
	}, 30*time.Second, 10*time.Millisecond, "after two attempts it is left to the next day")
	ran, _ := c.counted()
	require.Equal(t, 2, ran)
	families, err := registry.Gather()
	require.NoError(t, err)
	outcomes := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			outcomes[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	require.EqualValues(t, 2, outcomes["chatopshub_jobs_total aggregate_figures failed"])
	require.NotContains(t, outcomes, "chatopshub_job_last_success_timestamp_seconds aggregate_figures")
	require.Contains(t, outcomes, "chatopshub_job_last_success_timestamp_seconds finish_erasures", "the others go on")
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}
