package persistence_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// While the database is blocked, the writer takes no more than its high-water
// mark from outside, and twice as much from inside.
func TestWriterHighWaterMark(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*persistence.WriterConfig){
		"submissions": func(cfg *persistence.WriterConfig) { cfg.MaxQueued = 40 },
		"bytes":       func(cfg *persistence.WriterConfig) { cfg.MaxBytes = 50_000 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := persistencetest.New(t)
			n := newTenant(t, db, "overload")
			metrics := prometheus.NewRegistry()
			w := openWriter(t, db.URL, oneLane, limit, func(cfg *persistence.WriterConfig) {
				cfg.Registerer, cfg.MaxLag = metrics, time.Hour
			})
			letGo := plug(t, w, n)
			o := newOwner(t, w, n, "1")
			var verdicts []<-chan domain.Verdict
			fill := func(internal bool) int {
				for i := 0; ; i++ {
					if err := w.Admit(internal); err != nil {
						require.ErrorIs(t, err, domain.ErrOverloaded)
						return i
					}
					verdicts = append(verdicts, o.submit(o.says(fmt.Sprint(internal, i))))
				}
			}
			outside := fill(false)
			inside := fill(true)
			require.Greater(t, outside, 10)
			require.InDelta(t, outside, inside, 3, "there is as much room again for what comes from inside")
			require.InDelta(t, outside+inside, queued(t, metrics), 0)
			for _, waits := range []string{"chatopshub_writer_lag_seconds", "chatopshub_writer_queue_age_seconds", "chatopshub_writer_queued_bytes"} {
				require.Positive(t, gauge(t, metrics, waits), waits)
			}

			letGo()
			for _, v := range verdicts {
				require.Equal(t, domain.Committed, await(t, v).Outcome)
			}
			require.NoError(t, w.Admit(false))
			require.InDelta(t, 0, queued(t, metrics), 0)
			require.Zero(t, gauge(t, metrics, "chatopshub_writer_queue_age_seconds"))
		})
	}
}

// Whatever becomes of submissions, nothing is left on the marks: a single byte
// would be over this writer's limit.
func TestWriterForgetsWhatLeavesItsQueue(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "marks")
	network, behind := newProxy(t, db.URL)
	w := openWriter(t, behind, func(cfg *persistence.WriterConfig) { cfg.MaxQueued, cfg.MaxBytes, cfg.MaxBatch = 1, 1, 7 })
	loader := newLoader(t, db)
	agent := n.agent("ada")
	n.exec(`UPDATE users SET max_conversations = 5 WHERE id = $1`, agent)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			p, rival := newPlayer(t, w, loader, n, fmt.Sprint(i)), newPlayer(t, w, loader, n, fmt.Sprint(i))
			for k := range 5 {
				p.play(p.says(fmt.Sprintf("%d.%d", i, k)), domain.Accept{By: n.caller(agent)}, p.says(fmt.Sprintf("%d.%d and NUL \x00", i, k)))
				rival.play(rival.says(fmt.Sprintf("rival %d.%d", i, k)))
			}
		})
	}
	all.Wait()
	network.turnAway(true)
	network.cutLinks()
	away := newOwner(t, w, n, "away")
	verdict := away.submit(away.says("nobody is there"))
	until(t, func() bool { return w.Ready() != nil }, "the writer notices")
	network.turnAway(false)
	until(t, func() bool { return w.Ready() == nil }, "the database is back")
	// Committed where it was on its way already when the link was cut: such a
	// batch is held until the database can say.
	require.Contains(t, []domain.Outcome{domain.Unavailable, domain.Committed}, await(t, verdict).Outcome)
	until(t, func() bool { return w.Admit(false) == nil }, "nothing is left on the marks")
	requireLinear(t, db)
}

// A batch that takes long closes the door to outsiders, and opens it again.
func TestWriterLag(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "lag")
	w := openWriter(t, db.URL, oneLane, func(cfg *persistence.WriterConfig) { cfg.MaxLag = 20 * time.Millisecond })
	letGo := plug(t, w, n)
	until(t, func() bool { return w.Admit(false) != nil }, "the writer lags")
	require.ErrorIs(t, w.Admit(false), domain.ErrOverloaded)
	require.NoError(t, w.Admit(true))
	letGo()
	until(t, func() bool { return w.Admit(false) == nil }, "the writer is quick again")
}

// Answers that change nothing are checked against the stored state: true ones
// pass, also between changes; a stale one is a conflict.
func TestWriterChecksAnswersWithoutChange(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "checks")
	w := openWriter(t, db.URL, oneLane)
	o := newOwner(t, w, n, "1")
	o.store(o.says("hello"))
	stale := o.rival(openWriter(t, db.URL))
	letGo := plug(t, w, n)
	var verdicts []<-chan domain.Verdict
	for i := range 100 {
		verdicts = append(verdicts, o.check())
		if i%10 == 0 {
			verdicts = append(verdicts, o.submit(o.says(fmt.Sprint("between ", i))))
		}
	}
	letGo()
	for _, v := range verdicts {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	first, second := stale.check(), stale.check()
	require.Equal(t, domain.Conflict, await(t, first).Outcome)
	require.Empty(t, second)

	missing := newOwner(t, w, n, "2")
	missing.state.Head = newID[domain.ChangeID]()
	require.Equal(t, domain.Conflict, await(t, missing.check()).Outcome)
	requireLinear(t, db)
}

// queued is what the gauge of the queue shows.
func queued(t *testing.T, metrics *prometheus.Registry) float64 {
	t.Helper()
	return gauge(t, metrics, "chatopshub_writer_queued_submissions")
}

// gauge is what a scrape shows.
func gauge(t *testing.T, metrics *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	require.Fail(t, "no such metric")
	return 0
}
