package socket_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket"
)

const (
	target  = "/socket.io/?EIO=4&transport=websocket"
	patient = 5 * time.Second // for what must come
)

// client is a WebSocket client that answers pings.
type client struct {
	*gws.Conn
	t      testing.TB
	silent bool        // does not answer pings
	texts  chan string // everything but pings
	pongs  chan string // payloads of pong frames
	pings  chan time.Time
	done   chan struct{} // closed when the connection has ended
	closed *gws.CloseError
	block  chan struct{} // if not nil: nothing is read until it is closed
}

func newClient(t testing.TB) *client {
	return &client{
		t: t, texts: make(chan string, 10_000), pongs: make(chan string, 100), pings: make(chan time.Time, 100), done: make(chan struct{}),
	}
}

func (c *client) OnOpen(*gws.Conn)                   {}
func (c *client) OnPing(*gws.Conn, []byte)           {}
func (c *client) OnPong(_ *gws.Conn, payload []byte) { c.pongs <- string(payload) }
func (c *client) OnMessage(ws *gws.Conn, m *gws.Message) {
	if c.block != nil {
		<-c.block
	}
	text := string(m.Bytes())
	if text != "2" {
		c.texts <- text
		return
	}
	c.pings <- time.Now()
	if !c.silent {
		c.send("3")
	}
}

func (c *client) OnClose(_ *gws.Conn, err error) {
	errors.As(err, &c.closed)
	close(c.done)
}

// run reads until the end of the test.
func (c *client) run(ws *gws.Conn) *client {
	c.Conn = ws
	go ws.ReadLoop()
	c.t.Cleanup(func() {
		c.drop()
		<-c.done
	})
	return c
}

// drop closes the connection without a word.
func (c *client) drop() { _ = c.NetConn().Close() } // may be closed already

func (b *bundle) dial(t testing.TB) *client {
	t.Helper()
	c := newClient(t)
	ws, _, err := gws.NewClient(c, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(b.url, "http") + target})
	require.NoError(t, err)
	c.run(ws)
	require.True(t, strings.HasPrefix(c.next(), `0{"sid":"`))
	return c
}

// connect dials and shows the token.
func (b *bundle) connect(t testing.TB, token string) *client {
	t.Helper()
	c := b.dial(t)
	c.login(token)
	return c
}

// login is the socket id of the new socket.
func (c *client) login(token string) string {
	c.t.Helper()
	c.send(`40{"token":"` + token + `"}`)
	text := c.next()
	require.True(c.t, strings.HasPrefix(text, `40{"sid":"`), text)
	var reply map[string]string
	require.NoError(c.t, json.Unmarshal([]byte(text[2:]), &reply))
	return reply["sid"]
}

// send may fail when the server has closed; the test sees that otherwise.
func (c *client) send(text string) { _ = c.WriteString(text) }

// next is the next text other than a ping.
func (c *client) next() string {
	c.t.Helper()
	select {
	case text := <-c.texts:
		return text
	default:
	}
	select {
	case text := <-c.texts:
		return text
	case <-c.done:
		select {
		case text := <-c.texts:
			return text
		default:
			require.FailNow(c.t, "connection closed", "%v", c.closed)
		}
	case <-time.After(patient):
		require.FailNow(c.t, "no text came")
	}
	return ""
}

// ask sends an event with ack id 7 and returns the acknowledgement.
func (c *client) ask(event string) string {
	c.t.Helper()
	c.send(`427` + event)
	text := c.next()
	require.True(c.t, strings.HasPrefix(text, "437["), text)
	return strings.TrimSuffix(strings.TrimPrefix(text, "437["), "]")
}

// requireClosed waits for the end and compares the reason that the server gave.
func (c *client) requireClosed(reason socket.Reason) {
	c.t.Helper()
	c.requireEnd()
	require.NotNil(c.t, c.closed, "no close frame came")
	require.Equal(c.t, reason.Code(), c.closed.Code)
	require.Equal(c.t, reason.String(), string(c.closed.Reason))
}

func (c *client) requireEnd() {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patient):
		require.FailNow(c.t, "the connection was left open")
	}
}

// requireAlive makes a round trip.
func (c *client) requireAlive() {
	c.t.Helper()
	require.Contains(c.t, c.ask(`["heartbeat"]`), `"ok":true`)
}

// requireCall waits for the next call of the application, of this name.
func (b *bundle) requireCall(t testing.TB, name string) call {
	t.Helper()
	select {
	case c := <-b.app.calls:
		require.Equal(t, name, c.name)
		return c
	case <-time.After(patient):
		require.FailNow(t, "no call of the application", name)
	}
	return call{}
}

// requireEventualCall passes over the calls before one of this name.
func (b *bundle) requireEventualCall(t testing.TB, name string, within time.Duration) call {
	t.Helper()
	deadline := time.After(within)
	for {
		select {
		case c := <-b.app.calls:
			if c.name == name {
				return c
			}
		case <-deadline:
			require.FailNow(t, "no call of the application", name)
		}
	}
}

// pipe connects a client without a network, so that time may be a fake.
func (b *bundle) pipe(t testing.TB) *client {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		buffered := bufio.NewReadWriter(bufio.NewReader(far), bufio.NewWriter(far))
		if r, err := http.ReadRequest(buffered.Reader); err == nil {
			b.ServeHTTP(&pipeWriter{http.Header{}, far, buffered}, r)
		}
	}()
	c := newClient(t)
	ws, _, err := gws.NewClientFromConn(c, &gws.ClientOption{Addr: "ws://pipe" + target}, near)
	require.NoError(t, err)
	c.run(ws)
	require.True(t, strings.HasPrefix(c.next(), `0{"sid":"`))
	return c
}

// pipeWriter is the http.ResponseWriter of one end of a pipe.
type pipeWriter struct {
	header   http.Header
	conn     net.Conn
	buffered *bufio.ReadWriter
}

func (w *pipeWriter) Header() http.Header                          { return w.header }
func (w *pipeWriter) Write(b []byte) (int, error)                  { return w.conn.Write(b) }
func (w *pipeWriter) WriteHeader(int)                              {}
func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn, w.buffered, nil }
