package rest

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humahttprouter"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/chatopshub/chatopshub/domain"
)

// This file bounds how fast one caller may call. Who proves to be a user is
// counted as that user, wherever the calls come from: an office full of agents
// shares an address. Everybody else (no token, a bad one, a login) is counted
// by address. What is mounted beside the API has limits of its own.

const (
	// burstSeconds is how many seconds' worth of calls may come at once: all
	// agents of an office log in when the server is back.
	burstSeconds = 10
	// maxCallers bounds the callers that are remembered, some 200 bytes each. The
	// one that was quiet for the longest is forgotten, and its allowance is full
	// again: an attacker with as many addresses has as many allowances anyway.
	maxCallers = 50_000
)

// allowance is a token bucket for each caller of one kind.
type allowance[K comparable] struct {
	perSecond int
	now       func() time.Time
	buckets   *lru.Cache[K, *rate.Limiter]
}

// newAllowance lets each caller call perSecond times a second; 0: as often as
// it likes.
func newAllowance[K comparable](perSecond int, now func() time.Time) (*allowance[K], error) {
	if perSecond == 0 {
		return &allowance[K]{}, nil
	}
	buckets, err := lru.New[K, *rate.Limiter](maxCallers)
	if err != nil {
		return nil, fmt.Errorf("remember callers: %w", err)
	}
	return &allowance[K]{perSecond: perSecond, now: now, buckets: buckets}, nil
}

// take counts a call and returns zero, or how long the caller has to wait.
func (a *allowance[K]) take(caller K) time.Duration {
	if a.buckets == nil {
		return 0
	}
	bucket, ok := a.buckets.Get(caller)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(a.perSecond), a.perSecond*burstSeconds)
		if known, raced, _ := a.buckets.PeekOrAdd(caller, bucket); raced {
			bucket = known
		}
	}
	now := a.now()
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing*float64(time.Second)/float64(a.perSecond)))
}

// limits are the allowances of all callers.
type limits struct {
	users     *allowance[domain.UserID]
	addresses *allowance[netip.Prefix]
}

func newLimits(perUser, perAddress int, now func() time.Time) (limits, error) {
	users, err := newAllowance[domain.UserID](perUser, now)
	if err != nil {
		return limits{}, err
	}
	addresses, err := newAllowance[netip.Prefix](perAddress, now)
	return limits{users: users, addresses: addresses}, err
}

// stranger counts a call of somebody who hasn't proved to be a user; nil: go on.
func (s *server) stranger(r *http.Request) *Problem {
	wait := s.limits.addresses.take(subscriber(requestOf(r.Context()).client))
	return s.tooFast(wait, limitedAddress)
}

// limitStrangers is what operations for anyone begin with.
func (s *server) limitStrangers(ctx huma.Context, next func(huma.Context)) {
	r, w, _ := humahttprouter.Unwrap(ctx)
	if p := s.stranger(r); p != nil {
		writeProblem(w, p)
		return
	}
	next(ctx)
}

// tooFast is the 429 for who has to wait; nil for who hasn't.
func (s *server) tooFast(wait time.Duration, reason string) *Problem {
	if wait == 0 {
		return nil
	}
	s.metrics.limited.WithLabelValues(reason).Inc()
	seconds := int((wait + time.Second - 1) / time.Second)
	return problem(http.StatusTooManyRequests, "too_many_requests", "Too many calls in a short time. This one was not executed; slow down.").
		with("Retry-After", strconv.Itoa(seconds))
}
