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
type hub struct {
	mu        sync.RWMutex
	audiences map[domain.OrganizationID]*audience
}

// membership is a socket's part of the hub. The audience's mutex guards it.
type membership struct {
	audience *audience // set by enter, never changes
	attached bool
	settled  bool // attached, or never to be by a replay that is on its way
	rooms    []domain.RoomSince
	round    uint64  // of the last event to the socket
	pending  []frame // of the delivery that is under way
}

func newHub() *hub { return &hub{audiences: map[domain.OrganizationID]*audience{}} }

// enter makes room for the socket in the audience of its organization; attach
// or resume must follow, and detach in the end.
func (h *hub) enter(s *socket) {
	id := s.connection.Principal.Organization
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.audiences[id]
	if a == nil {
		a = &audience{rooms: map[domain.Room]map[*socket]struct{}{}}
		h.audiences[id] = a
	}
	a.entered++
	s.audience = a
}

// attach greets the socket and puts it into rooms, in one step: the greeting
// comes before every event, and no event after it is missed.
func (h *hub) attach(s *socket, greeting frame, rooms ...domain.Room) {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	s.attached, s.settled = true, true
	s.session.push(greeting)
	for _, room := range rooms {
		a.add(s, domain.RoomSince{Room: room, Since: a.position.Seq})
	}
}

// resume sends the socket what it missed in its rooms, each from when it was
// joined, greets it, and puts it back into them: in one step, too. It is false,
// and nothing has happened, unless the answer leads exactly to where the
// deliveries are.
func (h *hub) resume(s *socket, missed domain.FeedReplay, rooms []domain.RoomSince, greeting frame) bool {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.settled || !missed.Complete || !a.isAt(missed.Newest) {
		return false
	}
	a.position = missed.Newest
	s.attached, s.settled = true, true
	since := make(map[domain.Room]uint64, len(rooms))
	for _, r := range rooms {
		since[r.Room] = r.Since
	}
	var frames []frame
	for _, e := range missed.Events {
		concerned := slices.ContainsFunc(e.Rooms, func(r domain.Room) bool {
			from, joined := since[r]
			return joined && e.Seq > from
		})
		if concerned && e.Name != domain.EventSessionRevoked { // which its token has survived
			frames = append(frames, a.replayed(e).in(s.session.dialect))
		}
	}
	s.session.replay(append(frames, greeting))
	for _, r := range rooms {
		a.add(s, r)
	}
	return true
}

// settle gives up waiting for resume. It is true when that has just happened.
func (h *hub) settle(s *socket) bool {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	s.settled = true
	return s.attached
}

// detach takes the socket out of all rooms and returns which those were. It
// may be called once.
func (h *hub) detach(s *socket) []domain.RoomSince {
	a := s.audience
	a.mu.Lock()
	rooms := s.rooms
	for _, r := range rooms {
		a.remove(s, r.Room)
	}
	s.attached, s.rooms = false, nil
	a.mu.Unlock()

	h.mu.Lock()
	defer h.mu.Unlock()
	if a.entered--; a.entered == 0 {
		delete(h.audiences, s.connection.Principal.Organization)
	}
	return rooms
}

// join puts the socket into one more room, of at most limit.
func (h *hub) join(s *socket, room domain.Room, limit int) error {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !s.attached:
		return errGone
	case s.place(room) >= 0:
		return nil
	case len(s.rooms) >= limit:
		return errTooManyRooms
	}
	a.add(s, domain.RoomSince{Room: room, Since: a.position.Seq})
	return nil
}

// leave takes the socket out of a room, if it is there.
func (h *hub) leave(s *socket, room domain.Room) {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := s.place(room); i >= 0 {
		s.rooms = slices.Delete(s.rooms, i, i+1)
		a.remove(s, room)
	}
}

func (m *membership) place(room domain.Room) int {
	return slices.IndexFunc(m.rooms, func(r domain.RoomSince) bool { return r.Room == room })
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
