package socket

import (
	"errors"
	"slices"
	"sync"

	"github.com/chatopshub/chatopshub/domain"
)

// Why a socket can't join a room.
var (
	errGone         = errors.New("socket has left")
	errTooManyRooms = errors.New("too many rooms")
)

// hub knows which sockets of this node are in which rooms. Rooms belong to an
// organization: the same name in another one is another room.
//
// Locks are taken in this order: hub, audience, session, wheel.
type hub struct {
	mu        sync.RWMutex
	audiences map[domain.OrganizationID]*audience
}

// audience is the sockets of one organization. One delivery or one change of
// rooms happens at a time, so all sockets see one order of events and a socket
// that joins misses nothing from then on.
type audience struct {
	attached int // sockets; guarded by the hub's mutex

	mu    sync.Mutex
	rooms map[domain.Room]map[*socket]struct{}
	round uint64 // counts deliveries
}

// membership is a socket's part of the hub. The audience's mutex guards it.
type membership struct {
	audience *audience // never changes
	attached bool
	rooms    []domain.Room
	round    uint64 // of the last delivery to the socket
}

func newHub() *hub { return &hub{audiences: map[domain.OrganizationID]*audience{}} }

// attach greets the socket and puts it into rooms, in one step: the greeting
// comes before every event, and no event after it is missed.
func (h *hub) attach(s *socket, greeting frame, rooms ...domain.Room) {
	a := h.enter(s.connection.Principal.Organization)
	a.mu.Lock()
	defer a.mu.Unlock()
	s.audience, s.attached = a, true
	s.session.send(greeting)
	for _, room := range rooms {
		a.add(s, room)
	}
}

// enter returns the audience of the organization, with one more socket.
func (h *hub) enter(id domain.OrganizationID) *audience {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.audiences[id]
	if a == nil {
		a = &audience{rooms: map[domain.Room]map[*socket]struct{}{}}
		h.audiences[id] = a
	}
	a.attached++
	return a
}

// detach takes the socket out of all rooms. It may be called again.
func (h *hub) detach(s *socket) {
	a := s.audience
	a.mu.Lock()
	if !s.attached {
		a.mu.Unlock()
		return
	}
	s.attached = false
	for _, room := range s.rooms {
		a.remove(s, room)
	}
	s.rooms = nil
	a.mu.Unlock()

	h.mu.Lock()
	defer h.mu.Unlock()
	if a.attached--; a.attached == 0 {
		delete(h.audiences, s.connection.Principal.Organization)
	}
}

// join puts the socket into one more room, of at most limit.
func (h *hub) join(s *socket, room domain.Room, limit int) error {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !s.attached:
		return errGone
	case slices.Contains(s.rooms, room):
		return nil
	case len(s.rooms) >= limit:
		return errTooManyRooms
	}
	a.add(s, room)
	return nil
}

// leave takes the socket out of a room, if it is there.
func (h *hub) leave(s *socket, room domain.Room) {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(s.rooms, room); i >= 0 {
		s.rooms = slices.Delete(s.rooms, i, i+1)
		a.remove(s, room)
	}
}

func (a *audience) add(s *socket, room domain.Room) {
	members := a.rooms[room]
	if members == nil {
		members = map[*socket]struct{}{}
		a.rooms[room] = members
	}
	members[s] = struct{}{}
	s.rooms = append(s.rooms, room)
}

func (a *audience) remove(s *socket, room domain.Room) {
	delete(a.rooms[room], s)
	if len(a.rooms[room]) == 0 {
		delete(a.rooms, room)
	}
}

// audienceOf is nil when no socket of the organization is connected.
func (h *hub) audienceOf(id domain.OrganizationID) *audience {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.audiences[id]
}

// members are the sockets in a room of the organization.
func (h *hub) members(id domain.OrganizationID, room domain.Room) []*socket {
	a := h.audienceOf(id)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	members := make([]*socket, 0, len(a.rooms[room]))
	for s := range a.rooms[room] {
		members = append(members, s)
	}
	return members
}

// deliver queues the event once for each socket in the union of its rooms and
// encodes it once for all. It returns how many there were and those whose
// queue is full; they got nothing and must be cut.
func (h *hub) deliver(e domain.FeedEvent) (sent int, slow []*session) {
	a := h.audienceOf(e.Organization)
	if a == nil {
		return 0, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.round++
	var f frame
	for _, room := range e.Rooms {
		for s := range a.rooms[room] {
			if s.round == a.round {
				continue // in several of the rooms
			}
			s.round = a.round
			if f == nil {
				f = eventFrame(e)
			}
			if !s.session.send(f) {
				slow = append(slow, s.session)
			}
			sent++
		}
	}
	return sent, slow
}
