package socket_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// tryBare connects to /ws with these subprotocols.
func (b *bundle) tryBare(t testing.TB, query, protocols string, header http.Header) (*client, *http.Response) {
	t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Sec-WebSocket-Protocol", protocols)
	c := newClient(t)
	ws, response, err := gws.NewClient(c, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(b.url, "http") + "/ws" + query, RequestHeader: header})
	if err != nil {
		require.NotNil(t, response, err)
		require.NoError(t, response.Body.Close())
		return nil, response
	}
	require.Equal(t, "bearer", ws.SubProtocol())
	return c.run(ws), response
}

func (b *bundle) connectBare(t testing.TB, query, protocols string) *client {
	t.Helper()
	c, response := b.tryBare(t, query, protocols, nil)
	require.NotNil(t, c, response)
	return c
}

func TestBareClient(t *testing.T) {
	t.Parallel()
	b := startRecovering(t, nil)
	p := b.tokens.add("good", principal(newOrganization()))
	c := b.connectBare(t, "", "bearer, good")
	greeting := c.next()
	require.Regexp(t, `^\{"event":"connected","data":\{"sid":"[A-Za-z0-9_-]{20}","pid":"[A-Za-z0-9_-]{20}","recovered":false\}\}$`, greeting)
	conversation := b.app.show(p.Organization)
	for command, answer := range map[string]string{
		`{"event":"heartbeat","id":1}`: `^\{"event":"ack","data":\{"ok":true,"at":"[^"]+"\},"id":1\}$`,
		fmt.Sprintf(`{"event":"join:conversation","data":{"conversationId":%q},"id":"mine"}`, conversation):             `^\{"event":"ack","data":\{"ok":true\},"id":"mine"\}$`,
		fmt.Sprintf(`{"event":"join:conversation","data":{"conversationId":%q},"id":2}`, b.app.show(newOrganization())): `"code":"not_found"\},"id":2\}$`,
		`{"event":"unknown","id":3}`:                                   `"code":"bad_request","message":"unknown event"\},"id":3\}$`,
		`{"event":"presence:set","data":{"status":"SLEEPING"},"id":4}`: `status must be ONLINE or AWAY`,
	} {
		c.send(command)
		require.Regexp(t, answer, c.next())
	}
	c.send(`{"event":"heartbeat"}`) // no id: no answer
	b.publish(p.Organization, 1, domain.ConversationRoom(conversation))
	require.JSONEq(t, fmt.Sprintf(`{"event":"typing","data":{},"id":%q}`, b.offset(1)), c.next())

	// It comes back with its pid and the id of the last event.
	pid := strings.Split(greeting, `"`)[13]
	c.drop()
	b.publish(p.Organization, 1, domain.ConversationRoom(conversation))
	c = b.connectBare(t, "?offset="+b.offset(1), "bearer, good, "+pid)
	require.JSONEq(t, fmt.Sprintf(`{"event":"typing","data":{},"id":%q}`, b.offset(2)), c.next())
	require.Equal(t, strings.Replace(greeting, "false", "true", 1), c.next())
	b.CloseAgent(p.Organization, p.User)
	require.JSONEq(t, `{"event":"session.revoked","data":{}}`, c.next())
	c.requireClosed(socket.ReasonRevoked)
}

// Browsers can't see the status of a refused handshake, so a token is refused
// by a close code.
func TestBareClientWithoutAGoodToken(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.failNext("expired", auth.ErrTokenExpired)
	for _, token := range []string{"bad", "expired"} {
		b.connectBare(t, "", "bearer, "+token).requireClosed(socket.ReasonUnauthorized)
	}
	require.False(t, socket.ReasonUnauthorized.ComesBack())
	for _, protocols := range []string{"chat", "bearer", "good, bearer"} {
		_, response := b.tryBare(t, "", protocols, nil)
		require.Equal(t, http.StatusBadRequest, response.StatusCode, protocols)
	}
	_, response := b.tryBare(t, "", "bearer, bad", http.Header{"Origin": {"https://elsewhere.example"}})
	require.Equal(t, http.StatusForbidden, response.StatusCode)
}

func TestBareProtocolErrors(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	b.tokens.add("good", principal(newOrganization()))
	for _, text := range []string{``, `{`, `[]`, `1`, `"x"`, `{}`, `{"data":{}}`, `{"event":7}`, `{"event":"x"} {`, `{"event":"x","id":"` + strings.Repeat("a", 64) + `"}`} {
		c := b.connectBare(t, "", "bearer,good")
		c.next()
		c.send(text)
		c.requireClosed(socket.ReasonProtocol)
	}
}

func TestBareFlood(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *socket.Config) { c.Limits.PacketsPerSecond, c.Limits.PacketBurst = 1, 3 })
	b.tokens.add("good", principal(newOrganization()))
	c := b.connectBare(t, "", "bearer,good")
	c.next()
	for i := range 6 {
		c.send(fmt.Sprintf(`{"event":"heartbeat","id":%d}`, i))
	}
	for range 3 {
		require.Contains(t, c.next(), `"ok":true`)
	}
	require.JSONEq(t, `{"event":"ack","data":{"ok":false,"code":"rate_limited"},"id":3}`, c.next())
	c.requireClosed(socket.ReasonRateLimited)
}
