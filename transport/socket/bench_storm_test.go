package socket_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

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

// BenchmarkDroppedAtOnce drops 1,000 clients of one address at once, a third each
// by polling, by WebSocket, and moving from one to the other, and measures how
// long it takes until the last is back, through the default limits. They come
// back at once, which real clients don't, and after a refusal when socket.io-client
// would.
func BenchmarkDroppedAtOnce(b *testing.B) {
	const clients = 1000
	var took time.Duration
	var recovered, tries int64
	for b.Loop() {
		r := startRecovering(b, nil)
		s := &returning{first: time.Second, back: make(chan bool, 2*clients)}
		p := r.tokens.add("good", principal(newOrganization()))
		ctx, cancel := context.WithCancel(context.Background())
		peers := make([]*peer, clients)
		var running sync.WaitGroup
		for i := range peers {
			peers[i] = newPeer(r.url, "good", transports(i%3), peerEvents{
				connected: func(recovered bool) { s.back <- recovered }, event: func(uint64) { s.told.Add(1) },
			})
			running.Go(func() { s.keep(ctx, peers[i]) })
		}
		s.await(clients)
		r.publish(p.Organization, 1, domain.OrgRoom(p.Organization))
		require.Eventually(b, func() bool { return s.told.Load() == clients }, time.Minute, time.Millisecond)
		s.tries.Store(0)
		from := time.Now()
		for _, p := range peers {
			p.cut()
		}
		recovered += s.await(clients)
		took += time.Since(from)
		tries += s.tries.Load()
		cancel()
		running.Wait()
	}
	b.ReportMetric(took.Seconds()*1000/float64(b.N), "ms/all-back")
	b.ReportMetric(float64(tries)/float64(b.N), "tries")
	b.ReportMetric(float64(recovered)/float64(b.N), "recovered")
}

// returning is clients that come back whenever they are cut.
type returning struct {
	first time.Duration // over which they come for the first time
	back  chan bool     // says recovered or not for each that is connected
	told  atomic.Int64
	tries atomic.Int64
}

// keep connects again and again. The delays are those of socket.io-client, but
// for the first after a connection that worked.
func (s *returning) keep(ctx context.Context, p *peer) {
	wait(ctx, rand.N(s.first))
	connected := p.hub.connected
	failures := 0
	p.hub.connected = func(recovered bool) {
		failures = 0
		connected(recovered)
	}
	for ctx.Err() == nil {
		s.tries.Add(1)
		failures++
		_ = p.run(ctx) // cut, or refused
		if failures > 0 {
			delay := min(time.Second<<(failures-1), 5*time.Second)
			wait(ctx, delay/2+rand.N(delay))
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// await waits until so many have connected, and returns how many of them were
// recovered.
func (s *returning) await(clients int) (recovered int64) {
	for range clients {
		if <-s.back {
			recovered++
		}
	}
	return recovered
}
