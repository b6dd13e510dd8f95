package socket

import (
	"encoding/binary"

	"github.com/lxzan/gws"
)

// frame is one whole WebSocket message of the server, header included. Servers
// don't mask, so it is the same for every client. It is immutable from the
// moment it is made: many queues hold it at once.
type frame []byte

// frameHead is room for the longest header of an unmasked frame.
const frameHead = 10

// textFrame makes a text frame of what write appends.
func textFrame(sizeHint int, write func(dst []byte) []byte) frame {
	buf := write(make([]byte, frameHead, frameHead+sizeHint))
	return seal(gws.OpcodeText, buf)
}

// controlFrame makes a control frame; payload has at most 125 bytes.
func controlFrame(op gws.Opcode, payload []byte) frame {
	return seal(op, append(make([]byte, frameHead, frameHead+len(payload)), payload...))
}

// seal writes the header right before the payload, which starts at frameHead
// (RFC 6455, section 5.2).
func seal(op gws.Opcode, buf []byte) frame {
	const fin = 0x80
	n := len(buf) - frameHead
	switch {
	case n < 126:
		buf = buf[frameHead-2:]
		buf[1] = byte(n)
	case n < 1<<16:
		buf = buf[frameHead-4:]
		buf[1] = 126
		binary.BigEndian.PutUint16(buf[2:], uint16(n))
	default:
		buf[1] = 127
		binary.BigEndian.PutUint64(buf[2:], uint64(n))
	}
	buf[0] = fin | byte(op)
	return buf
}

// payload is what f carries, without its header: over polling, a packet.
func (f frame) payload() []byte {
	switch f[1] {
	case 126:
		return f[4:]
	case 127:
		return f[frameHead:]
	}
	return f[2:]
}

// pongFrame answers a WebSocket ping, which is not the Engine.IO one, with its
// payload (RFC 6455, section 5.5.3).
func pongFrame(payload []byte) frame { return controlFrame(gws.OpcodePong, payload) }

// closeFrame tells the client why the connection ends.
func closeFrame(r Reason) frame {
	return controlFrame(gws.OpcodeCloseConnection, append(binary.BigEndian.AppendUint16(nil, r.Code()), r.String()...))
}
