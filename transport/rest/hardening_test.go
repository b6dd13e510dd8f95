package rest

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// clock is a time that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func limited(t *testing.T) (*fixture, *clock) {
	c := &clock{now: time.Now()}
	return newFixture(t, func(f *fixture) {
		f.config.UserRate, f.config.AddressRate, f.config.Now = 2, 1, c.Now
		f.config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}), c
}

// TestAUserMayCallSoOften: beyond that it waits, alone.
func TestAUserMayCallSoOften(t *testing.T) {
	t.Parallel()
	f, clock := limited(t)
	for range 2 * burstSeconds {
		require.Equal(t, 200, f.as(f.agent, http.MethodGet, "/api/auth/me", "").status)
	}
	a := f.as(f.agent, http.MethodGet, "/api/auth/me", "")
	f.problem(a, 429, "too_many_requests")
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.Equal(t, 200, f.as(f.admin, http.MethodGet, "/api/auth/me", "").status, "another user of the same address")
	clock.advance(time.Second)
	for range 2 {
		require.Equal(t, 200, f.as(f.agent, http.MethodGet, "/api/auth/me", "").status)
	}
	f.problem(f.as(f.agent, http.MethodGet, "/api/auth/me", ""), 429, "too_many_requests")
}

// TestStrangersAreCountedByAddress: also those with a token that is none, and
// whatever they claim in front of the proxy's word.
func TestStrangersAreCountedByAddress(t *testing.T) {
	t.Parallel()
	f, _ := limited(t)
	from := func(address, path, token string) answer {
		r := f.request(http.MethodGet, path, nil)
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d, %s", time.Now().UnixNano()%250, address))
		r.Header.Set("Authorization", "Bearer "+token)
		return f.send(r)
	}
	for range burstSeconds {
		f.problem(from("203.0.113.7", "/api/auth/me", "rubbish"), 401, "token_invalid")
	}
	f.problem(from("203.0.113.7", "/api/auth/me", "rubbish"), 429, "too_many_requests")
	f.problem(from("203.0.113.7", "/api/docs/openapi.json", ""), 429, "too_many_requests")
	f.problem(from("203.0.113.8", "/api/auth/me", "rubbish"), 401, "token_invalid")
	require.Equal(t, 200, from("203.0.113.7", "/api/auth/me", f.token(f.agent)).status, "a user at the same address")
	require.Equal(t, 200, from("203.0.113.7", "/healthz", "").status, "probes don't count")
}

// TestAllowancesAreBounded: a caller who was forgotten starts anew, and memory
// stays where it is.
func TestAllowancesAreBounded(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Now()}
	a, err := newAllowance[int](1, c.Now)
	require.NoError(t, err)
	for caller := range 2 * maxCallers {
		require.Zero(t, a.take(caller))
	}
	require.Equal(t, maxCallers, a.buckets.Len())
	var crowd sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 4 * burstSeconds {
		crowd.Go(func() {
			wait := a.take(-1)
			mu.Lock()
			defer mu.Unlock()
			if wait == 0 {
				taken++
			} else {
				require.LessOrEqual(t, wait, time.Second)
			}
		})
	}
	crowd.Wait()
	require.Equal(t, burstSeconds, taken, "many at once don't pass together")
}

func TestListsArePacked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 60 {
		m := domain.MessageView{}
		m.ID = newID(m.ID)
		f.conversations.messages = append(f.conversations.messages, m)
	}
	get := func(path, accept string) answer {
		r := f.request(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+f.token(f.agent))
		if accept != "" {
			r.Header.Set("Accept-Encoding", accept)
		}
		return f.send(r) // without the header, Go's client asks for gzip and unpacks
	}
	path := f.path("/api/conversations/{id}/messages")
	whole := get(path, "identity")
	require.Empty(t, whole.header.Get("Content-Encoding"))
	require.Greater(t, len(whole.raw), 20_000)
	require.Equal(t, whole.raw, get(path, "").raw)
	require.Contains(t, whole.header.Values("Vary"), "Accept-Encoding")
	require.Contains(t, f.log.String(), `"route":"/api/conversations/{id}/messages"`)
	require.NotContains(t, f.log.String(), f.conversation.String())
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, path := range []string{"/api/auth/me", "/healthz", "/nowhere", "/api/docs/openapi.json"} {
		header := f.send(f.request(http.MethodGet, path, nil)).header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "Content-Security-Policy": apiPolicy,
		} {
			require.Equal(t, want, header.Get(name), "%s of %s", name, path)
		}
	}
}

// TestRequestsAreCounted: by route, and whatever strangers make up has one name.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := newFixture(t, func(f *fixture) { f.config.Registerer = registry })
	f.as(f.agent, http.MethodGet, f.path("/api/conversations/{id}"), "")
	f.as(f.agent, http.MethodGet, "/api/conversations/"+newID(f.conversation).String(), "")
	for i := range 50 {
		f.send(f.request("X"+strconv.Itoa(i), "/"+strings.Repeat("x", i), nil))
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	series := map[string]int{}
	for _, family := range families {
		series[family.GetName()] = len(family.GetMetric())
	}
	require.Equal(t, 3, series["chatopshub_http_requests_total"], "200, 404, and 404 of the unmatched")
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}
