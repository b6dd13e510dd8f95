package cluster

import (
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

// TestAQueueLosesNothing against a model: a slice.
func TestAQueueLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const maxMessages, maxBytes, wait = 20, 500, 10 * time.Second
		q := newQueue(maxMessages, maxBytes)
		to := actor.NewPID("there", "sink")
		var model []message
		var now, moved time.Time
		next := 0
		same := func(got []message, n int) {
			require.Len(t, got, n)
			for i := range got {
				require.Equal(t, model[i].msg, got[i].msg)
			}
			model = model[n:]
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				m := message{to: to, msg: next, size: rapid.IntRange(1, 100).Draw(t, "size"), since: now}
				next++
				bytes := m.size
				for _, m := range model {
					bytes += m.size
				}
				if err := q.push(m); len(model) == maxMessages || bytes > maxBytes {
					require.ErrorIs(t, err, domain.ErrOverloaded)
				} else {
					require.NoError(t, err)
					model = append(model, m)
				}
			},
			"take": func(t *rapid.T) {
				limit, n, size := rapid.IntRange(1, 300).Draw(t, "limit"), 0, 0
				for n < len(model) && (n == 0 || size+model[n].size <= limit) {
					size += model[n].size
					n++
				}
				same(q.take(limit, nil), n)
			},
			"wrote":   func(*rapid.T) { q.wrote(now); moved = now },
			"pass":    func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second) },
			"expired": func(*rapid.T) { same(q.expired(now, wait), expiredOf(model, now, moved, wait)) },
			"": func(t *rapid.T) {
				n, bytes := q.load()
				require.Equal(t, len(model), n)
				for _, m := range model {
					bytes -= m.size
				}
				require.Zero(t, bytes)
				require.False(t, q.done())
			},
		})
		q.close()
		require.Equal(t, len(model) == 0, q.done())
		require.ErrorIs(t, q.push(message{to: to}), domain.ErrUnavailable)
		same(q.rest(), len(model))
		require.True(t, q.done())
	})
}

func expiredOf(model []message, now, moved time.Time, wait time.Duration) (n int) {
	if now.Sub(moved) <= wait {
		return 0
	}
	for n < len(model) && now.Sub(model[n].since) > wait {
		n++
	}
	return n
}
