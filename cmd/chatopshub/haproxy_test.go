//go:build haproxy

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/embedded"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// startHAProxy has the balancer's configuration at work before three nodes, and
// returns where it is.
func startHAProxy(t *testing.T, nodes ...string) string {
	t.Helper()
	require.Len(t, nodes, localNodes)
	program, err := findProgram("haproxy", "haproxy", "haproxy")
	require.NoError(t, err)
	listen, err := freeAddr(0)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(path, []byte(balancerConfig), 0o600))
	cmd := exec.Command(program, "-db", "-f", path)
	cmd.Env = append(os.Environ(), "LISTEN="+listen)
	for i, node := range nodes {
		cmd.Env = append(cmd.Env, fmt.Sprintf("NODE%d=%s", i+1, strings.TrimPrefix(node, "http://")))
	}
	log := &lockedBuffer{}
	balancer, err := startChild("haproxy", cmd, log)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, balancer.stop(ctx))
	})
	at := "http://" + listen
	err = balancer.await(t.Context(), func(ctx context.Context) error { return isOK(ctx, at+"/readyz") })
	require.NoError(t, err, "%s", log)
	return at
}

// TestSocketsThroughTheBalancer: the real client, with its default transports
// and with each alone, connects at the first try and stays, though its requests
// may go to three nodes and it keeps no cookies.
func TestSocketsThroughTheBalancer(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "balancer", "9400")
	ada := n.agent("ada", domain.RoleAgent)
	valkey, err := embedded.StartValkey()
	require.NoError(t, err)
	t.Cleanup(valkey.Close)
	var nodes []string
	for range localNodes {
		p := runProgram(t, db, "VALKEY_URL="+valkey.URL(), "TRUSTED_PROXIES=127.0.0.0/8")
		awaitAgent(t, p, n, ada)
		nodes = append(nodes, p.url())
	}
	server := startHAProxy(t, nodes...)

	packages, err := filepath.Abs(filepath.Join("..", "..", "docs", "examples", "node_modules"))
	require.NoError(t, err)
	require.DirExists(t, packages, "the client is missing: run `npm ci` in docs/examples, or `make test`")
	const many = 12
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	clients := exec.CommandContext(ctx, "node", filepath.Join("testdata", "balancer", "clients.cjs"), server, ada.token, fmt.Sprint(many))
	clients.Env = append(os.Environ(), "NODE_PATH="+packages)
	out, err := clients.Output()
	require.NoError(t, err)
	var seen []struct {
		Kind           string
		Connects, Acks int
		Upgraded       bool
		Problems       []string
	}
	require.NoError(t, json.Unmarshal(out, &seen))
	require.Len(t, seen, 3*many)
	for _, s := range seen {
		require.Empty(t, s.Problems, s.Kind)
		require.Equal(t, 1, s.Connects, s.Kind)
		require.GreaterOrEqual(t, s.Acks, 5, s.Kind)
		require.Equal(t, s.Kind == "default", s.Upgraded, s.Kind)
	}
	require.Empty(t, get(t, server+"/socket.io/?EIO=4&transport=polling", http.StatusOK).Get("Engine-Io-Sid"),
		"what the balancer has learned goes no further")
	for _, path := range []string{"/metrics", "/cluster"} {
		get(t, server+path, http.StatusNotFound) // not for the public
	}
}

// get expects that status of a GET, and returns the answer's header.
func get(t *testing.T, url string, status int) http.Header {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, status, answer.StatusCode, url)
	return answer.Header
}

// fakeNode answers as a test wants and counts what it was asked.
type fakeNode struct {
	*httptest.Server
	asked   atomic.Int32
	ready   atomic.Bool
	refused atomic.Int32 // how often it said that it isn't ready
}

func newFakeNode(t *testing.T, answer http.HandlerFunc) *fakeNode {
	n := &fakeNode{}
	n.ready.Store(true)
	n.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			if !n.ready.Load() {
				n.refused.Add(1)
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		n.asked.Add(1)
		answer(w, r)
	}))
	n.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	n.Start()
	t.Cleanup(n.Close)
	return n
}

