package actors

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/domain"
)

// metrics is what operators see of the actors.
type metrics struct {
	registerer  prometheus.Registerer
	deadLetters prometheus.Counter
	lateReplies prometheus.Counter
	asks        prometheus.Gauge
	panics      *prometheus.CounterVec // by kind
	events      *prometheus.CounterVec // by name
	sends       *prometheus.CounterVec // by outcome
}

const metricsPrefix = "chatopshub_actors_"

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		registerer: r,
		deadLetters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "dead_letters_total", Help: "Messages to a process that was not there.",
		}),
		lateReplies: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "late_replies_total", Help: "Replies nobody waited for any more.",
		}),
		asks: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: metricsPrefix + "asks_in_flight", Help: "Requests that wait for the reply of an actor.",
		}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricsPrefix + "panics_total", Help: "Messages whose handling panicked.",
		}, []string{"kind"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_feed_events_total", Help: "Events that feeds have numbered and handed on, by name; resync: clients were told of a gap.",
		}, []string{"event"}),
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_sends_total", Help: "Attempts to send a message, by outcome: sent, or the class of the failure.",
		}, []string{"outcome"}),
	}
	m.events.WithLabelValues(string(domain.EventResync))
	m.sends.WithLabelValues("sent")
	for _, c := range []prometheus.Collector{m.deadLetters, m.lateReplies, m.asks, m.panics, m.events, m.sends} {
		if err := m.register(c); err != nil {
			return nil, fmt.Errorf("actor system: %w", err)
		}
	}
	return m, nil
}

// sent counts an attempt; nil: the platform took the message.
func (m *metrics) sent(failure *domain.CallError) {
	outcome := "sent"
	if failure != nil {
		outcome = string(failure.Class)
	}
	m.sends.WithLabelValues(outcome).Inc()
}

// watch shows the numbers of one kind of actor.
func (m *metrics) watch(kind string, residents, waiting func() float64) error {
	m.panics.WithLabelValues(kind) // shown from the beginning: the first one must not go unseen
	labels := prometheus.Labels{"kind": kind}
	if err := m.register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: metricsPrefix + "resident", Help: "Actors in memory.", ConstLabels: labels,
	}, residents)); err != nil {
		return err
	}
	return m.register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: metricsPrefix + "mailbox_messages", Help: "Messages that wait in mailboxes.", ConstLabels: labels,
	}, waiting))
}

func (m *metrics) register(c prometheus.Collector) error {
	if m.registerer == nil {
		return nil
	}
	return m.registerer.Register(c)
}
