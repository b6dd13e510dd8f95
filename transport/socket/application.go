package socket

import (
	"context"
	"errors"
	"net/netip"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// ErrNotFound is what an Application answers about a conversation that does not
// exist or that the caller may not see; clients can't tell which.
var ErrNotFound = errors.New("conversation not found")

// Authenticator checks the access token of a handshake. A refusal is
// auth.ErrTokenInvalid, auth.ErrTokenExpired or auth.ErrTokenRevoked; any other
// error says that the token could not be checked, and the client is sent away
// to try again.
//
// A revocation must be visible here before CloseSession or CloseAgent is
// called: a token is checked again once its socket is in its rooms, so that a
// revocation can't slip in between. *auth.Issuer implements it.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (auth.Principal, error)
}

// Connection is one connected socket of an agent.
type Connection struct {
	// ID is random and unique, and not secret. The client knows it as socket.id,
	// unless it has recovered the socket of an earlier connection.
	ID         string
	Principal  auth.Principal
	RemoteAddr netip.Addr
	UserAgent  string // at most 256 bytes, valid UTF-8
}

// Application is what stands behind the sockets: the actors. For one
// connection the calls come one at a time, Connected first and Disconnected
// last; for different connections they come at the same time. The context ends
// after some seconds. A call holds up the reading of its own socket only.
type Application interface {
	Connected(ctx context.Context, c Connection)
	Disconnected(ctx context.Context, c Connection, reason Reason)
	Heartbeat(ctx context.Context, c Connection)
	// SetPresence takes domain.Online and domain.Away.
	SetPresence(ctx context.Context, c Connection, presence domain.Presence) error
	// MayJoin is ErrNotFound unless p may watch the conversation.
	MayJoin(ctx context.Context, p auth.Principal, id domain.ConversationID) error
	// Typing is ErrNotFound unless p may see the conversation; the socket need
	// not have joined it.
	Typing(ctx context.Context, p auth.Principal, id domain.ConversationID, on bool) error
}
