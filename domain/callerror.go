package domain

import (
	"strconv"
	"time"
)

// FailureClass is what follows from a call to a platform that failed.
type FailureClass string

// The classes of failures. Only FailureUncertain may have had an effect.
const (
	FailurePermanent         FailureClass = "permanent"          // this message never goes out
	FailurePermanentOrOnce   FailureClass = "permanent_or_once"  // one more try may help
	FailureTransient         FailureClass = "transient"          // try again after a while, few times
	FailureThrottleApp       FailureClass = "throttle_app"       // everything of our app waits
	FailureThrottleChannel   FailureClass = "throttle_channel"   // the number or page waits
	FailureThrottleRecipient FailureClass = "throttle_recipient" // this customer waits, no other does
	FailureThrottleQuality   FailureClass = "throttle_quality"   // the number is restricted: one slow retry, and alert
	FailureChannel           FailureClass = "channel"            // token, permission or account: nothing goes out until it is mended
	FailureUncertain         FailureClass = "uncertain"          // may have been done: never repeated blindly
)

// Throttled reports whether the platform asks for a pause: that slows a rate
// down and costs no attempt.
func (c FailureClass) Throttled() bool {
	switch c {
	case FailureThrottleApp, FailureThrottleChannel, FailureThrottleRecipient, FailureThrottleQuality:
		return true
	}
	return false
}

// Ails reports whether the failure says something of the channel's health, and
// so counts for its circuit breaker; what is wrong with one message or one
// customer doesn't.
func (c FailureClass) Ails() bool {
	switch c {
	case FailureTransient, FailureThrottleApp, FailureThrottleChannel, FailureChannel, FailureUncertain:
		return true
	}
	return false
}

// The codes of failures that the platform gave none.
const (
	CallNotReached   = "not_reached"   // the request never went out
	CallNoAnswer     = "no_answer"     // it went out and no answer came
	CallBadAnswer    = "bad_answer"    // what came isn't what the platform answers
	CallUnsendable   = "unsendable"    // the call wasn't made: the platform would refuse it
	CallWrongAccount = "wrong_account" // the credentials are those of something else
)

// CallError is a call to a platform that failed.
type CallError struct {
	Class      FailureClass
	Code       string // the platform's number, or one of the Call codes
	Subcode    int    // Messenger's, 0: none
	Text       string // what agents are shown; bounded, without secrets
	TraceID    string // the platform's, for its support
	RetryAfter time.Duration
	Cause      error // of one without an answer; names no credentials
}

func (e *CallError) Error() string {
	code := e.Code
	if e.Subcode != 0 {
		code += "/" + strconv.Itoa(e.Subcode)
	}
	s := "platform call failed: " + string(e.Class) + " (" + code + "): " + e.Text
	if e.TraceID != "" {
		s += " (trace " + e.TraceID + ")"
	}
	return s
}

// Unwrap is the cause, so that a cancelled call can be told by its context's error.
func (e *CallError) Unwrap() error { return e.Cause }
