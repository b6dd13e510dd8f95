package actors

import (
	"context"
	"sync"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// stationPace is how often what is overdue is looked for.
	stationPace = time.Second
	// settleTime is how long a station that closes waits for acknowledgements.
	settleTime = 3 * time.Second
	settlePace = 5 * time.Millisecond
	// missingTime is for how long after a disturbance feeds look for sources that
	// aren't reached any more: longer than a lease.
	missingTime = 30 * time.Second
)

// station is a node's end of the feeds of all organizations: a source for each
// that something was published to, a listener for each that has sockets here.
// Feeds send what is for them to its process, which has no mailbox: its Send
// runs in the goroutine of the feed, or of the connection, and never blocks. The
// process has another id after each start, so a feed never takes the numbers of
// a new source for those of the one before.
type station struct {
	feeds     *Feeds
	pid       *actor.PID
	sources   sync.Map // by domain.OrganizationID: *source; stays, as its numbers must
	listeners *Directory[domain.OrganizationID]

	disturbed chan struct{} // has room for one: messages may have gone astray
	closed    chan struct{}
	once      sync.Once
	running   sync.WaitGroup
}

func openStation(f *Feeds) *station {
	s := &station{feeds: f, disturbed: make(chan struct{}, 1), closed: make(chan struct{})}
	s.pid = actor.NewPID(f.system.engine.Address(), f.system.name("station"))
	s.listeners = NewDirectory(f.system, "listener", func(id domain.OrganizationID, entry *Entry) Behavior {
		return &listener{station: s, organization: id, entry: entry}
	}, DirectoryConfig{MaxWaiting: f.config.Directory.MaxWaiting})
	f.system.engine.SpawnProc(s)
	f.system.router.onDisturbance(s.disturb)
	s.running.Go(s.run)
	return s
}

func (s *station) now() time.Time { return s.feeds.system.now() }

func (s *station) source(organization domain.OrganizationID) *source {
	if known, ok := s.sources.Load(organization); ok {
		return known.(*source)
	}
	made, _ := s.sources.LoadOrStore(organization, &source{
		station: s, organization: organization, window: sendWindow, patient: sendAgain,
	})
	return made.(*source)
}

// Send takes what feeds send.
func (s *station) Send(_ *actor.PID, msg any, _ *actor.PID) {
	switch m := msg.(type) {
	case ack:
		s.source(m.Organization).acknowledged(m)
	case bulletin:
		if !s.listeners.has(m.Organization) && !s.feeds.config.Fanout.Listens(m.Organization) {
			return // the feed will notice that nobody asks for more
		}
		// What there is no room for is missing, and so asked for. Closed: the
		// sockets are, too.
		_ = s.listeners.Tell(m.Organization, m)
	default:
		s.feeds.system.metrics.deadLetters.Inc()
	}
}

// disturb has everybody look at once whether something is missing.
func (s *station) disturb() {
	select {
	case s.disturbed <- struct{}{}:
	default: // it will be looked for this, too
	}
}

func (s *station) run() {
	ticker := time.NewTicker(stationPace)
	defer ticker.Stop()
	var since time.Time // of the last disturbance
	for {
		select {
		case <-s.closed:
			return
		case <-s.disturbed:
			since = s.now()
			s.tick(true)
		case <-ticker.C:
			s.tick(false)
			if s.now().Sub(since) < missingTime {
				s.feeds.directory.each(missing{})
			}
		}
	}
}

func (s *station) tick(disturbed bool) {
	s.sources.Range(func(_, v any) bool {
		v.(*source).tick(disturbed)
		return true
	})
	s.listeners.each(tick{disturbed})
}

// settle waits until the feeds have acknowledged what was published, for some
// time, and tells them that nothing more comes.
func (s *station) settle(ctx context.Context) {
	defer s.sources.Range(func(_, v any) bool {
		v.(*source).end()
		return true
	})
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	ticker := time.NewTicker(settlePace)
	defer ticker.Stop()
	for !s.isSettled() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.feeds.system.log.Warn("events are lost: their feeds aren't reached")
			return
		}
	}
}

func (s *station) isSettled() bool {
	settled := true
	s.sources.Range(func(_, v any) bool {
		settled = v.(*source).isSettled()
		return settled
	})
	return settled
}

func (s *station) close(ctx context.Context) error {
	s.once.Do(func() { close(s.closed) })
	s.running.Wait()
	return s.listeners.Close(ctx)
}

// The rest of actor.Processer.
func (s *station) PID() *actor.PID         { return s.pid }
func (s *station) Start()                  {}
func (s *station) Shutdown()               {}
func (s *station) Invoke([]actor.Envelope) {}
