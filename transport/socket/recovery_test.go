package socket_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"crypto/rand"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/valkey"
	"github.com/chatopshub/chatopshub/transport/socket"
)

// recoveringBundle is a server whose sockets can come back: with real feeds and
// a real store of records.
type recoveringBundle struct {
	*bundle
	feeds  *actors.Feeds
	valkey *miniredis.Miniredis
	fanout *lateFanout
}

// lateFanout hands on what feeds publish, and remembers it.
type lateFanout struct {
	to  actors.Fanout
	log *eventLog
}

func (f *lateFanout) Deliver(events []domain.FeedEvent) {
	f.log.add(events)
	f.to.Deliver(events)
}

func startRecovering(t testing.TB, change func(*socket.Config)) *recoveringBundle {
	t.Helper()
	b := &recoveringBundle{valkey: miniredis.RunT(t)}
	client := redis.NewClient(&redis.Options{Addr: b.valkey.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	system, err := actors.NewSystem(actors.SystemConfig{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, system.Close(context.Background())) })
	b.fanout = &lateFanout{log: &eventLog{}}
	b.feeds = actors.NewFeeds(system, actors.FeedConfig{Fanout: b.fanout, Epoch: rand.Text})
	t.Cleanup(func() { require.NoError(t, b.feeds.Close(context.Background())) })
	b.bundle = start(t, func(c *socket.Config) {
		c.Feed, c.RecoveryWindow = b.feeds, 2*time.Minute
		c.Records = valkey.NewRecoveries(client, slog.New(slog.DiscardHandler), time.Now)
		if change != nil {
			change(c)
		}
	})
	b.fanout.to = b.Server
	return b
}
