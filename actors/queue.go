package actors

import (
	"maps"

	"github.com/chatopshub/chatopshub/domain"
)

// queue is conversations in the order in which they came, each at most once.
// The zero value is empty.
type queue struct {
	order []domain.ConversationID // with those that were removed
	in    map[domain.ConversationID]struct{}
}

func (q *queue) len() int { return len(q.in) }

func (q *queue) has(id domain.ConversationID) bool {
	_, in := q.in[id]
	return in
}

func (q *queue) push(id domain.ConversationID) {
	if q.in == nil {
		q.in = make(map[domain.ConversationID]struct{})
	}
	q.in[id] = struct{}{}
	q.order = append(q.order, id)
}

func (q *queue) remove(id domain.ConversationID) bool {
	in := q.has(id)
	delete(q.in, id)
	if len(q.in) == 0 {
		*q = queue{}
	}
	return in
}

// all is who is in it, in order.
func (q *queue) all() []domain.ConversationID {
	rest := queue{order: q.order, in: maps.Clone(q.in)}
	all := make([]domain.ConversationID, 0, q.len())
	for id, ok := rest.pop(); ok; id, ok = rest.pop() {
		all = append(all, id)
	}
	return all
}

// pop takes the first one out.
func (q *queue) pop() (domain.ConversationID, bool) {
	for len(q.order) > 0 {
		id := q.order[0]
		q.order = q.order[1:]
		if q.remove(id) {
			return id, true
		}
	}
	return domain.ConversationID{}, false
}
