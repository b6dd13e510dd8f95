package actors

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// newsroom is the feeds of several nodes, and what their sockets would get.
type newsroom struct {
	t     testing.TB
	net   *network
	feeds map[string]*Feeds
	got   map[string]*recorder
	view  testView
}

func newNewsroom(t testing.TB, limits DirectoryConfig, addrs ...string) *newsroom {
	t.Helper()
	n := &newsroom{t: t, net: newNetwork(t), feeds: map[string]*Feeds{}, got: map[string]*recorder{}}
	for _, addr := range addrs {
		var epochs atomic.Int64
		n.got[addr] = &recorder{}
		n.feeds[addr] = NewFeeds(n.net.node(addr).system, FeedConfig{
			Fanout: n.got[addr], Directory: limits,
			Epoch: func() string { return fmt.Sprint(addr, epochs.Add(1)) },
		})
		t.Cleanup(func() { require.NoError(t, n.feeds[addr].Close(context.Background())) })
	}
	return n
}

// own has the nodes learn that these own the feeds; those that are named, or all.
func (n *newsroom) own(nodes []string, who ...string) {
	n.view = testView{Number: n.view.Number + 1, Nodes: slices.Clone(nodes)}
	n.net.setView(n.view, who...)
}

// listen begins to record what a node gets, and returns where the feed is.
func (n *newsroom) listen(addr string, id domain.OrganizationID) domain.FeedPosition {
	n.t.Helper()
	return n.replay(addr, id, domain.FeedPosition{}).Newest
}

func (n *newsroom) replay(addr string, id domain.OrganizationID, after domain.FeedPosition) domain.FeedReplay {
	n.t.Helper()
	answered := make(chan domain.FeedReplay, 1)
	require.NoError(n.t, n.feeds[addr].Replay(id, after, func(r domain.FeedReplay) { answered <- r }))
	select {
	case r := <-answered:
		return r
	case <-time.After(patience):
		require.FailNow(n.t, "no answer to a replay")
		return domain.FeedReplay{}
	}
}

// publish publishes what from says for the count-th time.
func (n *newsroom) publish(addr string, id domain.OrganizationID, count int) {
	n.feeds[addr].Publish(id, []domain.Notice{notice([]string{addr, fmt.Sprint(count)})})
}

// cut breaks all connections of a node, or mends them.
func (n *newsroom) cut(addr string, cut bool) {
	for peer, o := range n.net.nodes {
		if peer != addr {
			o.cutTo(addr, cut)
			n.net.nodes[addr].cutTo(peer, cut)
		}
	}
}

// texts is what happened at a node, without numbers.
func (n *newsroom) texts(addr string, id domain.OrganizationID) []string {
	var all []string
	for _, e := range n.got[addr].of(id) {
		if e.Name == domain.EventResync {
			all = append(all, "resync")
			continue
		}
		var said []string
		require.NoError(n.t, json.Unmarshal(e.Data, &said))
		all = append(all, strings.Join(said, " "))
	}
	return all
}

func (n *newsroom) eventually(addr string, id domain.OrganizationID, want ...string) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !slices.Equal(n.texts(addr, id), want); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			require.Equal(n.t, want, n.texts(addr, id), "at %s", addr)
		}
	}
}

// ownedBy is an organization whose feed is on the node.
func (n *newsroom) ownedBy(addr string) domain.OrganizationID {
	n.t.Helper()
	for b := range 256 {
		if o, _ := n.view.owner(organization(byte(b)), ""); o == addr {
			return organization(byte(b))
		}
	}
	require.FailNow(n.t, "nothing is owned by "+addr)
	return domain.OrganizationID{}
}
