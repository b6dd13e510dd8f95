package rest

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// readyFor is how long the result of the checks is believed: /readyz is
	// open to strangers and asks the storage.
	readyFor = 500 * time.Millisecond
	// checkTimeout is how long a part may take to prove that it works. What
	// takes longer doesn't work, whatever it says then.
	checkTimeout = 2 * time.Second
)

type healthOutput struct{ Body healthBody }

type healthBody struct {
	Status string `json:"status" enum:"ok"`
}

func (s *server) health(context.Context, *struct{}) (*healthOutput, error) {
	return &healthOutput{Body: healthBody{Status: "ok"}}, nil
}

type readyOutput struct {
	Status int
	Body   readyBody
}

type readyBody struct {
	Status string      `json:"status" enum:"ready,unready"`
	Checks []checkBody `json:"checks"`
}

type checkBody struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
}

func (s *server) readyz(ctx context.Context, _ *struct{}) (*readyOutput, error) {
	checks := s.ready.ask(ctx)
	out := &readyOutput{Status: http.StatusOK, Body: readyBody{Status: "ready", Checks: checks}}
	if slices.ContainsFunc(checks, func(c checkBody) bool { return !c.OK }) {
		out.Status, out.Body.Status = http.StatusServiceUnavailable, "unready"
	}
	return out, nil
}

// readiness runs the checks, one round at a time for all who ask.
type readiness struct {
	checks []Check
	now    func() time.Time
	log    *slog.Logger

	mu     sync.Mutex
	asked  time.Time
	result []checkBody
}

func (r *readiness) ask(ctx context.Context) []checkBody {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.result != nil && r.now().Sub(r.asked) < readyFor {
		return r.result
	}
	// The result is for others too: this caller's leaving must not spoil it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	result := make([]checkBody, len(r.checks))
	var round sync.WaitGroup
	for i, check := range r.checks {
		round.Go(func() {
			err := check.Ping(ctx)
			if err != nil {
				r.log.Warn("not ready", "check", check.Name, "error", err)
			}
			result[i] = checkBody{Name: check.Name, OK: err == nil}
		})
	}
	round.Wait()
	r.asked, r.result = r.now(), result
	return result
}
