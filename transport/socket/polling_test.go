package socket_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// poller polls by hand.
type poller struct {
	b   *bundle
	t   testing.TB
	sid string
}

func (b *bundle) startPolling(t testing.TB) *poller {
	t.Helper()
	response, body := b.request(t, http.MethodGet, "EIO=4&transport=polling", nil)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/plain; charset=UTF-8", response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.Regexp(t, `^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\["websocket"\],`, body)
	var open struct{ SID string }
	require.NoError(t, json.Unmarshal([]byte(body[1:]), &open))
	return &poller{b, t, open.SID}
}

// connectPolling shows the token.
func (b *bundle) connectPolling(t testing.TB, token string) *poller {
	t.Helper()
	p := b.startPolling(t)
	require.Equal(t, 200, p.post(`40{"token":"`+token+`"}`))
	require.Regexp(t, `^40\{"sid":`, p.get())
	return p
}

func (p *poller) query() string { return "EIO=4&transport=polling&sid=" + p.sid }

// get is the answer to a poll, its status before it if it isn't 200.
func (p *poller) get() string { return p.marked("") }

func (p *poller) marked(mark string) string {
	response, body := p.b.request(p.t, http.MethodGet, p.query()+mark, nil)
	if response.StatusCode != http.StatusOK {
		return fmt.Sprint(response.StatusCode, " ", strings.TrimSpace(body))
	}
	return body
}

func (p *poller) post(body string) int {
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.b.url+"/socket.io/?"+p.query(), strings.NewReader(body))
	require.NoError(p.t, err)
	response, _ := p.b.answer(p.t, r)
	return response.StatusCode
}

const unknownSession = `400 {"code":1,"message":"Session ID unknown"}`

func TestPollingGetsEventsAndTheReasonOfTheEnd(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	who := b.tokens.add("good", principal(newOrganization()))
	p := b.connectPolling(t, "good")
	f := newFeed(who.Organization)
	b.Deliver(f.events(2, domain.EventTyping, domain.OrgRoom(who.Organization)))
	require.Equal(t, f.text(1, domain.EventTyping)+"\x1e"+f.text(2, domain.EventTyping), p.get())
	b.CloseAgent(who.Organization, who.User)
	require.Equal(t, socket.ReasonRevoked, b.requireEventualCall(t, "disconnected", patient).reason, "told at once")
	require.Equal(t, 400, p.post("3"))
	require.Equal(t, `42["session.revoked",{}]`+"\x1e41\x1e1", p.get(), "what is queued goes out first")
	require.Equal(t, unknownSession, p.get())
}

// A poller that doesn't fetch is cut past its limits; it sees that its session
// is over, and comes back.
func TestPollerThatDoesNotFetchIsCut(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.QueuedPackets = 10 })
	who := b.tokens.add("good", principal(newOrganization()))
	p := b.connectPolling(t, "good")
	f := newFeed(who.Organization)
	for range 11 {
		b.Deliver(f.events(1, domain.EventTyping, domain.OrgRoom(who.Organization)))
	}
	b.Deliver(f.events(1, domain.EventTyping, domain.OrgRoom(who.Organization)))
	require.Equal(t, socket.ReasonSlowConsumer, b.requireEventualCall(t, "disconnected", patient).reason)
	require.Equal(t, "1", p.get())
	require.Equal(t, unknownSession, p.get())
}

// HTTP stacks repeat a GET whose connection was lost. The answer to the first
// is lost then: to go on would be a silent gap.
func TestRepeatedPollEndsTheSession(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	who := b.tokens.add("good", principal(newOrganization()))
	p := b.connectPolling(t, "good")
	f := newFeed(who.Organization)
	for mark := range 2 {
		b.Deliver(f.events(1, domain.EventTyping, domain.OrgRoom(who.Organization)))
		require.Equal(t, f.text(uint64(mark+1), domain.EventTyping), p.marked(fmt.Sprintf("&t=m%d", mark)))
	}
	// One that was on its way for long finds that the client has moved on.
	require.Equal(t, `400 {"code":3,"message":"Bad request"}`, p.marked("&t=m0"))
	require.Equal(t, unknownSession, p.marked("&t=m1"))
	require.Equal(t, socket.ReasonConnectionLost, b.requireEventualCall(t, "disconnected", patient).reason)
}

func TestPostsAreBounded(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.MaxPayload = 100_000 })
	b.tokens.add("good", principal(newOrganization()))
	p := b.connectPolling(t, "good")
	require.Equal(t, 413, p.post(strings.Repeat("6", 100_001)))
	require.Equal(t, 200, p.post(`42["x","`+strings.Repeat("a", 100_000-10)+`"]`), "exactly")
	stranger := b.startPolling(t)
	require.Equal(t, 413, stranger.post(strings.Repeat("6", 65<<10)), "who has shown no token has less")
	require.Equal(t, 200, stranger.post(`40{"token":"`+strings.Repeat("a", 60<<10)+`"}`))
	require.Equal(t, 413, stranger.post(`40{"token":"`+strings.Repeat("a", 60<<10)+`"}`), "in all")
	require.Equal(t, `44{"message":"unauthorized"}`+"\x1e1", stranger.get())
	require.Equal(t, 200, p.post(`420["heartbeat"]`))
	require.Regexp(t, `^430\[\{"ok":true`, p.get())
}

func TestOverloadSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.AnonymousPerRemote = 1 })
	b.startPolling(t)
	for _, query := range []string{"EIO=4&transport=polling", "EIO=4&transport=websocket"} {
		header := http.Header{}
		if strings.Contains(query, "websocket") {
			header = upgrade()
		}
		response, _ := b.request(t, http.MethodGet, query, header)
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.Equal(t, "2", response.Header.Get("Retry-After"))
	}
}

// Those whose turn it isn't wait; nobody is refused.
func TestConnectsTakeTurns(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.Connecting = 2 })
	b.tokens.add("good", principal(newOrganization()))
	var waiting []*client
	for range 40 {
		c := b.dial(t)
		c.send(`40{"token":"good"}`)
		waiting = append(waiting, c)
	}
	for _, c := range waiting {
		require.Regexp(t, `^40\{`, c.next())
	}
}

func TestShutdownEndsPolling(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	waits, away := b.connectPolling(t, "good"), b.connectPolling(t, "good")
	answered := make(chan string, 1)
	go func() { answered <- waits.get() }()
	require.Eventually(t, func() bool { // it overlaps, once the other waits
		select {
		case text := <-answered:
			answered <- text
			return true
		case <-time.After(200 * time.Millisecond):
			return true
		}
	}, patient, time.Millisecond)
	require.NoError(t, b.Shutdown(t.Context()))
	require.Equal(t, "1", <-answered)
	require.Equal(t, unknownSession, away.get())
}
