package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/lxzan/gws"
)

// Reason says why a socket or its connection ended.
type Reason uint8

// The reasons. Those that a client is told have a close code: from 4000 it
// should come back by itself, from 4500 it should not.
const (
	reasonUnnamed        Reason = iota
	ReasonClientLeft            // the client disconnected its socket
	ReasonClosed                // the client closed the connection
	ReasonConnectionLost        // the connection broke
	ReasonPingTimeout           // no pong in time
	ReasonConnectTimeout        // no socket was connected in time
	ReasonProtocol              // the client broke the protocol
	ReasonRateLimited           // too many events in too short a time
	ReasonSlowConsumer          // the client did not take its events in time
	ReasonUnavailable           // the token could not be checked
	ReasonShutdown              // the server stops
	ReasonTakenOver             // the client came back by another connection
	ReasonUnauthorized          // no good token (bare clients; others are answered and may try again)
	ReasonRevoked               // the login ended or the agent was suspended
)

// comeBackLimit divides the close codes.
const comeBackLimit = 4500

type reasonText struct {
	name string // label in metrics and logs, reason in the close frame
	code uint16 // of the close frame; 0: none is sent
}

func (r Reason) text() reasonText {
	switch r {
	case ReasonClientLeft:
		return reasonText{"client_left", 0}
	case ReasonClosed:
		return reasonText{"closed", 0}
	case ReasonConnectionLost:
		return reasonText{"connection_lost", 0}
	case ReasonPingTimeout:
		return reasonText{"ping_timeout", 4000}
	case ReasonConnectTimeout:
		return reasonText{"connect_timeout", 4001}
	case ReasonProtocol:
		return reasonText{"protocol_error", 4002}
	case ReasonRateLimited:
		return reasonText{"rate_limited", 4003}
	case ReasonSlowConsumer:
		return reasonText{"slow_consumer", 4006}
	case ReasonUnavailable:
		return reasonText{"unavailable", 4004}
	case ReasonShutdown:
		return reasonText{"shutdown", 4005}
	case ReasonTakenOver:
		return reasonText{"taken_over", 0} // cut without a word: nobody is there
	case ReasonUnauthorized:
		return reasonText{"unauthorized", 4501}
	case ReasonRevoked:
		return reasonText{"revoked", 4500}
	}
	return reasonText{"unknown", 0}
}

// String is the reason as metrics, logs and close frames name it.
func (r Reason) String() string { return r.text().name }

// Code is the WebSocket close code that tells the client, 0 when it is not told.
func (r Reason) Code() uint16 { return r.text().code }

// ComesBack reports whether the client will or should connect again by itself.
func (r Reason) ComesBack() bool {
	switch r {
	case ReasonClientLeft, ReasonClosed, ReasonTakenOver:
		return false
	}
	return r.Code() < comeBackLimit
}

// recoverable reports whether the client may have its socket back. Who left or
// was sent away has none.
func (r Reason) recoverable() bool {
	return r != ReasonClientLeft && r != ReasonRevoked
}

// What ends a session from within.
var (
	errBinary      = errors.New("binary frame")
	errPanic       = errors.New("frame header with an impossible length")
	errRateLimited = errors.New("too many packets")
	errUnavailable = errors.New("token could not be checked")

	errAnonymousBytes = errors.New("too many bytes before a good token")
	errClientPing     = errors.New("ping from a client")
	errNotConnected   = errors.New("packet for a namespace that is not connected")
	errConnectedTwice = errors.New("second CONNECT")
	errServerPacket   = errors.New("packet that only servers send")
	errOverlap        = errors.New("two polls or two posts at once")
	errRepeated       = errors.New("poll that was sent again")
	errNotUTF8        = errors.New("text that is not UTF-8")
	errBareMessage    = errors.New("message without event, or with a long id")
)

// reasonOf names what ended the reading of a connection.
func reasonOf(err error) Reason {
	var closed *gws.CloseError
	var network net.Error
	switch {
	case err == nil, errors.As(err, &closed), errors.Is(err, io.EOF):
		return ReasonClosed
	case unauthorized(err):
		return ReasonUnauthorized
	case errors.Is(err, errRateLimited):
		return ReasonRateLimited
	case errors.Is(err, errUnavailable), errors.Is(err, context.DeadlineExceeded):
		return ReasonUnavailable
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonSlowConsumer // only writes have a deadline
	case errors.As(err, &network), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return ReasonConnectionLost
	}
	return ReasonProtocol
}
