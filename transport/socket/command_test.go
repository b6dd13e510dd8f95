package socket_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/socket"
)

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	require.Regexp(t, `^\{"ok":true,"at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"\}$`, c.ask(`["heartbeat"]`))
	connected := b.requireCall(t, "connected")
	require.Equal(t, connected.connection, b.requireCall(t, "heartbeat").connection)
}

func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	feed := newFeed(p.Organization)
	c := b.connect(t, "good")
	conversation := b.app.show(p.Organization)
	payload := fmt.Sprintf(`{"conversationId":%q}`, conversation)
	tell := func(n int) {
		b.Deliver(feed.events(n, domain.EventMessageCreated, domain.ConversationRoom(conversation)))
	}

	tell(1) // nobody is there
	require.JSONEq(t, `{"ok":true}`, c.ask(`["join:conversation",`+payload+`]`))
	require.JSONEq(t, `{"ok":true}`, c.ask(`["join:conversation",`+payload+`]`), "again")
	tell(1)
	require.Equal(t, feed.text(2, domain.EventMessageCreated), c.next())
	require.JSONEq(t, `{"ok":true}`, c.ask(`["leave:conversation",`+payload+`]`))
	require.JSONEq(t, `{"ok":true}`, c.ask(`["leave:conversation",`+payload+`]`), "again")
	tell(1)
	c.requireAlive() // and not the event before its answer
}

func TestJoinRefusesWhatMayNotBeSeen(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	for _, id := range []string{uuid.NewString(), b.app.show(newOrganization()).String()} {
		require.JSONEq(t, `{"ok":false,"code":"not_found"}`, c.ask(fmt.Sprintf(`["join:conversation",{"conversationId":%q}]`, id)))
		require.JSONEq(t, `{"ok":false,"code":"not_found"}`, c.ask(fmt.Sprintf(`["typing",{"conversationId":%q,"on":true}]`, id)))
	}
	c.requireAlive()
}

func TestJoinIsBounded(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.Rooms = 5 })
	p := b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	join := func() string {
		return c.ask(fmt.Sprintf(`["join:conversation",{"conversationId":%q}]`, b.app.show(p.Organization)))
	}
	require.JSONEq(t, `{"ok":true}`, join()) // besides org, agent and session
	require.JSONEq(t, `{"ok":true}`, join())
	require.Contains(t, join(), `"code":"bad_request"`)
}

func TestPresenceAndTyping(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	b.requireCall(t, "connected")
	for _, status := range []domain.Presence{domain.Away, domain.Online} {
		require.JSONEq(t, `{"ok":true}`, c.ask(fmt.Sprintf(`["presence:set",{"status":%q}]`, status)))
		require.Equal(t, status, b.requireCall(t, "presence").argument)
	}
	conversation := b.app.show(p.Organization)
	for _, on := range []bool{true, false} {
		require.JSONEq(t, `{"ok":true}`, c.ask(fmt.Sprintf(`["typing",{"conversationId":%q,"on":%t}]`, conversation, on)))
		require.Equal(t, on, b.requireCall(t, "typing").argument)
	}
}

func TestBadPayloads(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	id := uuid.NewString()
	for event, message := range map[string]string{
		`["no.such.event",{"a":1}]`:                                                       "unknown event",
		`["join:conversation"]`:                                                           "payload must be one object",
		`["join:conversation",null]`:                                                      "payload must be one object",
		`["join:conversation","` + id + `"]`:                                              "payload must be one object",
		`["join:conversation",{},{}]`:                                                     "payload must be one object",
		`["join:conversation",{}]`:                                                        "conversationId must be a UUID",
		`["join:conversation",{"conversationId":null}]`:                                   "conversationId must be a UUID",
		`["join:conversation",{"conversationId":7}]`:                                      "conversationId must be a UUID",
		`["join:conversation",{"conversationId":"x"}]`:                                    "conversationId must be a UUID",
		`["leave:conversation",{"conversationId":"{` + id[2:] + `}"}]`:                    "conversationId must be a UUID",
		`["presence:set",{"status":"OFFLINE"}]`:                                           "status must be ONLINE or AWAY",
		`["presence:set",{}]`:                                                             "status must be ONLINE or AWAY",
		`["presence:set",{"status":1}]`:                                                   "payload has a field of the wrong type",
		`["typing",{"conversationId":"` + id + `"}]`:                                      "on must be true or false",
		`["typing",{"conversationId":"` + id + `","on":"yes"}]`:                           "on must be true or false",
		`["typing",{"on":true}]`:                                                          "conversationId must be a UUID",
		`["join:conversation",` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `]`: "payload must be one object",
	} {
		require.JSONEq(t, fmt.Sprintf(`{"ok":false,"code":"bad_request","message":%q}`, message), c.ask(event), event)
		c.send("42" + event) // without an ack: nothing comes
	}
	c.requireAlive()
}

func TestApplicationFailureIsNotShown(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	b.app.failWith(errors.New("connection to 10.0.0.7 refused"))
	for _, event := range []string{
		`["join:conversation",{"conversationId":"` + uuid.NewString() + `"}]`,
		`["typing",{"conversationId":"` + uuid.NewString() + `","on":true}]`,
		`["presence:set",{"status":"AWAY"}]`,
	} {
		require.JSONEq(t, `{"ok":false,"code":"unavailable"}`, c.ask(event))
	}
}

func TestAcksKeepTheOrderOfTheRequests(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	for i := range 100 { // the burst that must pass
		c.send(fmt.Sprintf(`42%d["heartbeat"]`, i))
	}
	for i := range 100 {
		require.True(t, strings.HasPrefix(c.next(), fmt.Sprintf(`43%d[{"ok":true`, i)))
	}
}
