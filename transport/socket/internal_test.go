package socket

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// firing counts how often and when a timer expired.
type firing struct {
	timer
	at []time.Time
}

func (f *firing) expire(now time.Time) { f.at = append(f.at, now) }

// Every timer expires once, never early, and late by no more than a tick; those
// that were moved only at their new time, those that were cancelled never.
func TestWheel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1_700_000_000, 0)
		w := &wheel{start: start}
		delay := rapid.Int64Range(0, int64(3*wheelSlots*wheelTick))
		timers := make([]*firing, rapid.IntRange(1, 20).Draw(t, "timers"))
		due := make([]time.Time, len(timers))
		for i := range timers {
			timers[i] = &firing{}
			timers[i].owner = timers[i]
			for range rapid.IntRange(1, 3).Draw(t, "moves") {
				due[i] = start.Add(time.Duration(delay.Draw(t, "delay")))
				w.schedule(&timers[i].timer, due[i])
			}
			if rapid.IntRange(0, 4).Draw(t, "cancel") == 0 {
				w.cancel(&timers[i].timer)
				due[i] = time.Time{}
			}
		}
		for now := start; now.Before(start.Add(4 * wheelSlots * wheelTick)); now = now.Add(wheelTick) {
			w.advance(now)
		}
		for i, f := range timers {
			if due[i].IsZero() {
				require.Empty(t, f.at)
				continue
			}
			require.Len(t, f.at, 1)
			require.False(t, f.at[0].Before(due[i]))
			require.LessOrEqual(t, f.at[0].Sub(due[i]), wheelTick+wheelTick)
		}
	})
}

// A wheel that was held up deals with everything that became due meanwhile.
func TestWheelCatchesUp(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	w := &wheel{start: start}
	timers := make([]*firing, 100)
	for i := range timers {
		timers[i] = &firing{}
		timers[i].owner = timers[i]
		w.schedule(&timers[i].timer, start.Add(time.Duration(i)*time.Second))
	}
	w.advance(start.Add(time.Hour))
	for _, f := range timers {
		require.Len(t, f.at, 1)
	}
}

func TestOutboxCountsWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	l := Limits{QueuedBytes: 10, QueuedPackets: 3}
	var o outbox
	o.push(make(frame, 4), make(frame, 4))
	batch := o.take(nil)
	require.Len(t, batch, 2)
	require.False(t, o.over(&l))
	o.push(make(frame, 3))
	require.True(t, o.over(&l), "bytes")
	require.Len(t, o.take(batch), 1)
	require.False(t, o.over(&l))
	o.push(make(frame, 1), make(frame, 1), make(frame, 1))
	require.True(t, o.over(&l), "packets")
	require.Equal(t, outbox{queue: o.queue, bytes: 6, packets: 4}, o)
}

// What a client missed doesn't count until it is sent; what comes meanwhile does.
func TestOutboxExcusesAReplay(t *testing.T) {
	t.Parallel()
	l := Limits{QueuedBytes: 10, QueuedPackets: 3}
	var o outbox
	o.push(make(frame, 5))
	o.excuse([]frame{make(frame, 100), make(frame, 100), make(frame, 100), make(frame, 100)})
	require.False(t, o.over(&l))
	o.push(make(frame, 10))
	require.False(t, o.over(&l))
	o.push(make(frame, 1))
	require.True(t, o.over(&l))
	batch := o.take(nil)
	o.push(make(frame, 10))
	require.True(t, o.over(&l), "still being written")
	o.take(batch)
	require.False(t, o.over(&l))
	require.Equal(t, outbox{queue: o.queue, bytes: 10, packets: 1}, o)
}

func TestOutboxKeepsNoMemoryWhenIdle(t *testing.T) {
	t.Parallel()
	var o outbox
	o.push(frame("a"))
	require.Nil(t, o.take(o.take(nil)))
	require.Equal(t, outbox{}, o)
	o.push(frame("a"))
	require.Len(t, o.takeAll(), 1)
	require.Equal(t, outbox{}, o)
}

// What the gatherer writes is the frames in order, whatever their sizes.
func TestGatherer(t *testing.T) {
	t.Parallel()
	g := newGatherer()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(writeSize-2, writeSize+2), rapid.IntRange(0, 3*writeSize)), 1, 30).Draw(t, "sizes")
		batch := make([]frame, len(sizes))
		var want []byte
		for i, n := range sizes {
			batch[i] = bytes.Repeat([]byte{byte(i)}, n)
			want = append(want, batch[i]...)
		}
		var c sink
		require.NoError(t, g.write(&c, batch))
		require.True(t, bytes.Equal(want, c.Bytes()))
		require.LessOrEqual(t, c.writes, 2*len(want)/writeSize+len(batch)/2+2)
	})
}

// sink is a net.Conn that only takes.
type sink struct {
	net.Conn
	bytes.Buffer
	writes int
}

func (s *sink) Read(p []byte) (int, error)       { return s.Buffer.Read(p) }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Write(p []byte) (int, error) {
	s.writes++
	return s.Buffer.Write(p)
}

// gws reads our frames as what they are.
func TestFrames(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 100_000} {
		payload := bytes.Repeat([]byte("a"), n)
		f := textFrame(0, func(dst []byte) []byte { return append(dst, payload...) })
		got := parseFrames(t, f)
		require.Len(t, got, 1)
		require.True(t, bytes.Equal(payload, got[0]), n)
		require.True(t, bytes.Equal(payload, f.payload()), n)
	}
	for r := ReasonClientLeft; r <= ReasonRevoked; r++ {
		require.LessOrEqual(t, len(closeFrame(r)), 127, r)
	}
}

// texts collects the messages that a gws client reads.
type texts struct {
	gws.BuiltinEventHandler
	got [][]byte
}

func (c *texts) OnMessage(_ *gws.Conn, m *gws.Message) { c.got = append(c.got, bytes.Clone(m.Bytes())) }

func parseFrames(t *testing.T, raw []byte) [][]byte {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- writeBehindHandshake(far, raw) }()
	c := &texts{}
	ws, _, err := gws.NewClientFromConn(c, &gws.ClientOption{Addr: "ws://pipe/"}, near)
	require.NoError(t, err)
	ws.ReadLoop()
	require.NoError(t, <-served)
	return c.got
}

// writeBehindHandshake answers a WebSocket handshake, writes and closes.
func writeBehindHandshake(conn net.Conn, raw []byte) error {
	ready := &wire{Conn: conn}
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return err
	}
	if _, err := newUpgrader(1000).Upgrade(hijacked{nil, ready}, r); err != nil {
		return err
	}
	if _, err := conn.Write(raw); err != nil {
		return err
	}
	return conn.Close()
}

func TestBucket(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	var b bucket
	takeAll := func() (n int) {
		for b.take(now, 50, 100) {
			n++
		}
		return n
	}
	require.Equal(t, 100, takeAll())
	now = now.Add(time.Second)
	require.Equal(t, 50, takeAll())
	now = now.Add(time.Hour)
	require.Equal(t, 100, takeAll())
	for range 1000 { // 50 a second is no flood, however it is spread
		now = now.Add(time.Duration(20+rand.IntN(3)) * time.Millisecond)
		require.True(t, b.take(now, 50, 100))
	}
}
