package actors

import (
	"slices"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// refreshEvery is how often a listener tells the feed what it has, and so
	// notices that the last event is missing.
	refreshEvery = 5 * time.Second
	// askAgain is how long a feed may take to answer.
	askAgain = time.Second
	// beginTime is how long the first answer may take without sockets having
	// come that wait for it no longer.
	beginTime = time.Second
	// replayTime is how long a Replay waits for the feed, replaysWaiting how many
	// may. Overflow of both: it isn't answered.
	replayTime     = 5 * time.Second
	replaysWaiting = 4096
)

// tick has a listener do what is due; disturbed: look at once whether something
// is missing.
type tick struct{ disturbed bool }

// listener is the actor that has the events of one organization for the sockets
// of this node, in their order: it keeps what its feed keeps, so that replays
// are answered here. It follows one epoch, and looks whether numbers follow one
// another; what is missing it asks the feed for. When that can't tell, it begins
// with what the feed has, and the sockets are told (resync).
type listener struct {
	station      *station
	organization domain.OrganizationID
	entry        *Entry

	history domain.FeedHistory // Newest is the last event that came
	begun   time.Time          // when the first Replay came; zero: none yet
	last    time.Time          // when the last event was made, or the history begun

	// An answer that begins anew leads to told: what it has of events before
	// that isn't news. Resync: the sockets are to be told when it is complete.
	told   domain.FeedPosition
	resync bool

	asked, answered uint64    // attends
	askedAt         time.Time // the last one
	again           bool      // ask once more after the answer
	waiting         []waitingReplay
}

// waitingReplay is a replay that the history doesn't answer yet.
type waitingReplay struct {
	replay
	ask uint64 // the attend that tells more
	at  time.Time
}

// Receive implements Behavior.
func (l *listener) Receive(msg any, _ Self) {
	switch m := msg.(type) {
	case replay:
		l.replay(m)
	case bulletin:
		l.hear(m)
	case tick:
		l.tick(m)
	case Drain:
		l.station.listeners.Passivate(l.organization, l.entry)
	}
}

func (l *listener) now() time.Time { return l.station.now() }

// replay answers, as soon as what the listener has is enough, or is known to be
// all there is.
func (l *listener) replay(m replay) {
	now := l.now()
	if l.begun.IsZero() {
		l.begun = now
	}
	l.history.Forget(now, l.station.feeds.config.History)
	if r := l.history.Since(m.after); r.Complete && !l.isBeginning() {
		m.answer(r)
		return
	}
	if len(l.waiting) >= replaysWaiting {
		return
	}
	ask := l.asked + 1
	if l.awaits(now) {
		l.again = true // that question may be older
	} else {
		l.ask()
	}
	l.waiting = append(l.waiting, waitingReplay{m, ask, now})
}

// isBeginning reports whether the history isn't there yet, or a part of what it
// begins with is missing.
func (l *listener) isBeginning() bool {
	return l.history.Newest.Epoch == "" || l.history.Newest.Seq < l.told.Seq
}

// awaits reports whether an answer may still come.
func (l *listener) awaits(now time.Time) bool {
	return l.asked > l.answered && now.Sub(l.askedAt) < askAgain
}

// ask tells the feed what the listener has, and asks for the rest.
func (l *listener) ask() {
	l.asked++
	l.askedAt, l.again = l.now(), false
	// What can't be sent now is asked again later.
	_ = l.station.feeds.directory.insist(l.organization, attend{Listener: l.station.pid, ID: l.asked, Have: l.history.Newest})
}

// hear takes events from a feed.
func (l *listener) hear(m bulletin) {
	have := l.history.Newest
	follows := m.From.Epoch == have.Epoch && m.From.Seq <= have.Seq
	switch {
	case follows:
	case m.Whole && m.Answers > l.answered:
		l.begin(m)
	default: // something is missing, or it is another feed's
		if !l.awaits(l.now()) {
			l.ask()
		}
		return
	}
	l.take(m.Events)
	if m.Answers > l.answered && !m.More {
		l.answered = m.Answers
		l.reply()
	}
	if l.again && l.answered == l.asked {
		l.ask()
	}
}

// begin forgets what it had for what the feed has.
func (l *listener) begin(m bulletin) {
	isFirst := l.history.Newest.Epoch == "" && !l.begun.IsZero() && l.now().Sub(l.begun) < beginTime
	l.resync = l.resync || !isFirst
	l.history = domain.FeedHistory{Newest: m.From}
	l.told = m.Newest
}

// take keeps events that are new, and delivers those that are news.
func (l *listener) take(events []domain.FeedEvent) {
	i, _ := slices.BinarySearchFunc(events, l.history.Newest.Seq+1, func(e domain.FeedEvent, seq uint64) int {
		return int(int64(e.Seq - seq))
	})
	events = events[i:]
	for len(events) > 0 && l.isBeginning() {
		l.keep(events[0])
		events = events[1:]
	}
	if l.resync && !l.isBeginning() {
		l.tellResync()
	}
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		l.keep(e)
	}
	l.station.feeds.config.Fanout.Deliver(events)
}

func (l *listener) keep(e domain.FeedEvent) {
	l.history.Append(e, l.station.feeds.config.History)
	l.last = e.At
}

// tellResync tells the sockets to fetch again, as an event that takes the place
// of the last one that they aren't told.
func (l *listener) tellResync() {
	l.resync = false
	now, since := l.now(), l.last
	if since.IsZero() {
		since = now
	}
	e := resyncOf(l.organization, since, now)
	e.Epoch, e.Seq = l.history.Newest.Epoch, l.history.Newest.Seq
	l.station.feeds.config.Fanout.Deliver([]domain.FeedEvent{e})
}

// reply answers those who have waited for what has come now.
func (l *listener) reply() {
	if l.isBeginning() {
		return // a part was lost
	}
	rest := l.waiting[:0]
	for _, w := range l.waiting {
		if w.ask > l.answered {
			rest = append(rest, w)
			continue
		}
		w.answer(l.history.Since(w.after))
	}
	clear(l.waiting[len(rest):])
	l.waiting = rest
}

func (l *listener) tick(m tick) {
	now := l.now()
	l.waiting = slices.DeleteFunc(l.waiting, func(w waitingReplay) bool { return now.Sub(w.at) > replayTime })
	listens := l.station.feeds.config.Fanout.Listens(l.organization)
	if !listens && len(l.waiting) == 0 && l.station.listeners.Passivate(l.organization, l.entry) {
		return
	}
	overdue := l.asked > l.answered && !l.awaits(now)
	if m.disturbed || overdue || now.Sub(l.askedAt) >= refreshEvery {
		l.ask()
	}
}
