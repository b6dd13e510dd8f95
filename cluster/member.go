package cluster

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lease.lua
var leaseScript string

// Peers asks other nodes what they know; the connections between nodes are it.
type Peers interface {
	// ViewOf is the view of the node at that address.
	ViewOf(ctx context.Context, addr string) (*View, error)
}

// MemberConfig is one node's place in the cluster.
type MemberConfig struct {
	Cluster string // name of the cluster: letters, digits, . _ -
	Self    Node   // Name and Addr
	Lease   time.Duration
	Valkey  redis.Scripter
	Peers   Peers // nil: there is nobody to ask
	Logger  *slog.Logger
	Now     func() time.Time
}

// Member keeps one node in the cluster and knows the others.
type Member struct {
	cfg    MemberConfig
	script *redis.Script
	keys   []string

	view      atomic.Pointer[View]
	renewed   atomic.Int64 // Unix nanoseconds, from before the call
	confirmed atomic.Int64 // the same, of a peer's word too

	calling sync.Mutex // one call of Valkey at a time; it may take long

	mu       sync.Mutex // of what follows; held while somebody is told, never while Valkey is asked
	watchers []func(before, after *View)
	draining bool
	left     bool
	since    string // when the leases began that the view is from
}

var clusterName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// NewMember checks the configuration and makes a member; it joins when Join or
// Run is called.
func NewMember(cfg MemberConfig) (*Member, error) {
	switch {
	case !clusterName.MatchString(cfg.Cluster):
		return nil, fmt.Errorf("cluster: name %q: takes 1 to 64 letters, digits, dots, underscores and hyphens", cfg.Cluster)
	case cfg.Self.Name == "" || cfg.Self.Addr == "":
		return nil, errors.New("cluster: a node needs a name and an address")
	case cfg.Lease < time.Second:
		return nil, fmt.Errorf("cluster: lease of %v: takes at least 1s", cfg.Lease)
	case cfg.Valkey == nil || cfg.Logger == nil || cfg.Now == nil:
		return nil, errors.New("cluster: Valkey, Logger and Now are required")
	}
	// The braces put both keys into one slot of a Valkey cluster.
	prefix := "{chatopshub:" + cfg.Cluster + "}:"
	m := &Member{cfg: cfg, script: redis.NewScript(leaseScript), keys: []string{prefix + "leases", prefix + "view"}}
	m.view.Store(NewView(0, nil))
	return m, nil
}

// Self is this node, as it was named.
func (m *Member) Self() Node { return m.cfg.Self }

// View is who is there, as far as this node knows.
func (m *Member) View() *View { return m.view.Load() }

// Watch has f called with every new view, one after the other, in the
// goroutine that learns of it. F must not block, and not call the member but
// for View. Call it before Join.
func (m *Member) Watch(f func(before, after *View)) { m.watchers = append(m.watchers, f) }

// Healthy is an error while the node's lease has run out because Valkey
// doesn't answer: it goes on with the view it had.
func (m *Member) Healthy() error {
	if age := m.age(); age > m.cfg.Lease {
		return fmt.Errorf("cluster membership was renewed %v ago, its lease is %v", age.Round(time.Second), m.cfg.Lease)
	}
	return nil
}

// Renewed is when the lease was last renewed, by this node's clock; the Unix
// epoch: never.
func (m *Member) Renewed() time.Time { return time.Unix(0, m.renewed.Load()) }

func (m *Member) age() time.Duration {
	return m.cfg.Now().Sub(m.Renewed())
}

// Join enters the cluster and returns once this node knows who is there.
func (m *Member) Join(ctx context.Context) error {
	if err := m.renew(ctx); err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	return nil
}

// Fresh is false of a node that nobody has confirmed for longer than its lease:
// it may have been frozen, and others own by now what it believes it does.
func (m *Member) Fresh() bool {
	if nodes := m.View().Nodes(); len(nodes) == 1 && nodes[0].Name == m.cfg.Self.Name {
		return true // there is nobody who could
	}
	return m.cfg.Now().Sub(time.Unix(0, m.confirmed.Load())) <= m.cfg.Lease
}

// Run renews the lease until ctx ends. It doesn't leave: see Leave.
func (m *Member) Run(ctx context.Context) error {
	for timer := time.NewTimer(m.interval()); ; timer.Reset(m.interval()) {
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if m.Fresh() {
			m.tryToRenew(ctx)
		} else if m.stepDown(ctx) {
			timer.Reset(backIn)
			select {
			case <-ctx.Done():
			case <-timer.C:
				m.tryToRenew(ctx)
			}
		}
	}
}

// backIn is how long a node that stepped down stays out: long enough for its
// actors to see that they are somebody else's.
const backIn = 250 * time.Millisecond

func (m *Member) tryToRenew(ctx context.Context) {
	if err := m.renew(ctx); err != nil && ctx.Err() == nil {
		m.cfg.Logger.WarnContext(ctx, "cluster membership can't be renewed", "error", err, "age", m.age())
		m.askPeers(ctx)
	}
}

// stepDown is for a node that was cut off or frozen until others had to take
// over: what it has in memory is old. It takes the view without itself, so that
// everything leaves it, before it joins again. It is false when that can't be
// told yet.
func (m *Member) stepDown(ctx context.Context) bool {
	err := m.out(ctx)
	if err != nil && ctx.Err() == nil {
		m.cfg.Logger.WarnContext(ctx, "cluster membership can't be renewed", "error", err, "age", m.age())
		m.askPeers(ctx)
	}
	return err == nil
}

