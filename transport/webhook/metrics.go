package webhook

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/domain"
)

// metrics counts what comes in. All labels have few values: providers, and
// constants of this package.
type metrics struct {
	posts       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	elements    *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		posts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_webhook_posts_total",
			Help: "POSTs of the platforms, by how they were answered.",
		}, []string{"provider", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "chatopshub_webhook_post_seconds",
			Help:    "Time from a POST's first byte to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"provider"}),
		elements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_webhook_elements_total",
			Help: "Elements of POSTs that were taken, by kind and what became of them.",
		}, []string{"provider", "kind", "outcome"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_webhook_dead_letters_total",
			Help: "Elements kept as dead letters, by reason.",
		}, []string{"provider", "reason"}),
	}
	m.begin()
	return m, errors.Join(
		registerer.Register(m.posts), registerer.Register(m.seconds),
		registerer.Register(m.elements), registerer.Register(m.deadLetters),
	)
}

// begin shows what alarms rest on from the beginning: a series that appears with
// its first event hides that event from whoever compares.
func (m *metrics) begin() {
	for _, provider := range []domain.Provider{domain.WhatsApp, domain.Messenger} {
		for _, a := range []answer{answerTaken, answerUnauthorized, answerOverloaded, answerUnavailable} {
			m.posts.WithLabelValues(string(provider), a.result)
		}
		m.seconds.WithLabelValues(string(provider))
		m.elements.WithLabelValues(string(provider), "message", outcomeDelivered)
		for _, reason := range []string{
			reasonMalformed, reasonUnknownObject, reasonUnknownField, reasonUnknownEvent, reasonNoID, reasonNoSender, reasonNoTarget,
			reasonTooMany, reasonPanic, reasonUnknownChannel, reasonUntrusted, reasonRefused, reasonUnknownTarget,
		} {
			m.deadLetters.WithLabelValues(string(provider), reason)
		}
	}
}

func (m *metrics) post(provider domain.Provider, result string, took time.Duration) {
	m.posts.WithLabelValues(string(provider), result).Inc()
	m.seconds.WithLabelValues(string(provider)).Observe(took.Seconds())
}

func (m *metrics) element(provider domain.Provider, kind, outcome string) {
	m.elements.WithLabelValues(string(provider), kind, outcome).Inc()
}

func (m *metrics) letters(provider domain.Provider, reason string, n int) {
	m.deadLetters.WithLabelValues(string(provider), reason).Add(float64(n))
}

// kindOf names an event for the counters.
func kindOf(event domain.InboundEvent) string {
	switch event.(type) {
	case domain.CustomerMessage:
		return "message"
	case domain.CustomerReaction:
		return "reaction"
	case domain.MessageEdited:
		return "edit"
	case domain.MessageRevoked:
		return "revoke"
	case domain.BusinessEcho:
		return "echo"
	case domain.StatusReport:
		return "status"
	case domain.Watermark:
		return "watermark"
	case domain.SystemNotice:
		return "system"
	case domain.ThreadNote:
		return "note"
	}
	return "none"
}
