package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests. All labels have few values: routes as they were
// registered, the methods of HTTP, statuses.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	limited  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, inFlight func() float64) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_http_requests_total", Help: "Requests that were answered, those beside the API included.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chatopshub_http_request_seconds", Help: "Time from a request's header to its answer; connections that became sockets are not in it.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_http_response_bytes_total", Help: "Bytes of answers' bodies, as sent.",
		}, []string{"route"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_http_requests_limited_total", Help: "Requests answered 429 or 503 before they were worked on, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{limitedUser, limitedAddress, limitedOverload} {
		m.limited.WithLabelValues(reason)
	}
	if r == nil {
		return m, nil
	}
	flying := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chatopshub_http_requests_in_flight", Help: "Calls of the API that are at work.",
	}, inFlight)
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.bytes, m.limited, flying} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register HTTP metrics: %w", err)
		}
	}
	return m, nil
}

// Why a request was not worked on.
const (
	limitedUser     = "user"
	limitedAddress  = "address"
	limitedOverload = "overload"
)

// unmatched is the route of requests that match none: strangers choose paths.
const unmatched = "unmatched"

func (m *metrics) answered(route, method string, rec *recorder, took time.Duration) {
	method = known(method)
	m.requests.WithLabelValues(route, method, strconv.Itoa(rec.status)).Inc()
	m.bytes.WithLabelValues(route).Add(float64(rec.bytes))
	if rec.status != http.StatusSwitchingProtocols {
		m.seconds.WithLabelValues(route, method).Observe(took.Seconds())
	}
}

// known is the method, or "other": strangers choose it.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return method
	}
	return "other"
}
