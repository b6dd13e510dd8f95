package actors

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// fleet is a sending desk on each of several nodes, with one store and one
// platform.
type fleet struct {
	*sendingDesk // a node that stays: "a"
	net          *network
	desks        map[string]*sendingDesk
	view         testView
}

const testClaimLife = 30 * time.Second

func atFleet(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, openFleet(t, "a", "b", "c")) })
}

// openFleet opens desks on nodes, each of which owns its share.
func openFleet(t *testing.T, addrs ...string) *fleet {
	f := &fleet{net: newNetwork(t), desks: map[string]*sendingDesk{}}
	stored := newStore()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { stored.run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	channel := domain.Channel{
		ID: domain.ChannelID(entropy()), Organization: domain.OrganizationID(entropy()), Provider: domain.WhatsApp, Name: "Support",
		Status: domain.ChannelActive,
	}
	registry := &fakeRegistry{channels: map[domain.ChannelID]domain.Channel{channel.ID: channel}}
	platform := &fakePlatform{store: stored, inFlight: map[string]int{}}
	for _, addr := range addrs {
		o := &sendingDesk{registry: registry, platform: platform}
		o.desk = &desk{t: t, store: stored, channel: channel, system: f.net.node(addr).system}
		mortal := &mortal{o.desk}
		o.open(DirectoryConfig{}, func(d *desk, cfg *ConversationConfig) {
			d.channels = NewChannels(d.system, ChannelsConfig{
				Platform: mortalPlatform{platform, d}, Registry: registry, Health: registry, Logger: slog.New(slog.DiscardHandler),
			})
			cfg.Channels, cfg.Patience = d.channels, domain.Patience{Uncertain: uncertainPatience}
			cfg.Writer, cfg.Loader, cfg.ClaimLife = mortal, mortal, testClaimLife
		})
		f.desks[addr] = o
	}
	f.sendingDesk = f.desks[addrs[0]]
	f.setView(addrs...)
	return f
}

// setView has all nodes that live learn of who owns something.
func (f *fleet) setView(nodes ...string) {
	f.view = testView{Number: f.view.Number + 1, Nodes: nodes}
	var living []string
	for addr, o := range f.desks {
		if o.dead.Load() {
			continue
		}
		living = append(living, addr)
		if !slices.Contains(nodes, addr) {
			f.view.Going = append(f.view.Going, addr)
		}
	}
	f.net.setView(f.view, living...)
}

// kill ends a node in the middle of whatever it is at.
func (f *fleet) kill(addr string) {
	f.desks[addr].dead.Store(true)
	for peer := range f.desks {
		if peer != addr {
			f.net.nodes[peer].cutTo(addr, true)
			f.net.nodes[addr].cutTo(peer, true)
		}
	}
}

// customerOf is a customer whose conversation a node owns, and alice has.
func (f *fleet) customerOf(addr string) customer {
	f.t.Helper()
	for n := range 1000 {
		k := f.customer(fmt.Sprint(addr, n))
		if owner, _ := f.view.owner(k.id, ""); owner == addr && f.state(k).Head.IsZero() {
			return f.held(k.number)
		}
	}
	require.FailNow(f.t, "nobody is "+addr+"'s")
	return customer{}
}

// channelAt has the views, as they are now, place the channel on that node.
func (f *fleet) channelAt(addr string) {
	f.t.Helper()
	owner, _ := f.view.owner(f.channel.ID, "")
	for i := byte(0); owner != addr; i++ {
		before := f.channel
		f.channel.ID[15] = i
		owner, _ = f.view.owner(f.channel.ID, "")
		f.registry.mu.Lock()
		ch := f.registry.channels[before.ID]
		delete(f.registry.channels, before.ID)
		ch.ID = f.channel.ID
		f.registry.channels[ch.ID] = ch
		f.registry.mu.Unlock()
	}
	for _, o := range f.desks {
		o.channel.ID = f.channel.ID
	}
}

// mortal is the store as a node sees it: who is dead reads and writes nothing.
type mortal struct{ *desk }

func (m *mortal) Admit(internal bool) error { return m.store.Admit(internal) }

func (m *mortal) Submit(s domain.Submission) {
	if !m.dead.Load() {
		m.store.Submit(s)
	}
}

func (m *mortal) Load(id domain.ConversationID, done func(domain.Conversation, error)) {
	if !m.dead.Load() {
		m.store.Load(id, done)
	}
}

func (m *mortal) LoadMessages(c domain.ConversationID, ch domain.ChannelID, t domain.Targets, done func([]domain.Message, error)) {
	if !m.dead.Load() {
		m.store.LoadMessages(c, ch, t, done)
	}
}

// mortalPlatform is the platform as a node sees it: who is dead calls nobody.
type mortalPlatform struct {
	*fakePlatform
	desk *desk
}

func (p mortalPlatform) Send(ctx context.Context, ch domain.Channel, m domain.Outgoing) (domain.Sent, error) {
	if p.desk.dead.Load() {
		<-ctx.Done()
		return domain.Sent{}, ctx.Err()
	}
	return p.fakePlatform.Send(ctx, ch, m)
}
