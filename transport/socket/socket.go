package socket

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// callTimeout bounds every call of the application, the authenticator, the feed
// and the records: the client's next packet waits for it.
const callTimeout = 5 * time.Second

// socket is one client that has shown who it is, from CONNECT to DISCONNECT or
// the end of its session.
type socket struct {
	session    *session
	connection Connection
	sid        string        // public
	pid        string        // what it comes back with; a secret; "": no recovery
	departed   chan struct{} // closed when its record is kept, if it is to be
	membership
}

// credential is what a client shows when it connects.
type credential struct {
	token       string
	pid, offset string // of the socket it had, and the last event it has
}

// enter connects the client's socket: checks the token, then gives it back the
// socket that it lost, or a new one. Its error is one of auth's sentinels or
// ends the session. The caller holds in.
func (s *session) enter(c credential) error {
	ctx, cancel := callContext()
	defer cancel()
	// Many come at once when a node or a network was lost. They take turns, so
	// that those whose turn it is are served in time.
	select {
	case s.server.turns <- struct{}{}:
		defer func() { <-s.server.turns }()
	case <-ctx.Done():
		return fmt.Errorf("wait for a turn to connect: %w", errUnavailable)
	}
	principal, err := s.authenticate(ctx, c.token)
	if err != nil {
		return err
	}
	s.attach(ctx, principal, c)
	if _, err := s.authenticate(ctx, c.token); errors.Is(err, auth.ErrTokenRevoked) {
		s.revoke() // between the first check and the rooms
	}
	return nil
}

func (s *session) authenticate(ctx context.Context, token string) (auth.Principal, error) {
	if token == "" {
		return auth.Principal{}, auth.ErrTokenInvalid
	}
	p, err := s.server.config.Authenticator.Authenticate(ctx, token)
	if err != nil && !unauthorized(err) {
		s.server.config.Logger.Warn("check access token of a socket", slog.Any("error", err))
		return p, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return p, err // one of auth's sentinels
}

// attach makes the socket and puts it into its rooms.
func (s *session) attach(ctx context.Context, p auth.Principal, c credential) {
	k := &socket{session: s, departed: make(chan struct{}), connection: Connection{
		ID: newID(), Principal: p, RemoteAddr: s.remote, UserAgent: s.agent,
	}}
	s.server.hub.enter(k)
	recovered := s.resume(ctx, k, c)
	if !recovered {
		s.locate(ctx, k)
		k.sid = k.connection.ID
		if s.server.config.recovers() {
			k.pid = newID()
		}
		s.server.hub.attach(k, s.dialect.greet(k, false),
			domain.OrgRoom(p.Organization), domain.AgentRoom(p.User), domain.SessionRoom(p.Session))
	}
	s.server.registry.connected(k)
	s.mu.Lock()
	s.socket = k
	s.connectBy = time.Time{}
	s.mu.Unlock()
	s.trusted.Store(true)
	s.server.metrics.connected(recovered)
	s.server.config.Application.Connected(ctx, k.connection)
}

// disconnect is the client's wish. The session stays for a further CONNECT,
// but not for ever.
func (s *session) disconnect() {
	s.leave(ReasonClientLeft)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen {
		s.connectBy = time.Now().Add(s.server.config.ConnectTimeout)
		s.reschedule()
	}
}

// leave takes the socket out of the hub, keeps what it needs to come back, and
// tells the application. The caller holds in.
func (s *session) leave(reason Reason) {
	k := s.socket
	if k == nil {
		return
	}
	rooms := s.server.hub.detach(k)
	ctx, cancel := callContext()
	defer cancel()
	if k.pid != "" && reason.recoverable() {
		s.server.config.Records.Save(ctx, k.key(k.pid), domain.RecoveryRecord{SID: k.sid, Rooms: rooms}, s.server.config.RecoveryWindow)
	}
	s.server.registry.departed(k)
	close(k.departed)
	s.mu.Lock()
	s.socket = nil
	s.mu.Unlock()
	s.server.metrics.sockets.Dec()
	s.server.config.Application.Disconnected(ctx, k.connection, reason)
}

// revoke tells the client that its login is over and to stay away.
func (s *session) revoke() { s.shut(ReasonRevoked, s.dialect.revoked()...) }

// callContext is for calls that may not be given up when their session ends,
// such as telling that it has ended.
func callContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callTimeout)
}

// newID is 120 random bits, URL safe.
func newID() string {
	var b [15]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
