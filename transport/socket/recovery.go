package socket

import (
	"context"
	"log/slog"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Feed is where the events come from. *actors.Feeds implements it.
type Feed interface {
	// Replay calls answer with what came after the position, in the order of the
	// deliveries of that feed: what precedes the answer's Newest was delivered
	// before. It doesn't wait. After an error, or when the feed fails on the
	// way, answer isn't called.
	Replay(organization domain.OrganizationID, after domain.FeedPosition, answer func(domain.FeedReplay)) error
}

// Records keeps what lost sockets need to come back, for all nodes.
// *valkey.Recoveries implements it. What can't be kept or found is missing:
// clients then start afresh.
type Records interface {
	Save(ctx context.Context, key domain.RecoveryKey, record domain.RecoveryRecord, window time.Duration)
	// Take removes the record, so that each loss is recovered once at most.
	Take(ctx context.Context, key domain.RecoveryKey) (domain.RecoveryRecord, bool)
}

// recovers reports whether lost sockets can come back.
func (c *Config) recovers() bool { return c.Feed != nil && c.Records != nil && c.RecoveryWindow > 0 }

// key is what the socket's owner has to show, with this pid.
func (k *socket) key(pid string) domain.RecoveryKey {
	p := k.connection.Principal
	return domain.RecoveryKey{PID: pid, Organization: p.Organization, User: p.User, Session: p.Session}
}

// resume gives the client the socket back that it lost, with all it missed. It
// is false, and nothing has happened to k, when that isn't possible.
func (s *session) resume(ctx context.Context, k *socket, c credential) bool {
	after, ok := domain.ParseFeedPosition(c.offset)
	if !ok || c.pid == "" || !s.server.config.recovers() {
		return false
	}
	key := k.key(c.pid)
	if old := s.server.registry.owner(key); old != nil && !s.takeOver(ctx, k, old, after) {
		return false
	}
	record, found := s.server.config.Records.Take(ctx, key)
	if !found {
		return false
	}
	k.sid, k.pid = record.SID, c.pid
	return s.replayMissed(ctx, k, after, record.Rooms)
}

// takeOver ends the connection that the client has left without our noticing,
// as phones do that change networks. An offset that is of no use does it no harm.
func (s *session) takeOver(ctx context.Context, k, old *socket, after domain.FeedPosition) bool {
	known := s.ask(ctx, k, after, func(r domain.FeedReplay) bool { return r.Complete })
	if !known {
		return false
	}
	old.session.cut(ReasonTakenOver)
	select {
	case <-old.departed:
		return true
	case <-ctx.Done():
		return false
	}
}

// replayMissed puts k back into its rooms, behind what it missed.
func (s *session) replayMissed(ctx context.Context, k *socket, after domain.FeedPosition, rooms []domain.RoomSince) bool {
	resumed := s.ask(ctx, k, after, func(r domain.FeedReplay) bool {
		return s.server.hub.resume(k, r, rooms, s.dialect.greet(k, true))
	})
	return resumed || s.server.hub.settle(k) // the answer may come just now
}

// locate finds out where the feed is, for the first socket of an organization:
// who comes back to a room is to get its events from when it joined. It is also
// what has the feed, wherever it is, send its events here.
func (s *session) locate(ctx context.Context, k *socket) {
	if s.server.config.Feed != nil && !k.audience.located() {
		s.ask(ctx, k, domain.FeedPosition{}, func(r domain.FeedReplay) bool {
			k.audience.locate(r.Newest)
			return true
		})
	}
}

// ask asks the feed of k's organization what came after the position. It is
// false without an answer.
func (s *session) ask(ctx context.Context, k *socket, after domain.FeedPosition, answer func(domain.FeedReplay) bool) bool {
	answered := make(chan bool, 1)
	err := s.server.config.Feed.Replay(k.connection.Principal.Organization, after, func(r domain.FeedReplay) { answered <- answer(r) })
	if err != nil {
		s.server.config.Logger.Warn("ask for what a client missed", slog.Any("error", err))
		return false
	}
	select {
	case yes := <-answered:
		return yes
	case <-ctx.Done():
		return false
	}
}
