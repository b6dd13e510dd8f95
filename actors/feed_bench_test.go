package actors

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// BenchmarkFeedAcrossNodes publishes the notice of one message: on a node that is
// alone, on the one of two that has the feed and the sockets, and on the other.
func BenchmarkFeedAcrossNodes(b *testing.B) {
	run := func(b *testing.B, feeds *Feeds, delivered *atomic.Int64) {
		notices := publishOfMessage().Notices
		b.ReportAllocs()
		sent := int64(0)
		for b.Loop() {
			feeds.Publish(organization(1), notices)
			if sent++; sent%1024 == 0 {
				await(delivered, sent-1024)
			}
		}
		await(delivered, sent)
	}
	b.Run("alone", func(b *testing.B) {
		var delivered atomic.Int64
		feeds := NewFeeds(newSystem(b), FeedConfig{Fanout: counting(&delivered), Epoch: func() string { return "e" }})
		run(b, feeds, &delivered)
		require.NoError(b, feeds.Close(b.Context()))
	})
	for name, from := range map[string]string{"owner": "a", "other": "b"} {
		b.Run(name, func(b *testing.B) {
			n := newNewsroom(b, DirectoryConfig{}, "a", "b")
			n.own([]string{"a"})
			var delivered atomic.Int64
			n.feeds["a"].config.Fanout = counting(&delivered)
			n.listen("a", organization(1))
			run(b, n.feeds[from], &delivered)
		})
	}
}

func counting(delivered *atomic.Int64) Fanout {
	return fanoutFunc(func(events []domain.FeedEvent) { delivered.Add(int64(len(events))) })
}
