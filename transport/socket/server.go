package socket

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/lxzan/gws"

	"github.com/chatopshub/chatopshub/domain"
)

// The pace of Shutdown, so that the clients don't all come back elsewhere in
// the same moment: 1,000 connections a second.
const (
	shutdownStep  = 100
	shutdownPause = 100 * time.Millisecond
)

// Server is the realtime endpoint of one node: an http.Handler for /socket.io/,
// one for /ws (Bare), and the hub that events are delivered to.
type Server struct {
	config   Config
	origins  map[string]bool
	upgrader [dialects]*gws.Upgrader
	gatherer *gatherer
	hub      *hub
	registry *registry
	wheel    *wheel
	metrics  *metrics
	turns    chan struct{} // of those that connect
}

// New returns a running server. Shutdown ends it.
func New(config Config) (*Server, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	origins, err := originSet(config.Origins)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(config.Registerer)
	if err != nil {
		return nil, err
	}
	return &Server{
		config:   config,
		origins:  origins,
		upgrader: [dialects]*gws.Upgrader{newUpgrader(config.MaxPayload), newUpgrader(config.MaxPayload, bearer)},
		gatherer: newGatherer(),
		hub:      newHub(),
		registry: newRegistry(config.Limits),
		wheel:    startWheel(),
		metrics:  m,
		turns:    make(chan struct{}, config.Limits.Connecting),
	}, nil
}

func (s *Server) newSession(d dialect, r *http.Request, remote netip.Addr) *session {
	k := &session{server: s, dialect: d, sid: newID(), remote: remote, agent: userAgent(r)}
	k.timer.owner = k
	return k
}

// Deliver sends events to the sockets of their organization that are in at
// least one of their rooms, each socket once. The events of one organization
// must come in the order of its feed, from one goroutine at a time; what is
// missing between them is asked for, or announced (resync). Deliver never waits
// for a client: one that is too slow is closed. After session.revoked the
// sockets that got it are told to stay away and closed.
func (s *Server) Deliver(events []domain.FeedEvent) {
	for len(events) > 0 {
		organization := events[0].Organization
		n := slices.IndexFunc(events, func(e domain.FeedEvent) bool { return e.Organization != organization })
		if n < 0 {
			n = len(events)
		}
		if a := s.hub.audienceOf(organization); a != nil {
			end := s.traced(events[:n])
			d := a.deliver(events[:n], time.Now())
			s.delivered(d)
			end(d.sent)
			if d.gap {
				s.fillGap(organization, a, d.after)
			}
		}
		events = events[n:]
	}
}

// Listens reports whether sockets of the organization are connected, or about to
// be.
func (s *Server) Listens(organization domain.OrganizationID) bool {
	return s.hub.audienceOf(organization) != nil
}

func (s *Server) delivered(d delivery) {
	s.metrics.delivered.Add(float64(d.sent))
	for _, session := range d.revoked {
		session.revoke()
	}
}

// fillGap asks the feed for what is missing.
func (s *Server) fillGap(organization domain.OrganizationID, a *audience, after domain.FeedPosition) {
	s.metrics.gaps.Inc()
	s.config.Logger.Warn("events of a feed are missing", slog.Any("organization", organization), slog.Uint64("after", after.Seq))
	if s.config.Feed == nil {
		a.giveUp()
		return
	}
	err := s.config.Feed.Replay(organization, after, func(r domain.FeedReplay) { s.delivered(a.fill(r)) })
	if err != nil {
		s.config.Logger.Warn("ask for missing events", slog.Any("error", err))
		a.giveUp()
	}
}

// CloseSession tells the sockets of one login that it is over (session.revoked)
// and closes them; their clients stay away.
func (s *Server) CloseSession(organization domain.OrganizationID, id domain.SessionID) {
	s.revoke(organization, domain.SessionRoom(id))
}

// CloseAgent is CloseSession for all logins of an agent.
func (s *Server) CloseAgent(organization domain.OrganizationID, id domain.UserID) {
	s.revoke(organization, domain.AgentRoom(id))
}

func (s *Server) revoke(organization domain.OrganizationID, rooms ...domain.Room) {
	for _, room := range rooms {
		for _, k := range s.hub.members(organization, room) {
			k.session.revoke()
		}
	}
}

// Shutdown refuses new sessions and closes the others, at a pace, so that their
// clients come back elsewhere. It returns when all goroutines of the server have
// ended; when ctx ends first, what is left is cut and ctx's error returned. It
// may be called again.
func (s *Server) Shutdown(ctx context.Context) error {
	sessions := s.registry.close()
	ended := make(chan struct{})
	go func() {
		s.registry.running.Wait()
		close(ended)
	}()
	for i, session := range sessions {
		if i > 0 && i%shutdownStep == 0 {
			pause(ctx, shutdownPause)
		}
		session.shutDown()
	}
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = fmt.Errorf("close sockets: %w", ctx.Err())
		for _, session := range sessions {
			session.cut(ReasonShutdown)
		}
		<-ended
	}
	s.wheel.stop()
	return err
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
