package socket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// payload is about as long as a message.created.
var payload = []byte(`{"id":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e","conversationId":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e","direction":"INBOUND","agentId":null,"body":"Hello, I would like to know when my order 4711 will arrive.","mediaUrl":null,"mediaType":null,"type":"text","status":"DELIVERED","providerTimestamp":"2026-01-01T12:00:00.000Z","createdAt":"2026-01-01T12:00:00.123Z"}`)

// crowd is many cheap clients that only count what they get.
type crowd struct {
	conns    []net.Conn
	received atomic.Int64 // bytes
	moved    chan struct{}
	readers  sync.WaitGroup
}

// gather connects n clients. login is what each sends once it is connected.
func gather(b *testing.B, n int, url, login string) *crowd {
	b.Helper()
	c := &crowd{moved: make(chan struct{}, 1)}
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		require.NoError(b, err)
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", target)
		require.NoError(b, err)
		r := bufio.NewReaderSize(conn, 512)
		response, err := http.ReadResponse(r, nil)
		require.NoError(b, err)
		require.Equal(b, http.StatusSwitchingProtocols, response.StatusCode)
		require.NoError(b, response.Body.Close())
		if login != "" {
			skipFrame(b, r)
			_, err = conn.Write(masked(login))
			require.NoError(b, err)
			skipFrame(b, r)
		}
		require.Zero(b, r.Buffered())
		c.conns = append(c.conns, conn)
	}
	return c
}

// skipFrame reads one short frame.
func skipFrame(b *testing.B, r *bufio.Reader) {
	b.Helper()
	head := make([]byte, 2)
	_, err := io.ReadFull(r, head)
	require.NoError(b, err)
	n := int(head[1])
	if n == 126 {
		_, err = io.ReadFull(r, head)
		require.NoError(b, err)
		n = int(head[0])<<8 | int(head[1])
	}
	_, err = r.Discard(n)
	require.NoError(b, err)
}

// masked is a short text frame of a client, with the mask 0.
func masked(text string) []byte {
	return append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

// count starts to read.
func (c *crowd) count() {
	for _, conn := range c.conns {
		c.readers.Go(func() {
			buffer := make([]byte, 8<<10)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return
				}
				c.received.Add(int64(n))
				select {
				case c.moved <- struct{}{}:
				default:
				}
			}
		})
	}
}

// await waits until the crowd has got so many bytes.
func (c *crowd) await(bytes int64) {
	for c.received.Load() < bytes {
		<-c.moved
	}
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close() // nothing is left to read
	}
	c.readers.Wait()
}

// fanout is a measurement of deliveries to all of a crowd.
type fanout struct {
	sockets int
	// window is how many events may be on their way: with 1 each event has
	// arrived everywhere before the next is sent, with many the sockets are
	// always busy and writes can be gathered.
	window int
	events []domain.FeedEvent
}

// fanoutDeliveries are made in one round.
const fanoutDeliveries = 200_000

func newFanout(sockets, window int) *fanout {
	feed := newFeed(benchPrincipal.Organization)
	feed.seq = 100_000 // all numbers have the same length
	f := &fanout{sockets, window, feed.events(fanoutDeliveries/sockets, domain.EventMessageCreated, domain.OrgRoom(feed.organization))}
	for i := range f.events {
		f.events[i].Data = payload
	}
	return f
}

// run sends the events until each client has all, and returns the deliveries
// per second.
func (f *fanout) run(c *crowd, send func(domain.FeedEvent)) float64 {
	c.count()
	const head = 4 // of a frame of 126 to 65,535 bytes
	all := int64(f.sockets) * int64(head+len(eventText(f.events[0])))
	from := time.Now()
	for i, e := range f.events {
		c.await(int64(i-f.window+1) * all)
		send(e)
	}
	c.await(int64(len(f.events)) * all)
	return float64(len(f.events)) * float64(f.sockets) / time.Since(from).Seconds()
}

// hub measures ours.
func (f *fanout) hub(b *testing.B) float64 {
	server, url := benchServer(b, f.sockets)
	c := gather(b, f.sockets, url, `40{"token":"good"}`)
	defer c.leave()
	return f.run(c, func(e domain.FeedEvent) { server.Deliver([]domain.FeedEvent{e}) })
}

// bare measures gws alone, with one of its ways to send a text to many.
func (f *fanout) bare(b *testing.B, send func([]*gws.Conn, []byte)) float64 {
	s := startBare(b)
	c := gather(b, f.sockets, s.url, "")
	defer c.leave()
	conns := s.take(f.sockets)
	return f.run(c, func(e domain.FeedEvent) { send(conns, []byte(eventText(e))) })
}

func broadcast(conns []*gws.Conn, text []byte) {
	broadcaster := gws.NewBroadcaster(gws.OpcodeText, text)
	for _, conn := range conns {
		_ = broadcaster.Broadcast(conn) // after an error, await would hang
	}
	_ = broadcaster.Close() // never fails
}

func loop(conns []*gws.Conn, text []byte) {
	for _, conn := range conns {
		_ = conn.WriteMessage(gws.OpcodeText, text) // as above
	}
}

