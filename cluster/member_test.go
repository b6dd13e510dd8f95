package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// valkey is a server whose clock the test moves.
type valkey struct {
	*miniredis.Miniredis
	client *redis.Client
	mu     sync.Mutex
	now    time.Time
}

func newValkey(t *testing.T) *valkey {
	v := &valkey{Miniredis: miniredis.RunT(t), now: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)}
	v.SetTime(v.now)
	v.client = redis.NewClient(&redis.Options{Addr: v.Addr(), MaxRetries: -1, DisableIdentity: true})
	t.Cleanup(func() { _ = v.client.Close() }) // the server may be gone already
	return v
}

func (v *valkey) clock() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// pass moves the clock of server and nodes.
func (v *valkey) pass(d time.Duration) {
	v.mu.Lock()
	v.now = v.now.Add(d)
	v.mu.Unlock()
	v.SetTime(v.clock())
}

type peersByAddr map[string]*Member

func (p peersByAddr) ViewOf(_ context.Context, addr string) (*View, error) {
	if m := p[addr]; m != nil {
		return m.View(), nil
	}
	return nil, errors.New("nobody there")
}

const lease = 5 * time.Second

func (v *valkey) member(t *testing.T, name string, peers Peers) *Member {
	m, err := NewMember(MemberConfig{
		Cluster: "test", Self: Node{Name: name, Addr: name + ":7000"}, Lease: lease, Valkey: v.client, Peers: peers,
		Logger: slog.New(slog.DiscardHandler), Now: v.clock,
	})
	require.NoError(t, err)
	require.NoError(t, m.Join(t.Context()))
	return m
}

func names(v *View) (all []string) {
	for _, n := range v.Nodes() {
		name := n.Name
		if n.Draining {
			name += " draining"
		}
		all = append(all, name)
	}
	return all
}

func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	a := v.member(t, "a", nil)
	first := a.View()
	require.Equal(t, []string{"a"}, names(first))
	var told []int64
	a.Watch(func(before, after *View) {
		require.Less(t, before.Number(), after.Number())
		told = append(told, after.Number())
	})
	b := v.member(t, "b", nil)
	require.Equal(t, []string{"a", "b"}, names(b.View()))
	require.Equal(t, []string{"a"}, names(a.View()), "not before it asks")
	require.NoError(t, a.renew(t.Context()))
	require.Equal(t, b.View().Number(), a.View().Number())
	require.Greater(t, a.View().Number(), first.Number())
	require.Len(t, told, 1)
	require.NoError(t, a.renew(t.Context()))
	require.Len(t, told, 1, "nothing new")

	require.NoError(t, b.Drain(t.Context()))
	require.NoError(t, a.renew(t.Context()))
	require.Equal(t, []string{"a", "b draining"}, names(a.View()))
	require.Equal(t, Shards, a.View().Share()["a"])
	require.NoError(t, b.Leave(t.Context()))
	require.NoError(t, b.renew(t.Context()), "who left doesn't come back by itself")
	require.NoError(t, a.renew(t.Context()))
	require.Equal(t, []string{"a"}, names(a.View()))
	require.Equal(t, []string{"a", "b draining"}, names(b.View()))
}

func TestALeaseRunsOutByTheServersClock(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	a, b := v.member(t, "a", nil), v.member(t, "b", nil)
	v.pass(lease / 2)
	require.NoError(t, a.renew(t.Context()))
	v.pass(lease/2 - time.Millisecond)
	require.NoError(t, a.renew(t.Context()))
	require.True(t, a.View().Has("b"))
	v.pass(time.Millisecond)
	require.NoError(t, a.renew(t.Context()))
	require.False(t, a.View().Has("b"))
	require.NoError(t, b.renew(t.Context()))
	require.True(t, b.View().Has("b"), "and is back as soon as it asks")
	require.Greater(t, b.View().Number(), a.View().Number())
}

