package domain

// Trace names a step on the way of one message that somebody records: a trace
// and a span of it, as in W3C Trace Context. It travels with the message, by
// value. The zero Trace is that of nearly all messages: nobody follows them.
type Trace struct {
	ID   [16]byte
	Span [8]byte
}

// IsZero reports whether nobody records the message's way.
func (t Trace) IsZero() bool { return t == Trace{} }
