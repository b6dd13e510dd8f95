package actors

import (
	"context"
	"sync"
	"time"
)

// sweepsPerTTL is how often every actor is looked at within the idle TTL: it
// leaves between one TTL and one and a quarter after its last message.
const sweepsPerTTL = 4

// startSweeper runs the hand of a clock over the shards, to find idle actors
// without a timer for each of a million.
func (d *Directory[K]) startSweeper() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.sweep(ctx) })
	d.stopSweeper = func() {
		cancel()
		running.Wait()
	}
}

func (d *Directory[K]) sweep(ctx context.Context) {
	tick, shards := sweepPace(d.config.IdleTTL)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for hand := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for range shards {
			d.sweepShard(&d.shards[hand])
			hand = (hand + 1) % directoryShards
		}
	}
}

// sweepPace is how often the hand moves, and over how many shards each time.
func sweepPace(ttl time.Duration) (tick time.Duration, shards int) {
	round := max(ttl/sweepsPerTTL, time.Millisecond)
	tick = max(round/directoryShards, time.Millisecond)
	return tick, min(int(directoryShards*tick/round)+1, directoryShards)
}

// sweepShard asks the idle actors of s to leave. The lock is held for looking,
// and then for one actor at a time, so that senders don't wait for the rest.
func (d *Directory[K]) sweepShard(s *shard[K]) {
	for _, r := range d.idle(s) {
		s.mu.Lock()
		if s.residents[r.key] == r && d.isIdle(r) {
			d.deliver(r, Idle{}) // as a use: one that stays is asked again after another TTL
		}
		s.mu.Unlock()
	}
}

func (d *Directory[K]) idle(s *shard[K]) []*resident[K] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*resident[K]
	for _, r := range s.residents {
		if d.isIdle(r) {
			found = append(found, r)
		}
	}
	return found
}

func (d *Directory[K]) isIdle(r *resident[K]) bool {
	return r.waiting.Load() == 0 && d.system.now().UnixNano()-r.lastUsed >= int64(d.config.IdleTTL)
}
