package actors

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// publish asks a feed to hand notices on. What a source of a cluster sends is
// numbered: see feed_source.go.
type publish struct {
	Source  *actor.PID      `cbor:"1,keyasint"` // who numbers; nil: nobody
	Number  uint64          `cbor:"2,keyasint"` // counts from 1, without gaps
	Oldest  uint64          `cbor:"3,keyasint"` // of those that the source has no acknowledgement of
	Notices []domain.Notice `cbor:"4,keyasint"`
	Lost    time.Time       `cbor:"5,keyasint,omitzero"`  // since when notices before these are missing; zero: none are
	Last    bool            `cbor:"6,keyasint,omitempty"` // the source ends
}

// replay asks what came after a position.
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
	peers     feedPeers // the nodes of the cluster

	encoded bytes.Buffer
	encoder *json.Encoder // writes to encoded
}

func newFeed(all *Feeds, organization domain.OrganizationID, entry *Entry) *feed {
	f := &feed{all: all, organization: organization, entry: entry}
	if rested, ok := all.resting.LoadAndDelete(organization); ok {
		f.resume(rested.(feedState))
	} else {
		f.beginEpoch()
	}
	f.encoder = json.NewEncoder(&f.encoded)
	f.encoder.SetEscapeHTML(false)
	return f
}

// beginEpoch counts anew, without a history.
func (f *feed) beginEpoch() {
	f.history = domain.FeedHistory{Newest: domain.FeedPosition{Epoch: f.all.config.Epoch()}}
	if r := f.all.system.router; r != nil {
		f.peers.view = r.placement.Number()
	}
}

// Receive implements Behavior.
func (f *feed) Receive(msg any, _ Self) {
	switch m := msg.(type) {
	case publish:
		f.take(m)
	case replay:
		f.publish(publish{}) // what is to be announced comes before
		f.history.Forget(f.all.system.now(), f.all.config.History)
		m.answer(f.history.Since(m.after))
	case attend:
		f.attend(m)
	case missing:
		f.missing()
	case Idle, Drain:
		f.publish(publish{})
		f.acknowledge(true)
		f.rest()
		return
	}
	f.acknowledge(f.entry.waiting.Load() == 0)
}

// rest leaves memory, if nothing has come meanwhile.
func (f *feed) rest() {
	f.all.resting.Store(f.organization, f.state()) // before the next activation looks for it
	if !f.all.directory.Passivate(f.organization, f.entry) {
		f.all.resting.Delete(f.organization)
	}
}

// publish hands notices on, after the announcement of what is known to be lost.
func (f *feed) publish(m publish) {
	now := f.all.system.now()
	events := make([]domain.FeedEvent, 0, len(m.Notices)+1)
	if !f.unsettled.IsZero() {
		// The last time it panicked on the way: nobody knows what has arrived,
		// so its numbers are not used again.
		f.beginEpoch()
		events = append(events, f.lost(f.unsettled, now))
	}
	if since, ok := f.all.gaps.LoadAndDelete(f.organization); ok {
		events = append(events, f.lost(since.(time.Time), now))
	}
	if !m.Lost.IsZero() {
		events = append(events, f.lost(m.Lost, now))
	}
	f.unsettled = now
	for _, n := range m.Notices {
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
	if f.all.station == nil {
		f.all.config.Fanout.Deliver(events)
		return
	}
	f.spread(events)
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
	return f.number(resyncOf(f.organization, since, now))
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

// resyncOf tells all clients of an organization to fetch again what they show.
func resyncOf(organization domain.OrganizationID, since, now time.Time) domain.FeedEvent {
	data, err := json.Marshal(domain.Resync{Since: domain.Timestamp(since), JitterMs: int(resyncJitter.Milliseconds())})
	if err != nil {
		panic(err) // a time and a number
	}
	return domain.FeedEvent{
		Organization: organization, Name: domain.EventResync, Rooms: []domain.Room{domain.OrgRoom(organization)}, Data: data, At: now,
	}
}
