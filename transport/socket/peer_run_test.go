package socket_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/socket"
)

var (
	upgradesFlag = flag.Int("upgrades", 150, "how many clients upgrade under events; 1,000 is the real figure")
	chaosFlag    = flag.Duration("chaos", 3*time.Second, "for how long connections are cut at random")
)

// roomy lets many clients of one address in at once.
func roomy(c *socket.Config) {
	c.Limits.Anonymous, c.Limits.AnonymousPerRemote = 10_000, 10_000
}

// publishUntil has the feed number an event every interval until stop is
// called, which waits.
func (b *recoveringBundle) publishUntil(o domain.OrganizationID, interval time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var publishing sync.WaitGroup
	publishing.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for ctx.Err() == nil {
			b.publish(o, 1+rand.IntN(2), domain.OrgRoom(o))
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel()
		publishing.Wait()
	}
}

// Goal: of the events that come while clients move from polling to WebSocket,
// none is lost, doubled or overtaken. Run by -upgrades=1000 for the real figure.
func TestUpgradesUnderEvents(t *testing.T) {
	t.Parallel()
	b := startRecovering(t, roomy)
	p := b.tokens.add("good", principal(newOrganization()))
	stop := b.publishUntil(p.Organization, time.Millisecond)
	defer stop()
	const together = 25
	turns := make(chan struct{}, together)
	var upgrading sync.WaitGroup
	failures := make(chan error, *upgradesFlag)
	for range *upgradesFlag {
		turns <- struct{}{}
		upgrading.Go(func() {
			defer func() { <-turns }()
			failures <- b.upgradeOne("good")
		})
	}
	upgrading.Wait()
	for range *upgradesFlag {
		require.NoError(t, <-failures)
	}
}

// upgradeOne reads events without a gap from before an upgrade until well after.
func (b *recoveringBundle) upgradeOne(token string) error {
	const after = 30 // events on the WebSocket
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var last, upgradedAt uint64
	var wrong error
	var p *peer
	p = newPeer(b.url, token, pollingThenWebsocket, peerEvents{
		connected: func(bool) {},
		event: func(seq uint64) {
			if last != 0 && seq != last+1 && wrong == nil {
				wrong = fmt.Errorf("%d came after %d (upgraded at %d)", seq, last, upgradedAt)
			}
			last = seq
			if p.upgrades.Load() > 0 {
				if upgradedAt == 0 {
					upgradedAt = seq
				}
				if seq >= upgradedAt+after {
					cancel()
				}
			}
		},
	})
	err := p.run(ctx)
	switch {
	case wrong != nil:
		return wrong
	case upgradedAt == 0 || last < upgradedAt+after:
		return fmt.Errorf("it didn't get that far: upgraded at %d, last event %d: %w", upgradedAt, last, err)
	}
	return nil
}

// witness is what one client of the chaos has seen.
type witness struct {
	segments  [][]uint64 // of events that came without a fresh start between them
	recovered int
	fresh     int
	last      atomic.Uint64
}

func (w *witness) connected(recovered bool) {
	if recovered {
		w.recovered++
		return
	}
	w.fresh++
	w.segments = append(w.segments, nil)
}

func (w *witness) event(seq uint64) {
	if len(w.segments) == 0 { // what was missed comes before the greeting
		w.segments = append(w.segments, nil)
	}
	last := &w.segments[len(w.segments)-1]
	*last = append(*last, seq)
	w.last.Store(seq)
}

// Goal: with connections cut at random, what each client has seen equals the
// feed's log whenever it was told that its socket is recovered; otherwise it was
// told to fetch again. Run by -chaos=60s for the real figure.
func TestConnectionsCutAtRandom(t *testing.T) {
	t.Parallel()
	const clients = 200
	b := startRecovering(t, roomy)
	p := b.tokens.add("good", principal(newOrganization()))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	peers, witnesses := make([]*peer, clients), make([]*witness, clients)
	var running sync.WaitGroup
	for i := range peers {
		w := &witness{}
		witnesses[i] = w
		peers[i] = newPeer(b.url, "good", transports(i%3), peerEvents{connected: w.connected, event: w.event})
		running.Go(func() {
			for ctx.Err() == nil {
				_ = peers[i].run(ctx) // cut, most likely
				select {
				case <-time.After(time.Duration(rand.IntN(200)) * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	stop := b.publishUntil(p.Organization, 20*time.Millisecond)
	cuts := cutAtRandom(peers, *chaosFlag)
	for deadline := time.Now().Add(time.Minute); b.metric(t, "chatopshub_socket_connects_total", "recovered") == 0 && time.Now().Before(deadline); {
		cuts += cutAtRandom(peers, time.Second) // a busy machine is slow to answer, and clients start afresh
	}
	stop()
	b.settle(t, p.Organization, witnesses)
	cancel()
	running.Wait()
	total := uint64(len(b.fanout.log.all()))
	var sum witness
	for i, w := range witnesses {
		sum.recovered += w.recovered
		sum.fresh += w.fresh
		for _, events := range w.segments {
			for n, seq := range events {
				require.Equal(t, events[0]+uint64(n), seq, "client %d", i)
			}
		}
		last := w.segments[len(w.segments)-1]
		require.NotEmpty(t, last, "client %d", i)
		require.Equal(t, total, last[len(last)-1], "client %d", i)
	}
	t.Logf("%d cuts, %d events, %d recovered, %d fresh", cuts, total, sum.recovered, sum.fresh)
	require.Positive(t, sum.recovered)
}

// cutAtRandom cuts a connection every few milliseconds for a time, and gives
// the last ones time to come back.
func cutAtRandom(peers []*peer, during time.Duration) (cuts int) {
	for until := time.After(during); ; {
		select {
		case <-until:
			return cuts
		case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
			peers[rand.IntN(len(peers))].cut()
			cuts++
		}
	}
}

// settle waits until all that was published has reached everybody.
func (b *recoveringBundle) settle(t testing.TB, o domain.OrganizationID, witnesses []*witness) {
	t.Helper()
	reached := func() bool {
		published := uint64(len(b.fanout.log.all()))
		return !slices.ContainsFunc(witnesses, func(w *witness) bool { return w.last.Load() != published })
	}
	require.Eventually(t, func() bool {
		b.publish(o, 1, domain.OrgRoom(o)) // for those who start afresh after all the others
		for range 100 {
			<-time.After(10 * time.Millisecond)
			if reached() {
				return true
			}
		}
		return false
	}, time.Minute, time.Millisecond)
}
