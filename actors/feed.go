package actors

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Fanout hands events to the sockets that are in their rooms. Deliver must not
// block: it is called from the feed. The realtime hub implements it.
type Fanout interface {
	Deliver(events []domain.FeedEvent)
}

// FeedConfig is what the feeds need.
type FeedConfig struct {
	Fanout Fanout
	// Epoch makes a random name for a feed that doesn't go on where one ended,
	// from a source that nobody can guess: clients show it to say what they have
	// seen.
	Epoch func() string
	// History is how much of each feed is kept for those who come back. Zero
	// fields take their default: 2 minutes, 10,000 events, 8 MiB.
	History domain.FeedLimits
	// Directory bounds the feeds. MaxResidents doesn't apply: an organization
	// whose events are published has a feed.
	Directory DirectoryConfig
}

func historyDefaults(l domain.FeedLimits) domain.FeedLimits {
	l.Age = cmp.Or(l.Age, 2*time.Minute)
	l.Events = cmp.Or(l.Events, 10_000)
	l.Bytes = cmp.Or(l.Bytes, 8<<20)
	return l
}

// resyncJitter spreads the refetches of an organization's clients.
const resyncJitter = 5 * time.Second

// Feeds has one actor per organization, which gives its events one order.
type Feeds struct {
	directory *Directory[domain.OrganizationID]
	system    *System
	config    FeedConfig

	// gaps says since when a feed lacks notices that it had no room for. The
	// key is a domain.OrganizationID, the value a time.Time.
	gaps sync.Map
	// resting is where feeds that have left memory for lack of work will go on,
	// so that clients notice nothing: numbers alone, as their events are
	// forgotten by then. The key is a domain.OrganizationID, the value a
	// domain.FeedHistory.
	resting sync.Map
}

// NewFeeds makes the directory of feeds. Close it after what publishes.
func NewFeeds(s *System, cfg FeedConfig) *Feeds {
	cfg.History = historyDefaults(cfg.History)
	f := &Feeds{system: s, config: cfg}
	limits := cfg.Directory
	limits.MaxResidents = 0
	f.directory = NewDirectory(s, "feed", func(id domain.OrganizationID, entry *Entry) Behavior {
		return newFeed(f, id, entry)
	}, limits)
	return f
}

// Publish numbers notices and hands them on, all at once, in the order of the
// calls. It doesn't wait. When the feed is so far behind that its mailbox is
// full, the notices are dropped and the organization's clients are told to
// fetch again what they show (resync): a gap is never silent.
func (f *Feeds) Publish(organization domain.OrganizationID, notices []domain.Notice) {
	if len(notices) == 0 {
		return
	}
	err := f.directory.Tell(organization, publish{notices})
	if !errors.Is(err, domain.ErrOverloaded) {
		return // taken; or closed, and the sockets with it
	}
	if _, known := f.gaps.LoadOrStore(organization, f.system.now()); known {
		return
	}
	f.system.log.Warn("feed is overloaded; clients are told to fetch again", "organization", organization)
	// One empty publish per gap makes sure that somebody sees it. Refused only
	// when closed.
	_ = f.directory.insist(organization, publish{})
}

// Replay calls answer with what came after the position: in the order of what
// the feed hands to the Fanout, and as Deliver not at the same time. So whoever
// is answered has been handed exactly what precedes the answer's Newest. Answer
// must not block. It isn't called after an error, nor when the feed fails on the
// way.
func (f *Feeds) Replay(organization domain.OrganizationID, after domain.FeedPosition, answer func(domain.FeedReplay)) error {
	return f.directory.Tell(organization, replay{after, answer})
}

// Close lets the feeds hand on what they have, and ends them.
func (f *Feeds) Close(ctx context.Context) error { return f.directory.Close(ctx) }

// publish asks a feed to hand notices on.
type publish struct{ notices []domain.Notice }

// replay asks a feed what came after a position.
type replay struct {
	after  domain.FeedPosition
	answer func(domain.FeedReplay)
}

// feed is the actor of one organization.
type feed struct {
	all          *Feeds
	organization domain.OrganizationID
	entry        *Entry

	history   domain.FeedHistory
	unsettled time.Time // when a publish began that hasn't ended; zero: none

	encoded bytes.Buffer
	encoder *json.Encoder // writes to encoded
}