// TestTheBalancerRepeatsOnlyWhatWasNotExecuted: what a node answered 503 goes to
// another, whatever the method; what a node took and never answered doesn't.
func TestTheBalancerRepeatsOnlyWhatWasNotExecuted(t *testing.T) {
	t.Parallel()
	busy := newFakeNode(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mute := newFakeNode(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // it took the request
		panic(http.ErrAbortHandler)        // and hangs up
	})
	well := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		fmt.Fprint(w, " from ", r.Header.Values("X-Forwarded-For"))
	})
	server := startHAProxy(t, busy.Listener.Addr().String(), mute.Listener.Addr().String(), well.Listener.Addr().String())
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	post := func() (int, string) {
		request, err := http.NewRequest(http.MethodPost, server+"/api/conversations", strings.NewReader("accept"))
		require.NoError(t, err)
		request.Header.Set("X-Forwarded-For", "192.0.2.1")
		answer, err := client.Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(body)
	}
	counts := map[int]int{}
	const requests = 30
	for range requests {
		status, body := post()
		counts[status]++
		if status == http.StatusOK {
			require.Equal(t, "accept from [127.0.0.1]", body, "whole, and a client's own word about its address doesn't count")
		}
	}
	require.Positive(t, busy.asked.Load())
	require.Equal(t, int(mute.asked.Load()), counts[http.StatusBadGateway], "each request that was taken and not answered is told to its sender")
	require.Equal(t, int(well.asked.Load()), counts[http.StatusOK])
	require.Equal(t, requests, counts[http.StatusBadGateway]+counts[http.StatusOK], "nobody sees the 503: %v", counts)

	// Nobody is ready: all are asked all the same. Then one alone is.
	mute.ready.Store(false)
	busy.ready.Store(false)
	awaitBalancer := func(what string, holds func() bool) {
		require.Eventually(t, holds, 15*time.Second, 20*time.Millisecond, what)
	}
	awaitBalancer("those that aren't ready get nothing", func() bool {
		before := mute.asked.Load() + busy.asked.Load()
		for range 6 {
			post()
		}
		return mute.asked.Load()+busy.asked.Load() == before
	})
	well.ready.Store(false)
	awaitBalancer("an answer of a node that isn't ready, not one of the balancer", func() bool {
		before := mute.asked.Load() + busy.asked.Load()
		post()
		return mute.asked.Load()+busy.asked.Load() > before
	})
	status, _ := post()
	require.Contains(t, []int{http.StatusOK, http.StatusBadGateway}, status)
}

// TestAPollingSessionStaysWhenNoNodeIsReady: which node has it is known to both
// ways to the nodes.
func TestAPollingSessionStaysWhenNoNodeIsReady(t *testing.T) {
	t.Parallel()
	var nodes []*fakeNode
	var addresses []string
	for i := range localNodes {
		n := newFakeNode(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("sid") == "" {
				w.Header().Set("Engine-Io-Sid", fmt.Sprint("of", i, "-", r.URL.Query().Get("nth")))
			}
			fmt.Fprint(w, i)
		})
		nodes, addresses = append(nodes, n), append(addresses, n.Listener.Addr().String())
	}
	server := startHAProxy(t, addresses...)
	ask := func(query url.Values) string {
		answer, err := http.Get(server + "/socket.io/?" + query.Encode())
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return string(body)
	}
	has := map[string]string{}
	for nth := range 12 {
		node := ask(url.Values{"nth": {fmt.Sprint(nth)}})
		has[fmt.Sprint("of", node, "-", nth)] = node
	}
	stays := func() bool {
		for sid, node := range has {
			if ask(url.Values{"sid": {sid}}) != node {
				return false
			}
		}
		return true
	}
	require.True(t, stays())
	for _, n := range nodes {
		n.ready.Store(false)
	}
	for _, n := range nodes {
		require.Eventually(t, func() bool { return n.refused.Load() > 2 }, 15*time.Second, 10*time.Millisecond)
	}
	// As long as the balancer takes some node for ready, the others' sessions go there.
	require.Eventually(t, stays, 15*time.Second, 10*time.Millisecond)
	require.True(t, stays())
}
