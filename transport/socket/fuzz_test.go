package socket_test

import (
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket"
)

// Whatever a client sends, as frames of its own making and as text messages,
// before and after it has shown a token: its socket comes to an end when the
// connection does, and another one works.
func FuzzConnection(f *testing.F) {
	for _, seed := range [][]byte{
		{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4}, // length with the top bit set
		{0x81, 0xfe, 0, 3, 0, 0, 0, 0, 'x'},
		{0x01, 0x82, 0, 0, 0, 0, '4', '2', 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x80, 0, 0, 0, 0},
		{0x88, 0x82, 0, 0, 0, 0, 3, 0xe8},
		{0x82, 0x80, 0, 0, 0, 0},
		[]byte(`42["join:conversation",{"conversationId":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e"}]`),
		[]byte(`421["typing",{"conversationId":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e","on":true}]`),
		[]byte(`41`), []byte(`40{"token":"good"}`), []byte(`40/admin,`), []byte(`1`), []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		f.Add(seed, seed, true)
		f.Add(seed, seed, false)
	}
	b := build(f, func(c *socket.Config) { c.Limits.AnonymousPerRemote, c.Limits.Anonymous = 10_000, 10_000 })
	b.tokens.add("good", principal(newOrganization()))
	f.Fuzz(func(t *testing.T, text, raw []byte, connected bool) {
		witness := b.pipe(t)
		c := b.pipe(t)
		id := ""
		if connected {
			id = c.login("good")
		}
		require.NoError(t, c.NetConn().SetDeadline(time.Now().Add(patient)))
		_ = c.WriteMessage(gws.OpcodeText, text) // the server may have closed
		_, _ = c.NetConn().Write(raw)            // as above
		c.drop()
		for connected && b.requireEventualCall(t, "disconnected", patient).connection.ID != id {
			t.Log("another socket of the same client ended first")
		}
		witness.login("good")
		witness.requireAlive()
	})
}
