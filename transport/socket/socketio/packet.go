package socketio

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Type is the digit that starts a packet.
type Type byte

// The text packet types of Socket.IO v5. The binary ones, '5' and '6', are not
// supported.
const (
	Connect      Type = '0' // joins a namespace; the reply has the same type
	Disconnect   Type = '1' // leaves a namespace; from the server: stay away
	Event        Type = '2'
	Ack          Type = '3' // answers an Event that asked for it
	ConnectError Type = '4' // refuses a Connect, server only
)

// Root is the default namespace, which is never written out.
const Root = "/"

// NoID is the ID of a packet without one. 0 is an id like any other.
const NoID int64 = -1

const (
	idDigitsMax       = 15  // 10^15 < 2^53: exact in JavaScript and in int64
	namespaceBytesMax = 256 // a refused name is echoed
)

// ErrMalformed is wrapped by every decoding error: the sender broke the
// protocol and its session has to end.
var ErrMalformed = errors.New("malformed socket.io packet")

// Packet is one Socket.IO packet.
type Packet struct {
	Type      Type
	Namespace string            // starts with "/"
	ID        int64             // ack id of Event and Ack, otherwise NoID or without meaning
	Name      string            // of an Event
	Args      []json.RawMessage // of Event (without the name) and Ack
	Data      json.RawMessage   // of Connect (may be absent) and ConnectError: an object
}

// Reserved reports whether clients use the event name for themselves, so that
// it must not be sent in either direction.
func Reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}
