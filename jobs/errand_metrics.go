package jobs

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// kind is what an errand is for.
type kind string

const (
	kindReceipt kind = "receipt"
	kindTyping  kind = "typing"
	kindName    kind = "name"
)

// The outcomes of errands.
const (
	outcomeDone    = "done"
	outcomeSkipped = "skipped" // nothing to do: no longer the holder, shown already, the channel is off
	outcomeDropped = "dropped" // too many wait
	outcomeFailed  = "failed"
)

type errandMetrics struct{ errands *prometheus.CounterVec }

func (m *errandMetrics) register(r prometheus.Registerer, e *Errands) error {
	m.errands = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chatopshub_errands_total", Help: "Read receipts, typing and look-ups of names at the platforms, by what became of them.",
	}, []string{"kind", "outcome"})
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chatopshub_errands_waiting", Help: "Conversations that wait for an errand.",
	}, e.waitingNow)
	return errors.Join(r.Register(m.errands), r.Register(waiting))
}

func (m *errandMetrics) count(k kind, outcome string) {
	m.errands.WithLabelValues(string(k), outcome).Inc()
}
