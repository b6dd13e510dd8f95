package socketio

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Append appends the text of p to dst. Args and Data are written as they are:
// they must be valid JSON in valid UTF-8, since browsers cut a connection that
// carries anything else.
func Append(dst []byte, p Packet) []byte {
	dst = append(dst, byte(p.Type))
	if p.Namespace != Root {
		dst = append(dst, p.Namespace...)
		dst = append(dst, ',')
	}
	switch p.Type {
	case Event:
		dst = appendID(dst, p.ID)
		dst = append(dst, '[')
		dst = AppendString(dst, p.Name)
		for _, arg := range p.Args {
			dst = append(dst, ',')
			dst = append(dst, arg...)
		}
		return append(dst, ']')
	case Ack:
		dst = appendID(dst, p.ID)
		dst = append(dst, '[')
		dst = append(dst, bytes.Join(raw(p.Args), []byte{','})...)
		return append(dst, ']')
	default:
		return append(dst, p.Data...)
	}
}

func appendID(dst []byte, id int64) []byte {
	if id == NoID {
		return dst
	}
	return strconv.AppendInt(dst, id, 10)
}

func raw(args []json.RawMessage) [][]byte {
	parts := make([][]byte, len(args))
	for i, arg := range args {
		parts[i] = arg
	}
	return parts
}

// AppendString appends s as a JSON string: valid UTF-8, HTML characters left
// alone.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s { // yields U+FFFD for what is not UTF-8
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&0xf])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
