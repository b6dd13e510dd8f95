package socket_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket"
)

func TestConnectTellsTheApplicationWho(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	c := b.dial(t)
	id := c.login("good")

	connected := b.requireCall(t, "connected").connection
	require.Equal(t, id, connected.ID)
	require.Equal(t, p, connected.Principal)
	require.Equal(t, netip.MustParseAddr("127.0.0.1"), connected.RemoteAddr)
	c.drop()
	gone := b.requireCall(t, "disconnected")
	require.Equal(t, connected, gone.connection)
	require.True(t, gone.reason.ComesBack() || gone.reason == socket.ReasonClosed)
}

func TestConnectRefusesBadTokens(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	b.tokens.failNext("expired", auth.ErrTokenExpired)
	b.tokens.failNext("revoked", auth.ErrTokenRevoked)
	c := b.dial(t)
	for _, connect := range []string{
		`40`, `40{}`, `40{"token":"bad"}`, `40{"token":""}`, `40{"token":null}`, `40{"token":7}`, `40{"token":{"a":1}}`,
		`40{"token":"expired"}`, `40{"token":"revoked"}`, `40{"pid":1,"offset":[]}`,
	} {
		c.send(connect)
		require.Equal(t, `44{"message":"unauthorized"}`, c.next(), connect)
	}
	c.login("good") // a refusal is not the end of the session
	c.requireAlive()
	b.requireCall(t, "connected") // once, for the good one
	b.requireCall(t, "heartbeat")
}

func TestConnectIgnoresPidsWithoutRecovery(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.dial(t)
	c.send(`40{"token":"good","pid":"Mh6MosVB5t2MrcexAAAF","offset":"x:1"}`)
	require.Regexp(t, `^40\{"sid":"[A-Za-z0-9_-]{20}"\}$`, c.next())
}

// A token that can't be checked is no reason to stay away, so it is not 44.
func TestConnectClosesWhenTheTokenCannotBeChecked(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.failNext("good", errors.New("no database"))
	c := b.dial(t)
	c.send(`40{"token":"good"}`)
	c.requireClosed(socket.ReasonUnavailable)
	require.True(t, socket.ReasonUnavailable.ComesBack())
}

// A revocation between the check of the token and the moment when the socket is
// in its rooms finds no socket to close: the second check has to see it.
func TestConnectSeesARevocationThatCameBetween(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	b.tokens.failNext("good", nil, auth.ErrTokenRevoked)
	c := b.dial(t)
	c.login("good")
	require.Equal(t, `42["session.revoked",{}]`, c.next())
	require.Equal(t, `41`, c.next())
	c.requireClosed(socket.ReasonRevoked)
	b.requireCall(t, "connected")
	require.Equal(t, socket.ReasonRevoked, b.requireCall(t, "disconnected").reason)
}

// Expiry does not cut a live socket.
func TestConnectSurvivesExpiryAfterTheCheck(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	b.tokens.failNext("good", nil, auth.ErrTokenExpired)
	b.connect(t, "good").requireAlive()
}

func TestOtherNamespacesDoNotExist(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.connect(t, "good")
	c.send(`40/admin,{"token":"good"}`)
	require.Equal(t, `44/admin,{"message":"Invalid namespace"}`, c.next())
	c.requireAlive()
}

func TestSocketMayLeaveAndConnectAgain(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	c := b.dial(t)
	first := c.login("good")
	c.send(`41`)
	second := c.login("good")
	require.NotEqual(t, first, second)
	c.requireAlive()

	require.Equal(t, first, b.requireCall(t, "connected").connection.ID)
	left := b.requireCall(t, "disconnected")
	require.Equal(t, first, left.connection.ID)
	require.Equal(t, socket.ReasonClientLeft, left.reason)
	require.False(t, left.reason.ComesBack())
	require.Equal(t, second, b.requireCall(t, "connected").connection.ID)
}

func TestSessionWithoutSocketIsClosed(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.ConnectTimeout = 300 * time.Millisecond })
	b.tokens.add("good", principal(newOrganization()))
	for name, prepare := range map[string]func(*client){
		"never connects":       func(*client) {},
		"only tries in vain":   func(c *client) { c.send(`40{"token":"bad"}`) },
		"leaves and stays":     func(c *client) { c.login("good"); c.send(`41`) },
		"another namespace":    func(c *client) { c.send(`40/x,`) },
		"answers nothing else": func(c *client) { c.send(`3`); c.send(`6`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.dial(t)
			prepare(c)
			c.requireClosed(socket.ReasonConnectTimeout)
		})
	}
	c := b.connect(t, "good")
	require.Never(t, func() bool {
		select {
		case <-c.done:
			return true
		default:
			return false
		}
	}, 600*time.Millisecond, 50*time.Millisecond)
	c.requireAlive()
}
