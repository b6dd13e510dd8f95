package socket_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// requireMetric waits until the sum over all labels of a metric is want.
func (b *bundle) requireMetric(t testing.TB, name string, want float64, labels ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return b.metric(t, name, labels...) == want }, patient, 10*time.Millisecond, name)
}

func (b *bundle) metric(t testing.TB, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := b.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if len(labels) == 0 || m.GetLabel()[0].GetValue() == labels[0] {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A client that does not read is cut and nobody else notices.
func TestSlowConsumerIsCut(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	fast := b.tokens.add("fast", principal(newOrganization()))
	slow := b.tokens.add("slow", principal(fast.Organization))
	witness := b.connect(t, "fast")
	b.requireCall(t, "connected")

	stuck := newClient(t) // its ReadLoop never runs
	ws, _, err := gws.NewClient(stuck, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(b.url, "http") + target})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.NetConn().Close() })
	require.NoError(t, ws.WriteString(`40{"token":"slow"}`))
	require.Equal(t, slow, b.requireCall(t, "connected").connection.Principal)

	f := newFeed(fast.Organization)
	padding := bytes.Repeat([]byte("x"), 64<<10)
	for range 1000 { // the buffers of the kernel take some of it
		events := f.events(1, domain.EventMessageCreated, domain.OrgRoom(fast.Organization))
		events[0].Data = fmt.Appendf(nil, `{"n":%d,"body":"%s"}`, f.seq, padding)
		b.Deliver(events)
		require.True(t, strings.HasPrefix(witness.next(), fmt.Sprintf(`42["message.created",{"n":%d,`, f.seq)))
		if len(b.app.calls) > 0 {
			break
		}
	}
	gone := b.requireCall(t, "disconnected")
	require.Equal(t, slow, gone.connection.Principal)
	require.Equal(t, socket.ReasonSlowConsumer, gone.reason)
	require.True(t, gone.reason.ComesBack())
	b.requireMetric(t, "chatopshub_socket_sessions_ended_total", 1, "slow_consumer")
	witness.requireAlive()
}

func TestPacketLimitCutsToo(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.QueuedPackets = 10 })
	p := b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	b.requireCall(t, "connected")
	f := newFeed(p.Organization)
	for len(b.app.calls) == 0 { // faster than anybody reads
		b.Deliver(f.events(1000, domain.EventTyping, domain.OrgRoom(p.Organization)))
	}
	require.Equal(t, socket.ReasonSlowConsumer, b.requireCall(t, "disconnected").reason)
	c.requireClosed(socket.ReasonSlowConsumer)
	for i := 1; len(c.texts) > 0; i++ {
		require.Equal(t, f.text(uint64(i), domain.EventTyping), c.next(), "what came has no hole")
	}
}

func TestFloodIsRefusedThenClosed(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.PacketsPerSecond, c.Limits.PacketBurst = 1, 20 })
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good") // CONNECT is the first
	for i := range 100 {
		c.send(fmt.Sprintf(`42%d["heartbeat"]`, i))
	}
	for i := range 19 {
		require.True(t, strings.HasPrefix(c.next(), fmt.Sprintf(`43%d[{"ok":true`, i)))
	}
	require.Equal(t, `4319[{"ok":false,"code":"rate_limited"}]`, c.next())
	c.requireClosed(socket.ReasonRateLimited)
	require.True(t, socket.ReasonRateLimited.ComesBack())
	b.requireMetric(t, "chatopshub_socket_sessions_ended_total", 1, "rate_limited")
}

func TestFloodOfPingFrames(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.PacketsPerSecond, c.Limits.PacketBurst = 1, 20 })
	c := b.dial(t)
	for range 50 {
		_ = c.WritePing(nil) // fails once the server has closed
	}
	c.requireClosed(socket.ReasonRateLimited)
}

// Who has shown no token can't make us hold large messages.
func TestAnonymousClientMaySendLittle(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	large := strings.Repeat("a", 100_000)
	c := b.dial(t)
	c.send(`40{"token":"` + large + `"}`)
	c.requireEnd()

	c = b.connect(t, "good")
	c.send(`42["x","` + large + `"]`)
	c.requireAlive()
}

func TestPingFrameIsAnsweredWithItsPayload(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	c := b.dial(t)
	require.NoError(t, c.WritePing([]byte("abc")))
	select {
	case payload := <-c.pongs:
		require.Equal(t, "abc", payload)
	case <-time.After(patient):
		require.FailNow(t, "no pong")
	}
}

// tryDial is the status of a handshake that is not waited for to connect.
func (b *bundle) tryDial(t testing.TB, header http.Header) (status int, c *client) {
	t.Helper()
	c = newClient(t)
	ws, response, err := gws.NewClient(c, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(b.url, "http") + target, RequestHeader: header})
	if err != nil {
		require.NotNil(t, response, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode, nil
	}
	return http.StatusSwitchingProtocols, c.run(ws)
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	from := func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-From")) }
	b := start(t, func(c *socket.Config) {
		c.RemoteAddr = from
		c.Limits.Sessions, c.Limits.Anonymous, c.Limits.AnonymousPerRemote = 6, 4, 2
	})
	b.tokens.add("good", principal(newOrganization()))
	dial := func(from string) (int, *client) {
		return b.tryDial(t, http.Header{"X-From": {from}})
	}
	open := func(from string) *client {
		t.Helper()
		status, c := dial(from)
		require.Equal(t, http.StatusSwitchingProtocols, status)
		c.next()
		return c
	}
	refused := func(from, reason string) {
		t.Helper()
		status, _ := dial(from)
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Positive(t, b.metric(t, "chatopshub_socket_handshakes_refused_total", reason))
	}

	first, second := open("2001:db8::1"), open("2001:db8::2")
	refused("2001:db8::3", "anonymous_per_remote") // the same /64
	third := open("10.0.0.1")
	fourth := open("10.0.0.2")
	refused("10.0.0.3", "anonymous")
	first.login("good") // gives the place back
	second.login("good")
	open("10.0.0.3")
	open("2001:db8::3")
	refused("10.0.0.4", "sessions")
	third.drop()
	fourth.drop()
	require.Eventually(t, func() bool { status, _ := dial("10.0.0.5"); return status == http.StatusSwitchingProtocols }, patient, 20*time.Millisecond)

	// Who leaves its socket is anonymous again.
	first.send(`41`)
	first.send(`40{"token":"bad"}`)
	require.Equal(t, `44{"message":"unauthorized"}`, first.next())
}
