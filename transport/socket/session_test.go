package socket_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// slack is what the ticks of the wheel may add to a deadline.
const slack = 200 * time.Millisecond

// inBubble runs a test with a fake clock against a server with the protocol's
// own timers.
func inBubble(t *testing.T, test func(t *testing.T, b *bundle)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := build(t, nil)
		b.tokens.add("good", principal(newOrganization()))
		test(t, b)
	})
}

// block makes the clients stop reading until release is called, by an event of
// the feed. Call it in a bubble.
func (b *bundle) block(f *feed, clients ...*client) (release func()) {
	blocked := make(chan struct{})
	for _, c := range clients {
		c.block = blocked
	}
	b.Deliver(f.events(1, domain.EventTyping, domain.OrgRoom(f.organization)))
	synctest.Wait()
	return func() { close(blocked) }
}

func TestHeartbeatOfTheSession(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		c := b.pipe(t)
		from := time.Now()
		c.login("good")
		for i := range 4 {
			at := <-c.pings
			due := from.Add(25 * time.Second)
			require.False(t, at.Before(due), "ping %d", i)
			require.Less(t, at.Sub(due), slack, "ping %d", i)
			from = at
			c.requireAlive() // traffic does not replace pings
		}
	})
}

func TestPingTimeout(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		from := time.Now()
		c := b.pipe(t)
		c.silent = true
		c.login("good")
		<-c.done
		took := time.Since(from)
		require.GreaterOrEqual(t, took, 45*time.Second)
		require.Less(t, took, 45*time.Second+2*slack)
		require.Equal(t, socket.ReasonPingTimeout.Code(), c.closed.Code)
		b.requireCall(t, "connected")
		require.Equal(t, socket.ReasonPingTimeout, b.requireCall(t, "disconnected").reason)
	})
}

func TestUnaskedPongMovesNoDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		from := time.Now()
		c := b.pipe(t)
		c.login("good")
		<-time.After(20 * time.Second)
		c.send(`3`)
		require.Less(t, (<-c.pings).Sub(from), 25*time.Second+slack)
	})
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		from := time.Now()
		c := b.pipe(t) // answers pings
		<-c.done
		require.Equal(t, socket.ReasonConnectTimeout.Code(), c.closed.Code)
		require.GreaterOrEqual(t, time.Since(from), 45*time.Second)
		require.Less(t, time.Since(from), 45*time.Second+2*slack)
	})
}

// A write that waits for the peer ends after ten seconds. (A pipe has no
// buffer: one frame is enough.)
func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		c := b.pipe(t)
		c.login("good")
		p := b.requireCall(t, "connected").connection.Principal
		f := newFeed(p.Organization)
		defer b.block(f, c)()
		from := time.Now()
		b.Deliver(f.events(1, domain.EventTyping, domain.OrgRoom(p.Organization)))
		require.Equal(t, socket.ReasonSlowConsumer, b.requireEventualCall(t, "disconnected", time.Minute).reason)
		require.GreaterOrEqual(t, time.Since(from), 10*time.Second)
		require.Less(t, time.Since(from), 11*time.Second)
	})
}

// A client that does not take part in closing is cut after two seconds.
func TestCloseDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		c := b.pipe(t)
		c.login("good")
		p := b.requireCall(t, "connected").connection.Principal
		defer b.block(newFeed(p.Organization), c)()
		from := time.Now()
		b.CloseAgent(p.Organization, p.User)
		require.Equal(t, socket.ReasonRevoked, b.requireEventualCall(t, "disconnected", time.Minute).reason)
		require.GreaterOrEqual(t, time.Since(from), 2*time.Second)
		require.Less(t, time.Since(from), 2*time.Second+slack)
	})
}

// gws panics on such a header; without a guard the process would go with it.
func TestImpossibleFrameEndsOnlyItsConnection(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	witness := b.connect(t, "good")
	for _, length := range []uint64{1 << 63, 1<<63 + 5, 1<<64 - 1} {
		early, late := b.dial(t), b.connect(t, "good")
		for _, c := range []*client{early, late} {
			frame := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, length)
			_, err := c.NetConn().Write(append(frame, "maskabc"...))
			require.NoError(t, err)
			c.requireClosed(socket.ReasonProtocol)
		}
	}
	witness.requireAlive()
	b.requireMetric(t, "chatopshub_sockets", 1)
}

