package socketio

import (
	"bytes"
	"encoding/json"
)

// Decode reads the one packet that text is, the content of an Engine.IO message.
func Decode(text []byte) (Packet, error) {
	if len(text) == 0 {
		return Packet{}, malformed("empty")
	}
	p := Packet{Type: Type(text[0])}
	if p.Type < Connect || p.Type > ConnectError {
		return Packet{}, malformed("type %q, want '0' to '4'", text[0])
	}
	var err error
	rest := text[1:]
	if p.Namespace, rest, err = cutNamespace(rest); err != nil {
		return Packet{}, err
	}
	if p.ID, rest, err = cutID(rest); err != nil {
		return Packet{}, err
	}
	if err := p.decodePayload(rest); err != nil {
		return Packet{}, err
	}
	return p, nil
}

func (p *Packet) decodePayload(text []byte) (err error) {
	switch p.Type {
	case Connect:
		if len(text) > 0 {
			p.Data, err = object(text)
		}
	case ConnectError:
		p.Data, err = object(text)
	case Disconnect:
		if len(text) > 0 {
			err = malformed("disconnect with a payload")
		}
	case Event:
		if p.Args, err = array(text); err == nil {
			err = p.cutName()
		}
	case Ack:
		if p.ID == NoID {
			return malformed("ack without an id")
		}
		p.Args, err = array(text)
	}
	return err
}

// cutName takes the name of an event off its arguments.
func (p *Packet) cutName() error {
	if len(p.Args) == 0 || p.Args[0][0] != '"' {
		return malformed("the first element of an event must be its name, a string")
	}
	if err := json.Unmarshal(p.Args[0], &p.Name); err != nil {
		return malformed("event name: %w", err)
	}
	if Reserved(p.Name) {
		return malformed("reserved event name %q", p.Name)
	}
	p.Args = p.Args[1:]
	return nil
}

func cutNamespace(text []byte) (namespace string, rest []byte, err error) {
	if len(text) == 0 || text[0] != '/' {
		return Root, text, nil
	}
	name, rest, _ := bytes.Cut(text, []byte{','})
	if len(name) > namespaceBytesMax {
		return "", nil, malformed("namespace of %d bytes, at most %d", len(name), namespaceBytesMax)
	}
	if bytes.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", nil, malformed("control character in the namespace")
	}
	return string(name), rest, nil
}

func cutID(text []byte) (id int64, rest []byte, err error) {
	n := 0
	for n < len(text) && '0' <= text[n] && text[n] <= '9' {
		if n == idDigitsMax {
			return 0, nil, malformed("ack id of more than %d digits", idDigitsMax)
		}
		id = id*10 + int64(text[n]-'0')
		n++
	}
	if n == 0 {
		return NoID, text, nil
	}
	return id, text[n:], nil
}

// object copies text if it is a JSON object with nothing around it.
func object(text []byte) (json.RawMessage, error) {
	if !enclosed(text, '{', '}') || !json.Valid(text) {
		return nil, malformed("payload is not a JSON object")
	}
	return bytes.Clone(text), nil
}

// array splits text if it is a JSON array with nothing around it.
func array(text []byte) ([]json.RawMessage, error) {
	if !enclosed(text, '[', ']') {
		return nil, malformed("payload is not a JSON array")
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return nil, malformed("payload: %w", err)
	}
	return elements, nil
}

// enclosed rules out blanks around the JSON, which a JSON parser would accept.
func enclosed(text []byte, first, last byte) bool {
	return len(text) >= 2 && text[0] == first && text[len(text)-1] == last
}
