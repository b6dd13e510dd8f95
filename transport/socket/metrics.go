package socket

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what operators ask about: who is connected, what is sent, who
// is cut and who is turned away.
type metrics struct {
	sockets   prometheus.Gauge
	delivered prometheus.Counter
	ended     *prometheus.CounterVec // by reason
	refused   *prometheus.CounterVec // by reason
	connects  *prometheus.CounterVec // by outcome
	gaps      prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chatopshub_sockets", Help: "Connected sockets.",
		}),
		delivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chatopshub_socket_deliveries_total", Help: "Events queued for a socket, counted once for each socket.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_socket_sessions_ended_total", Help: "Sessions that ended, by reason; slow_consumer and rate_limited are those that were cut.",
		}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_socket_handshakes_refused_total", Help: "Handshakes that were refused, by reason.",
		}, []string{"reason"}),
		connects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_socket_connects_total", Help: "Sockets that connected: recovered with all they missed, or fresh.",
		}, []string{"outcome"}),
		gaps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chatopshub_socket_feed_gaps_total", Help: "Times that events of a feed were missing and had to be asked for.",
		}),
	}
	for _, cut := range []Reason{ReasonSlowConsumer, ReasonRateLimited} {
		m.ended.WithLabelValues(cut.String()) // shown from the beginning: the first one must not go unseen
	}
	for _, c := range []prometheus.Collector{m.sockets, m.delivered, m.ended, m.refused, m.connects, m.gaps} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register socket metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) connected(recovered bool) {
	m.sockets.Inc()
	outcome := "fresh"
	if recovered {
		outcome = "recovered"
	}
	m.connects.WithLabelValues(outcome).Inc()
}
