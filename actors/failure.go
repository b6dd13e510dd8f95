package actors

import "time"

// Decision says how an actor goes on after a panic.
type Decision int

// The decisions, from mild to severe.
const (
	// Resume: the message is dropped, the actor keeps its state.
	Resume Decision = iota + 1
	// Reload: the state is suspected, the actor is to drop it and load it
	// again.
	Reload
	// Stop: the actor leaves the directory; the next message makes a new one.
	Stop
)

func (d Decision) String() string {
	switch d {
	case Resume:
		return "resume"
	case Reload:
		return "reload"
	case Stop:
		return "stop"
	}
	return "unknown decision"
}

// The failure policy: one bad message or two say nothing about the state, more
// of them within the window do; a reload that doesn't help ends in a stop.
const (
	failureWindow = time.Minute
	reloadAt      = 3  // failures within the window
	stopAt        = 10 // failures within the window; also bounds what is remembered
)

// Policy decides after a panic. Failures are the times of the panics, the last
// one included, in order; those before the window don't count.
func Policy(failures []time.Time, now time.Time) Decision {
	switch n := len(recent(failures, now)); {
	case n >= stopAt:
		return Stop
	case n >= reloadAt:
		return Reload
	default:
		return Resume
	}
}

// recent is the part of failures that lies within the window.
func recent(failures []time.Time, now time.Time) []time.Time {
	for len(failures) > 0 && now.Sub(failures[0]) > failureWindow {
		failures = failures[1:]
	}
	return failures
}

// Failed tells a behaviour that messages to it have panicked so often that
// Decision was made: Reload or Stop. After a Stop nothing comes any more. Reason
// says what happened, without the contents of any message.
type Failed struct {
	Decision Decision
	Reason   error
}
