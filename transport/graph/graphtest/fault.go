package graphtest

import (
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"time"
)

// Kind is what a call is about.
type Kind string

// The kinds of calls.
const (
	KindMessage  Kind = "message"
	KindAction   Kind = "action" // read receipts, typing, reactions on Messenger
	KindUpload   Kind = "upload"
	KindDownload Kind = "download"
	KindOther    Kind = "other" // look-ups, subscriptions
)

// Call is one call that carried a valid token.
type Call struct {
	Sequence  int // 1 for the first call
	Nth       int // of a message: 1 for the first call with this recipient
	Provider  Provider
	Account   string
	Kind      Kind
	Recipient string
	Object    string // in the address, of a call that isn't about a message
	At        time.Time
}

// Fault is what goes wrong with a call. The zero Fault is: nothing.
type Fault struct {
	Delay time.Duration // before the answer, or before the connection breaks
	Take  bool          // the message is taken all the same; the faults below then hide it
	Error *Error        // answered
	Page  string        // answered instead of JSON, with Status: a proxy's HTML
	// Status goes with Page; 502 where it isn't set.
	Status int
	Cut    bool // the connection is closed without an answer
}

// The faults that leave the caller in the dark.
var (
	// Dropped takes the message and closes the connection.
	Dropped = Fault{Take: true, Cut: true}
	// Broken closes the connection without taking the message.
	Broken = Fault{Cut: true}
)

// Refuse is the fault of an answer with that code.
func Refuse(code, subcode int) Fault { return Fault{Error: Failure(code, subcode, "as planned")} }

// Plan decides what goes wrong with a call. It is called by many goroutines.
type Plan func(Call) Fault

// Messages applies the plan to messages, and nothing to other calls.
func Messages(plan Plan) Plan {
	return func(c Call) Fault {
		if c.Kind != KindMessage {
			return Fault{}
		}
		return plan(c)
	}
}

// Attempts gives the nth call with each recipient the nth of the faults; what
// comes later succeeds.
func Attempts(faults ...Fault) Plan {
	return Messages(func(c Call) Fault {
		if c.Nth <= len(faults) {
			return faults[c.Nth-1]
		}
		return Fault{}
	})
}

// Share gives a share of the messages, from 0 to 1, the fault. Which ones
// depends on the seed, the recipient and the number of the call with it alone,
// and so not on how calls overlap.
func Share(seed uint64, share float64, fault Fault) Plan {
	return Messages(func(c Call) Fault {
		if chance(seed, c.Recipient, c.Nth).Float64() < share {
			return fault
		}
		return Fault{}
	})
}

// chance is the randomness of the nth thing that happens to a recipient.
func chance(seed uint64, recipient string, nth int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(recipient))
	return rand.New(rand.NewPCG(seed, h.Sum64()+uint64(nth)))
}

func (s *Server) plan(c Call) Fault {
	if s.cfg.Plan == nil {
		return Fault{}
	}
	return s.cfg.Plan(c)
}

// note writes a call down and numbers it.
func (s *Server) note(c Call) Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sequence++
	c.Sequence = s.sequence
	if c.Kind == KindMessage {
		s.asked[c.Recipient]++
		c.Nth = s.asked[c.Recipient]
	}
	s.calls.add(c)
	return c
}

// play lets a fault have its way with the answer; true: go on and answer.
func (s *Server) play(w http.ResponseWriter, r *http.Request, c Call, f Fault) bool {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		case <-s.closing:
		}
	}
	switch {
	case f.Cut:
		panic(http.ErrAbortHandler) // net/http's way to close a connection without an answer
	case f.Error != nil:
		f.Error.write(w, product(c.Provider))
	case f.Page != "":
		status := f.Status
		if status == 0 {
			status = http.StatusBadGateway
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(f.Page)) // a client that left misses its answer
	default:
		return true
	}
	return false
}

// product is how a platform calls itself in details.
func product(p Provider) string {
	if p == WhatsApp {
		return "whatsapp"
	}
	return "messenger"
}
