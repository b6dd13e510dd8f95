package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"
)

// The platforms write ids and times as strings or numbers, leave objects out or
// make them null, and add fields at any time. These types read all of it;
// what has another type than any that was ever seen counts as absent.

// decode reads into v what it can of data. Parts of an unexpected type are left
// out; false says that there were some, or that data is no JSON.
func decode(data []byte, v any) bool { return json.Unmarshal(data, v) == nil }

// decodeObject is decode for one element, in which unexpected parts are as good
// as absent. False says that data is no object.
func decodeObject(data []byte, v any) bool {
	if len(data) == 0 || data[0] != '{' {
		return false
	}
	var mismatch *json.UnmarshalTypeError
	err := json.Unmarshal(data, v)
	return err == nil || errors.As(err, &mismatch)
}

// text is a string, or a number as it is written: valid UTF-8 without NUL.
type text string

// UnmarshalJSON never fails: what is neither string nor number is empty.
func (t *text) UnmarshalJSON(data []byte) error {
	*t = text(readText(data))
	return nil
}

func readText(data []byte) string {
	switch c := data[0]; {
	case c == '-' || '0' <= c && c <= '9':
		return string(data)
	case c != '"':
		return ""
	}
	inner := data[1 : len(data)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return "" // the decoder that calls has checked the syntax
	}
	return cleanText(s)
}

// flag is a boolean, also when it is written as a string or a number.
type flag bool

// UnmarshalJSON never fails: what isn't true is false.
func (f *flag) UnmarshalJSON(data []byte) error {
	switch string(bytes.Trim(data, `"`)) {
	case "true", "1":
		*f = true
	default:
		*f = false
	}
	return nil
}

// stamp is a platform's time: seconds or milliseconds since 1970, as string or
// number; zero where there is none, or nothing that is a time.
type stamp struct{ time.Time }

// The numbers that are times. Seconds end, and milliseconds begin, where either
// reading is far from the present: 1e11 is the year 5138 in seconds, and 1973
// in milliseconds.
const (
	firstMillisecond = 1e11
	lastMillisecond  = 1e14
)

// UnmarshalJSON never fails: what is no time is zero.
func (s *stamp) UnmarshalJSON(data []byte) error {
	*s = stamp{}
	digits := readText(data)
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(f > 0 && f < lastMillisecond) {
			return nil
		}
		n = int64(f)
	}
	switch {
	case n <= 0 || n >= lastMillisecond:
	case n < firstMillisecond:
		s.Time = time.Unix(n, 0).UTC()
	default:
		s.Time = time.UnixMilli(n).UTC()
	}
	return nil
}
