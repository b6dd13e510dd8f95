package socket_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// feed numbers events as the feed of an organization does.
type feed struct {
	organization domain.OrganizationID
	seq          uint64
}

func newFeed(o domain.OrganizationID) *feed { return &feed{organization: o} }

// events are the next n of one name. Their data is their number.
func (f *feed) events(n int, name domain.EventName, rooms ...domain.Room) []domain.FeedEvent {
	events := make([]domain.FeedEvent, n)
	for i := range events {
		f.seq++
		events[i] = domain.FeedEvent{
			Organization: f.organization, Epoch: "e", Seq: f.seq, Name: name, Rooms: rooms,
			Data: fmt.Appendf(nil, `{"n":%d}`, f.seq),
		}
	}
	return events
}

// text is what a client gets for the event with this number.
func (f *feed) text(seq uint64, name domain.EventName) string {
	return fmt.Sprintf(`42[%q,{"n":%d},"e:%d"]`, name, seq, seq)
}

func TestDeliverReachesTheRooms(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	organization := newOrganization()
	anna := b.tokens.add("anna", principal(organization))
	ben := b.tokens.add("ben", principal(organization))
	again := anna // a second login of Anna
	again.Session = principal(organization).Session
	b.tokens.add("again", again)
	clients := map[string]*client{}
	for _, name := range []string{"anna", "ben", "again"} {
		clients[name] = b.connect(t, name)
	}
	clients["tab"] = b.connect(t, "anna") // the same login

	f := newFeed(organization)
	for _, c := range []struct {
		rooms []domain.Room
		to    []string
	}{
		{[]domain.Room{domain.OrgRoom(organization)}, []string{"anna", "ben", "again", "tab"}},
		{[]domain.Room{domain.AgentRoom(anna.User)}, []string{"anna", "again", "tab"}},
		{[]domain.Room{domain.SessionRoom(anna.Session)}, []string{"anna", "tab"}},
		{[]domain.Room{domain.SessionRoom(again.Session), domain.AgentRoom(ben.User)}, []string{"again", "ben"}},
		{[]domain.Room{domain.OrgRoom(organization), domain.AgentRoom(anna.User), domain.SessionRoom(anna.Session)}, []string{"anna", "ben", "again", "tab"}},
		{nil, nil},
	} {
		events := f.events(1, domain.EventMessageCreated, c.rooms...)
		b.Deliver(events)
		for _, name := range c.to {
			require.Equal(t, f.text(f.seq, domain.EventMessageCreated), clients[name].next(), "%s: %v", name, c.rooms)
		}
	}
	for _, c := range clients {
		c.requireAlive() // and nothing before the answer: nobody got anything twice or by mistake
	}
}

// An event of one organization never reaches a socket of another, even if a
// room of that name is there.
func TestOrganizationsAreIsolated(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	ours := b.tokens.add("ours", principal(newOrganization()))
	theirs := b.tokens.add("theirs", principal(newOrganization()))
	c := b.connect(t, "ours")
	conversation := b.app.show(ours.Organization)
	require.JSONEq(t, `{"ok":true}`, c.ask(fmt.Sprintf(`["join:conversation",{"conversationId":%q}]`, conversation)))
	witness := b.connect(t, "theirs")

	f := newFeed(theirs.Organization)
	b.Deliver(f.events(1, domain.EventMessageCreated, domain.OrgRoom(theirs.Organization), domain.OrgRoom(ours.Organization),
		domain.AgentRoom(ours.User), domain.SessionRoom(ours.Session), domain.ConversationRoom(conversation)))
	require.Equal(t, f.text(1, domain.EventMessageCreated), witness.next())
	b.CloseSession(theirs.Organization, ours.Session)
	b.CloseAgent(theirs.Organization, ours.User)
	b.Deliver(f.events(1, domain.EventSessionRevoked, domain.AgentRoom(ours.User)))
	c.requireAlive()
}

// All sockets see the events of a feed in one order, also those that connect
// meanwhile: a greeting first, then no gap.
func TestDeliverKeepsTheOrder(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	f := newFeed(p.Organization)
	const events = 500
	early := b.connect(t, "good")
	var feeding sync.WaitGroup
	halfway := make(chan struct{})
	feeding.Go(func() {
		for i := range events {
			b.Deliver(f.events(1, domain.EventAgentPresence, domain.OrgRoom(p.Organization)))
			if i == events/2 {
				close(halfway)
			}
		}
	})
	<-halfway
	late := b.connect(t, "good")
	feeding.Wait()
	b.Deliver(f.events(1, domain.EventResync, domain.OrgRoom(p.Organization)))

	for seq := range uint64(events) {
		require.Equal(t, f.text(seq+1, domain.EventAgentPresence), early.next())
	}
	requireRest(t, f, late, events)
}

// requireRest reads the events from wherever the client starts to the last.
func requireRest(t *testing.T, f *feed, c *client, events uint64) {
	t.Helper()
	last := f.text(events+1, domain.EventResync)
	text := c.next()
	if text == last {
		return // connected after everything
	}
	var seq uint64
	_, err := fmt.Sscanf(text, `42["agent.presence",{"n":%d}`, &seq)
	require.NoError(t, err, text)
	for ; text != last; seq++ {
		require.Equal(t, f.text(seq, domain.EventAgentPresence), text)
		text = c.next()
	}
	require.Equal(t, events+1, seq)
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	for name, revoke := range map[string]func(*bundle, auth.Principal){
		"session": func(b *bundle, p auth.Principal) { b.CloseSession(p.Organization, p.Session) },
		"agent":   func(b *bundle, p auth.Principal) { b.CloseAgent(p.Organization, p.User) },
		"event of the feed": func(b *bundle, p auth.Principal) {
			b.Deliver(newFeed(p.Organization).events(1, domain.EventSessionRevoked, domain.SessionRoom(p.Session), domain.AgentRoom(p.User)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, nil)
			p := b.tokens.add("good", principal(newOrganization()))
			b.tokens.add("colleague", principal(p.Organization))
			c, colleague := b.connect(t, "good"), b.connect(t, "colleague")
			b.requireCall(t, "connected")
			b.requireCall(t, "connected")
			revoke(b, p)
			require.Equal(t, `42["session.revoked",{}]`, c.next())
			require.Equal(t, `41`, c.next())
			c.requireClosed(socket.ReasonRevoked)
			require.False(t, socket.ReasonRevoked.ComesBack())
			gone := b.requireCall(t, "disconnected")
			require.Equal(t, p, gone.connection.Principal)
			require.Equal(t, socket.ReasonRevoked, gone.reason)
			colleague.requireAlive()
		})
	}
}

// Joins, leaves, connects, disconnects and deliveries at once: nothing is left
// in the hub.
func TestHubUnderChange(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	f := newFeed(p.Organization)
	conversation := b.app.show(p.Organization)
	payload := fmt.Sprintf(`{"conversationId":%q}`, conversation)
	stop := make(chan struct{})
	var feeding, clients sync.WaitGroup
	feeding.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.Deliver(f.events(1, domain.EventTyping, domain.OrgRoom(p.Organization), domain.ConversationRoom(conversation)))
			}
		}
	})
	for range 8 {
		clients.Go(func() {
			for range 5 {
				c := b.dial(t)
				c.send(`40{"token":"good"}`)
				c.send(`42["join:conversation",` + payload + `]`)
				c.send(`42["leave:conversation",` + payload + `]`)
				c.send(`41`)
				c.drop()
				<-c.done
			}
		})
	}
	clients.Wait()
	close(stop)
	feeding.Wait()
	b.requireMetric(t, "chatopshub_sockets", 0)
}
