package rest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.send(f.request(http.MethodGet, "/healthz", nil))
	require.Equal(t, 200, a.status)
	require.Equal(t, map[string]any{"status": "ok"}, a.body)
	ready := f.send(f.request(http.MethodGet, "/readyz", nil))
	require.Equal(t, 200, ready.status)
	require.Equal(t, map[string]any{"status": "ready", "checks": []any{}}, ready.body)
}

func TestReadyNamesThePartThatFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) {
		f.config.Checks = []Check{
			{Name: "postgresql", Ping: func(context.Context) error { return errors.New("dial 10.0.0.5: refused") }},
			{Name: "valkey", Ping: func(context.Context) error { return nil }},
		}
	})
	a := f.send(f.request(http.MethodGet, "/readyz", nil))
	require.Equal(t, 503, a.status)
	require.Equal(t, map[string]any{"status": "unready", "checks": []any{
		map[string]any{"name": "postgresql", "ok": false}, map[string]any{"name": "valkey", "ok": true},
	}}, a.body)
	require.NotContains(t, string(a.raw), "10.0.0.5")
	require.Contains(t, f.log.String(), "10.0.0.5")
}

// TestReadyAsksOnceForMany: the probe is open to strangers.
func TestReadyAsksOnceForMany(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	f := newFixture(t, func(f *fixture) {
		f.config.Checks = []Check{{Name: "postgresql", Ping: func(context.Context) error {
			asked.Add(1)
			return nil
		}}}
		now := f.config.Now()
		f.config.Now = func() time.Time { return now }
	})
	var crowd sync.WaitGroup
	for range 50 {
		crowd.Go(func() { f.send(f.request(http.MethodGet, "/readyz", nil)) })
	}
	crowd.Wait()
	require.EqualValues(t, 1, asked.Load())
}
