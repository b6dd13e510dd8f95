package actors

import (
	"context"
	"reflect"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/chatopshub/chatopshub/domain"
)

var typeOfError = reflect.TypeFor[error]()

// sentinels are the errors that are known by their identity. Their numbers are
// for ever, as those of the kinds.
var sentinels = map[uint64]error{
	1: domain.ErrNotFound, 2: domain.ErrUnavailable, 3: domain.ErrOverloaded, 4: domain.ErrOutcomeUnknown,
	5: domain.ErrFailed, 6: domain.ErrNoTarget,
	10: domain.ErrEmailTaken, 11: domain.ErrLastAdmin, 12: domain.ErrChannelTaken, 13: domain.ErrChannelUnproved,
	14: domain.ErrChannelFailing, 15: domain.ErrChannelChanged, 16: domain.ErrSessionOver,
	20: domain.ErrFileForbidden, 21: domain.ErrFileTooLarge, 22: domain.ErrFileType, 23: domain.ErrFileGone,
	24: domain.ErrFileDamaged,
	30: context.Canceled, 31: context.DeadlineExceeded,
}

// wireError is an error as it is written: its text, and what of it errors.Is and
// errors.As may be asked for.
type wireError struct {
	Text   string            `cbor:"1,keyasint"`
	Causes []cbor.RawMessage `cbor:"2,keyasint,omitempty"` // a number of sentinels, or a message
	Whole  bool              `cbor:"3,keyasint,omitempty"` // the one cause is all there is
}

const (
	maxErrorText = 1024 // bytes
	maxCauses    = 16
)

// farError is an error of another node: what it said, and the causes that are
// known here. One without any, of another release or of a library, is what it
// would be on its own node: an unexpected error. It isn't taken for a
// domain.ErrFailed, as repeating what it is about may help.
type farError struct {
	text   string
	causes []error
}

func (e *farError) Error() string { return e.text }

// Unwrap is the causes.
func (e *farError) Unwrap() []error { return e.causes }

// errorForm writes errors of any type.
func (t *table) errorForm() *form {
	return &form{
		typ: typeOfError, wire: reflect.TypeFor[*wireError](),
		pack: func(wire, v reflect.Value) error {
			err, _ := v.Interface().(error)
			f, failed := t.failureOf(err)
			wire.Set(reflect.ValueOf(f))
			return failed
		},
		unpack: func(v, wire reflect.Value) error {
			if f := wire.Interface().(*wireError); f != nil {
				v.Set(reflect.ValueOf(t.errorOf(f)))
			}
			return nil
		},
	}
}

func (t *table) failureOf(err error) (*wireError, error) {
	if err == nil {
		return nil, nil
	}
	f := &wireError{Text: clipped(err.Error()), Whole: t.knows(err)}
	for _, cause := range t.causesOf(err, nil) {
		data, failed := t.encodeCause(cause)
		if failed != nil {
			return nil, failed
		}
		f.Causes = append(f.Causes, data)
	}
	return f, nil
}

func clipped(text string) string {
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}

// causesOf collects what is known within err, in the order in which errors.As
// looks.
func (t *table) causesOf(err error, found []error) []error {
	if len(found) == maxCauses {
		return found
	}
	if t.knows(err) {
		return append(found, err)
	}
	switch e := any(err).(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			found = t.causesOf(inner, found)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if inner != nil {
				found = t.causesOf(inner, found)
			}
		}
	}
	return found
}

// knows reports whether err itself, not what it wraps, can be written.
func (t *table) knows(err error) bool {
	return numberOf(err) > 0 || t.byType[reflect.TypeOf(err)] != nil
}

// numberOf is 0 for what isn't a sentinel, even where it wraps one.
func numberOf(err error) uint64 {
	for number, sentinel := range sentinels {
		if any(err) == any(sentinel) {
			return number
		}
	}
	return 0
}

func (t *table) encodeCause(cause error) (cbor.RawMessage, error) {
	if number := numberOf(cause); number > 0 {
		return encoding.Marshal(number)
	}
	m, err := t.pack(cause)
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(m)
}

// errorOf leaves out the causes that this release doesn't know.
func (t *table) errorOf(f *wireError) error {
	e := &farError{text: clipped(f.Text)}
	for _, data := range f.Causes[:min(len(f.Causes), maxCauses)] {
		if cause := decodeCause(data); cause != nil {
			e.causes = append(e.causes, cause)
		}
	}
	if f.Whole && len(e.causes) == 1 {
		return e.causes[0]
	}
	return e
}

func decodeCause(data cbor.RawMessage) error {
	var number uint64
	if decoding.Unmarshal(data, &number) == nil {
		return sentinels[number]
	}
	var m packed
	if decoding.Unmarshal(data, &m) != nil {
		return nil
	}
	err, _ := m.Value.(error)
	return err
}
