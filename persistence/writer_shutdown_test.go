package persistence_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// promptly is how long a writer without database may take to stop: the time
// of its last tries.
const promptly = 8 * time.Second

// stoppable runs a writer. stop ends it and waits until it has stopped.
func stoppable(t *testing.T, url string, configure ...func(*persistence.WriterConfig)) (w *persistence.Writer, stop func() time.Duration) {
	t.Helper()
	cfg := persistence.WriterConfig{URL: url}
	for _, change := range configure {
		change(&cfg)
	}
	w, err := persistence.NewWriter(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(cancel)
	return w, func() time.Duration {
		begun := time.Now()
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(patience):
			require.Fail(t, "the writer doesn't stop")
		}
		return time.Since(begun)
	}
}

// outcome is the verdict that is there already.
func outcome(t *testing.T, verdict <-chan domain.Verdict) domain.Outcome {
	t.Helper()
	select {
	case v := <-verdict:
		return v.Outcome
	default:
		require.Fail(t, "the writer stopped without a verdict")
		return 0
	}
}

func TestWriterStoresItsQueueBeforeItStops(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "stop")
	w, stop := stoppable(t, db.URL, func(cfg *persistence.WriterConfig) { cfg.MaxBatch = 100 })
	var verdicts []<-chan domain.Verdict
	for i := range 600 {
		o := newOwner(t, w, n, fmt.Sprint(i))
		for k := range 3 {
			verdicts = append(verdicts, o.submit(o.says(fmt.Sprintf("%d.%d", i, k))))
		}
	}
	stop()
	for _, v := range verdicts {
		require.Equal(t, domain.Committed, outcome(t, v))
	}
	require.Equal(t, 1800, count(t, db, `SELECT count(*) FROM messages`))

	late := newOwner(t, w, n, "late")
	first, second := late.submit(late.says("too late")), late.submit(late.says("later still"))
	require.Equal(t, domain.Unavailable, outcome(t, first))
	require.Empty(t, second, "its lineage is broken")
}

func TestWriterStopsWithoutDatabase(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "away")
	network, behind := newProxy(t, db.URL)
	network.turnAway(true)
	w, stop := stoppable(t, behind)
	require.ErrorIs(t, w.Ready(), domain.ErrUnavailable)
	var verdicts []<-chan domain.Verdict
	for i := range 3000 {
		o := newOwner(t, w, n, fmt.Sprint(i))
		verdicts = append(verdicts, o.submit(o.says(fmt.Sprint(i))))
	}
	require.Less(t, stop(), promptly)
	for _, v := range verdicts {
		require.Equal(t, domain.Unavailable, outcome(t, v))
	}
	require.Zero(t, count(t, db, `SELECT count(*) FROM messages`))
}

// The writer has to stop before the database could tell what became of a batch.
func TestWriterStopsWithAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, returns := range map[string]bool{"the database stays away": false, "the database breaks each commit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := persistencetest.New(t)
			n := newTenant(t, db, "unknown")
			network, behind := newProxy(t, db.URL)
			w, stop := stoppable(t, behind, oneLane)
			o := newOwner(t, w, n, "1")
			o.store(o.says("stored"))
			var breaks atomic.Int64
			network.onPacket(func(p packet) fate {
				if !isCommit(p) {
					return pass
				}
				breaks.Add(1)
				network.turnAway(!returns)
				return cut
			})
			unknown := o.submit(o.says("who knows"))
			until(t, func() bool { return breaks.Load() > 0 }, "the commit is cut")
			dropped, other := o.submit(o.says("built on it")), newOwner(t, w, n, "2")
			refused := other.submit(other.says("not begun"))
			require.Less(t, stop(), promptly)

			require.Equal(t, domain.Unknown, outcome(t, unknown))
			require.Empty(t, dropped)
			if returns {
				require.Equal(t, domain.Unknown, outcome(t, refused))
			} else {
				require.Equal(t, domain.Unavailable, outcome(t, refused))
			}
			require.Equal(t, 1, count(t, db, `SELECT count(*) FROM messages`))
		})
	}
}
