package cluster

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// What nodes send each other has protobuf's wire format, so that a release can
// add a field and an older one skips it. Numbers are never used again for
// something else, and fields never change their type:
//
//	Frame    1 hello   Hello           first on a stream, and answered by one
//	         2 message repeated Message
//	         3 ping    uint64          answered by a frame with the same number
//	Hello    1 protocol uint64  2 oldest uint64
//	         3 cluster  string  4 node   string  5 addr string
//	         6 number   uint64         of the connection, in the order in which the node made them
//	Message  1 target   string         id of the process at the receiver
//	         2 address  string         of the sender, if that isn't where the stream begins
//	         3 sender   string         its id; absent: nobody is named
//	         4 body     bytes          the Codec's
//	View     1 number   uint64  2 node repeated Node
//	Node     1 name     string  2 addr string  3 draining bool
const (
	frameHello   protowire.Number = 1
	frameMessage protowire.Number = 2
	framePing    protowire.Number = 3

	helloProtocol protowire.Number = 1
	helloOldest   protowire.Number = 2
	helloCluster  protowire.Number = 3
	helloNode     protowire.Number = 4
	helloAddr     protowire.Number = 5
	helloNumber   protowire.Number = 6

	messageTarget  protowire.Number = 1
	messageAddress protowire.Number = 2
	messageSender  protowire.Number = 3
	messageBody    protowire.Number = 4
)

const (
	// protocol is what this release speaks, oldestProtocol what it still
	// understands. They change only when skipping unknown fields isn't enough.
	protocol       = 1
	oldestProtocol = 1

	// frameBytes is how much is packed into one frame: with tags and lengths it
	// fits into gRPC's pooled buffers of 32 KB, the next size is 1 MB.
	frameBytes = 30 << 10
)

// hello is how two nodes begin.
type hello struct {
	protocol, oldest    uint64
	cluster, node, addr string
	number              uint64
}

// envelope is a message that arrived.
type envelope struct {
	target, address, sender string
	body                    []byte // a part of the frame's bytes
}

// frame is what arrives in one piece.
type frame struct {
	hello    *hello
	messages []envelope
	ping     uint64
}

var errMalformed = errors.New("malformed frame")

func appendHello(b []byte, h hello) []byte {
	var in []byte
	in = appendVarint(in, helloProtocol, h.protocol)
	in = appendVarint(in, helloOldest, h.oldest)
	in = appendText(in, helloCluster, h.cluster)
	in = appendText(in, helloNode, h.node)
	in = appendText(in, helloAddr, h.addr)
	in = appendVarint(in, helloNumber, h.number)
	b = protowire.AppendTag(b, frameHello, protowire.BytesType)
	return protowire.AppendBytes(b, in)
}

func appendPing(b []byte, number uint64) []byte { return appendVarint(b, framePing, number) }

// appendMessage adds m, which node self sends; m.size was measured by it.
func appendMessage(b []byte, m *message, self string) []byte {
	b = protowire.AppendTag(b, frameMessage, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(m.size))
	b = appendText(b, messageTarget, m.to.ID)
	if m.sender != nil {
		if m.sender.Address != self {
			b = appendText(b, messageAddress, m.sender.Address)
		}
		b = appendText(b, messageSender, m.sender.ID)
	}
	b = protowire.AppendTag(b, messageBody, protowire.BytesType)
	return protowire.AppendBytes(b, m.body)
}

// measure is how many bytes appendMessage writes after the length.
func measure(m *message, self string) int {
	n := sizeOf(len(m.to.ID)) + sizeOf(len(m.body))
	if m.sender != nil {
		if m.sender.Address != self {
			n += sizeOf(len(m.sender.Address))
		}
		n += sizeOf(len(m.sender.ID))
	}
	return n
}

// sizeOf is the size of a field with a one-byte tag and n bytes.
func sizeOf(n int) int { return 1 + protowire.SizeBytes(n) }

func appendText(b []byte, num protowire.Number, text string) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, text)
}

func appendVarint(b []byte, num protowire.Number, n uint64) []byte {
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, n)
}

// read makes f what data says; it keeps data, and reuses what f had.
func (f *frame) read(data []byte) error {
	*f = frame{messages: f.messages[:0]}
	return fields(data, func(num protowire.Number, n uint64, in []byte) error {
		switch num {
		case frameHello:
			f.hello = new(hello)
			return f.hello.read(in)
		case frameMessage:
			var e envelope
			if err := e.read(in); err != nil {
				return err
			}
			f.messages = append(f.messages, e)
		case framePing:
			f.ping = n
		}
		return nil
	})
}

func (h *hello) read(data []byte) error {
	return fields(data, func(num protowire.Number, n uint64, in []byte) error {
		switch num {
		case helloProtocol:
			h.protocol = n
		case helloOldest:
			h.oldest = n
		case helloCluster:
			h.cluster = string(in)
		case helloNode:
			h.node = string(in)
		case helloAddr:
			h.addr = string(in)
		case helloNumber:
			h.number = n
		}
		return nil
	})
}

func (e *envelope) read(data []byte) error {
	return fields(data, func(num protowire.Number, _ uint64, in []byte) error {
		switch num {
		case messageTarget:
			e.target = string(in)
		case messageAddress:
			e.address = string(in)
		case messageSender:
			e.sender = string(in)
		case messageBody:
			e.body = in
		}
		return nil
	})
}

// fields calls f for each field of data that is a number or bytes, and skips
// what is neither: no release has had such.
func fields(data []byte, f func(num protowire.Number, n uint64, in []byte) error) error {
	for len(data) > 0 {
		num, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
		}
		data = data[size:]
		var number uint64
		var in []byte
		switch kind {
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			in, size = protowire.ConsumeBytes(data)
		default:
			num, size = 0, protowire.ConsumeFieldValue(num, kind, data)
		}
		if size < 0 {
			return fmt.Errorf("%w: %w", errMalformed, protowire.ParseError(size))
		}
		data = data[size:]
		if err := f(num, number, in); err != nil {
			return err
		}
	}
	return nil
}

// raw is gRPC's codec for messages that are bytes already: mem.BufferSlice to
// send, *[]byte to receive.
type raw struct{}

var _ encoding.CodecV2 = raw{}

// Marshal implements encoding.CodecV2.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(mem.BufferSlice)
	if !ok {
		return nil, fmt.Errorf("cluster: a %T is no frame", v)
	}
	return b, nil
}

// Unmarshal implements encoding.CodecV2.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("cluster: a %T is no frame", v)
	}
	*b = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2.
func (raw) Name() string { return "chatopshub" }

// pack makes a frame of messages and a ping (0: none), in a buffer that gRPC
// gives back.
func pack(messages []message, ping uint64, self string) mem.BufferSlice {
	size := 1 + protowire.SizeVarint(ping)
	for i := range messages {
		size += sizeOf(messages[i].size)
	}
	pool := mem.DefaultBufferPool()
	buffer := pool.Get(size)
	b := (*buffer)[:0]
	for i := range messages {
		b = appendMessage(b, &messages[i], self)
	}
	if ping != 0 {
		b = appendPing(b, ping)
	}
	*buffer = b
	return mem.BufferSlice{mem.NewBuffer(buffer, pool)}
}

func wrap(b []byte) mem.BufferSlice { return mem.BufferSlice{mem.SliceBuffer(b)} }