func TestANumberNeverGoesDown(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	a, b := v.member(t, "a", nil), v.member(t, "b", nil)
	require.NoError(t, a.renew(t.Context()))
	before := a.View()
	require.Equal(t, []string{"a", "b"}, names(before))

	v.FlushAll()
	v.pass(-time.Hour) // and its clock was set back
	require.NoError(t, a.renew(t.Context()))
	require.Same(t, before, a.View(), "a Valkey that forgot knows less than we do")
	require.NoError(t, a.Healthy())
	require.NoError(t, b.renew(t.Context()))
	require.NoError(t, a.renew(t.Context()))
	require.Equal(t, []string{"a", "b"}, names(a.View()))
	require.Greater(t, a.View().Number(), before.Number())

	v.FlushAll()
	require.NoError(t, a.renew(t.Context()))
	v.pass(lease)
	require.NoError(t, a.renew(t.Context()))
	require.Equal(t, []string{"a"}, names(a.View()), "who doesn't come back within a lease is gone")
}

func TestValkeyIsAway(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	a, b := v.member(t, "a", nil), v.member(t, "b", nil)
	require.NoError(t, a.renew(t.Context()))
	before := a.View()
	v.SetError("LOADING")
	v.pass(lease)
	require.Error(t, a.renew(t.Context()))
	require.NoError(t, a.Healthy())
	v.pass(time.Second)
	require.ErrorContains(t, a.Healthy(), "6s ago")
	require.Equal(t, v.clock().Add(-lease-time.Second), a.Renewed().UTC())
	require.Same(t, before, a.View())
	v.SetError("")
	require.NoError(t, b.renew(t.Context()))
	require.NoError(t, a.renew(t.Context()))
	require.NoError(t, a.Healthy())
	require.Equal(t, []string{"a", "b"}, names(a.View()))
}

// TestAFrozenNodeStepsDown: who wakes after its lease takes the view without
// itself before it joins again, so that everything leaves it that others own.
func TestAFrozenNodeStepsDown(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	a, b := v.member(t, "a", nil), v.member(t, "b", nil)
	require.NoError(t, a.renew(t.Context()))
	var seen [][]string
	a.Watch(func(_, after *View) { seen = append(seen, names(after)) })
	require.True(t, a.Fresh())
	for range 6 {
		v.pass(time.Second)
		require.NoError(t, b.renew(t.Context()))
	}
	require.False(t, a.Fresh())
	require.True(t, a.stepDown(t.Context()))
	require.Equal(t, []string{"b"}, names(a.View()))
	owner, ok := Placement{a}.Owner([16]byte{1})
	require.True(t, ok)
	require.Equal(t, "b:7000", owner)
	require.NoError(t, a.renew(t.Context()))
	require.Equal(t, [][]string{{"b"}, {"a", "b"}}, seen)
	require.True(t, a.Fresh())
}

// TestPeersConfirm: while Valkey is away, nodes that count on each other go on.
func TestPeersConfirm(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	peers := peersByAddr{}
	a, b := v.member(t, "a", peers), v.member(t, "b", peers)
	peers["a:7000"], peers["b:7000"] = a, b
	require.NoError(t, a.renew(t.Context()))
	v.SetError("LOADING")
	for range 20 {
		v.pass(lease / 2)
		a.tryToRenew(t.Context())
		require.True(t, a.Fresh())
	}
	require.Error(t, a.Healthy())
	require.Equal(t, []string{"a", "b"}, names(a.View()))
	v.pass(lease)
	a.tryToRenew(t.Context())
	require.True(t, a.Fresh())
	v.SetError("")
	v.pass(lease)
	require.NoError(t, b.renew(t.Context()), "the first to see Valkey again")
	require.Equal(t, []string{"a", "b"}, names(b.View()), "nobody's lease has run out by Valkey's absence")
	a.tryToRenew(t.Context())
	require.Equal(t, []string{"a", "b"}, names(a.View()))
}

// TestFormer: with everybody there, the former owner is who would own the key
// without this node; one that drains was the owner.
func TestFormer(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	a, b := v.member(t, "a", nil), v.member(t, "b", nil)
	c := v.member(t, "c", nil)
	for _, m := range []*Member{a, b, c} {
		require.NoError(t, m.renew(t.Context()))
	}
	without := NewView(1, nodes("a", "b"))
	for n := range 200 {
		key := [16]byte{byte(n)}
		if owner, _ := (Placement{c}).Owner(key); owner == "c:7000" {
			former, ok := Placement{c}.Former(key)
			require.True(t, ok)
			was, _ := without.OwnerOf(key)
			require.Equal(t, was.Name+":7000", former)
		}
	}
	before := a.View()
	require.NoError(t, c.Drain(t.Context()))
	require.NoError(t, a.renew(t.Context()))
	for n := range 200 {
		key := [16]byte{byte(n)}
		was, _ := before.OwnerOf(key)
		if owner, _ := (Placement{a}).Owner(key); owner == "a:7000" && was.Name == "c" {
			former, _ := Placement{a}.Former(key)
			require.Equal(t, "c:7000", former)
		}
	}
}

