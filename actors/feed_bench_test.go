package actors

import (
	"sync/atomic"
	"testing"

	"github.com/chatopshub/chatopshub/domain"
)

// BenchmarkFeedAcrossNodes publishes the notices of one inbound message: on the
// node that has the feed and the sockets, and on one that has neither.
func BenchmarkFeedAcrossNodes(b *testing.B) {
	for name, from := range map[string]string{"owner": "a", "other": "b"} {
		b.Run(name, func(b *testing.B) {
			n := newNewsroom(b, DirectoryConfig{}, "a", "b")
			n.own([]string{"a"})
			var delivered atomic.Int64
			n.feeds["a"].config.Fanout = fanoutFunc(func(events []domain.FeedEvent) { delivered.Add(int64(len(events))) })
			n.listen("a", organization(1))
			notices := publishOfMessage().Notices
			b.ReportAllocs()
			sent := int64(0)
			for b.Loop() {
				n.feeds[from].Publish(organization(1), notices)
				if sent++; sent%1024 == 0 {
					await(&delivered, sent-1024)
				}
			}
			await(&delivered, sent)
		})
	}
}
