// Package engineio is the codec of Engine.IO protocol v4: a packet is one ASCII
// digit and optional text. On WebSocket each text frame is one packet; over
// polling a body is one or more packets joined by the byte 0x1E.
//
// Everything here is a pure function of its input: no state, no I/O, safe for
// concurrent use. Decoded packets point into the text they were decoded from.
//
// Binary packets are not supported and count as malformed: our events carry
// JSON only.
//
// It imports nothing of ours.
package engineio
