package main

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// watchMembership shows to operators' alarms what this node knows of who is
// there.
func watchMembership(r prometheus.Registerer, m membership, now func() time.Time) error {
	gauge := func(name, help string, value func() float64) error {
		return r.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "chatopshub_cluster_" + name, Help: help}, value))
	}
	return errors.Join(
		gauge("nodes", "Nodes that this node knows of, with itself.", func() float64 { return float64(len(m.View().Nodes())) }),
		gauge("shards", "Shards of 1024 that this node owns.", func() float64 { return float64(m.View().Share()[m.Self().Name]) }),
		gauge("lease_age_seconds", "Since this node last renewed its lease.", func() float64 { return now().Sub(m.Renewed()).Seconds() }),
	)
}
