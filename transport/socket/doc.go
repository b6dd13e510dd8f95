// Package socket is the realtime endpoint: Engine.IO v4 and Socket.IO v5 over
// polling and WebSocket, for unmodified socket.io clients; a bare WebSocket for
// all others; and the hub that brings the numbered events of the feeds to the
// sockets of this node.
//
//	Server    http.Handler for /socket.io/, Bare for /ws, Deliver, CloseSession, CloseAgent, Shutdown
//	session   one client: state, one bounded queue, deadlines; knows no rooms
//	polling   its transport without a connection; probe: how it gets one
//	wire      its transport by gws
//	dialect   what the client speaks: Socket.IO or bare
//	socket    who is behind it, from CONNECT to DISCONNECT; carries out events
//	hub       organization → audience: room → sockets of this node, and the place in the feed
//	wheel     all deadlines of all sessions
//	registry  sid → session, pid → socket, and how many there may be
//
// # Goroutines
//
// A WebSocket has one goroutine, its reader. It runs gws's ReadLoop, handles
// one message after the other, and is the last to leave: it waits for the writer,
// closes the connection and takes the session out of every place that knows it.
// Whoever else ends the session (wheel, hub, Shutdown) only makes its reader
// end. A session that polls has no goroutine of its own but in the end: what the
// client sends is handled by the requests.
//
// A writer runs while there is something to send and is the only one that
// writes to the connection: gws gets a wire instead of the connection, which
// passes gws's close frames to the queue. One goroutine turns the wheel.
//
// # Locks
//
// A session's in is held while something of the client is handled, calls of the
// Application included, and is taken before all others. Then: audience → session
// → wheel; the hub's and the registry's are leaves. Nothing blocks under any of
// these. An audience's lock makes a delivery, a join, a connect and a recovery
// one step each: the CONNECT reply precedes every event, and from then on none is
// missed. Feeds answer Replay in the order of their deliveries, so a recovery ends
// exactly where the deliveries go on.
//
// # Bounds
//
// Everything a client can make us keep or do has a bound in Limits, and its
// overflow policy there. The queue of a slow client is never thinned out: it is
// dropped whole, and the session closed and counted. A frame is encoded once for
// each dialect and shared by all queues, polling and WebSocket alike; it is
// immutable.
//
// # Order of ending
//
// shut sends what is queued, then the last packets, then the reason, and gives
// the client two seconds to close, or thirty for its next poll; cut closes at
// once. The first reason counts. Only revocation sends a Socket.IO DISCONNECT,
// which keeps clients away; all others let them come back.
//
// # Imports
//
// Of ours: domain, transport/auth, transport/socket/engineio and
// transport/socket/socketio.
package socket
