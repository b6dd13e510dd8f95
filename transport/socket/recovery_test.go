package socket_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/valkey"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// recoveringBundle is a server whose sockets can come back: with real feeds and
// a real store of records.
type recoveringBundle struct {
	*bundle
	feeds  *actors.Feeds
	valkey *miniredis.Miniredis
	fanout *lateFanout
}

// lateFanout hands on what feeds publish, and remembers it.
type lateFanout struct {
	to  actors.Fanout
	log *eventLog
}

func (f *lateFanout) Deliver(events []domain.FeedEvent) {
	f.log.add(events)
	f.to.Deliver(events)
}

func (f *lateFanout) Listens(o domain.OrganizationID) bool { return f.to.Listens(o) }

func startRecovering(t testing.TB, change func(*socket.Config)) *recoveringBundle {
	t.Helper()
	b := &recoveringBundle{valkey: miniredis.RunT(t)}
	client := redis.NewClient(&redis.Options{Addr: b.valkey.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	system, err := actors.NewSystem(actors.SystemConfig{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, system.Close(context.Background())) })
	b.fanout = &lateFanout{log: newEventLog()}
	b.feeds = actors.NewFeeds(system, actors.FeedConfig{Fanout: b.fanout, Epoch: rand.Text})
	t.Cleanup(func() { require.NoError(t, b.feeds.Close(context.Background())) })
	b.bundle = start(t, func(c *socket.Config) {
		c.Feed, c.RecoveryWindow = b.feeds, 2*time.Minute
		c.Records = valkey.NewRecoveries(client, slog.New(slog.DiscardHandler), time.Now)
		if change != nil {
			change(c)
		}
	})
	b.fanout.to = b.Server
	return b
}

// publish has the feed number n notices, in one piece.
func (b *recoveringBundle) publish(o domain.OrganizationID, n int, rooms ...domain.Room) {
	notices := make([]domain.Notice, n)
	for i := range notices {
		notices[i] = domain.Notice{Name: domain.EventTyping, Rooms: rooms, Payload: struct{}{}}
	}
	b.feeds.Publish(o, notices)
}

// text is what a client gets for the event with this number.
func (b *recoveringBundle) text(seq int) string {
	return fmt.Sprintf(`42["typing",{},%q]`, b.offset(seq))
}

func (b *recoveringBundle) offset(seq int) string {
	return domain.FeedPosition{Epoch: b.fanout.log.epoch(), Seq: uint64(seq)}.String()
}

// greeted is what the server says when a socket is connected.
type greeted struct{ SID, PID string }

// comeBack connects with what is shown and returns what came before the
// greeting, and the greeting.
func (b *bundle) comeBack(t testing.TB, token string, last greeted, offset string) (c *client, missed []string, now greeted) {
	t.Helper()
	c = b.dial(t)
	c.send(fmt.Sprintf(`40{"token":%q,"pid":%q,"offset":%q}`, token, last.PID, offset))
	for {
		text := c.next()
		if strings.HasPrefix(text, "40") {
			require.NoError(t, json.Unmarshal([]byte(text[2:]), &now))
			return c, missed, now
		}
		missed = append(missed, text)
	}
}

// enterRooms is a connected client that watches a conversation.
func (b *recoveringBundle) enterRooms(t testing.TB, token string) (c *client, g greeted) {
	t.Helper()
	c, missed, g := b.comeBack(t, token, greeted{}, "")
	require.Empty(t, missed)
	require.NotEmpty(t, g.PID)
	return c, g
}

// Goal: exactly what was missed, per room from when it was joined, in order,
// then the greeting with the old names, then what comes.
func TestRecovery(t *testing.T) {
	t.Parallel()
	b := startRecovering(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	b.tokens.add("colleague", principal(p.Organization))
	org := domain.OrgRoom(p.Organization)
	early, late := b.app.show(p.Organization), b.app.show(p.Organization)
	join := func(c *client, id domain.ConversationID) {
		require.JSONEq(t, `{"ok":true}`, c.ask(fmt.Sprintf(`["join:conversation",{"conversationId":%q}]`, id)))
	}
	b.publish(p.Organization, 1, org) // before anybody is there
	require.False(t, b.Listens(p.Organization))
	c, g := b.enterRooms(t, "good")
	require.True(t, b.Listens(p.Organization))
	join(c, early)
	b.publish(p.Organization, 2, org)                           // 2, 3
	b.publish(p.Organization, 1, domain.ConversationRoom(late)) // 4: not yet joined
	b.publish(p.Organization, 1, org)                           // 5
	for _, seq := range []int{2, 3, 5} {
		require.Equal(t, b.text(seq), c.next())
	}
	join(c, late)
	c.drop()
	b.publish(p.Organization, 1, domain.ConversationRoom(early))                   // 6
	b.publish(p.Organization, 1, domain.AgentRoom(principal(p.Organization).User)) // 7: somebody else's
	b.publish(p.Organization, 1, domain.ConversationRoom(late), org)               // 8: once

	// What was written to a dead connection counts as missed: the offset decides.
	c, missed, again := b.comeBack(t, "good", g, b.offset(3))
	require.Equal(t, []string{b.text(5), b.text(6), b.text(8)}, missed)
	require.Equal(t, g, again)
	b.publish(p.Organization, 1, domain.ConversationRoom(late))
	require.Equal(t, b.text(9), c.next(), "back in its rooms")
	c.requireAlive()
	b.requireMetric(t, "chatopshub_socket_connects_total", 1, "recovered")

	// And again, with nothing missed; nothing comes for the rooms that were left.
	require.JSONEq(t, `{"ok":true}`, c.ask(fmt.Sprintf(`["leave:conversation",{"conversationId":%q}]`, late)))
	c.drop()
	b.publish(p.Organization, 1, domain.ConversationRoom(late))
	_, missed, again = b.comeBack(t, "good", g, b.offset(9))
	require.Empty(t, missed)
	require.Equal(t, g, again)
}

// Whoever can't be given exactly what was missed starts afresh: with another
// pid, or else the client would believe that it has missed nothing.
func TestRecoveryThatIsNotPossible(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, b *recoveringBundle, g *greeted, offset *string)
		token  string
	}{
		"unknown pid":     {change: func(_ *testing.T, _ *recoveringBundle, g *greeted, _ *string) { g.PID = "AAAAAAAAAAAAAAAAAAAA" }},
		"no offset":       {change: func(_ *testing.T, _ *recoveringBundle, _ *greeted, o *string) { *o = "" }},
		"odd offset":      {change: func(_ *testing.T, _ *recoveringBundle, _ *greeted, o *string) { *o = "just-a-string" }},
		"other epoch":     {change: func(_ *testing.T, _ *recoveringBundle, _ *greeted, o *string) { *o = "x" + *o }},
		"from the future": {change: func(_ *testing.T, b *recoveringBundle, _ *greeted, o *string) { *o = b.offset(99) }},
		"another user":    {token: "other"},
		"another login":   {token: "again"},
		"valkey flushed":  {change: func(_ *testing.T, b *recoveringBundle, _ *greeted, _ *string) { b.valkey.FlushAll() }},
		"valkey away":     {change: func(_ *testing.T, b *recoveringBundle, _ *greeted, _ *string) { b.valkey.Close() }},
		"too late":        {change: func(_ *testing.T, b *recoveringBundle, _ *greeted, _ *string) { b.valkey.FastForward(2 * time.Minute) }},
		"used before": {change: func(t *testing.T, b *recoveringBundle, g *greeted, o *string) {
			c, _, again := b.comeBack(t, "good", *g, *o)
			require.Equal(t, *g, again)
			c.send("41")
			b.requireEventualCall(t, "disconnected", patient)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startRecovering(t, nil)
			p := b.tokens.add("good", principal(newOrganization()))
			b.tokens.add("other", auth.Principal{Organization: p.Organization, User: principal(p.Organization).User, Session: p.Session})
			b.tokens.add("again", auth.Principal{Organization: p.Organization, User: p.User, Session: principal(p.Organization).Session})
			lost, g := b.enterRooms(t, "good")
			b.publish(p.Organization, 1, domain.OrgRoom(p.Organization))
			lost.next()
			lost.drop()
			b.requireEventualCall(t, "disconnected", patient)
			b.publish(p.Organization, 1, domain.OrgRoom(p.Organization))
			owner, offset := g, b.offset(1)
			if c.change != nil {
				c.change(t, b, &g, &offset)
			}
			fresh, missed, again := b.comeBack(t, cmp.Or(c.token, "good"), g, offset)
			require.Empty(t, missed)
			require.NotEqual(t, g.PID, again.PID)
			require.NotEqual(t, g.SID, again.SID)
			fresh.requireAlive()
			if c.token != "" { // a stranger took nothing away from who it belongs to
				_, missed, again = b.comeBack(t, "good", owner, b.offset(1))
				require.Equal(t, []string{b.text(2)}, missed)
				require.Equal(t, owner, again)
			}
		})
	}
}