// BenchmarkFanout measures how many deliveries a second the hub makes to all
// sockets of an organization. The floor, in the same run and with the same
// clients, is the faster of what gws offers: its broadcaster and a plain loop.
func BenchmarkFanout(b *testing.B) {
	for _, sockets := range []int{500, 2000} {
		for _, window := range []int{1, 100} {
			b.Run(fmt.Sprintf("sockets=%d/window=%d", sockets, window), func(b *testing.B) {
				f := newFanout(sockets, window)
				var floor, ours float64
				for b.Loop() {
					floor += max(f.bare(b, broadcast), f.bare(b, loop))
					ours += f.hub(b)
				}
				b.ReportMetric(floor/float64(b.N), "floor-deliveries/s")
				b.ReportMetric(ours/float64(b.N), "deliveries/s")
				b.ReportMetric(ours/floor, "ratio")
			})
		}
	}
}

func eventText(e domain.FeedEvent) string {
	return fmt.Sprintf(`42[%q,%s,%q]`, e.Name, e.Data, e.Offset())
}

// BenchmarkIdleSocket measures the memory of the server for one connected
// socket that does nothing, beside that of a bare gws connection. The clients
// are the same for both and hold next to nothing in this process.
func BenchmarkIdleSocket(b *testing.B) {
	const sockets = 2000
	var floor, ours float64
	for b.Loop() {
		bare := startBare(b)
		floor += perSocket(sockets, func() *crowd { return gather(b, sockets, bare.url, "") }, func() { bare.take(sockets) })
		_, url := benchServer(b, sockets)
		ours += perSocket(sockets, func() *crowd { return gather(b, sockets, url, `40{"token":"good"}`) }, func() {})
	}
	b.ReportMetric(floor/float64(b.N), "floor-B/socket")
	b.ReportMetric(ours/float64(b.N), "B/socket")
}

// perSocket is the growth of heap and stacks when the crowd comes.
func perSocket(sockets int, come func() *crowd, settled func()) float64 {
	before := inUse()
	crowd := come()
	settled()
	after := inUse()
	crowd.leave()
	return float64(after-before) / float64(sockets)
}

func inUse() uint64 {
	for range 3 { // stacks shrink by half in each cycle
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkReconnectStorm measures how long it takes until 1,000 clients that
// all come at once are connected, when the limits let them in; the floor is as
// many handshakes with bare gws.
func BenchmarkReconnectStorm(b *testing.B) {
	const sockets = 1000
	var floor, ours time.Duration
	for b.Loop() {
		bare := startBare(b)
		from := time.Now()
		storm(b, sockets, bare.url, "")
		bare.take(sockets)
		floor += time.Since(from)
		_, url := benchServer(b, sockets)
		from = time.Now()
		storm(b, sockets, url, `40{"token":"good"}`)
		ours += time.Since(from)
	}
	b.ReportMetric(floor.Seconds()/float64(b.N)*1000, "floor-ms/storm")
	b.ReportMetric(ours.Seconds()/float64(b.N)*1000, "ms/storm")
	b.ReportMetric(ours.Seconds()/floor.Seconds(), "ratio")
}

// storm connects all at once and lets them go.
func storm(b *testing.B, sockets int, url, login string) {
	b.Helper()
	var coming sync.WaitGroup
	crowds := make(chan *crowd, sockets)
	for range sockets {
		coming.Go(func() { crowds <- gather(b, 1, url, login) })
	}
	coming.Wait()
	for range sockets {
		(<-crowds).leave()
	}
}

var benchPrincipal = principal(newOrganization())

// quiet is an Authenticator and Application that costs nothing.
type quiet struct{ *application }

func (quiet) Authenticate(context.Context, string) (auth.Principal, error) {
	return benchPrincipal, nil
}
func (quiet) Connected(context.Context, socket.Connection)                   {}
func (quiet) Disconnected(context.Context, socket.Connection, socket.Reason) {}

func benchServer(b *testing.B, sockets int) (*socket.Server, string) {
	server, err := socket.New(socket.Config{
		Authenticator: quiet{}, Application: quiet{}, Registerer: prometheus.NewRegistry(), Logger: discard(),
		Limits: socket.Limits{Sessions: sockets, Anonymous: sockets, AnonymousPerRemote: sockets},
	})
	require.NoError(b, err)
	listener := httptest.NewServer(server)
	b.Cleanup(func() {
		require.NoError(b, server.Shutdown(context.Background()))
		listener.Close()
	})
	return server, listener.URL
}

// bare is gws alone.
type bare struct {
	gws.BuiltinEventHandler
	url   string
	conns chan *gws.Conn
}

func startBare(b *testing.B) *bare {
	s := &bare{conns: make(chan *gws.Conn, 10_000)}
	upgrader := gws.NewUpgrader(s, &gws.ServerOption{ReadBufferSize: 1 << 10})
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r); err == nil {
			go conn.ReadLoop()
			s.conns <- conn
		}
	}))
	s.url = listener.URL
	b.Cleanup(listener.Close)
	return s
}

// take waits for n connections.
func (s *bare) take(n int) []*gws.Conn {
	conns := make([]*gws.Conn, n)
	for i := range conns {
		conns[i] = <-s.conns
	}
	return conns
}
