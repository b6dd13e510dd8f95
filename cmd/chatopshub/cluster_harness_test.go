package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/cluster"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/embedded"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// testLease is the lease of the tests' nodes: short, to wait for it less. At
// full size it is the default.
const testLease, fullLease = 2 * time.Second, 5 * time.Second

// fleet is a cluster of real processes with a real PostgreSQL and, where this
// machine has one, a real Valkey or Redis.
type fleet struct {
	t       testing.TB
	db      *persistencetest.Database
	valkey  *testValkey
	network *network      // nil: they reach each other directly, by TLS
	certs   *certificates // nil: without TLS
	lease   time.Duration
	more    []string
	client  *http.Client // of the balancer's checks

	mu    sync.Mutex
	nodes []*fleetNode
}

// fleetNode is a place in the fleet; a process that is started again has the
// same addresses and another name.
type fleetNode struct {
	name      string
	environ   []string
	operators string
	process   atomic.Pointer[serverProcess] // nil: not running
	ready     atomic.Bool                   // as a balancer sees it
}

// fleetConfig is what a fleet is made of.
type fleetConfig struct {
	db      *persistencetest.Database // nil: one of its own
	nodes   int
	network bool     // the tests' own, which can be cut; otherwise TLS
	environ []string // of all nodes
}

func startFleet(t testing.TB, cfg fleetConfig) *fleet {
	t.Helper()
	f := &fleet{t: t, db: cfg.db, valkey: startTestValkey(t), lease: testLease, more: cfg.environ}
	if rounds(t) > 1 {
		f.lease = fullLease
	}
	f.more = append(f.more, "STORAGE_PATH="+t.TempDir())
	if f.db == nil {
		f.db = persistencetest.New(t)
	}
	if cfg.network {
		f.network = newNetwork(t)
	} else {
		f.certs = &certificates{t.TempDir()}
		_, _, err := f.certs.make("chatopshub", false, time.Now())
		require.NoError(t, err)
	}
	f.client = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{}}
	t.Cleanup(f.client.CloseIdleConnections)
	for range cfg.nodes {
		f.add()
	}
	f.awaitMembers(cfg.nodes)
	ctx, stop := context.WithCancel(context.Background())
	balanced := make(chan struct{})
	go func() {
		defer close(balanced)
		f.balance(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-balanced
	})
	return f
}

// add starts one node more.
func (f *fleet) add() *fleetNode {
	f.t.Helper()
	n := &fleetNode{name: fmt.Sprint("n", len(f.all())+1)}
	var err error
	n.operators, err = freeAddr(0)
	require.NoError(f.t, err)
	peers, err := freeAddr(0)
	require.NoError(f.t, err)
	database, valkey, advertised := f.db.URL, f.valkey.url, peers
	if f.network != nil {
		database = f.network.urlDoor(f.t, n.name, atPostgres, database)
		valkey = f.network.urlDoor(f.t, n.name, atValkey, valkey)
		advertised = f.network.peerDoor(f.t, n.name, peers)
	}
	n.environ = append([]string{
		"DATABASE_URL=" + database, "VALKEY_URL=" + valkey, "METRICS_ADDR=" + n.operators,
		"CLUSTER_ADDR=" + peers, "CLUSTER_ADVERTISE_ADDR=" + advertised, "CLUSTER_LEASE_TTL=" + f.lease.String(),
	}, f.more...)
	if f.certs != nil {
		n.environ = append(n.environ, f.certs.environ()...)
	}
	f.start(n)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = append(f.nodes, n)
	return n
}

// all is the places in the fleet, running or not.
func (f *fleet) all() []*fleetNode {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.nodes)
}

// start starts a node's process; it takes requests once it returns.
func (f *fleet) start(n *fleetNode) {
	f.t.Helper()
	n.process.Store(startProcess(f.t, n.environ...))
	n.ready.Store(true)
}

// terminate ends a node as an operator does.
func (f *fleet) terminate(n *fleetNode) {
	f.t.Helper()
	s := n.process.Load()
	require.Zero(f.t, s.terminate(), s.stderr.String())
	n.process.Store(nil)
}

// kill ends a node as a crash does.
func (f *fleet) kill(n *fleetNode) {
	n.process.Load().kill()
	n.process.Store(nil)
}

func (n *fleetNode) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, n.process.Load().cmd.Process.Signal(s))
}

// checkEvery is how often the balancer asks the nodes whether they are ready.
const checkEvery = 200 * time.Millisecond

// balance does what a balancer does: it learns from /readyz where to send
// requests.
func (f *fleet) balance(ctx context.Context) {
	for ctx.Err() == nil {
		for _, n := range f.all() {
			go f.check(n)
		}
		select {
		case <-ctx.Done():
		case <-time.After(checkEvery):
		}
	}
}

func (f *fleet) check(n *fleetNode) {
	s := n.process.Load()
	if s == nil {
		n.ready.Store(false)
		return
	}
	resp, err := f.client.Get(s.url + "/readyz")
	if err == nil {
		_ = resp.Body.Close() // only its status counts
	}
	n.ready.Store(err == nil && resp.StatusCode == http.StatusOK)
}