func newFeed(all *Feeds, organization domain.OrganizationID, entry *Entry) *feed {
	f := &feed{all: all, organization: organization, entry: entry}
	if rested, ok := all.resting.LoadAndDelete(organization); ok {
		f.history = rested.(domain.FeedHistory)
	} else {
		f.history.Newest.Epoch = all.config.Epoch()
	}
	f.encoder = json.NewEncoder(&f.encoded)
	f.encoder.SetEscapeHTML(false)
	return f
}

// Receive implements Behavior.
func (f *feed) Receive(msg any, _ Self) {
	switch m := msg.(type) {
	case publish:
		f.publish(m.notices)
	case replay:
		f.publish(nil) // what is to be announced comes before
		f.history.Forget(f.all.system.now(), f.all.config.History)
		m.answer(f.history.Since(m.after))
	case Idle, Drain:
		f.publish(nil)
		f.rest()
	}
}

// rest leaves memory, if nothing has come meanwhile.
func (f *feed) rest() {
	f.history.Forget(f.all.system.now(), f.all.config.History)
	f.all.resting.Store(f.organization, f.history) // before the next activation looks for it
	if !f.all.directory.Passivate(f.organization, f.entry) {
		f.all.resting.Delete(f.organization)
	}
}

// publish hands notices on, after the announcement of what is known to be lost.
func (f *feed) publish(notices []domain.Notice) {
	now := f.all.system.now()
	events := make([]domain.FeedEvent, 0, len(notices)+1)
	if !f.unsettled.IsZero() {
		// The last time it panicked on the way: nobody knows what has arrived,
		// so its numbers are not used again.
		f.history = domain.FeedHistory{Newest: domain.FeedPosition{Epoch: f.all.config.Epoch()}}
		events = append(events, f.lost(f.unsettled, now))
	}
	if since, ok := f.all.gaps.LoadAndDelete(f.organization); ok {
		events = append(events, f.lost(since.(time.Time), now))
	}
	f.unsettled = now
	for _, n := range notices {
		events = append(events, f.event(n, now))
	}
	if len(events) > 0 {
		f.hand(events)
	}
	f.unsettled = time.Time{}
}

// hand gives events to the sockets.
func (f *feed) hand(events []domain.FeedEvent) {
	for i := range events {
		e := &events[i]
		f.all.system.metrics.events.WithLabelValues(string(e.Name)).Inc()
		if !e.Trace.IsZero() {
			var end func(string)
			e.Trace, end = f.all.system.begin(e.Trace, stepPublish)
			defer end(string(e.Name))
		}
	}
	f.all.config.Fanout.Deliver(events)
}

// event numbers and encodes n. What can't be encoded is announced as lost.
func (f *feed) event(n domain.Notice, now time.Time) domain.FeedEvent {
	data, err := f.encode(n.Payload)
	if err != nil {
		f.all.system.log.Error("event can't be encoded; clients are told to fetch again",
			"organization", f.organization, "event", n.Name, "error", err)
		return f.lost(now, now)
	}
	return f.number(domain.FeedEvent{Name: n.Name, Rooms: n.Rooms, Data: data, At: now, Trace: n.Trace})
}

// lost tells all clients of the organization that events since then are missing.
func (f *feed) lost(since, now time.Time) domain.FeedEvent {
	data, err := f.encode(domain.Resync{Since: domain.Timestamp(since), JitterMs: int(resyncJitter.Milliseconds())})
	if err != nil {
		panic(err) // a time and a number
	}
	return f.number(domain.FeedEvent{
		Name: domain.EventResync, Rooms: []domain.Room{domain.OrgRoom(f.organization)}, Data: data, At: now,
	})
}

func (f *feed) number(e domain.FeedEvent) domain.FeedEvent {
	e.Organization = f.organization
	return f.history.Append(e, f.all.config.History)
}

// encode is payload as JSON, once for all sockets. The encoder makes invalid
// UTF-8 valid.
func (f *feed) encode(payload any) ([]byte, error) {
	f.encoded.Reset()
	if err := f.encoder.Encode(payload); err != nil {
		return nil, err
	}
	return bytes.Clone(bytes.TrimSuffix(f.encoded.Bytes(), []byte("\n"))), nil
}