func TestProtocolErrorsEndTheSession(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	for _, text := range []string{``, `x`, `7`, `2`, `2probe`, `4`, `49`, `42["a"`, `42["connect"]`, `430{}`, `40{"token":"good"}`, `44{"message":"x"}`, `41[]`, `42/admin,["a"]`, `451-["a"]`, `bAQID`} {
		t.Run("connected "+text, func(t *testing.T) {
			t.Parallel()
			c := b.connect(t, "good")
			c.send(text)
			c.requireClosed(socket.ReasonProtocol)
		})
	}
	for _, text := range []string{`42["a"]`, `430[]`, `41`, `40[]`, `40null`, `40"x"`, `40{`} {
		t.Run("anonymous "+text, func(t *testing.T) {
			t.Parallel()
			c := b.dial(t)
			c.send(text)
			c.requireClosed(socket.ReasonProtocol)
		})
	}
	t.Run("binary", func(t *testing.T) {
		t.Parallel()
		c := b.connect(t, "good")
		require.NoError(t, c.WriteMessage(gws.OpcodeBinary, []byte{1, 2, 3}))
		c.requireClosed(socket.ReasonProtocol)
	})
	t.Run("not UTF-8", func(t *testing.T) {
		t.Parallel()
		c := b.connect(t, "good")
		require.NoError(t, c.WriteMessage(gws.OpcodeText, []byte("42[\"\xff\"]")))
		c.requireEnd()
		require.Equal(t, uint16(1007), c.closed.Code)
	})
}

func TestMeaninglessPacketsAreIgnored(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	for _, text := range []string{`0`, `3`, `5`, `6`, `4399[]`, `42["unknown"]`} {
		c.send(text)
	}
	c.requireAlive()
}

func TestClientCloses(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	for name, act := range map[string]func(*client){
		"close frame":  func(c *client) { _ = c.WriteClose(1000, nil) },
		"close packet": func(c *client) { c.send(`1`) },
		"end of TCP":   func(c *client) { c.drop() },
	} {
		c := b.connect(t, "good")
		b.requireCall(t, "connected")
		act(c)
		require.Equal(t, socket.ReasonClosed, b.requireCall(t, "disconnected").reason, name)
		c.requireEnd()
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	var clients []*client
	for range 20 {
		clients = append(clients, b.connect(t, "good"))
	}
	anonymous := b.dial(t)
	require.NoError(t, b.Shutdown(t.Context()))
	for _, c := range append(clients, anonymous) {
		c.requireClosed(socket.ReasonShutdown) // and no 41 before it:
		require.Empty(t, c.texts)
	}
	require.True(t, socket.ReasonShutdown.ComesBack())
	status, _ := b.tryDial(t, nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
	b.requireMetric(t, "chatopshub_sockets", 0)
	require.NoError(t, b.Shutdown(t.Context()), "again")
}

func TestShutdownCutsWhatDoesNotClose(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		var clients []*client
		for range 250 {
			c := b.pipe(t)
			c.login("good")
			clients = append(clients, c)
		}
		defer b.block(newFeed(b.requireCall(t, "connected").connection.Principal.Organization), clients...)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		from := time.Now()
		require.ErrorIs(t, b.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(from))
	})
}

func TestShutdownIsPaced(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bundle) {
		for range 250 {
			b.pipe(t).login("good")
		}
		from := time.Now()
		require.NoError(t, b.Shutdown(t.Context()))
		require.Equal(t, 200*time.Millisecond, time.Since(from))
	})
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := func() socket.Config {
		return socket.Config{
			Authenticator: newTokens(), Application: newApplication(), Registerer: prometheus.NewRegistry(), Logger: discard(),
		}
	}
	taken := prometheus.NewRegistry()
	c := good()
	c.Registerer = taken
	s, err := socket.New(c)
	require.NoError(t, err)
	require.NoError(t, s.Shutdown(t.Context()))

	for want, change := range map[string]func(*socket.Config){
		"Config.Authenticator":        func(c *socket.Config) { c.Authenticator = nil },
		"Config.Application":          func(c *socket.Config) { c.Application = nil },
		"Config.Registerer":           func(c *socket.Config) { c.Registerer = nil },
		"Config.Logger":               func(c *socket.Config) { c.Logger = nil },
		"Config.PingInterval":         func(c *socket.Config) { c.PingInterval = -1 },
		"Config.PingTimeout":          func(c *socket.Config) { c.PingTimeout = time.Microsecond },
		"Config.ConnectTimeout":       func(c *socket.Config) { c.ConnectTimeout = -time.Second },
		"Config.MaxPayload":           func(c *socket.Config) { c.MaxPayload = -1 },
		"Config.Limits.QueuedPackets": func(c *socket.Config) { c.Limits.QueuedPackets = -5 },
		`Config.Origins has "nohost"`: func(c *socket.Config) { c.Origins = []string{"https://ok.example", "nohost"} },
		"register socket metrics":     func(c *socket.Config) { c.Registerer = taken },
	} {
		c := good()
		change(&c)
		_, err := socket.New(c)
		require.ErrorContains(t, err, want)
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	codes := map[uint16]socket.Reason{}
	names := map[string]bool{}
	for r := socket.ReasonClientLeft; r <= socket.ReasonRevoked; r++ {
		require.NotEqual(t, "unknown", r.String())
		require.False(t, names[r.String()], r.String())
		names[r.String()] = true
		if code := r.Code(); code != 0 {
			require.NotContains(t, codes, code)
			codes[code] = r
			require.True(t, 4000 <= code && code < 5000, code)
			require.Equal(t, code < 4500, r.ComesBack())
		}
	}
	require.Equal(t, "unknown", fmt.Sprint(socket.ReasonRevoked+1))
}
