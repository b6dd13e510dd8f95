package socket

import (
	"net/netip"
	"sync"

	"github.com/chatopshub/chatopshub/domain"
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
	owners    map[domain.RecoveryKey]*socket // who may be asked for their connection
	running   sync.WaitGroup                 // sessions that were added and are not yet removed, and probes
}

func newRegistry(l Limits) *registry {
	return &registry{limits: l, anonymous: map[netip.Prefix]int{}, sessions: map[string]*session{}, owners: map[domain.RecoveryKey]*socket{}}
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

// enter counts a probe, which calls running.Done in the end; false when the
// server has closed.
func (r *registry) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.running.Add(1)
	}
	return !r.closed
}

// remove takes a session out that was added and has no socket.
func (r *registry) remove(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	r.countAnonymous(network(s.remote), -1)
	delete(r.sessions, s.sid)
	r.running.Done()
}

// connected and departed tell that a session got a socket or lost it. Until it
// has departed, who shows its pid has to wait for it.
func (r *registry) connected(k *socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.countAnonymous(network(k.session.remote), -1)
	if k.pid != "" {
		r.owners[k.key(k.pid)] = k
	}
}

func (r *registry) departed(k *socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.countAnonymous(network(k.session.remote), 1)
	if key := k.key(k.pid); r.owners[key] == k {
		delete(r.owners, key)
	}
}

// owner is the socket that has this pid, or nil.
func (r *registry) owner(key domain.RecoveryKey) *socket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[key]
}

func (r *registry) countAnonymous(from netip.Prefix, n int) {
	r.nameless += n
	r.anonymous[from] += n
	if r.anonymous[from] == 0 {
		delete(r.anonymous, from)
	}
}

// session is the one with this sid, or nil.
func (r *registry) session(sid string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[sid]
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
