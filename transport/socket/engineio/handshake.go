package engineio

import (
	"fmt"
	"time"
)

// Handshake is what a server tells in the open packet.
type Handshake struct {
	SID          string        // URL safe; secret: whoever knows it can take a polling session over
	CanUpgrade   bool          // the session may move to WebSocket
	PingInterval time.Duration // whole milliseconds
	PingTimeout  time.Duration // whole milliseconds
	MaxPayload   int           // bytes, the largest body or message the server takes
}

// Append appends the open packet, type digit included. All fields are there and
// upgrades is an array, never null: clients crash otherwise.
func (h Handshake) Append(dst []byte) []byte {
	upgrades := "[]"
	if h.CanUpgrade {
		upgrades = `["websocket"]`
	}
	return fmt.Appendf(dst, `%c{"sid":%q,"upgrades":%s,"pingInterval":%d,"pingTimeout":%d,"maxPayload":%d}`,
		Open, h.SID, upgrades, h.PingInterval.Milliseconds(), h.PingTimeout.Milliseconds(), h.MaxPayload)
}
