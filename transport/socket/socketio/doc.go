// Package socketio is the codec of Socket.IO protocol v5: the text packets that
// travel inside Engine.IO messages.
//
//	packet = type [ namespace "," ] [ ack-id ] [ json ]
//
// Everything here is a pure function of its input: no state, no I/O, safe for
// concurrent use. A decoded packet shares no memory with the text it came from.
//
// The decoder is strict where lenient servers invite trouble: nothing may stand
// before or after the JSON, ack ids have at most 15 digits (JavaScript counts no
// further), event names are strings, binary packets are refused.
//
// It imports nothing of ours.
package socketio
