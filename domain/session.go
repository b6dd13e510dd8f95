package domain

import (
	"errors"
	"fmt"
	"time"
)

// A login is a session: it begins with a password, is kept alive by refresh
// tokens, each good for one exchange, and ends by time, by logout, when the
// user's role, status or password changes, or by theft.

const (
	// RefreshLeeway is how long a spent refresh token gives the token that
	// followed it again: for the answer that was lost on the way, and the second
	// tab that held the same one.
	RefreshLeeway = 30 * time.Second
	// ExtendEvery is how often using a session makes it last longer, at most.
	ExtendEvery = 24 * time.Hour
)

var (
	// ErrSessionOver is what a refresh token is answered that is unknown,
	// or whose session has ended. Logging in again helps, nothing else does.
	ErrSessionOver = errors.New("the session is over")
	// ErrTokenReused is the ErrSessionOver of a refresh token that was used when
	// it had long been exchanged for another: two have it, so one is a thief.
	ErrTokenReused = fmt.Errorf("%w: a spent refresh token was used again", ErrSessionOver)
)

// LoginSession is a login that has just succeeded. Of the refresh token only
// its SHA-256 is known here. The session is the first of its family, whose name
// is its ID.
type LoginSession struct {
	ID          SessionID
	User        LoginUser // as the password was checked against
	RefreshHash []byte
	IP          string
	UserAgent   string // at most 512 bytes, valid UTF-8
}

// RefreshUse is one use of a refresh token. Tokens are known by their SHA-256.
type RefreshUse struct {
	Presented []byte
	Successor []byte // what the presented one is exchanged for, if it is good
	IP        string
	UserAgent string // as of LoginSession
}

// Renewal is what a good use of a refresh token gives.
type Renewal struct {
	Session      SessionID
	User         UserID
	Organization OrganizationID
	Role         Role   // the user's, as it is now
	Newest       []byte // the SHA-256 of the session's unspent token: the successor, or what followed that
}

// RefreshState is what is known of a refresh token and its session when it is
// used.
type RefreshState struct {
	SpentAt   time.Time // when the token was exchanged for its successor; zero: it wasn't
	ExpiresAt time.Time // of the session
	Ended     bool      // the session, before its time
	User      UserStatus
}

// RefreshVerdict says what becomes of a refresh token that is used.
type RefreshVerdict int

// The verdicts.
const (
	// RefreshOver: it is good for nothing any more.
	RefreshOver RefreshVerdict = iota
	// RefreshRotate: it is exchanged for its successor.
	RefreshRotate
	// RefreshRepeat: it was exchanged a moment ago; the same comes again.
	RefreshRepeat
	// RefreshTheft: it was exchanged before that. Its session ends.
	RefreshTheft
)

// RefreshDecision is what DecideRefresh says.
type RefreshDecision struct {
	Verdict   RefreshVerdict
	ExpiresAt time.Time // of the session from now on; of RefreshRotate alone
}

// DecideRefresh says what a use of a refresh token at now does, where a session
// lasts for lifetime after its last extension. A session of a shorter lifetime
// than ExtendEvery is never extended.
func DecideRefresh(s RefreshState, now time.Time, lifetime time.Duration) RefreshDecision {
	spent := !s.SpentAt.IsZero()
	switch {
	case s.Ended, !now.Before(s.ExpiresAt), s.User != UserActive:
		return RefreshDecision{Verdict: RefreshOver}
	case spent && now.Sub(s.SpentAt) <= RefreshLeeway:
		return RefreshDecision{Verdict: RefreshRepeat}
	case spent:
		return RefreshDecision{Verdict: RefreshTheft}
	}
	expires := s.ExpiresAt
	if longer := now.Add(lifetime); longer.Sub(expires) >= ExtendEvery {
		expires = longer
	}
	return RefreshDecision{Verdict: RefreshRotate, ExpiresAt: expires}
}
