package domain

import (
	"time"

	"github.com/google/uuid"
)

// DeadLetter is a piece of a webhook that couldn't be taken: not understood,
// for a channel that its signature doesn't speak for, or refused by the
// storage. It is kept so that an operator can see it and have it tried again.
type DeadLetter struct {
	ID           DeadLetterID      // computed: the same piece posted again is the same letter
	Organization OrganizationID    // zero: no channel that the signature speaks for
	Provider     Provider          // whose webhook it was
	Account      string            // phone number id or page id; empty: the piece names none
	Reason       string            // a short constant, such as "unknown_channel"
	Detail       string            // what the reason doesn't say, never content; may be empty
	Headers      map[string]string // of the request, without its signature
	Payload      []byte            // a body of a webhook that holds this piece alone
	ReceivedAt   time.Time
	SignedBy     string // which secret signed the POST: a fingerprint that tells nothing of it; empty: not known
}

// DeadLetterIDFor computes the id of a letter from what it says. The platforms
// post everything again after any failure; the letters of the second time are
// those of the first.
func DeadLetterIDFor(letter DeadLetter) DeadLetterID {
	name := make([]byte, 0, 128+len(letter.Payload))
	name = append(name, "dead letter\x00"...)
	name = append(name, letter.Organization[:]...)
	for _, part := range []string{string(letter.Provider), letter.Account, letter.Reason} {
		name = append(name, part...)
		name = append(name, 0)
	}
	name = append(name, letter.Payload...)
	// Signed with another secret it is another letter: one is believed, the other
	// isn't. Behind the payload, so that letters without it keep their ids.
	name = append(name, letter.SignedBy...)
	return DeadLetterID(uuid.NewSHA1(idSpace, name))
}

// ReplayError is returned for a dead letter that still can't be taken.
// Repeating it at once can't help.
type ReplayError struct {
	Reason string // a short constant, as of DeadLetter
}

func (e *ReplayError) Error() string { return "the dead letter can't be taken: " + e.Reason }
