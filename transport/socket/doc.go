// Package socket is the realtime endpoint: Engine.IO v4 and Socket.IO v5 over
// WebSocket, for unmodified socket.io clients, and the hub that brings the
// numbered events of the feeds to the sockets of this node.
//
//	Server    http.Handler for /socket.io/, Deliver, CloseSession, CloseAgent, Shutdown
//	session   one connection: state, one bounded queue, deadlines; knows no rooms
//	socket    who is behind it, from CONNECT to DISCONNECT; carries out events
//	hub       organization → room → sockets of this node
//	wheel     all deadlines of all sessions
//	registry  sid → session, and how many there may be
//
// # Goroutines
//
// Each session has one goroutine, its reader. It runs gws's ReadLoop, handles
// one message after the other, makes all calls of the Application for its
// socket, and is the last to leave: it waits for the writer, closes the
// connection and takes the session out of every place that knows it. Whoever
// else ends a session (wheel, hub, Shutdown) only makes its reader end.
//
// A writer runs while there is something to send and is the only one that
// writes to the connection: gws gets a wire instead of the connection, which
// passes gws's close frames to the queue. One goroutine turns the wheel.
//
// # Locks
//
// hub → audience → session → wheel, and the registry's as a leaf. Nothing
// blocks under any of them. An audience's lock makes a delivery, a join and a
// connect one step each: the CONNECT reply precedes every event, and from then
// on none is missed.
//
// # Bounds
//
// Everything a client can make us keep or do has a bound in Limits, and its
// overflow policy there. The queue of a slow client is never thinned out: its
// connection is cut, not flushed, and counted. A frame is encoded once and
// shared by all queues; it is immutable.
//
// # Order of ending
//
// shut sends what is queued, then the last packets, then a close frame, and
// gives the client two seconds to close; cut closes at once. The first reason
// counts. Only revocation sends a Socket.IO DISCONNECT, which keeps clients
// away; all others let them come back.
//
// # Imports
//
// Of ours: domain, transport/auth, transport/socket/engineio and
// transport/socket/socketio.
package socket
