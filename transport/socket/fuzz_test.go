package socket_test

import (
	"encoding/json"
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

// Whatever is posted: the answer is one that clients understand, the session
// goes on or ends, and another one works.
func FuzzPollingPayload(f *testing.F) {
	for _, seed := range []string{
		`3`, `6`, `1`, `2`, `5`, "", "\x1e", "6\x1e", "6\x1e\x1e6", `41`, `40{"token":"good"}`, `420["heartbeat"]` + "\x1e" + `421["heartbeat"]`,
		`40{"token":"good","pid":"AAAAAAAAAAAAAAAAAAAA","offset":"e:1"}`, `d=42%5B%22a%22%5D`, "42[\"a\",\"\xff\"]", `b4AQID`, `451-["a",{"_placeholder":true,"num":0}]`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	b := build(f, func(c *socket.Config) { c.Limits.AnonymousPerRemote, c.Limits.Anonymous = 10_000, 10_000 })
	b.tokens.add("good", principal(newOrganization()))
	f.Fuzz(func(t *testing.T, body string, connected bool) {
		p := b.startPolling(t)
		if connected {
			p = b.connectPolling(t, "good")
		}
		require.Equal(t, 200, p.post(body))
		require.Contains(t, []int{200, 400}, p.post("1"))
		witness := b.connectPolling(t, "good")
		require.Equal(t, 200, witness.post(`420["heartbeat"]`))
		require.Regexp(t, `^430\[\{"ok":true`, witness.get())
		require.Equal(t, 200, witness.post("1"))
	})
}

// Whatever is sent to /ws, as frames and as text messages: each command with an
// id has one answer, or the connection ends, and another one works.
func FuzzBareConnection(f *testing.F) {
	for _, seed := range []string{
		`{"event":"heartbeat","id":1}`, `{"event":"heartbeat","id":{"a":[1,2]}}`, `{"event":"join:conversation","data":{"conversationId":7},"id":null}`,
		`{"event":"typing","data":null,"id":""}`, `{}`, `[]`, ``, `{"event":"\u0000","id":"\u2028"}`, "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x05", "\x8a\x80\x00\x00\x00\x00",
	} {
		f.Add(seed, []byte(seed))
	}
	b := start(f, func(c *socket.Config) { c.Limits.AnonymousPerRemote, c.Limits.Anonymous = 10_000, 10_000 })
	b.tokens.add("good", principal(newOrganization()))
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		c, witness := b.connectBare(t, "", "bearer,good"), b.connectBare(t, "", "bearer,good")
		require.Contains(t, c.next(), `"event":"connected"`)
		require.Contains(t, witness.next(), `"event":"connected"`)
		require.NoError(t, c.NetConn().SetDeadline(time.Now().Add(patient)))
		c.send(text)
		_, _ = c.NetConn().Write(raw) // the server may have closed
		c.drop()
		<-c.done
		for len(c.texts) > 0 {
			require.True(t, json.Valid([]byte(<-c.texts)))
		}
		witness.send(`{"event":"heartbeat","id":1}`)
		require.Contains(t, witness.next(), `"ok":true`)
	})
}