func TestRevokedSocketsDoNotComeBack(t *testing.T) {
	t.Parallel()
	b := startRecovering(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	c, g := b.enterRooms(t, "good")
	b.publish(p.Organization, 1, domain.OrgRoom(p.Organization))
	c.next()
	b.CloseSession(p.Organization, p.Session)
	c.requireClosed(socket.ReasonRevoked)
	b.requireEventualCall(t, "disconnected", patient)
	require.Empty(t, b.valkey.Keys())
	b.tokens.failNext("good", auth.ErrTokenRevoked)
	again := b.dial(t)
	again.send(fmt.Sprintf(`40{"token":"good","pid":%q,"offset":%q}`, g.PID, b.offset(1)))
	require.Equal(t, `44{"message":"unauthorized"}`, again.next())
}

// Phones change networks long before a server notices: the new connection takes
// the socket over, and the old one ends. An offset of no use leaves it alone.
func TestRecoveryOfASocketThatSeemsAlive(t *testing.T) {
	t.Parallel()
	b := startRecovering(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	old, g := b.enterRooms(t, "good")
	b.publish(p.Organization, 2, domain.OrgRoom(p.Organization))
	old.next()
	old.next()
	_, missed, other := b.comeBack(t, "good", g, "zzzz:1")
	require.Empty(t, missed)
	require.NotEqual(t, g.SID, other.SID)
	old.requireAlive()

	c, missed, again := b.comeBack(t, "good", g, b.offset(1))
	require.Equal(t, []string{b.text(2)}, missed)
	require.Equal(t, g, again)
	old.requireEnd()
	c.requireAlive()
	require.Equal(t, socket.ReasonTakenOver, b.requireEventualCall(t, "disconnected", patient).reason)
	require.False(t, socket.ReasonTakenOver.ComesBack())
}

// A burst in one piece must not cut a client that was up to date; nor a replay
// one that was away.
func TestBurstsDoNotCutHealthyClients(t *testing.T) {
	t.Parallel()
	const burst = 5_000
	b := startRecovering(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	c, g := b.enterRooms(t, "good")
	b.publish(p.Organization, burst, domain.OrgRoom(p.Organization))
	for seq := range burst {
		require.Equal(t, b.text(seq+1), c.next())
	}
	c.drop()
	b.publish(p.Organization, burst, domain.OrgRoom(p.Organization))
	c, missed, again := b.comeBack(t, "good", g, b.offset(burst))
	require.Equal(t, g, again)
	require.Len(t, missed, burst)
	b.publish(p.Organization, 1, domain.OrgRoom(p.Organization))
	require.Equal(t, b.text(2*burst+1), c.next())
}

// lossyFanout loses the deliveries that it is told to.
type lossyFanout struct {
	actors.Fanout
	lose func(domain.FeedEvent) bool
}

func (f *lossyFanout) Deliver(events []domain.FeedEvent) {
	f.Fanout.Deliver(slices.DeleteFunc(slices.Clone(events), f.lose))
}

// A gap is never silent: what the feed still has is filled in, and nobody
// notices; otherwise all are told to fetch again.
func TestGapsInTheFeed(t *testing.T) {
	t.Parallel()
	b := startRecovering(t, nil)
	lost := map[uint64]bool{3: true, 4: true}
	b.fanout.to = &lossyFanout{Fanout: b.Server, lose: func(e domain.FeedEvent) bool { return lost[e.Seq] }}
	p := b.tokens.add("good", principal(newOrganization()))
	c, _ := b.enterRooms(t, "good")
	for range 8 {
		b.publish(p.Organization, 1, domain.OrgRoom(p.Organization))
	}
	for seq := range 8 {
		require.Equal(t, b.text(seq+1), c.next())
	}
	b.requireMetric(t, "chatopshub_socket_feed_gaps_total", 1)

	stranger := newFeed(p.Organization) // the feed of a node that has died
	stranger.seq = 41
	b.Deliver(stranger.events(2, domain.EventTyping, domain.OrgRoom(p.Organization)))
	require.Regexp(t, `^42\["resync",\{"since":"[^"]+","jitterMs":5000\}\]$`, c.next())
	require.Equal(t, stranger.text(42, domain.EventTyping), c.next())
	require.Equal(t, stranger.text(43, domain.EventTyping), c.next())
	stranger.seq += 10 // which it can't be asked for
	b.Deliver(stranger.events(1, domain.EventTyping, domain.OrgRoom(p.Organization)))
	require.Regexp(t, `^42\["resync",`, c.next())
}

// Without a feed to ask, a gap is announced.
func TestGapsWithoutAFeed(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	f := newFeed(p.Organization)
	room := domain.OrgRoom(p.Organization)
	first := f.events(1, domain.EventTyping, room)
	b.Deliver(first)
	b.Deliver(first) // again: nothing
	f.seq = 7
	b.Deliver(f.events(1, domain.EventTyping, room))
	b.Deliver(f.events(1, domain.EventTyping, room))
	require.Equal(t, f.text(1, domain.EventTyping), c.next())
	require.Regexp(t, `^42\["resync",`, c.next())
	require.Equal(t, f.text(9, domain.EventTyping), c.next())
}
