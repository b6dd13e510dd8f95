package socket

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket/socketio"
)

// callTimeout bounds every call of the application and the authenticator: the
// reader of the session waits for it.
const callTimeout = 5 * time.Second

// socket is one Socket.IO socket in the default namespace, from CONNECT to
// DISCONNECT or the end of its session.
type socket struct {
	session    *session
	connection Connection
	membership
}

// message handles one Socket.IO packet. An error ends the session.
func (s *session) message(text []byte) error {
	p, err := socketio.Decode(text)
	switch {
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case p.Type == socketio.Connect:
		return s.connect(p)
	case p.Namespace != socketio.Root || s.socket == nil:
		return errNotConnected
	}
	switch p.Type {
	case socketio.Event:
		s.event(p)
	case socketio.Ack:
		// We ask for none; late and unknown ones are normal.
	case socketio.Disconnect:
		s.disconnect()
	default:
		return errServerPacket
	}
	return nil
}

// connect checks the token and connects the socket. A refusal is not the end
// of the session: the client may try again with another token.
func (s *session) connect(p socketio.Packet) error {
	if p.Namespace != socketio.Root {
		s.refuse(p.Namespace, "Invalid namespace")
		return nil
	}
	if s.socket != nil {
		return errConnectedTwice
	}
	var handshake struct{ Token any }
	if len(p.Data) > 0 {
		if err := json.Unmarshal(p.Data, &handshake); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
	}
	token, _ := handshake.Token.(string) // anything else is no token
	principal, err := s.authenticate(token)
	if unauthorized(err) {
		s.refuse(socketio.Root, "unauthorized")
		return nil
	}
	if err != nil {
		return err
	}
	s.attach(principal)
	if _, err := s.authenticate(token); errors.Is(err, auth.ErrTokenRevoked) {
		s.revoke() // between the first check and the rooms
	}
	return nil
}

func unauthorized(err error) bool {
	return errors.Is(err, auth.ErrTokenInvalid) || errors.Is(err, auth.ErrTokenExpired) || errors.Is(err, auth.ErrTokenRevoked)
}

func (s *session) authenticate(token string) (auth.Principal, error) {
	if token == "" {
		return auth.Principal{}, auth.ErrTokenInvalid
	}
	ctx, cancel := callContext()
	defer cancel()
	p, err := s.server.config.Authenticator.Authenticate(ctx, token)
	if err != nil && !unauthorized(err) {
		s.server.config.Logger.Warn("check access token of a socket", slog.Any("error", err))
		return p, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return p, err // one of auth's sentinels
}

// attach makes the socket and puts it into the rooms of its principal.
func (s *session) attach(p auth.Principal) {
	k := &socket{session: s, connection: Connection{
		ID: newID(), Principal: p, RemoteAddr: s.remote, UserAgent: s.agent,
	}}
	s.server.hub.attach(k, packetFrame(socketio.Packet{
		Type: socketio.Connect, Namespace: socketio.Root, Data: fmt.Appendf(nil, `{"sid":%q}`, k.connection.ID),
	}), domain.OrgRoom(p.Organization), domain.AgentRoom(p.User), domain.SessionRoom(p.Session))

	s.mu.Lock()
	s.socket = k
	s.connectBy = time.Time{}
	s.mu.Unlock()
	s.trusted = true
	s.server.registry.authenticated(s.remote)
	s.server.metrics.sockets.Inc()

	ctx, cancel := callContext()
	defer cancel()
	s.server.config.Application.Connected(ctx, k.connection)
}

// disconnect is the client's wish. The session stays for a further CONNECT,
// but not for ever.
func (s *session) disconnect() {
	s.leave(ReasonClientLeft)
	s.server.registry.anonymized(s.remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connectBy = time.Now().Add(s.server.config.ConnectTimeout)
	if s.state == stateOpen {
		s.reschedule()
	}
}

// leave takes the socket out of the hub and tells the application.
func (s *session) leave(reason Reason) {
	k := s.socket
	if k == nil {
		return
	}
	s.server.hub.detach(k)
	s.mu.Lock()
	s.socket = nil
	s.mu.Unlock()
	s.server.metrics.sockets.Dec()
	ctx, cancel := callContext()
	defer cancel()
	s.server.config.Application.Disconnected(ctx, k.connection, reason)
}

// revoke tells the client that its login is over and to stay away.
func (s *session) revoke() {
	s.shut(ReasonRevoked,
		packetFrame(socketio.Packet{
			Type: socketio.Event, Namespace: socketio.Root, ID: socketio.NoID,
			Name: string(domain.EventSessionRevoked), Args: []json.RawMessage{json.RawMessage(`{}`)},
		}),
		stayAwayFrame())
}

// stayAwayFrame disconnects the socket; its client does not come back by itself.
func stayAwayFrame() frame {
	return packetFrame(socketio.Packet{Type: socketio.Disconnect, Namespace: socketio.Root})
}

// refuse answers a CONNECT. message is a constant of ours, plain ASCII.
func (s *session) refuse(namespace, message string) {
	s.reply(packetFrame(socketio.Packet{
		Type: socketio.ConnectError, Namespace: namespace, Data: fmt.Appendf(nil, `{"message":%q}`, message),
	}))
}

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
