package engineio

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
)

// Type is the digit that starts a packet.
type Type byte

// The packet types of Engine.IO v4.
const (
	Open    Type = '0' // first packet of a session, server only
	Close   Type = '1' // end of a session, polling only
	Ping    Type = '2' // heartbeat, server only; a probing client sends "2probe"
	Pong    Type = '3' // answer to Ping
	Message Type = '4' // carries one Socket.IO packet
	Upgrade Type = '5' // client only, on a probing WebSocket
	Noop    Type = '6' // ends a waiting poll
)

// Separator joins the packets of a polling body. JSON text never contains it
// unescaped.
const Separator = 0x1e

// ErrMalformed is wrapped by every decoding error: the sender broke the
// protocol and its session has to end.
var ErrMalformed = errors.New("malformed engine.io packet")

// Packet is one Engine.IO packet.
type Packet struct {
	Type Type
	Data []byte // what follows the digit; points into the decoded text
}

// Decode reads the one packet that text is.
func Decode(text []byte) (Packet, error) {
	if len(text) == 0 {
		return Packet{}, fmt.Errorf("%w: empty", ErrMalformed)
	}
	t := Type(text[0])
	if t < Open || t > Noop {
		return Packet{}, fmt.Errorf("%w: type %q, want '0' to '6'", ErrMalformed, text[0])
	}
	return Packet{Type: t, Data: text[1:]}, nil
}

// DecodePayload yields the packets of a polling body in order. A malformed one
// is yielded as an error and ends the sequence: what precedes it counts, what
// follows does not.
func DecodePayload(body []byte) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		for part := range bytes.SplitSeq(body, []byte{Separator}) {
			p, err := Decode(part)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}
