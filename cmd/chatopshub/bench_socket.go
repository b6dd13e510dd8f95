package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// benchSocket is one agent's connection: Socket.IO over a WebSocket, as light as
// a client can be, so that a thousand of them leave the machine to the server. It
// reads frames, answers pings, remembers how to come back, and hands packets on.
type benchSocket struct {
	conn   net.Conn
	reader *bufio.Reader
	pid    string
	offset []byte // of the newest event
	skip   int    // bytes until the next frame
}

// socketDoor says where sockets are and how one comes in.
type socketDoor struct {
	base  *url.URL
	path  string
	token string // empty: a bare WebSocket, which says nothing
	from  string // address that a proxy would tell; empty: our own
}

// socketBuffer is what a client reads at once: some frames of an event.
const socketBuffer = 4 << 10

// engineIOPath is where Socket.IO is spoken over a WebSocket from the beginning.
const engineIOPath = "/socket.io/?EIO=4&transport=websocket"

// connectSocket opens a connection and logs in; with a pid and an offset, to get
// what was missed since.
func connectSocket(ctx context.Context, door socketDoor, pid string, offset []byte) (_ *benchSocket, err error) {
	conn, err := dialHost(ctx, door.base)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := &benchSocket{conn: conn, reader: bufio.NewReaderSize(conn, socketBuffer)}
	defer func() {
		if err != nil {
			_ = conn.Close() // it is of no use
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, fmt.Errorf("set a deadline: %w", err)
	}
	if err := s.upgrade(door); err != nil {
		return nil, err
	}
	if door.token != "" {
		if err := s.login(door.token, pid, offset); err != nil {
			return nil, err
		}
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clear the deadline: %w", err)
	}
	return s, nil
}

func (s *benchSocket) upgrade(door socketDoor) error {
	headers := ""
	if door.from != "" {
		headers = "X-Forwarded-For: " + door.from + "\r\n"
	}
	_, err := fmt.Fprintf(s.conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", door.path, headers)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	resp, err := http.ReadResponse(s.reader, nil)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	_ = resp.Body.Close() // empty
	return want(http.StatusSwitchingProtocols, resp.StatusCode, nil)
}

// login speaks Socket.IO's handshake. What was missed comes before its answer.
func (s *benchSocket) login(token, pid string, offset []byte) error {
	shown := map[string]string{"token": token}
	if pid != "" && len(offset) > 0 {
		shown["pid"], shown["offset"] = pid, string(offset)
	}
	auth, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	if err := s.send(append([]byte("40"), auth...)); err != nil {
		return err
	}
	for {
		packet, err := s.packet()
		switch {
		case err != nil:
			return fmt.Errorf("log in: %w", err)
		case bytes.HasPrefix(packet, []byte("44")):
			return fmt.Errorf("log in: the server said %s", bytes.Clone(packet[2:]))
		case bytes.HasPrefix(packet, []byte("40")):
			var in struct{ PID string }
			err := json.Unmarshal(packet[2:], &in)
			s.pid, s.offset = in.PID, append(s.offset, offset...)
			return err
		}
	}
}

// Opcodes of WebSocket frames (RFC 6455, section 5.2).
const (
	frameText  = 0x1
	frameClose = 0x8
)

// packet reads the next text frame; it is good until the next call. What is
// longer than the buffer is skipped: nothing that long is looked into. After
// errNothingYet it may be called again.
func (s *benchSocket) packet() ([]byte, error) {
	for {
		for s.skip > 0 {
			n, err := s.reader.Discard(s.skip)
			s.skip -= n
			if err != nil {
				return nil, err
			}
		}
		opcode, head, length, err := s.frame()
		if err != nil {
			return nil, err
		}
		if opcode == frameClose {
			return nil, fmt.Errorf("closed by the server: %w", io.EOF)
		}
		if s.skip = head + length; s.skip > socketBuffer || opcode != frameText {
			continue
		}
		whole, err := s.reader.Peek(s.skip)
		if err != nil {
			s.skip = 0 // it comes again, with more
			return nil, err
		}
		return whole[head:], nil // and the next call skips it
	}
}

// frame is the head of the next frame, which it leaves where it is.
func (s *benchSocket) frame() (opcode byte, head, length int, err error) {
	seen, err := s.reader.Peek(2)
	if err != nil {
		return 0, 0, 0, err
	}
	opcode, head, length = seen[0]&0xf, 2, int(seen[1]&0x7f)
	if length < 126 {
		return opcode, head, length, nil
	}
	head = map[int]int{126: 4, 127: 10}[length]
	if seen, err = s.reader.Peek(head); err != nil {
		return 0, 0, 0, err
	}
	length = 0
	for _, b := range seen[2:] {
		length = length<<8 | int(b)
	}
	return opcode, head, length, nil
}

// send writes a short text frame, with the mask 0.
func (s *benchSocket) send(text []byte) error {
	frame := []byte{0x80 | frameText}
	if len(text) < 126 {
		frame = append(frame, 0x80|byte(len(text)))
	} else {
		frame = append(frame, 0x80|126, byte(len(text)>>8), byte(len(text)))
	}
	if _, err := s.conn.Write(append(append(frame, 0, 0, 0, 0), text...)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// listen hands packets to take until the connection ends, or until nothing more
// is there just now, which is errNothingYet. take must not keep them.
func (s *benchSocket) listen(take func(packet []byte)) error {
	for {
		packet, err := s.packet()
		if err == nil && len(packet) == 1 && packet[0] == '2' {
			err = s.send([]byte("3"))
		}
		if err != nil {
			return err
		}
		if bytes.HasPrefix(packet, []byte("42")) {
			s.remember(packet)
		}
		take(packet)
	}
}

// remember keeps the offset, which is the last argument of an event.
func (s *benchSocket) remember(packet []byte) {
	end := bytes.LastIndexByte(packet, '"')
	if end < 0 || !bytes.HasSuffix(packet, []byte(`"]`)) {
		return
	}
	if begin := bytes.LastIndexByte(packet[:end], '"'); begin >= 0 {
		s.offset = append(s.offset[:0], packet[begin+1:end]...)
	}
}

// newMessage is how an event of a new message of a customer begins its body,
// where the stamp is.
var newMessage = []byte(`"body":"@`)

// stampOf finds when the message that an event tells of was due.
func stampOf(packet []byte) (time.Time, bool) {
	if !bytes.HasPrefix(packet, []byte(`42["message.created"`)) {
		return time.Time{}, false
	}
	_, rest, found := bytes.Cut(packet, newMessage)
	if !found || len(rest) < stampDigits {
		return time.Time{}, false
	}
	micros, err := strconv.ParseInt(string(rest[:stampDigits]), 10, 64)
	return time.UnixMicro(micros), err == nil
}

// doors is where the first n agents come in.
func (t *target) doors(n int) []socketDoor {
	doors := make([]socketDoor, n)
	for i := range doors {
		a := t.agents[i%len(t.agents)]
		doors[i] = socketDoor{base: t.base, path: engineIOPath, token: a.token, from: a.socket}
	}
	return doors
}

// doors is where n sockets of the floor come in.
func (f *floor) doors(n int) []socketDoor {
	doors := make([]socketDoor, n)
	for i := range doors {
		doors[i] = socketDoor{base: f.base, path: "/sockets"}
	}
	return doors
}
