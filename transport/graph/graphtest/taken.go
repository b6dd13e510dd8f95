package graphtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Taken is a message that the platform took: its customer gets it, whatever
// the caller was told.
type Taken struct {
	Sequence  int // of the call
	Nth       int // 1 for the first message to this recipient
	Provider  Provider
	Account   string
	Recipient string // digits, business-scoped user id, or PSID
	ID        string
	Reference string // biz_opaque_callback_data, or metadata
	Type      string
	Text      string // body, caption, emoji or name of the template
	ReplyTo   string
	Tag       string // Messenger
	Body      json.RawMessage
	At        time.Time
}

// Action is what shows to a customer and is no message: read, typing, and
// Messenger's sender actions under their own names.
type Action struct {
	Account   string
	Kind      string
	Recipient string // Messenger
	MessageID string
	Emoji     string
	At        time.Time
}

// Taken is the messages that were taken, in order.
func (s *Server) Taken() []Taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken.values)
}

// TakenBy is the messages that a recipient got, in order: each once for every
// time it was taken.
func (s *Server) TakenBy(recipient string) []Taken {
	return slices.DeleteFunc(s.Taken(), func(t Taken) bool { return t.Recipient != recipient })
}

// Actions is what was shown to customers, in order.
func (s *Server) Actions() []Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.actions.values)
}

// Calls is the calls with a valid token, in order.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls.values)
}

// Forgotten is how many messages were taken and are no longer remembered.
func (s *Server) Forgotten() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken.forgotten
}

// Since is what was taken and shown after the first so many of each, and how
// many there are of each now: who asks again with these misses nothing that is
// remembered.
func (s *Server) Since(taken, shown int) ([]Taken, []Action, int, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken.since(taken), s.actions.since(shown), s.taken.total(), s.actions.total()
}

// Changed is closed when a message is taken, or something else is shown, from
// now on.
func (s *Server) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// AwaitTaken waits until at least n messages were taken since the start.
func (s *Server) AwaitTaken(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		got, changed := len(s.taken.values)+s.taken.forgotten, s.changed
		s.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("graphtest: %d of %d messages were taken: %w", got, n, ctx.Err())
		}
	}
}
