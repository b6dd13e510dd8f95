package domain

import (
	"slices"
	"time"
)

// Targets names the stored messages that a decision has to know.
type Targets struct {
	ProviderIDs []string
	IDs         []MessageID
	Requests    []RequestKey
	UnreadUpTo  time.Time // all outbound ones of that time or before which aren't READ
}

// IsZero reports whether nothing has to be known.
func (t Targets) IsZero() bool {
	return t.Len() == 0 && t.UnreadUpTo.IsZero()
}

// Len is how many messages are named one by one.
func (t Targets) Len() int { return len(t.ProviderIDs) + len(t.IDs) + len(t.Requests) }

// TargetsOf names the messages that Decide needs to know for cmd.
func TargetsOf(cmd Command) Targets {
	switch cmd := cmd.(type) {
	case Send:
		return targetsOfSend(cmd)
	case ClaimSend:
		return Targets{IDs: []MessageID{cmd.Message}}
	case ExpireSend:
		return Targets{IDs: []MessageID{cmd.Message}}
	case FinishSend:
		t := Targets{IDs: []MessageID{cmd.Message}}
		if cmd.Sent != nil && cmd.Sent.ProviderID != "" {
			t.ProviderIDs = []string{cmd.Sent.ProviderID}
		}
		if !cmd.Target.IsZero() {
			t.IDs = append(t.IDs, cmd.Target)
		}
		return t
	case MediaSettled:
		return Targets{IDs: []MessageID{cmd.File.Message}}
	case Receive:
		return targetsOfEvent(cmd.Event)
	}
	return Targets{}
}

func targetsOfSend(cmd Send) Targets {
	var t Targets
	if cmd.Key != "" {
		t.Requests = []RequestKey{{cmd.By.User, cmd.Key}}
	}
	if !cmd.Draft.ReplyTo.IsZero() {
		t.IDs = []MessageID{cmd.Draft.ReplyTo}
	}
	return t
}

func targetsOfEvent(e InboundEvent) Targets {
	switch e := e.(type) {
	case CustomerReaction:
		return Targets{ProviderIDs: []string{e.Target}}
	case MessageEdited:
		return Targets{ProviderIDs: []string{e.Target}}
	case MessageRevoked:
		return Targets{ProviderIDs: []string{e.Target}}
	case BusinessEcho:
		return targetsOf(e.ProviderID, e.Ours)
	case StatusReport:
		return targetsOf(e.ProviderID, e.Ours)
	case Watermark:
		return Targets{ProviderIDs: e.Named, UnreadUpTo: e.UpTo}
	}
	return Targets{}
}

func targetsOf(providerID string, ours MessageID) Targets {
	t := Targets{}
	if providerID != "" {
		t.ProviderIDs = []string{providerID}
	}
	if !ours.IsZero() {
		t.IDs = []MessageID{ours}
	}
	return t
}

// MessageSet is what is known of the stored messages of one conversation: some
// of them, and of some that they don't exist. The zero value knows nothing.
type MessageSet struct {
	byID       map[MessageID]*Message
	byProvider map[string]*Message     // nil: known not to exist
	byRequest  map[RequestKey]*Message // nil: known not to exist
	absent     map[MessageID]struct{}
	unreadUpTo time.Time
}

// Lacks is the part of t that isn't known.
func (s *MessageSet) Lacks(t Targets) Targets {
	var lacking Targets
	for _, id := range t.ProviderIDs {
		if _, known := s.byProvider[id]; !known {
			lacking.ProviderIDs = append(lacking.ProviderIDs, id)
		}
	}
	for _, id := range t.IDs {
		_, absent := s.absent[id]
		if s.byID[id] == nil && !absent {
			lacking.IDs = append(lacking.IDs, id)
		}
	}
	for _, r := range t.Requests {
		if _, known := s.byRequest[r]; !known {
			lacking.Requests = append(lacking.Requests, r)
		}
	}
	if t.UnreadUpTo.After(s.unreadUpTo) {
		lacking.UnreadUpTo = t.UnreadUpTo
	}
	return lacking
}

// Learn adds what a load for t found; what it didn't find doesn't exist. What
// is known already stays: a decision may have moved it on since the load read.
func (s *MessageSet) Learn(t Targets, found []Message) {
	for _, m := range found {
		if s.byID[m.ID] == nil {
			s.Put(m)
		}
	}
	for _, id := range t.ProviderIDs {
		if _, known := s.byProvider[id]; !known {
			s.byProvider = put(s.byProvider, id, nil)
		}
	}
	for _, r := range t.Requests {
		if _, known := s.byRequest[r]; !known {
			s.byRequest = put(s.byRequest, r, nil)
		}
	}
	for _, id := range t.IDs {
		if s.byID[id] == nil {
			s.absent = put(s.absent, id, struct{}{})
		}
	}
	if t.UnreadUpTo.After(s.unreadUpTo) {
		s.unreadUpTo = t.UnreadUpTo
	}
}

// Put makes the set know m as it is now.
func (s *MessageSet) Put(m Message) {
	s.byID = put(s.byID, m.ID, &m)
	delete(s.absent, m.ID)
	if m.ProviderMessageID != "" {
		s.byProvider = put(s.byProvider, m.ProviderMessageID, &m)
	}
	if m.IdempotencyKey != "" {
		s.byRequest = put(s.byRequest, RequestKey{m.Agent, m.IdempotencyKey}, &m)
	}
}

// Apply makes the set know what a change does to messages.
func (s *MessageSet) Apply(change Change) {
	for _, m := range change.Inserts {
		s.Put(m)
	}
	for _, m := range change.Updates {
		s.Put(m)
	}
}

// Len is how many messages are known.
func (s *MessageSet) Len() int { return len(s.byID) }

func (s *MessageSet) provider(id string) (Message, bool) {
	if s == nil || id == "" || s.byProvider[id] == nil {
		return Message{}, false
	}
	return *s.byProvider[id], true
}

// request is the message that was asked for under a key, as long as it has it.
func (s *MessageSet) request(r RequestKey) (Message, bool) {
	if s == nil || s.byRequest[r] == nil {
		return Message{}, false
	}
	m, ok := s.message(s.byRequest[r].ID)
	return m, ok && m.IdempotencyKey == r.Key
}

// Message is the message with that id, if it is known.
func (s *MessageSet) Message(id MessageID) (Message, bool) { return s.message(id) }

func (s *MessageSet) message(id MessageID) (Message, bool) {
	if s == nil || s.byID[id] == nil {
		return Message{}, false
	}
	return *s.byID[id], true
}

// unread is the known outbound messages in the order of their ids.
func (s *MessageSet) unread() []Message {
	if s == nil {
		return nil
	}
	var out []Message
	for _, m := range s.byID {
		if m.Direction == Outbound && m.Status != StatusRead {
			out = append(out, *m)
		}
	}
	slices.SortFunc(out, func(a, b Message) int { return compareIDs(a.ID, b.ID) })
	return out
}

func put[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	if m == nil {
		m = make(map[K]V)
	}
	m[k] = v
	return m
}