// pick is a node to send a request to, as the balancer would.
func (f *fleet) pick(r *rand.Rand) (*fleetNode, string) {
	nodes := f.all()
	order := r.Perm(len(nodes))
	for _, wanted := range []bool{true, false} {
		for _, i := range order {
			n := nodes[i]
			if s := n.process.Load(); s != nil && n.ready.Load() == wanted {
				return n, s.url
			}
		}
	}
	return nil, ""
}

// clusterOf is the cluster as a node sees it.
func (f *fleet) clusterOf(n *fleetNode) (report clusterReport, err error) {
	resp, err := f.client.Get("http://" + n.operators + "/cluster")
	if err != nil {
		return clusterReport{}, err
	}
	defer resp.Body.Close()
	return report, json.NewDecoder(resp.Body).Decode(&report)
}

// owned tells which conversations a node owns now.
func (f *fleet) owned(n *fleetNode) func(domain.ConversationID) bool {
	f.t.Helper()
	report, err := f.clusterOf(n)
	require.NoError(f.t, err)
	var nodes []cluster.Node
	for _, m := range report.Nodes {
		nodes = append(nodes, cluster.Node{Name: m.Name, Addr: m.Address, Draining: m.Draining})
	}
	view := cluster.NewView(report.View.Number, nodes)
	return func(id domain.ConversationID) bool {
		owner, _ := view.OwnerOf(id)
		return owner.Name == report.Node.Name
	}
}

// awaitMembers waits until all nodes that run see each other, connected, and
// nobody else.
func (f *fleet) awaitMembers(count int) {
	f.t.Helper()
	for _, n := range f.all() {
		if n.process.Load() == nil {
			continue
		}
		var last clusterReport
		require.Eventually(f.t, func() bool {
			report, err := f.clusterOf(n)
			if err != nil || len(report.Nodes) != count {
				return false
			}
			last = report
			connected := 0
			for _, p := range report.Peers {
				if p.Connected {
					connected++
				}
			}
			return connected == count-1
		}, 30*time.Second, 20*time.Millisecond, "%s doesn't see %d nodes: %+v", n.name, count, last)
	}
}

// logs is what the nodes said.
func (f *fleet) logs() string {
	var b strings.Builder
	for _, n := range f.all() {
		if s := n.process.Load(); s != nil {
			fmt.Fprintf(&b, "--- %s\n%s\n", n.name, s.stderr)
		}
	}
	return b.String()
}

// testValkey is a Valkey or Redis server of a test that can go and come back.
type testValkey struct {
	t       testing.TB
	url     string
	addr    string
	program string
	child   *child // nil: stopped
}

// startTestValkey starts the real one, or, where this machine has none, the one
// that is part of the program.
func startTestValkey(t testing.TB) *testValkey {
	t.Helper()
	program, err := findProgram("valkey-server, or redis-server", "valkey", "valkey-server", "redis-server")
	if err != nil {
		t.Logf("%v: the one in the program takes its place", err)
		local, err := embedded.StartValkey()
		require.NoError(t, err)
		t.Cleanup(local.Close)
		return &testValkey{t: t, url: local.URL()}
	}
	addr, err := freeAddr(0)
	require.NoError(t, err)
	v := &testValkey{t: t, addr: addr, url: "redis://" + addr + "/0", program: program}
	t.Cleanup(v.stop)
	v.start()
	return v
}

// start starts it, empty.
func (v *testValkey) start() {
	v.t.Helper()
	host, port, err := net.SplitHostPort(v.addr)
	require.NoError(v.t, err)
	cmd := exec.Command(v.program, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--loglevel", "warning")
	cmd.Dir = v.t.TempDir()
	v.child, err = startChild("valkey", cmd, &lockedBuffer{})
	require.NoError(v.t, err)
	link, err := newValkeyLink(v.url)
	require.NoError(v.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(v.t, v.child.await(ctx, link.ping))
	require.NoError(v.t, link.close(ctx))
}

func (v *testValkey) stop() {
	if v.child == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = v.child.stop(ctx) // it has nothing to say about that
	v.child = nil
}

// flush has it forget everything.
func (v *testValkey) flush() {
	v.t.Helper()
	link, err := newValkeyLink(v.url)
	require.NoError(v.t, err)
	require.NoError(v.t, link.client.FlushAll(context.Background()).Err())
	require.NoError(v.t, link.close(context.Background()))
}

// rounds is how often a fault is repeated: once, unless CLUSTER_ROUNDS says
// otherwise.
func rounds(t testing.TB) int {
	t.Helper()
	text := os.Getenv("CLUSTER_ROUNDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "CLUSTER_ROUNDS takes a number")
	return n
}

// chance is what the test's moments and choices come from. CLUSTER_SEED repeats
// those of an earlier run.
func chance(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("CLUSTER_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "CLUSTER_SEED takes a number")
	}
	t.Logf("CLUSTER_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
