package socket_test

import (
	"sync"

	"github.com/chatopshub/chatopshub/domain"
)

// eventLog is what the feeds have published.
type eventLog struct {
	mu     sync.Mutex
	events []domain.FeedEvent
}

func (l *eventLog) add(events []domain.FeedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, events...)
}

func (l *eventLog) all() []domain.FeedEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]domain.FeedEvent(nil), l.events...)
}
