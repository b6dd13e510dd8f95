package engineio

import (
	"encoding/json"
	"fmt"
	"time"
)

// Handshake is what a server tells in the open packet.
type Handshake struct {
	SID          string        // secret: whoever knows it can take a polling session over
	Upgrades     []string      // transports the session may move to
	PingInterval time.Duration // whole milliseconds
	PingTimeout  time.Duration // whole milliseconds
	MaxPayload   int           // bytes, the largest body or message the server takes
}

// Encode is the whole open packet, type digit included. Upgrades is always an
// array: null crashes clients.
func (h Handshake) Encode() ([]byte, error) {
	upgrades := h.Upgrades
	if upgrades == nil {
		upgrades = []string{}
	}
	data, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{h.SID, upgrades, h.PingInterval.Milliseconds(), h.PingTimeout.Milliseconds(), h.MaxPayload})
	if err != nil {
		return nil, fmt.Errorf("encode open packet: %w", err)
	}
	return append([]byte{byte(Open)}, data...), nil
}
