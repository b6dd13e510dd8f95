package rest

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// How many wrong passwords are checked within throttleWindow. An account's are
// few: 2,880 guesses a day find no password that isn't on every list. An
// address's are many, because an office has one: all its agents may come back at
// once, and some mistype. Logins that succeed don't count.
const (
	throttleWindow  = 5 * time.Minute
	triesPerAccount = 10
	triesPerAddress = 300
)

// attempt is a login that has been counted for its account and its address.
type attempt struct {
	server *server
	keys   []string
}

// attemptLogin counts a login before its password is checked, so that many at
// once can't pass the limit together. Unknown e-mails are counted like known
// ones: that a login is refused tells nothing.
func (s *server) attemptLogin(ctx context.Context, email string) (*attempt, error) {
	a := &attempt{server: s}
	address := "login address " + subscriber(requestOf(ctx).client).String()
	account := "login account " + strings.ToLower(email)
	for _, limit := range []struct {
		key   string
		tries int
	}{{address, triesPerAddress}, {account, triesPerAccount}} {
		if wait := s.Throttle.Take(ctx, limit.key, limit.tries, throttleWindow); wait > 0 {
			return nil, throttled(wait)
		}
		a.keys = append(a.keys, limit.key)
	}
	return a, nil
}

// uncount takes the attempt back: the password was right, or was never checked.
func (a *attempt) uncount(ctx context.Context) {
	for _, key := range a.keys {
		a.server.Throttle.GiveBack(ctx, key)
	}
}

// subscriber is who shares an allowance: an IPv4 address, or an IPv6 /64, which
// is what a single subscriber has.
func subscriber(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all such share one allowance
	}
	return p
}

// throttled is the 429 for who has to wait.
func throttled(wait time.Duration) *Problem {
	seconds := int((wait + time.Second - 1) / time.Second)
	return problem(http.StatusTooManyRequests, "too_many_attempts", "Too many wrong passwords. Wait before the next attempt.").
		with("Retry-After", strconv.Itoa(seconds))
}
