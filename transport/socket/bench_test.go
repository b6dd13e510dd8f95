package socket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lxzan/gws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// payload is about as long as a message.created.
var payload = []byte(`{"id":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e","conversationId":"0190a6e4-7b1c-7c3e-8a55-6f1d3f0a6a3e","direction":"INBOUND","agentId":null,"body":"Hello, I would like to know when my order 4711 will arrive.","mediaUrl":null,"mediaType":null,"type":"text","status":"DELIVERED","providerTimestamp":"2026-01-01T12:00:00.000Z","createdAt":"2026-01-01T12:00:00.123Z"}`)

// socketsOr is how many sockets to measure with: SOCKETS, a comma list, or the
// default.
func socketsOr(b *testing.B, byDefault ...int) []int {
	b.Helper()
	text := os.Getenv("SOCKETS")
	if text == "" {
		return byDefault
	}
	var sockets []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		require.NoError(b, err, "SOCKETS takes a comma list of numbers")
		sockets = append(sockets, n)
	}
	return sockets
}

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
func (c *crowd) count(w *stopwatch) {
	for i, conn := range c.conns {
		c.readers.Go(func() {
			buffer := make([]byte, 8<<10)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return
				}
				w.arrived(i, n)
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

// BenchmarkIdleSocket measures the memory of the server for one connected
// socket that does nothing, beside that of a bare gws connection. The clients
// are the same for both and in another process. SOCKETS=10000 is the real figure.
func BenchmarkIdleSocket(b *testing.B) {
	sockets := socketsOr(b, 2000)[0]
	var floor, ours float64
	for b.Loop() {
		bare := startBare(b)
		floor += perSocket(b, sockets, bare.url, "", func() { bare.take(sockets) })
		_, url := benchServer(b, sockets)
		ours += perSocket(b, sockets, url, `40{"token":"good"}`, func() {})
	}
	b.ReportMetric(floor/float64(b.N), "floor-B/socket")
	b.ReportMetric(ours/float64(b.N), "B/socket")
}

// perSocket is the growth of heap and stacks when the crowd comes.
func perSocket(b *testing.B, sockets int, url, login string, settled func()) float64 {
	b.Helper()
	before := inUse()
	leave := gatherElsewhere(b, sockets, url, login)
	settled()
	after := inUse()
	leave()
	return float64(after-before) / float64(sockets)
}

// crowdVariable has a process of this package's tests be clients and nothing
// else: number, URL and login, with a space after each of the first two.
const crowdVariable = "SOCKET_BENCH_CROWD"

// gatherElsewhere is gather in another process: one process may not have files
// enough for both ends of so many connections.
func gatherElsewhere(b *testing.B, sockets int, url, login string) (leave func()) {
	b.Helper()
	crowd := exec.Command(os.Args[0])
	crowd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", crowdVariable, sockets, url, login))
	crowd.Stderr = os.Stderr
	stdin, err := crowd.StdinPipe()
	require.NoError(b, err)
	stdout, err := crowd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, crowd.Start())
	said, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(b, err)
	require.Equal(b, "here\n", said)
	return func() {
		require.NoError(b, stdin.Close())
		require.NoError(b, crowd.Wait())
	}
}

// beCrowd is the other process: it says when all are connected, and leaves when
// its input ends.
func beCrowd(order string) int {
	testing.Benchmark(func(b *testing.B) {
		part := strings.SplitN(order, " ", 3)
		sockets, err := strconv.Atoi(part[0])
		require.NoError(b, err)
		c := gather(b, sockets, part[1], part[2])
		_, err = fmt.Fprintln(os.Stdout, "here")
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, os.Stdin)
		require.NoError(b, err)
		c.leave()
		os.Exit(0) // a benchmark would be repeated
	})
	return 1
}

func inUse() uint64 {
	for range 3 { // stacks shrink by half in each cycle
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
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
	return benchServerOf(b, sockets, quiet{})
}

func benchServerOf(b *testing.B, sockets int, app socket.Application) (*socket.Server, string) {
	server, err := socket.New(socket.Config{
		Authenticator: quiet{}, Application: app, Registerer: prometheus.NewRegistry(), Logger: discard(),
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
	s := &bare{conns: make(chan *gws.Conn, 20_000)}
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