func (m *Member) out(ctx context.Context) error {
	m.calling.Lock()
	defer m.calling.Unlock()
	leases, err := m.call(ctx, false, true)
	if err != nil {
		return err
	}
	m.cfg.Logger.WarnContext(ctx, "nobody has confirmed this node for longer than its lease; it joins anew", "age", m.age())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = leases.since
	m.adopt(NewView(max(leases.number, m.View().Number()+1), leases.nodes))
	return nil
}

// interval is how often the lease is renewed: often enough that it survives
// some failures.
func (m *Member) interval() time.Duration { return min(m.cfg.Lease/4, time.Second) }

// Drain tells the cluster that this node is about to leave, and returns when it
// is out of the placement.
func (m *Member) Drain(ctx context.Context) error {
	m.mu.Lock()
	m.draining = true
	m.mu.Unlock()
	if err := m.renew(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// Leave ends the membership. The view stays what it was.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	m.left = true
	m.mu.Unlock()
	m.calling.Lock()
	defer m.calling.Unlock()
	if _, err := m.call(ctx, false, true); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}

func (m *Member) renew(ctx context.Context) error {
	m.calling.Lock()
	defer m.calling.Unlock()
	m.mu.Lock()
	draining, left := m.draining, m.left
	m.mu.Unlock()
	if left {
		return nil
	}
	begun := m.cfg.Now()
	leases, err := m.call(ctx, draining, false)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Confirmed after the view: who asks whether it is fresh acts on the view.
	defer m.confirmed.Store(begun.UnixNano())
	m.renewed.Store(begun.UnixNano())
	v := NewView(leases.number, leases.nodes)
	// Valkey has forgotten everybody and hasn't heard of all again: what it
	// knows is less than what we know.
	if forgot := m.since != "" && m.since != leases.since; forgot && leases.age < m.cfg.Lease && !v.hasAll(m.View()) {
		return nil
	}
	m.since = leases.since
	m.adopt(v)
	return nil
}

// leases is an answer of the script.
type leases struct {
	number int64
	since  string
	age    time.Duration
	nodes  []Node
}

func (m *Member) call(ctx context.Context, draining, leave bool) (leases, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Lease/2)
	defer cancel()
	answer, err := m.script.Run(ctx, m.cfg.Valkey, m.keys, m.cfg.Self.Name, m.cfg.Self.Addr, flag(draining),
		m.cfg.Lease.Milliseconds(), flag(leave), m.View().Number()).Slice()
	if err != nil {
		return leases{}, err
	}
	return readLeases(answer)
}

func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}

func readLeases(answer []any) (leases, error) {
	if len(answer) < 3 || len(answer)%3 != 0 {
		return leases{}, fmt.Errorf("the lease script answered %d values", len(answer))
	}
	text, _ := answer[0].(string)
	number, err := strconv.ParseInt(text, 10, 64)
	since, isText := answer[1].(string)
	age, isInt := answer[2].(int64)
	if err != nil || !isText || !isInt {
		return leases{}, fmt.Errorf("the lease script answered %v", answer[:3])
	}
	l := leases{number: number, since: since, age: time.Duration(age) * time.Millisecond}
	for i := 3; i < len(answer); i += 3 {
		name, _ := answer[i].(string)
		draining, _ := answer[i+1].(string)
		addr, _ := answer[i+2].(string)
		l.nodes = append(l.nodes, Node{Name: name, Addr: addr, Draining: draining == "1"})
	}
	return l, nil
}

// adopt makes a newer view ours. The caller holds the lock.
func (m *Member) adopt(v *View) {
	before := m.View()
	if v.Number() <= before.Number() {
		return
	}
	m.view.Store(v)
	m.cfg.Logger.Info("cluster view", "number", v.Number(), "nodes", v.Nodes())
	for _, f := range m.watchers {
		f(before, v)
	}
}

// askPeers is for a node that can't renew. If it alone can't, the others have a
// newer view without it, and take over what it owns: it takes that view, so that
// what it gets is sent on to them. If they can't either, they still count on it.
func (m *Member) askPeers(ctx context.Context) {
	if m.cfg.Peers == nil {
		return
	}
	begun := m.cfg.Now()
	asking, cancel := context.WithTimeout(ctx, m.cfg.Lease/4)
	defer cancel()
	var asked sync.WaitGroup
	for _, n := range m.View().Nodes() {
		if n.Name == m.cfg.Self.Name {
			continue
		}
		asked.Go(func() {
			v, err := m.cfg.Peers.ViewOf(asking, n.Addr)
			if err != nil {
				m.cfg.Logger.DebugContext(ctx, "a peer doesn't tell its view", "peer", n.Name, "error", err)
				return
			}
			m.Offer(v)
			if v.Has(m.cfg.Self.Name) {
				m.confirmed.Store(begun.UnixNano())
			}
		})
	}
	asked.Wait()
}

// Offer makes another node's view ours if it is newer.
func (m *Member) Offer(v *View) {
	if v.Number() <= m.View().Number() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.adopt(v)
}

// Refresh gets the newest view. A node that isn't fresh has to step down first,
// which Run does.
func (m *Member) Refresh(ctx context.Context) error {
	if !m.Fresh() {
		return fmt.Errorf("membership was confirmed %v ago", m.age().Round(time.Second))
	}
	return m.renew(ctx)
}