// TestANodeThatAloneCantRenew finds its peers with a view without it, and takes
// that.
func TestANodeThatAloneCantRenew(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	peers := peersByAddr{}
	a, b := v.member(t, "a", peers), v.member(t, "b", peers)
	peers["a:7000"], peers["b:7000"] = a, b
	require.NoError(t, a.renew(t.Context()))
	own := a.View().Share()["a"]
	require.Positive(t, own)

	a.askPeers(t.Context())
	require.Equal(t, own, a.View().Share()["a"], "nobody knows better")
	for range 5 {
		v.pass(lease / 5)
		require.NoError(t, b.renew(t.Context()))
	}
	a.askPeers(t.Context())
	require.Equal(t, []string{"b"}, names(a.View()))
	require.Zero(t, a.View().Share()["a"])
	require.NoError(t, a.renew(t.Context()))
	require.Equal(t, []string{"a", "b"}, names(a.View()))
}

// silent is a Valkey that takes a call and never answers.
type silent struct {
	redis.Scripter
	asked chan struct{}
}

func (s silent) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	close(s.asked)
	<-ctx.Done()
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(ctx.Err())
	return cmd
}

// TestNobodyWaitsForAValkeyThatIsSilent: a peer's view is taken while the node
// waits for an answer: what brought it is a link that others wait for.
func TestNobodyWaitsForAValkeyThatIsSilent(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	a, b := v.member(t, "a", nil), v.member(t, "b", nil)
	valkey := silent{v.client, make(chan struct{})}
	a.cfg.Valkey = valkey
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	renewed := make(chan error)
	go func() { renewed <- a.renew(ctx) }()
	<-valkey.asked
	a.Offer(b.View())
	require.Equal(t, []string{"a", "b"}, names(a.View()))
	cancel()
	require.ErrorIs(t, <-renewed, context.Canceled)
}

func TestRunRenews(t *testing.T) {
	t.Parallel()
	v := newValkey(t)
	m, err := NewMember(MemberConfig{
		Cluster: "test", Self: Node{Name: "a", Addr: "a:7000"}, Lease: time.Second, Valkey: v.client,
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	require.Eventually(t, func() bool { return m.View().Has("a") }, 10*time.Second, 5*time.Millisecond)
	other := v.member(t, "b", nil)
	require.Eventually(t, func() bool { return m.View().Has("b") }, 10*time.Second, 5*time.Millisecond)
	require.NotNil(t, other)
	cancel()
	require.NoError(t, <-done)
}

func TestWhatAMemberNeeds(t *testing.T) {
	t.Parallel()
	good := MemberConfig{
		Cluster: "x", Self: Node{Name: "a", Addr: "a:1"}, Lease: lease, Valkey: redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}),
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	for i, spoil := range []func(*MemberConfig){
		func(c *MemberConfig) { c.Cluster = "a b" },
		func(c *MemberConfig) { c.Cluster = "" },
		func(c *MemberConfig) { c.Self.Name = "" },
		func(c *MemberConfig) { c.Self.Addr = "" },
		func(c *MemberConfig) { c.Lease = time.Millisecond },
		func(c *MemberConfig) { c.Valkey = nil },
	} {
		cfg := good
		spoil(&cfg)
		_, err := NewMember(cfg)
		require.Error(t, err, i)
	}
	require.NoError(t, good.Valkey.(*redis.Client).Close())
	for _, answer := range [][]any{{}, {"1"}, {"x", "1", int64(1)}, {"1", "2", "3"}, {"1", int64(1), int64(1)}, {"1", "1", int64(1), "name"}} {
		_, err := readLeases(answer)
		require.Error(t, err, fmt.Sprint(answer))
	}
}
