package actors

import (
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// This file is what a feed has to do with the nodes of a cluster: it takes
// numbered notices from their sources, sends its events to their listeners, and
// moves from one to another.

const (
	// listenTime is for how long a node gets events after it has last said that
	// it wants them.
	listenTime = 30 * time.Second
	// sourceTime is for how long the number of a source is kept after it was
	// last heard of: longer than anything can be under way.
	sourceTime = 10 * time.Minute
	// ackEvery is how many messages a feed with more to do handles between two
	// acknowledgements.
	ackEvery = 64
	// partBytes and partEvents bound a message of events: well below MaxMessage
	// with all that is around the data.
	partBytes  = 1 << 20
	partEvents = 2048
	// movedBytes and movedEvents bound the events that a feed takes along.
	movedBytes  = 2 << 20
	movedEvents = 4096
)

// Between the feed and the stations of the nodes.
type (
	// attend asks for the events of an organization from a position on, and is
	// answered with what came after it, by bulletins. It holds for listenTime.
	attend struct {
		Listener *actor.PID          `cbor:"1,keyasint"` // a station
		ID       uint64              `cbor:"2,keyasint"` // counts the questions of a listener
		Have     domain.FeedPosition `cbor:"3,keyasint"` // zero: nothing
	}
	// bulletin is events in their order, without gaps.
	bulletin struct {
		Organization domain.OrganizationID `cbor:"1,keyasint"`
		From         domain.FeedPosition   `cbor:"2,keyasint"` // before the first of them
		Events       []domain.FeedEvent    `cbor:"3,keyasint"`
		Answers      uint64                `cbor:"4,keyasint,omitempty"` // the attend with this ID; 0: none, it is news
		// Of an answer. Whole: what was asked for can't be had, this is all there
		// is. More: this is not the last part.
		Whole  bool                `cbor:"5,keyasint,omitempty"`
		More   bool                `cbor:"6,keyasint,omitempty"`
		Newest domain.FeedPosition `cbor:"7,keyasint"` // where the answer leads
	}
	// ack tells a source up to which number its feed has taken all. Again: what
	// comes after that is to be sent again, as something else has come.
	ack struct {
		Organization domain.OrganizationID `cbor:"1,keyasint"`
		Through      uint64                `cbor:"2,keyasint"`
		Again        bool                  `cbor:"3,keyasint,omitempty"`
	}
	// feedState is what a feed takes along.
	feedState struct {
		History   domain.FeedHistory `cbor:"1,keyasint"`
		Sources   []feedSource       `cbor:"2,keyasint"`
		Listeners []feedListener     `cbor:"3,keyasint"`
		View      int64              `cbor:"4,keyasint"` // number of the one in which the epoch began
	}
	// feedSource is where a feed is in what a source sends.
	feedSource struct {
		Station *actor.PID `cbor:"1,keyasint"`
		Next    uint64     `cbor:"2,keyasint"` // the number to be taken
		Seen    time.Time  `cbor:"3,keyasint"`
		Ended   bool       `cbor:"4,keyasint,omitempty"` // it has said so
	}
	// feedListener is a node that gets the events.
	feedListener struct {
		Station *actor.PID `cbor:"1,keyasint"`
		Seen    time.Time  `cbor:"2,keyasint"`
	}
)

// missing has a feed look which of its sources aren't reached.
type missing struct{}

// missingLooks is in how many looks on end a source isn't reached until its
// node counts as dead.
const missingLooks = 3

// feedPeers is the nodes that a feed knows.
type feedPeers struct {
	sources   map[address]*peerSource
	listeners map[address]*feedListener
	owed      []*peerSource // those that wait for an acknowledgement
	handled   int           // messages since the last ones
	view      int64         // number of the one in which the epoch began
}

type peerSource struct {
	feedSource
	owed   bool
	again  bool
	missed uint64 // the number that was asked for again
	gone   int    // looks on end in which it wasn't reached
}

func stationOf(pid *actor.PID) address { return address{pid.GetAddress(), pid.GetID()} }

// take publishes what comes next from a source, and that alone: what has come
// before is a repeat, and what is too early comes again.
func (f *feed) take(m publish) {
	if m.Source == nil {
		f.publish(m)
		return
	}
	s := f.source(m.Source, m.Oldest)
	if m.Oldest > s.Next {
		// Another feed of this organization has taken what is between, and ours
		// doesn't know what that one has told.
		f.doubt()
		s.Next = m.Oldest
	}
	if !s.owed {
		s.owed = true
		f.peers.owed = append(f.peers.owed, s)
	}
	switch {
	case m.Number == s.Next:
		s.Next++
		s.Ended = m.Last
		f.publish(m)
	case m.Number > s.Next && s.missed != s.Next:
		s.missed, s.again = s.Next, true
	}
}

func (f *feed) source(station *actor.PID, next uint64) *peerSource {
	s := f.peers.sources[stationOf(station)]
	if s == nil {
		s = &peerSource{feedSource: feedSource{Station: station, Next: next}}
		if f.peers.sources == nil {
			f.peers.sources = map[address]*peerSource{}
		}
		f.peers.sources[stationOf(station)] = s
	}
	s.Seen, s.gone = f.all.system.now(), 0
	return s
}

// missing tells what a node took along that died: it may have had notices of
// what is done and durable, and nobody will ever publish them.
func (f *feed) missing() {
	var since time.Time
	for _, s := range f.peers.sources {
		addr := s.Station.GetAddress()
		if s.Ended || addr == f.all.station.pid.GetAddress() || f.all.system.router.remote.Reaches(addr) {
			s.gone = 0
			continue
		}
		if s.gone++; s.gone == missingLooks && (since.IsZero() || s.Seen.Before(since)) {
			since = s.Seen
		}
	}
	if !since.IsZero() {
		f.publish(publish{Lost: since})
	}
}

// doubt begins a new epoch: all who listen learn by it that something may be
// missing.
func (f *feed) doubt() {
	f.unsettled = f.all.system.now()
	f.publish(publish{})
}

// acknowledge tells sources what was taken: now, or when it is worth it. A feed
// that may have been replaced without knowing tells nothing: what it took will
// then come to the one that replaced it.
func (f *feed) acknowledge(now bool) {
	p := &f.peers
	if p.handled++; len(p.owed) == 0 || !now && p.handled < ackEvery {
		return
	}
	p.handled = 0
	if !f.all.system.router.placement.Fresh() || !f.all.directory.owns(f.organization) {
		return
	}
	for _, s := range p.owed {
		f.all.system.Tell(s.Station, ack{Organization: f.organization, Through: s.Next - 1, Again: s.again})
		s.owed, s.again = false, false
	}
	clear(p.owed)
	p.owed = p.owed[:0]
}

// attend tells a station what it lacks, and all that comes from now on.
func (f *feed) attend(m attend) {
	f.publish(publish{}) // what is to be announced comes before
	now := f.all.system.now()
	if f.peers.listeners == nil {
		f.peers.listeners = map[address]*feedListener{}
	}
	f.peers.listeners[stationOf(m.Listener)] = &feedListener{m.Listener, now}
	f.history.Forget(now, f.all.config.History)
	missed := f.history.Since(m.Have)
	b := bulletin{Organization: f.organization, From: m.Have, Answers: m.ID, Newest: missed.Newest}
	if b.Events = missed.Events; !missed.Complete {
		b.From, b.Events, b.Whole = f.history.Oldest(), slices.Clip(f.history.Recent), true
	}
	for part := range b.parts {
		f.all.system.Tell(m.Listener, part)
	}
}

// parts is b in messages that aren't too long.
func (b bulletin) parts(yield func(bulletin) bool) {
	for rest := b.Events; ; {
		n, size := 0, 0
		for n < len(rest) && n < partEvents && size < partBytes {
			size += eventSize(rest[n])
			n++
		}
		b.Events, rest = rest[:n], rest[n:]
		b.More = len(rest) > 0
		if !yield(b) || !b.More {
			return
		}
		b.From.Seq += uint64(n)
	}
}

// eventSize is about what e takes in a message.
func eventSize(e domain.FeedEvent) int {
	size := len(e.Data) + 256
	for _, r := range e.Rooms {
		size += len(r)
	}
	return size
}

// spread sends events to the nodes that listen, once to each.
func (f *feed) spread(events []domain.FeedEvent) {
	from := events[0].Position()
	from.Seq--
	now := f.all.system.now()
	news := bulletin{Organization: f.organization, From: from, Events: events}
	for key, l := range f.peers.listeners {
		if now.Sub(l.Seen) > listenTime {
			delete(f.peers.listeners, key)
			continue
		}
		for part := range news.parts {
			f.all.system.Tell(l.Station, part)
		}
	}
}

// state is what f takes along. Of more events than a message carries it is the
// newest.
func (f *feed) state() feedState {
	now := f.all.system.now()
	f.history.Forget(now, f.all.config.History)
	s := feedState{View: f.peers.view}
	s.History = f.history.Tail(domain.FeedLimits{Events: movedEvents, Bytes: movedBytes})
	for _, p := range f.peers.sources {
		if now.Sub(p.Seen) < sourceTime {
			s.Sources = append(s.Sources, p.feedSource)
		}
	}
	for _, l := range f.peers.listeners {
		if now.Sub(l.Seen) < listenTime {
			s.Listeners = append(s.Listeners, *l)
		}
	}
	return s
}

// resume goes on where another activation ended.
func (f *feed) resume(s feedState) {
	f.history, f.peers.view = s.History, s.View
	f.know(s)
}

// know takes over the nodes of another activation.
func (f *feed) know(s feedState) {
	for _, p := range s.Sources {
		mine := f.source(p.Station, p.Next)
		mine.Next, mine.Seen = max(mine.Next, p.Next), p.Seen
	}
	for _, l := range s.Listeners {
		if f.peers.listeners == nil {
			f.peers.listeners = map[address]*feedListener{}
		}
		f.peers.listeners[stationOf(l.Station)] = &l
	}
}

// Depart implements Mover.
func (f *feed) Depart() (state any, ok bool) {
	f.publish(publish{})
	return f.state(), true
}

// Arrive implements Mover.
func (f *feed) Arrive(state any, _ Self) {
	if s, ok := state.(feedState); ok {
		f.resume(s)
	}
}

// Meet implements Rival. Two feeds of the organization were active at a time. If
// ours is the one that took the other's place, that one has acknowledged nothing
// since. Else it has told what ours doesn't know.
func (f *feed) Meet(state any, _ Self) {
	if s, ok := state.(feedState); ok && s.View >= f.peers.view {
		f.know(s)
		f.doubt()
	}
}

// leftover is what is kept of a feed without work.
func (f *Feeds) leftover(organization domain.OrganizationID) any {
	if rested, ok := f.resting.LoadAndDelete(organization); ok {
		return rested
	}
	return nil
}
