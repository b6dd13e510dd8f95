package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

func TestFeedPositions(t *testing.T) {
	t.Parallel()
	for _, p := range []domain.FeedPosition{{Epoch: "e"}, {Epoch: "K3", Seq: 7}, {Epoch: "e", Seq: 1<<64 - 1}} {
		got, ok := domain.ParseFeedPosition(p.String())
		require.True(t, ok, p)
		require.Equal(t, p, got)
	}
	for _, text := range []string{"", ":", "e", "e:", ":1", "e:-1", "e:+1", "e:01", "e:1 ", "e:1:2", "e:18446744073709551616", "zzzz"} {
		_, ok := domain.ParseFeedPosition(text)
		require.False(t, ok, text)
	}
}

// Whatever comes when: a replay is exactly what came after the place, or says
// that it can't be had; what is kept is within the limits; and what was
// replayed once doesn't change.
func TestFeedHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limits := domain.FeedLimits{Age: 10 * time.Second, Events: rapid.IntRange(1, 20).Draw(t, "events"), Bytes: 100}
		now := time.Unix(1_800_000_000, 0)
		h := domain.FeedHistory{Newest: domain.FeedPosition{Epoch: "e"}}
		var all []domain.FeedEvent
		var early domain.FeedReplay
		for range rapid.IntRange(0, 60).Draw(t, "appends") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "pause")) * time.Second)
			all = append(all, h.Append(domain.FeedEvent{Data: make([]byte, rapid.IntRange(0, 30).Draw(t, "size")), At: now}, limits))
			if len(all) == 5 {
				early = h.Since(domain.FeedPosition{Epoch: "e", Seq: 4})
			}
		}
		h.Forget(now, limits)
		bytes := 0
		for _, e := range h.Recent {
			bytes += len(e.Data)
			require.LessOrEqual(t, now.Sub(e.At), limits.Age)
		}
		require.Equal(t, bytes, h.Bytes)
		require.LessOrEqual(t, bytes, limits.Bytes)
		require.LessOrEqual(t, len(h.Recent), limits.Events)
		require.Equal(t, domain.FeedPosition{Epoch: "e", Seq: uint64(len(all))}, h.Newest)
		require.Equal(t, domain.FeedPosition{Epoch: "e", Seq: uint64(len(all) - len(h.Recent))}, h.Oldest())
		tail := h.Tail(domain.FeedLimits{Events: 3, Bytes: 40})
		require.Equal(t, h.Newest, tail.Newest)
		require.LessOrEqual(t, len(tail.Recent), 3)
		require.LessOrEqual(t, tail.Bytes, 40)
		if n := len(tail.Recent); n > 0 {
			require.Equal(t, h.Recent[len(h.Recent)-n:], tail.Recent)
		}
		for seq := range uint64(len(all) + 3) {
			r := h.Since(domain.FeedPosition{Epoch: "e", Seq: seq})
			require.Equal(t, h.Newest, r.Newest)
			require.Equal(t, int(seq) <= len(all) && int(seq) >= len(all)-len(h.Recent), r.Complete)
			if r.Complete {
				require.Equal(t, append([]domain.FeedEvent(nil), all[seq:]...), append([]domain.FeedEvent(nil), r.Events...))
			}
			require.False(t, h.Since(domain.FeedPosition{Epoch: "f", Seq: seq}).Complete)
		}
		if early.Complete {
			require.Equal(t, all[4:5], early.Events)
		}
	})
}
