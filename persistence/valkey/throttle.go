package valkey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// name is what a counter goes by: a hash, so that a key of any length takes the
// same room, and nobody who looks into Valkey reads e-mail addresses there.
type name [16]byte

func nameOf(key string) name {
	hash := sha256.Sum256([]byte(key))
	return name(hash[:len(name{})])
}

func (n name) key() string {
	return "chatopshub:throttle:" + base64.RawURLEncoding.EncodeToString(n[:])
}

// Throttle counts attempts within windows of time, for all nodes together in
// Valkey; while that is away, for each node by itself in memory, from zero.
type Throttle struct {
	shared *shared
	local  *local
	logger *slog.Logger
	outage outage
}

// NewThrottle makes one that tells the time by now. The client must honour the
// deadlines of contexts (ContextTimeoutEnabled).
func NewThrottle(client *redis.Client, logger *slog.Logger, now func() time.Time) *Throttle {
	return &Throttle{shared: &shared{client, answerTimeout}, local: newLocal(now), logger: logger, outage: outage{now: now}}
}

// Take counts an attempt under key and returns zero, or, when there were limit
// of them in this window already, how long it lasts; then nothing is counted, so
// that attempts which are refused don't prolong it. A window begins with its
// first attempt.
func (t *Throttle) Take(ctx context.Context, key string, limit int, window time.Duration) time.Duration {
	n := nameOf(key)
	if t.outage.over() {
		wait, err := t.shared.take(ctx, n, limit, window)
		if err == nil {
			return wait
		}
		t.away(ctx, err)
	}
	return t.local.take(n, limit, window)
}

// GiveBack uncounts an attempt that Take counted, if its window still lasts.
// What can't be given back passes with the window.
func (t *Throttle) GiveBack(ctx context.Context, key string) {
	n := nameOf(key)
	if t.outage.over() {
		ctx := context.WithoutCancel(ctx) // the caller may be gone by now
		err := t.shared.giveBack(ctx, n)
		if err == nil {
			return
		}
		t.away(ctx, err)
	}
	t.local.giveBack(n)
}

func (t *Throttle) away(ctx context.Context, err error) {
	if t.outage.begins(ctx) {
		t.logger.WarnContext(ctx, "Valkey doesn't answer; attempts are counted by this node alone", "error", err)
	}
}

// shared counts in Valkey.
type shared struct {
	client   *redis.Client
	patience time.Duration // for one answer
}

// takeScript counts under KEYS[1] up to ARGV[1] within ARGV[2] ms, or tells how
// many ms are left.
var takeScript = redis.NewScript(`
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then
	return math.max(redis.call('PTTL', KEYS[1]), 1)
end
if redis.call('INCR', KEYS[1]) == 1 then
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0`)

// giveBackScript uncounts, and never makes a counter that would last for ever.
var giveBackScript = redis.NewScript(`
if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then
	redis.call('DECR', KEYS[1])
end
return 0`)

func (s *shared) take(ctx context.Context, n name, limit int, window time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	left, err := takeScript.Run(ctx, s.client, []string{n.key()}, limit, window.Milliseconds()).Int64()
	return time.Duration(left) * time.Millisecond, err
}

func (s *shared) giveBack(ctx context.Context, n name) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	return giveBackScript.Run(ctx, s.client, []string{n.key()}).Err()
}
