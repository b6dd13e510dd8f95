package socket

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/socket/engineio"
	"github.com/chatopshub/chatopshub/transport/socket/socketio"
)

// socketIO is Socket.IO v5 in Engine.IO v4, over WebSocket or polling. A frame
// is one Engine.IO packet; polling sends its payload.
var socketIO dialect = ioDialect{}

type ioDialect struct{}

// The packets that are always the same.
var (
	pingPacket  = enginePacket(engineio.Ping, "")
	closePacket = enginePacket(engineio.Close, "")
	noopPacket  = enginePacket(engineio.Noop, "")
	probeAnswer = enginePacket(engineio.Pong, "probe")
)

func enginePacket(t engineio.Type, data string) frame {
	return textFrame(1+len(data), func(dst []byte) []byte { return append(append(dst, byte(t)), data...) })
}

// openPacket is the first packet of a session.
func (s *Server) openPacket(sid string, canUpgrade bool) frame {
	return textFrame(128, engineio.Handshake{
		SID: sid, CanUpgrade: canUpgrade, MaxPayload: s.config.MaxPayload,
		PingInterval: s.config.PingInterval, PingTimeout: s.config.PingTimeout,
	}.Append)
}

func (ioDialect) index() int  { return 0 }
func (ioDialect) ping() frame { return pingPacket }

func (ioDialect) receive(s *session, text []byte) error {
	p, err := engineio.Decode(text)
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return s.packet(p)
}

// packet handles one Engine.IO packet of an established transport. The caller
// holds in.
func (s *session) packet(p engineio.Packet) error {
	if !s.allowed() {
		s.refuseFlood(p)
		return errRateLimited
	}
	switch p.Type {
	case engineio.Message:
		return s.message(p.Data)
	case engineio.Pong:
		s.pong()
	case engineio.Ping:
		return errClientPing
	case engineio.Close:
		s.closedByClient()
	case engineio.Open, engineio.Noop, engineio.Upgrade:
		// Legal, and without meaning here.
	}
	return nil
}

// closedByClient ends the session at its client's wish.
func (s *session) closedByClient() {
	s.mu.Lock()
	s.releasePoll()
	polling := s.conn == nil
	s.mu.Unlock()
	if polling {
		s.cut(ReasonClosed) // it won't fetch the rest
		return
	}
	s.shut(ReasonClosed)
}

// refuseFlood answers the packet that was one too many, if it wants an answer.
func (s *session) refuseFlood(p engineio.Packet) {
	if p.Type != engineio.Message {
		return
	}
	if e, err := socketio.Decode(p.Data); err == nil && e.Type == socketio.Event {
		s.acknowledge(eventRequest(e), answer{Code: codeRateLimited})
	}
}

// message handles one Socket.IO packet. An error ends the session.
func (s *session) message(text []byte) error {
	p, err := socketio.Decode(text)
	switch {
	case err != nil:
		return fmt.Errorf("receive: %w", err)
	case p.Type == socketio.Connect:
		return s.connect(p)
	case p.Namespace != socketio.Root || s.socket == nil:
		return errNotConnected
	}
	switch p.Type {
	case socketio.Event:
		s.carryOut(eventRequest(p))
	case socketio.Ack:
		// We ask for none; late and unknown ones are normal.
	case socketio.Disconnect:
		s.disconnect()
	default:
		return errServerPacket
	}
	return nil
}

func eventRequest(p socketio.Packet) request {
	r := request{name: p.Name, args: p.Args}
	if p.ID != socketio.NoID {
		r.acknowledge = func(answer json.RawMessage) frame {
			return packetFrame(socketio.Packet{
				Type: socketio.Ack, Namespace: socketio.Root, ID: p.ID, Args: []json.RawMessage{answer},
			})
		}
	}
	return r
}

// connect checks the token and connects the socket. A refusal is not the end
// of the session: the client may try again with another token.
func (s *session) connect(p socketio.Packet) error {
	if p.Namespace != socketio.Root {
		s.refuse(p.Namespace, "Invalid namespace")
		return nil
	}
	if s.socket != nil {
		return errConnectedTwice
	}
	var handshake struct{ Token, PID, Offset any }
	if len(p.Data) > 0 {
		if err := json.Unmarshal(p.Data, &handshake); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
	}
	var c credential // what is no string is nothing
	c.token, _ = handshake.Token.(string)
	c.pid, _ = handshake.PID.(string)
	c.offset, _ = handshake.Offset.(string)
	err := s.enter(c)
	if unauthorized(err) {
		s.refuse(socketio.Root, "unauthorized")
		return nil
	}
	return err
}

func unauthorized(err error) bool {
	return errors.Is(err, auth.ErrTokenInvalid) || errors.Is(err, auth.ErrTokenExpired) || errors.Is(err, auth.ErrTokenRevoked)
}

// refuse answers a CONNECT. message is a constant of ours, plain ASCII.
func (s *session) refuse(namespace, message string) {
	s.push(packetFrame(socketio.Packet{
		Type: socketio.ConnectError, Namespace: namespace, Data: fmt.Appendf(nil, `{"message":%q}`, message),
	}))
}

func (ioDialect) greet(k *socket, _ bool) frame {
	data := fmt.Appendf(nil, `{"sid":%q}`, k.sid)
	if k.pid != "" {
		data = fmt.Appendf(nil, `{"sid":%q,"pid":%q}`, k.sid, k.pid)
	}
	return packetFrame(socketio.Packet{Type: socketio.Connect, Namespace: socketio.Root, Data: data})
}

// event has its offset as the last argument, from which clients know where to
// go on after a reconnect.
func (ioDialect) event(e domain.FeedEvent) frame {
	args := []json.RawMessage{e.Data}
	if e.Seq > 0 {
		args = append(args, json.RawMessage(strconv.Quote(e.Offset()))) // plain ASCII
	}
	return packetFrame(socketio.Packet{
		Type: socketio.Event, Namespace: socketio.Root, ID: socketio.NoID, Name: string(e.Name), Args: args,
	})
}

// revoked ends with a DISCONNECT: the only thing that keeps these clients away.
func (d ioDialect) revoked() []frame {
	return []frame{d.event(revokedEvent), packetFrame(socketio.Packet{Type: socketio.Disconnect, Namespace: socketio.Root})}
}

// revokedEvent tells a client that its login is over.
var revokedEvent = domain.FeedEvent{Name: domain.EventSessionRevoked, Data: []byte(`{}`)}

// packetFrame carries one Socket.IO packet.
func packetFrame(p socketio.Packet) frame {
	size := 64 + len(p.Data)
	for _, arg := range p.Args {
		size += len(arg)
	}
	return textFrame(size, func(dst []byte) []byte {
		return socketio.Append(append(dst, byte(engineio.Message)), p)
	})
}
