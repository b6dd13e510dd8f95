package actors

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// branches is the offices of several nodes. They have one journal and one
// database.
type branches struct {
	t       *testing.T
	net     *network
	nodes   []string
	offices map[string]*branch
	journal *journal
	rows    *rows
	view    testView
}

// branch is a node's office. What it tells nobody hears once it is dead.
type branch struct {
	*office
	dead atomic.Bool
}

func (b *branch) Publish(organization domain.OrganizationID, notices []domain.Notice) {
	if !b.dead.Load() {
		b.journal.Publish(organization, notices)
	}
}

func (b *branch) Begin(r domain.AgentRelease, done func()) {
	if !b.dead.Load() {
		b.journal.Begin(r, done)
	}
}

func (b *branch) Opened(s domain.AgentSession)  { b.store(s) }
func (b *branch) Changed(s domain.AgentSession) { b.store(s) }
func (b *branch) Seen(s domain.AgentSession)    { b.store(s) }

func (b *branch) store(s domain.AgentSession) {
	if !b.dead.Load() {
		b.rows.put(s)
	}
}

const testGrace = 30 * time.Second

// inBranches runs f with the offices of nodes, of which the first three own
// something. All have settled.
func inBranches(t *testing.T, f func(t *testing.T, bs *branches), nodes ...string) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := NewWheel(100*time.Millisecond, time.Now)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = w.Run(ctx) }) // nil always
		bs := &branches{
			t: t, net: newNetwork(t), nodes: nodes, offices: map[string]*branch{},
			journal: &journal{}, rows: &rows{stored: map[string]domain.AgentSession{}},
		}
		for _, addr := range nodes {
			b := &branch{office: &office{t: t, journal: bs.journal, rows: bs.rows, org: organization(1), ada: domain.UserID{1}}}
			b.Agents = NewAgents(bs.net.node(addr).system, AgentConfig{
				Publisher: b, Releases: b, Sessions: b, Wheel: w, Available: func(domain.OrganizationID) {},
				Limits: domain.PresenceLimits{Heartbeat: 90 * time.Second, Grace: testGrace},
			})
			bs.offices[addr] = b
			defer func() { require.NoError(t, b.Close(context.Background())) }()
		}
		bs.change(testView{Nodes: nodes[:3]})
		<-time.After(rosterSettles)
		f(t, bs)
	})
}

// change has all nodes learn of a view.
func (bs *branches) change(v testView, who ...string) {
	v.Number = bs.view.Number + 1
	bs.view = v
	bs.net.setView(v, who...)
}

// home is the office that has ada's actor, and roster the one that has the
// roster.
func (bs *branches) home() *branch   { return bs.ownerOf(bs.any().ada) }
func (bs *branches) roster() *branch { return bs.ownerOf(bs.any().org) }
func (bs *branches) any() *branch    { return bs.offices[bs.nodes[0]] }

func (bs *branches) ownerOf(key [16]byte) *branch {
	addr, ok := bs.view.owner(key, "")
	require.True(bs.t, ok)
	return bs.offices[addr]
}

// without is the view's nodes but one.
func (bs *branches) without(b *branch) []string {
	return slices.DeleteFunc(slices.Clone(bs.view.Nodes), func(n string) bool { return n == b.home() })
}

// other is an office that is neither of those.
func (bs *branches) other(but ...*branch) *branch {
	for _, addr := range bs.view.Nodes {
		if !slices.Contains(but, bs.offices[addr]) {
			return bs.offices[addr]
		}
	}
	bs.t.Fatal("no other")
	return nil
}

// drain has a node leave the placement, kill has it die.
func (bs *branches) drain(b *branch) {
	bs.change(testView{Nodes: bs.without(b), Going: []string{b.home()}})
}

func (bs *branches) kill(b *branch) {
	b.dead.Store(true)
	left := bs.without(b)
	for _, addr := range left {
		bs.net.nodes[addr].cutTo(b.home(), true)
		bs.net.nodes[b.home()].cutTo(addr, true)
	}
	<-time.After(3 * time.Second)
	bs.change(testView{Nodes: left}, left...)
}

// status is ada's presence, as all living nodes know it.
func (bs *branches) status() domain.Presence {
	bs.t.Helper()
	var all []domain.Presence
	for _, addr := range bs.view.Nodes {
		all = append(all, bs.offices[addr].status())
	}
	require.Len(bs.t, slices.Compact(all), 1, "all nodes say the same")
	return all[0]
}

func (bs *branches) actors() (n int) {
	for _, b := range bs.offices {
		if !b.dead.Load() {
			n += b.directory.Len()
		}
	}
	return n
}
