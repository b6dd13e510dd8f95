package actors

import (
	"errors"
	"fmt"

	"github.com/anthdm/hollywood/actor"
	"github.com/fxamacker/cbor/v2"

	"github.com/chatopshub/chatopshub/domain"
)

// Codec writes the messages that may cross nodes, and reads them: a list of the
// version, the message's kind (a number of codec_kinds.go) and its value, in
// CBOR (RFC 8949). Fields that the reader doesn't know are passed over, those
// that are missing are zero, so nodes of neighbouring releases understand each
// other as long as nothing gets another meaning: a new field gets a new key, a
// new message a new number.
//
// Times are exact and come out in UTC; a nil slice stays nil. The zero value is
// ready, and may be used by many at once.
type Codec struct{}

const (
	// MaxMessage bounds a message, in bytes. Overflow: it isn't written, and not
	// read. What is kept in larger amounts travels in parts.
	MaxMessage = 4 << 20
	// codecVersion changes when releases can no longer read each other.
	codecVersion = 1
	// maxElements bounds each list and map of a message, and maxDepth how deep
	// they nest: the deepest of ours, a template in a letter, has half as many.
	maxElements = 16 << 10
	maxDepth    = 32
)

// UnreadableError is returned for a message that this node can't read: it is
// of another version, of an unknown kind, or damaged. It was certainly not
// executed.
type UnreadableError struct {
	Kind    uint64     // of the message, or the one within it, that can't be read; 0: not known
	Replies *actor.PID // who waits for an answer to it; nil: nobody, or it can't be told
	Reason  error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("read message of kind %d: %v", e.Kind, e.Reason)
}

// Unwrap is why.
func (e *UnreadableError) Unwrap() error { return e.Reason }

// Why a message can't be read, beside what CBOR itself says.
var (
	errUnknownKind = errors.New("this release knows no such kind")
	errTooLong     = fmt.Errorf("message is longer than %d bytes", MaxMessage)
	errNoMessage   = errors.New("isn't a message")
)

var (
	encoding = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		ShortestFloat: cbor.ShortestFloat16,
		Time:          cbor.TimeRFC3339NanoUTC,
		OmitEmpty:     cbor.OmitEmptyGoValue, // a pointer to false isn't nothing
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
	}.EncMode())

	decoding = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   maxDepth,
		MaxArrayElements:  maxElements,
		MaxMapPairs:       maxElements,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		UTF8:              cbor.UTF8DecodeInvalid, // what arrives is what was sent, whatever a customer wrote
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options contradict each other
	}
	return v
}

// Encode writes msg. An error is domain.ErrFailed: msg is of a type that isn't
// listed or too long, which no repetition cures.
func (Codec) Encode(msg any) ([]byte, error) {
	m := wireMessage{Version: codecVersion}
	inner, err := wireKinds.pack(msg)
	if inner != nil {
		m.Kind, m.Value = inner.Kind, inner.Value
	}
	var data []byte
	if err == nil {
		data, err = encoding.Marshal(m)
	}
	if err == nil {
		err = bounded(data)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w: %w", msg, domain.ErrFailed, err)
	}
	return data, nil
}

// bounded refuses what no other node would read. A short message can't have too
// many elements.
func bounded(data []byte) error {
	switch {
	case len(data) > MaxMessage:
		return errTooLong
	case len(data) > maxElements:
		return decoding.Wellformed(data)
	}
	return nil
}

// Decode reads what Encode has written, on this node or another. The message
// doesn't share data. An error is an *UnreadableError.
func (Codec) Decode(data []byte) (any, error) {
	switch {
	case len(data) > MaxMessage:
		return nil, &UnreadableError{Reason: errTooLong}
	case len(data) == 0 || data[0] != listOf3:
		return nil, &UnreadableError{Reason: errNoMessage}
	}
	var version uint64
	rest, err := decoding.UnmarshalFirst(data[1:], &version)
	if err == nil && version != codecVersion {
		err = fmt.Errorf("written in version %d, read in version %d", version, codecVersion)
	}
	if err != nil {
		return nil, &UnreadableError{Reason: err}
	}
	var m packed
	if err := m.read(rest); err != nil {
		return nil, err
	}
	return m.Value, nil
}

// wireMessage is a message as a whole. Nothing is of kind 0.
type wireMessage struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Kind    uint64
	Value   any
}

// packed is a value within a message whose type travels with it.
type packed struct {
	_     struct{} `cbor:",toarray"`
	Kind  uint64
	Value any // to be written: in the form of the kind; read: as it was
}

// The first bytes of messages in CBOR.
const (
	null    = 0xf6
	listOf2 = 0x82
	listOf3 = 0x83
)

// UnmarshalCBOR reads what a packed is written as, or null.
func (m *packed) UnmarshalCBOR(data []byte) error {
	if len(data) == 1 && data[0] == null {
		return nil
	}
	if len(data) == 0 || data[0] != listOf2 {
		return &UnreadableError{Reason: errNoMessage}
	}
	return m.read(data[1:])
}

// read reads the number of a kind and its value.
func (m *packed) read(data []byte) error {
	body, err := decoding.UnmarshalFirst(data, &m.Kind)
	if err != nil {
		return &UnreadableError{Reason: err}
	}
	if m.Value, err = wireKinds.unpack(m.Kind, body); err == nil {
		return nil
	}
	e := &UnreadableError{Kind: m.Kind, Replies: repliesOf(body), Reason: err}
	if inner, ok := errors.AsType[*UnreadableError](err); ok {
		if e.Replies == nil {
			e.Replies = inner.Replies
		}
		e.Kind, e.Reason = inner.Kind, inner.Reason
	}
	return e
}

// repliesOf finds who waits for an answer in a message of any kind: key 0 is
// for that address alone.
func repliesOf(body []byte) *actor.PID {
	var m struct {
		Replies *address `cbor:"0,keyasint"`
	}
	if err := decoding.Unmarshal(body, &m); err != nil || m.Replies == nil {
		return nil // not a message that anybody waits for
	}
	return actor.NewPID(m.Replies[0], m.Replies[1])
}
