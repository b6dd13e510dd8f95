package actors

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Fanout hands events to the sockets that are in their rooms. The realtime hub
// implements it.
type Fanout interface {
	// Deliver must not block. The events of an organization come in their order,
	// one call at a time.
	Deliver(events []domain.FeedEvent)
	// Listens reports whether anybody here wants the organization's events. It
	// must be true from before the first Replay for them.
	Listens(organization domain.OrganizationID) bool
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

// Feeds has one actor per organization, which gives its events one order. In a
// cluster it is on the node that owns the organization, and the others publish
// and listen through their station.
type Feeds struct {
	directory *Directory[domain.OrganizationID]
	system    *System
	config    FeedConfig
	station   *station // nil: the node is alone

	// gaps says since when a feed lacks notices that it had no room for. The
	// key is a domain.OrganizationID, the value a time.Time.
	gaps sync.Map
	// resting is where feeds that have left memory for lack of work will go on,
	// so that clients notice nothing: numbers alone, as their events are
	// forgotten by then. The key is a domain.OrganizationID, the value a
	// feedState.
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
	if s.router != nil {
		place(f.directory, placing[domain.OrganizationID]{leftover: f.leftover})
		f.station = openStation(f)
	}
	return f
}

// Publish numbers notices and hands them on, all at once, in the order of the
// calls. It doesn't wait. When the feed is so far behind that its mailbox is
// full, the notices are dropped and the organization's clients are told to
// fetch again what they show (resync): a gap is never silent. In a cluster that
// also holds for a feed that isn't reached for too long.
func (f *Feeds) Publish(organization domain.OrganizationID, notices []domain.Notice) {
	if len(notices) == 0 {
		return
	}
	if f.station != nil {
		f.station.source(organization).publish(notices)
		return
	}
	err := f.directory.Tell(organization, publish{Notices: notices})
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
// the Fanout is handed, and as Deliver not at the same time. So whoever is
// answered has been handed exactly what precedes the answer's Newest. Answer
// must not block. It isn't called after an error, nor when the feed fails on the
// way or isn't reached.
func (f *Feeds) Replay(organization domain.OrganizationID, after domain.FeedPosition, answer func(domain.FeedReplay)) error {
	if f.station != nil {
		return f.station.listeners.Tell(organization, replay{after, answer})
	}
	return f.directory.Tell(organization, replay{after, answer})
}

// Close lets the feeds hand on what they have, and ends them.
func (f *Feeds) Close(ctx context.Context) error {
	if f.station == nil {
		return f.directory.Close(ctx)
	}
	f.station.settle(ctx)
	return errors.Join(f.directory.Close(ctx), f.station.close(ctx))
}
