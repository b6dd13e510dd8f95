package socket_test

import (
	"sync"

	"github.com/chatopshub/chatopshub/domain"
)

// eventLog is what the feeds have published.
type eventLog struct {
	begun  chan struct{} // closed with the first event
	mu     sync.Mutex
	events []domain.FeedEvent
}

func newEventLog() *eventLog { return &eventLog{begun: make(chan struct{})} }

// epoch waits for the first event.
func (l *eventLog) epoch() string {
	<-l.begun
	return l.all()[0].Epoch
}

func (l *eventLog) add(events []domain.FeedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == 0 {
		close(l.begun)
	}
	l.events = append(l.events, events...)
}

func (l *eventLog) all() []domain.FeedEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]domain.FeedEvent(nil), l.events...)
}
