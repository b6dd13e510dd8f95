package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// runProgram runs the server in this process, so that the race detector sees
// all of it, on a database of the test's.
func runProgram(t testing.TB, db *persistencetest.Database, environ ...string) *program {
	t.Helper()
	return runProgramAmid(t, db, surroundings{}, environ...)
}

// runProgramAmid is runProgram with other surroundings.
func runProgramAmid(t testing.TB, db *persistencetest.Database, around surroundings, environ ...string) *program {
	t.Helper()
	cfg, _, err := loadConfig(append([]string{
		"PORT=0", "DATA_DIR=" + t.TempDir(), "DATABASE_URL=" + db.URL, "AUTH_SECRET=" + testAuthSecret, "REQUESTS_PER_USER=0", "REQUESTS_PER_ADDRESS=0",
		"WHATSAPP_APP_SECRET=" + testAppSecret, "MESSENGER_APP_SECRET=" + testAppSecret,
		"WHATSAPP_VERIFY_TOKEN=verify", "MESSENGER_VERIFY_TOKEN=verify", "META_GRAPH_URL=" + noPlatform,
	}, environ...), "")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := startAmid(ctx, cfg, slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelError + 1})), around)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.close()) })
	return p
}

type testLog struct{ t testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// awaitAgent waits until the server knows a user that the test has just made.
func awaitAgent(t testing.TB, p *program, n *tenantRows, a testAgent) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, ok := p.store.registry.User(n.org, a.id)
		return ok
	}, 10*time.Second, 5*time.Millisecond, "the server never heard of %s", a.name)
}

// socketClient is a bare Socket.IO client over WebSocket: it records events.
type socketClient struct {
	gws.BuiltinEventHandler
	conn *gws.Conn

	mu     sync.Mutex
	events []socketEvent
	other  []string // what isn't an event: connect, acks
	closed chan struct{}
	once   sync.Once
}

type socketEvent struct {
	name    string
	payload map[string]any
	offset  string
}

func dialSocket(t testing.TB, p *program, token string) *socketClient {
	t.Helper()
	return dialSocketAt(t, p.url(), token)
}

func dialSocketAt(t testing.TB, url, token string) *socketClient {
	t.Helper()
	return dialSocketAs(t, url, map[string]string{"token": token})
}

// dialSocketAs connects by what a client shows of itself.
func dialSocketAs(t testing.TB, url string, shown map[string]string) *socketClient {
	t.Helper()
	c := &socketClient{closed: make(chan struct{})}
	conn, _, err := gws.NewClient(c, &gws.ClientOption{
		Addr: strings.Replace(url, "http://", "ws://", 1) + "/socket.io/?EIO=4&transport=websocket",
	})
	require.NoError(t, err)
	c.conn = conn
	go conn.ReadLoop()
	t.Cleanup(func() {
		_ = conn.NetConn().Close() // the server may have closed it already
		<-c.closed
	})
	auth, err := json.Marshal(shown)
	require.NoError(t, err)
	c.send(t, "40"+string(auth))
	require.Eventually(t, func() bool { return c.has("40{") }, 10*time.Second, 2*time.Millisecond, "not connected")
	return c
}

func (c *socketClient) send(t testing.TB, packet string) {
	t.Helper()
	require.NoError(t, c.conn.WriteString(packet))
}

func (c *socketClient) has(prefix string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.other {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	return false
}

// OnMessage implements gws.Event.
func (c *socketClient) OnMessage(conn *gws.Conn, message *gws.Message) {
	defer message.Close()
	packet := message.Data.String()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case packet == "2":
		_ = conn.WriteString("3") // a broken connection shows in OnClose
	case packet == `42["session.revoked",{}]`: // it is in no feed, so it has no offset
		c.events = append(c.events, socketEvent{name: "session.revoked"})
	case strings.HasPrefix(packet, "42"):
		var parts []json.RawMessage
		var e socketEvent
		if json.Unmarshal([]byte(packet[2:]), &parts) != nil || len(parts) != 3 ||
			json.Unmarshal(parts[0], &e.name) != nil || json.Unmarshal(parts[1], &e.payload) != nil || json.Unmarshal(parts[2], &e.offset) != nil {
			e.name = "unreadable: " + packet
		}
		c.events = append(c.events, e)
	default:
		c.other = append(c.other, packet)
	}
}

// OnClose implements gws.Event.
func (c *socketClient) OnClose(*gws.Conn, error) { c.once.Do(func() { close(c.closed) }) }

// named is the events of that name so far.
func (c *socketClient) named(name string) []socketEvent {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []socketEvent
	for _, e := range c.events {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// await waits until n events of that name have come.
func (c *socketClient) await(t testing.TB, name string, n int) []socketEvent {
	t.Helper()
	require.Eventually(t, func() bool { return len(c.named(name)) >= n }, 15*time.Second, 2*time.Millisecond,
		"%d × %s never came", n, name)
	return c.named(name)
}

// settle makes sure that everything that was published before has arrived: the
// feed has one order, and what another agent's coming publishes is last in it.
func (n *tenantRows) settle(p *program, watcher *socketClient) {
	n.t.Helper()
	marker := n.agent("marker "+entropyText(), "AGENT")
	awaitAgent(n.t, p, n, marker)
	dialSocket(n.t, p, marker.token)
	require.Eventually(n.t, func() bool {
		for _, e := range watcher.named("agent.presence") {
			if e.payload["agentId"] == marker.id.String() {
				return true
			}
		}
		return false
	}, 15*time.Second, 2*time.Millisecond, "the marker never came")
}

func TestReadinessTellsOfEachPart(t *testing.T) {
	t.Parallel()
	p := runProgram(t, persistencetest.New(t))
	client := testClient(t)
	var a answer
	require.Eventually(t, func() bool { // the writer's lanes connect in the background
		a = call(client, http.MethodGet, p.url()+"/readyz", "", nil)
		return a.status == http.StatusOK
	}, 10*time.Second, 20*time.Millisecond)
	require.Len(t, a.body["checks"], 2)
}
