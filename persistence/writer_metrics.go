package persistence

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// writerMetrics is what operators see of the writer.
type writerMetrics struct {
	size      prometheus.Histogram
	duration  prometheus.Histogram
	conflicts prometheus.Counter
	refused   prometheus.Counter
	unknown   prometheus.Counter
}

func newWriterMetrics() *writerMetrics {
	return &writerMetrics{
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chatopshub_writer_batch_submissions", Help: "Submissions carried by one transaction of the writer.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 6),
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chatopshub_writer_commit_seconds", Help: "Time from taking a batch to its verdict.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chatopshub_writer_conflicts_total", Help: "Chains refused because somebody else had changed the conversation.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chatopshub_writer_refused_total", Help: "Changes with a value that PostgreSQL refuses.",
		}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chatopshub_writer_unknown_outcomes_total", Help: "Batches that were repeated because their outcome was unknown.",
		}),
	}
}

func (m *writerMetrics) register(r prometheus.Registerer, w *Writer) error {
	queued := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chatopshub_writer_queued_submissions", Help: "Submissions waiting for a transaction.",
	}, func() float64 { return float64(w.queued.Load()) })
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chatopshub_writer_lag_seconds", Help: "How long the slowest batch in hand has been at work.",
	}, func() float64 { return w.lag(time.Now()).Seconds() })
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chatopshub_writer_queue_age_seconds", Help: "How long something has waited for a transaction to begin.",
	}, func() float64 { return w.queueAge(time.Now()).Seconds() })
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chatopshub_writer_queued_bytes", Help: "About how much memory those submissions keep.",
	}, func() float64 { return float64(w.bytes.Load()) })
	for _, c := range []prometheus.Collector{lag, age, bytes, m.size, m.duration, m.conflicts, m.refused, m.unknown, queued} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// lag is for how long the slowest batch has been at work.
func (w *Writer) lag(now time.Time) (longest time.Duration) {
	for _, l := range w.lanes {
		if since := l.busySince.Load(); since != 0 {
			longest = max(longest, now.Sub(time.Unix(0, since)))
		}
	}
	return longest
}

func (w *Writer) queueAge(now time.Time) (longest time.Duration) {
	for _, l := range w.lanes {
		longest = max(longest, l.waited(now))
	}
	return longest
}

func (m *writerMetrics) batch(size int, took time.Duration) {
	m.size.Observe(float64(size))
	m.duration.Observe(took.Seconds())
}
