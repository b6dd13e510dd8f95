package socket

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// resyncJitter spreads the refetches of an organization's clients.
	resyncJitter = 5 * time.Second
	// gapTimeout is how long the feed may take to fill a gap.
	gapTimeout = callTimeout
	// replayCacheMax is for how many events their encoding is kept, for clients
	// that come back together and missed the same; replayCacheAge for how long.
	replayCacheMax = 10_000
	replayCacheAge = 10 * time.Second
)

// audience is the sockets of one organization on this node. One delivery or one
// change of rooms happens at a time, so all sockets see one order of events and
// a socket that joins misses nothing from then on.
type audience struct {
	entered int // sockets; guarded by the hub's mutex

	mu       sync.Mutex
	rooms    map[domain.Room]map[*socket]struct{}
	round    uint64              // counts events
	busy     []*socket           // those with pending frames
	position domain.FeedPosition // of the last event that came; zero: none yet
	at       time.Time           // when that one was made
	gap      time.Time           // when the feed was asked to fill a gap; zero: there is none

	cached   map[uint64]*encoded // replayed events of position's epoch
	cachedAt time.Time
}

func (a *audience) add(s *socket, r domain.RoomSince) {
	members := a.rooms[r.Room]
	if members == nil {
		members = map[*socket]struct{}{}
		a.rooms[r.Room] = members
	}
	members[s] = struct{}{}
	s.rooms = append(s.rooms, r)
}

func (a *audience) remove(s *socket, room domain.Room) {
	delete(a.rooms[room], s)
	if len(a.rooms[room]) == 0 {
		delete(a.rooms, room)
	}
}

// locate is where the deliveries are, told by the feed before any has come.
func (a *audience) locate(p domain.FeedPosition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isAt(p) {
		a.position = p
	}
}

func (a *audience) located() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.position != domain.FeedPosition{}
}

// isAt reports whether exactly what precedes p was delivered.
func (a *audience) isAt(p domain.FeedPosition) bool {
	return a.gap.IsZero() && (a.position == p || a.position == domain.FeedPosition{})
}

// order is what an event is in the order of its feed.
type order uint8

const (
	orderNext    order = iota
	orderOld           // had already, or will come again with the filling of a gap
	orderGap           // events before it are missing; the feed may have them
	orderUnknown       // the feed counts anew; nobody knows what is missing
)

func (a *audience) orderOf(e domain.FeedEvent, now time.Time) order {
	switch {
	case !a.gap.IsZero() && now.Sub(a.gap) < gapTimeout:
		return orderOld // the answer comes after this and includes it
	case !a.gap.IsZero():
		return orderUnknown
	case a.position == domain.FeedPosition{}:
		return orderNext
	case e.Epoch != a.position.Epoch:
		return orderUnknown
	case e.Seq <= a.position.Seq:
		return orderOld
	case e.Seq == a.position.Seq+1:
		return orderNext
	}
	return orderGap
}

// delivery is what came of handing events to an audience.
type delivery struct {
	sent    int        // counted once for each socket
	revoked []*session // those that are told to stay away
	gap     bool       // the feed has to be asked what came after a.position
	after   domain.FeedPosition
}

// deliver queues each event once for each socket in the union of its rooms, and
// encodes it once for all. At a gap it stops.
func (a *audience) deliver(events []domain.FeedEvent, now time.Time) (d delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.cachedAt) > replayCacheAge {
		a.cached = nil
	}
	defer a.send()
	for _, e := range events {
		switch a.orderOf(e, now) {
		case orderOld:
			continue
		case orderGap:
			a.gap = now
			d.gap, d.after = true, a.position
			return d
		case orderUnknown:
			a.restart(e)
		}
		a.fanOut(e, &d)
	}
	return d
}

// fill delivers what was missing, or tells everybody that it can't be had.
func (a *audience) fill(missed domain.FeedReplay) (d delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gap.IsZero() {
		return d // too late, they were told
	}
	defer a.send()
	a.gap = time.Time{}
	if !missed.Complete {
		a.resync()
		a.moveTo(missed.Newest)
		return d
	}
	for _, e := range missed.Events {
		a.fanOut(e, &d)
	}
	return d
}

// giveUp tells everybody that a gap can't be filled.
func (a *audience) giveUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.send()
	a.gap = time.Time{}
	a.resync()
	a.moveTo(domain.FeedPosition{}) // the next event tells
}

// restart goes on with e, whatever was missed before it.
func (a *audience) restart(e domain.FeedEvent) {
	a.gap = time.Time{}
	if e.Name != domain.EventResync { // the feed itself says so
		a.resync()
	}
	a.moveTo(domain.FeedPosition{Epoch: e.Epoch, Seq: e.Seq - 1})
}

// moveTo goes to another place of the feed, perhaps in another epoch: whatever
// comes there comes after the rooms were joined.
func (a *audience) moveTo(p domain.FeedPosition) {
	if a.cached = nil; p.Epoch != a.position.Epoch {
		for _, members := range a.rooms {
			for s := range members {
				for i := range s.rooms {
					s.rooms[i].Since = 0
				}
			}
		}
	}
	a.position = p
}

// resync tells all sockets to fetch again what they show.
func (a *audience) resync() {
	data, err := json.Marshal(domain.Resync{Since: domain.Timestamp(a.at), JitterMs: int(resyncJitter.Milliseconds())})
	if err != nil {
		panic(err) // a time and a number
	}
	told := encoded{event: domain.FeedEvent{Name: domain.EventResync, Data: data}}
	a.round++
	for _, members := range a.rooms {
		a.queue(members, &told)
	}
}

// fanOut queues e for the sockets in its rooms. A revocation is carried out
// instead: its sockets get it from their sessions, with what follows from it.
func (a *audience) fanOut(e domain.FeedEvent, d *delivery) {
	a.position, a.at = e.Position(), e.At
	one := encoded{event: e}
	a.round++
	for _, room := range e.Rooms {
		if e.Name == domain.EventSessionRevoked {
			for s := range a.rooms[room] {
				d.revoked = append(d.revoked, s.session)
			}
			continue
		}
		d.sent += a.queue(a.rooms[room], &one)
	}
}

// queue is for those who haven't got e by another room.
func (a *audience) queue(members map[*socket]struct{}, e *encoded) (sent int) {
	for s := range members {
		if s.round == a.round {
			continue
		}
		s.round = a.round
		if len(s.pending) == 0 {
			a.busy = append(a.busy, s)
		}
		s.pending = append(s.pending, e.in(s.session.dialect))
		sent++
	}
	return sent
}

// pendingKept is how many frames a socket has room for between deliveries.
const pendingKept = 4

// send hands the pending frames to the sessions, all of a socket in one piece.
func (a *audience) send() {
	for _, s := range a.busy {
		s.session.push(s.pending...)
		clear(s.pending)
		if s.pending = s.pending[:0]; cap(s.pending) > pendingKept {
			s.pending = nil
		}
	}
	clear(a.busy)
	a.busy = a.busy[:0]
}

// replayed is the encoding of an event for those who come back.
func (a *audience) replayed(e domain.FeedEvent) *encoded {
	if one := a.cached[e.Seq]; one != nil {
		return one
	}
	if a.cached == nil || len(a.cached) >= replayCacheMax {
		a.cached, a.cachedAt = make(map[uint64]*encoded), time.Now()
	}
	one := &encoded{event: e}
	a.cached[e.Seq] = one
	return one
}
