package socket

import (
	"net/netip"
	"sync"
)

// registry knows the sessions of this server by their Engine.IO sid and bounds
// how many there are. Its mutex is a leaf: nothing else is locked under it.
type registry struct {
	limits Limits

	mu        sync.Mutex
	closed    bool
	total     int // admitted and not yet removed
	anonymous map[netip.Prefix]int
	nameless  int // sum of anonymous
	sessions  map[string]*session
	running   sync.WaitGroup // sessions that were added and are not yet removed
}

func newRegistry(l Limits) *registry {
	return &registry{limits: l, anonymous: map[netip.Prefix]int{}, sessions: map[string]*session{}}
}

// network is who shares an allowance: an IPv4 address, or an IPv6 /64, which is
// what a single subscriber has.
func network(addr netip.Addr) netip.Prefix {
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

// admit makes room for a session from addr, or says why there is none. After
// an admission either add or dismiss must follow.
func (r *registry) admit(addr netip.Addr) (full string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := network(addr)
	switch {
	case r.closed:
		return "shutdown"
	case r.total >= r.limits.Sessions:
		return "sessions"
	case r.nameless >= r.limits.Anonymous:
		return "anonymous"
	case r.anonymous[from] >= r.limits.AnonymousPerRemote:
		return "anonymous_per_remote"
	}
	r.total++
	r.countAnonymous(from, 1)
	return ""
}

// dismiss gives back what admit took.
func (r *registry) dismiss(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	r.countAnonymous(network(addr), -1)
}

// add registers an admitted session; false when the server has closed meanwhile.
func (r *registry) add(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.sessions[s.sid] = s
	r.running.Add(1)
	return true
}

// remove takes a session out that was added.
func (r *registry) remove(s *session, anonymous bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	if anonymous {
		r.countAnonymous(network(s.remote), -1)
	}
	delete(r.sessions, s.sid)
	r.running.Done()
}

// authenticated and anonymized tell that a session from addr became one with a
// socket or lost it.
func (r *registry) authenticated(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.countAnonymous(network(addr), -1)
}

func (r *registry) anonymized(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.countAnonymous(network(addr), 1)
}

func (r *registry) countAnonymous(from netip.Prefix, n int) {
	r.nameless += n
	r.anonymous[from] += n
	if r.anonymous[from] == 0 {
		delete(r.anonymous, from)
	}
}

// has reports whether a session has this sid.
func (r *registry) has(sid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[sid] != nil
}

// close refuses new sessions from now on and returns those that are left.
func (r *registry) close() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	left := make([]*session, 0, len(r.sessions))
	for _, s := range r.sessions {
		left = append(left, s)
	}
	return left
}
