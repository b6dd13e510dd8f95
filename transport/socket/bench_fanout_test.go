package socket_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/chatopshub/chatopshub/domain"
)

// stopwatch measures how long each of the events takes to each client. All
// frames have the same size.
type stopwatch struct {
	from time.Time
	size int
	sent []atomic.Int64 // ns from then
	got  []int          // bytes, by client
	took [][]time.Duration
}

func newStopwatch(clients, events, size int) *stopwatch {
	w := &stopwatch{from: time.Now(), size: size, sent: make([]atomic.Int64, events), got: make([]int, clients), took: make([][]time.Duration, clients)}
	for i := range w.took {
		w.took[i] = make([]time.Duration, 0, events)
	}
	return w
}

// start says that the event is sent now.
func (w *stopwatch) start(event int) { w.sent[event].Store(int64(time.Since(w.from))) }

// arrived says that the client has got so many bytes more.
func (w *stopwatch) arrived(client, bytes int) {
	now := time.Since(w.from)
	w.got[client] += bytes
	for event := len(w.took[client]); event < w.got[client]/w.size; event++ {
		w.took[client] = append(w.took[client], now-time.Duration(w.sent[event].Load()))
	}
}

// figures is what came of one or more runs.
type figures struct {
	runs, rate float64 // rate: deliveries a second, the sum over the runs
	took       []time.Duration
}

// figures ends a run: all has arrived everywhere.
func (w *stopwatch) figures() figures {
	all := slices.Concat(w.took...)
	return figures{runs: 1, rate: float64(len(w.sent)*len(w.took)) / time.Since(w.from).Seconds(), took: all}
}

func (f *figures) add(run figures) {
	f.runs += run.runs
	f.rate += run.rate
	f.took = append(f.took, run.took...)
}

func faster(a, b figures) figures {
	if a.rate > b.rate {
		return a
	}
	return b
}

func (f *figures) report(b *testing.B, prefix string) {
	slices.Sort(f.took)
	b.ReportMetric(f.rate/f.runs, prefix+"deliveries/s")
	for _, percent := range []int{50, 99} {
		at := f.took[len(f.took)*percent/100]
		b.ReportMetric(at.Seconds()*1000, fmt.Sprintf("%sp%d-ms", prefix, percent))
	}
}

// fanout is a measurement of deliveries to all of a crowd.
type fanout struct {
	sockets int
	// window is how many events may be on their way: with 1 each event has
	// arrived everywhere before the next is sent, with many the sockets are
	// always busy and writes can be gathered.
	window int
	// interval is between events that don't wait for one another; 0: they do.
	interval time.Duration
	events   []domain.FeedEvent
}

// fanoutDeliveries are made in one round.
const fanoutDeliveries = 200_000

func newFanout(sockets, window int) *fanout {
	feed := newFeed(benchPrincipal.Organization)
	feed.seq = 100_000 // all numbers have the same length
	f := &fanout{sockets: sockets, window: window}
	f.events = feed.events(fanoutDeliveries/sockets, domain.EventMessageCreated, domain.OrgRoom(feed.organization))
	for i := range f.events {
		f.events[i].Data = payload
	}
	return f
}

// run sends the events until each client has all.
func (f *fanout) run(c *crowd, send func(domain.FeedEvent)) figures {
	const head = 4 // of a frame of 126 to 65,535 bytes
	size := head + len(eventText(f.events[0]))
	all := int64(f.sockets) * int64(size)
	w := newStopwatch(f.sockets, len(f.events), size)
	c.count(w)
	for i, e := range f.events {
		if f.interval > 0 {
			<-time.After(time.Duration(i)*f.interval - time.Since(w.from))
		} else {
			c.await(int64(i-f.window+1) * all)
		}
		w.start(i)
		send(e)
	}
	c.await(int64(len(f.events)) * all)
	return w.figures()
}

// hub measures ours.
func (f *fanout) hub(b *testing.B) figures {
	server, url := benchServer(b, f.sockets)
	c := gather(b, f.sockets, url, `40{"token":"good"}`)
	defer c.leave()
	return f.run(c, func(e domain.FeedEvent) { server.Deliver([]domain.FeedEvent{e}) })
}

// bare measures gws alone, with one of its ways to send a text to many.
func (f *fanout) bare(b *testing.B, send func([]*gws.Conn, []byte)) figures {
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
// sockets of an organization, and how long each takes. The floor, in the same run
// and with the same clients, is the faster of what gws offers: its broadcaster
// and a plain loop. SOCKETS=100,1000,5000 are the real figures.
func BenchmarkFanout(b *testing.B) {
	for _, sockets := range socketsOr(b, 500, 2000) {
		for _, window := range []int{1, 100} {
			b.Run(fmt.Sprintf("sockets=%d/window=%d", sockets, window), func(b *testing.B) {
				f := newFanout(sockets, window)
				var floor, ours figures
				for b.Loop() {
					floor.add(faster(f.bare(b, broadcast), f.bare(b, loop)))
					ours.add(f.hub(b))
				}
				floor.report(b, "floor-")
				ours.report(b, "")
				b.ReportMetric(ours.rate/floor.rate, "ratio")
			})
		}
	}
}

func eventText(e domain.FeedEvent) string {
	return fmt.Sprintf(`42[%q,%s,%q]`, e.Name, e.Data, e.Offset())
}
