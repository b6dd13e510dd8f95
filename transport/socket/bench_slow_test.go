package socket_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// BenchmarkSlowConsumer measures how long deliveries to 50 healthy sockets take,
// at 500 events of 8 KiB a second, alone and beside a client that never reads.
// When the server has cut that one, the next comes.
func BenchmarkSlowConsumer(b *testing.B) {
	const sockets, events = 50, 2000
	f := newFanout(sockets, 1)
	f.interval = 2 * time.Millisecond
	f.events = f.events[:events]
	long := []byte(`{"body":"` + strings.Repeat("x", 8<<10) + `"}`)
	for i := range f.events {
		f.events[i].Data = long
	}
	var alone, beside figures
	cuts := 0
	for b.Loop() {
		alone.add(f.hub(b))
		run, cut := f.besideOneThatNeverReads(b)
		beside.add(run)
		cuts += cut
	}
	require.Positive(b, cuts, "nobody was slow")
	alone.report(b, "alone-")
	beside.report(b, "beside-")
	b.ReportMetric(float64(cuts)/float64(b.N), "cuts")
}

// ended is an Application that tells why sockets end.
type ended struct {
	quiet
	reasons chan socket.Reason
}

func (e ended) Disconnected(_ context.Context, _ socket.Connection, reason socket.Reason) {
	e.reasons <- reason
}

// besideOneThatNeverReads measures ours, and counts how often that one was cut.
func (f *fanout) besideOneThatNeverReads(b *testing.B) (run figures, cuts int) {
	app := ended{reasons: make(chan socket.Reason, 1000)}
	server, url := benchServerOf(b, f.sockets+2, app)
	healthy := gather(b, f.sockets, url, `40{"token":"good"}`)
	stuck := gatherStuck(b, url)
	run = f.run(healthy, func(e domain.FeedEvent) {
		select {
		case reason := <-app.reasons:
			require.Equal(b, socket.ReasonSlowConsumer, reason)
			cuts++
			stuck.leave()
			stuck = gatherStuck(b, url)
		default:
		}
		server.Deliver([]domain.FeedEvent{e})
	})
	stuck.leave()
	healthy.leave()
	return run, cuts
}

// gatherStuck is a client that reads nothing once it is connected, and whose
// kernel takes little for it.
func gatherStuck(b *testing.B, url string) *crowd {
	b.Helper()
	c := gather(b, 1, url, `40{"token":"good"}`)
	require.NoError(b, c.conns[0].(*net.TCPConn).SetReadBuffer(4<<10))
	return c
}
