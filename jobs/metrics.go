package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// jobMetrics counts jobs of every kind, and says in the log which failed.
type jobMetrics struct {
	river.MiddlewareDefaults
	logger   *slog.Logger
	now      func() time.Time
	jobs     *prometheus.CounterVec
	duration *prometheus.HistogramVec
	success  *prometheus.GaugeVec
}

func newJobMetrics(r prometheus.Registerer, logger *slog.Logger, now func() time.Time) (*jobMetrics, error) {
	m := &jobMetrics{
		logger: logger, now: now,
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_jobs_total", Help: "Attempts of jobs in the background on this node, by what became of them.",
		}, []string{"kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chatopshub_job_duration_seconds", Help: "How long attempts of jobs take.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 9), // 10 ms to 11 minutes
		}, []string{"kind"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chatopshub_job_last_success_timestamp_seconds", Help: "When a job of the kind last succeeded on this node; Unix time.",
		}, []string{"kind"}),
	}
	return m, errors.Join(r.Register(m.jobs), r.Register(m.duration), r.Register(m.success))
}

// Work implements rivertype.WorkerMiddleware.
func (m *jobMetrics) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) error {
	begun := m.now()
	err := work(ctx)
	m.duration.WithLabelValues(job.Kind).Observe(m.now().Sub(begun).Seconds())
	var snoozed *rivertype.JobSnoozeError
	switch {
	case err == nil:
		m.success.WithLabelValues(job.Kind).Set(float64(m.now().Unix()))
		m.jobs.WithLabelValues(job.Kind, "done").Inc()
	case errors.As(err, &snoozed):
		m.jobs.WithLabelValues(job.Kind, "postponed").Inc()
	case ctx.Err() != nil:
		m.jobs.WithLabelValues(job.Kind, "interrupted").Inc()
	default:
		m.jobs.WithLabelValues(job.Kind, "failed").Inc()
		m.logger.ErrorContext(ctx, "a job failed", "kind", job.Kind, "attempt", job.Attempt, "of", job.MaxAttempts, "error", err)
	}
	return err
}
