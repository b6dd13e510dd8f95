package persistence

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// batchSize bounds one query: beyond it the arrays grow and the gain doesn't.
	batchSize = 500
	// batchQueue bounds what waits; beyond it questions are refused. At 500 a
	// query of a few milliseconds it is about half a second of work.
	batchQueue = 32_768
	// batchTimeout ends a query that the network swallowed; the server's own
	// statement_timeout is shorter.
	batchTimeout = 10 * time.Second
)

// batcher turns many single questions into few queries: whatever was asked
// while the former query ran becomes the next one. So a lonely question waits
// for nobody, and batches grow by themselves with load.
type batcher[Q, A any] struct {
	doing string // for errors: what is being done
	// query answers all questions, in their order.
	query func(context.Context, []Q) ([]A, error)

	mu      sync.Mutex
	waiting []question[Q, A]
	stopped bool
	wake    chan struct{} // has one element when there may be something waiting
}

type question[Q, A any] struct {
	q    Q
	done func(A, error)
}

func newBatcher[Q, A any](doing string, query func(context.Context, []Q) ([]A, error)) *batcher[Q, A] {
	return &batcher[Q, A]{doing: doing, query: query, wake: make(chan struct{}, 1)}
}

// ask calls done exactly once: from the goroutine of run, or at once from the
// caller's when the queue is full (domain.ErrOverloaded) or run has ended
// (domain.ErrUnavailable). done must not block.
func (b *batcher[Q, A]) ask(q Q, done func(A, error)) {
	if err := b.enqueue(question[Q, A]{q, done}); err != nil {
		var none A
		done(none, fmt.Errorf("%s: %w", b.doing, err))
	}
}

// await asks and waits for the answer, or for the end of ctx.
func (b *batcher[Q, A]) await(ctx context.Context, q Q) (A, error) {
	answer := make(chan answered[A], 1)
	b.ask(q, func(value A, err error) { answer <- answered[A]{value, err} })
	select {
	case <-ctx.Done():
		var none A
		return none, fmt.Errorf("%s: %w", b.doing, ctx.Err())
	case a := <-answer:
		return a.value, a.err
	}
}

// answered is what a batcher called done with.
type answered[T any] struct {
	value T
	err   error
}

func (b *batcher[Q, A]) enqueue(q question[Q, A]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stopped:
		return domain.ErrUnavailable
	case len(b.waiting) >= batchQueue:
		return domain.ErrOverloaded
	}
	b.waiting = append(b.waiting, q)
	select {
	case b.wake <- struct{}{}:
	default: // awake already
	}
	return nil
}

// run answers questions until ctx ends; then it refuses those that wait and
// those that still come.
func (b *batcher[Q, A]) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			b.stop()
			return
		case <-b.wake:
		}
		for ctx.Err() == nil {
			batch := b.take()
			if len(batch) == 0 {
				break
			}
			b.answer(ctx, batch)
		}
	}
}

// take is the next batch; empty when nothing waits.
func (b *batcher[Q, A]) take() []question[Q, A] {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), batchSize)
	batch := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	if len(b.waiting) == 0 {
		b.waiting = nil // lets go of what a rush has left behind
	}
	return batch
}

// answer answers a batch. Questions carry what strangers sent; when PostgreSQL
// refuses a value of one of them, the batch is halved until that one fails
// alone.
func (b *batcher[Q, A]) answer(ctx context.Context, batch []question[Q, A]) {
	questions := make([]Q, len(batch))
	for i := range batch {
		questions[i] = batch[i].q
	}
	limited, cancel := context.WithTimeout(ctx, batchTimeout)
	answers, err := b.query(limited, questions)
	cancel()
	if refusesValue(err) && len(batch) > 1 {
		b.answer(ctx, batch[:len(batch)/2])
		b.answer(ctx, batch[len(batch)/2:])
		return
	}
	if err != nil {
		b.fail(batch, readError(b.doing, err))
		return
	}
	for i := range batch {
		batch[i].done(answers[i], nil)
	}
}

func (b *batcher[Q, A]) fail(batch []question[Q, A], err error) {
	var none A
	for i := range batch {
		batch[i].done(none, err)
	}
}

func (b *batcher[Q, A]) stop() {
	b.mu.Lock()
	waiting := b.waiting
	b.waiting, b.stopped = nil, true
	b.mu.Unlock()
	b.fail(waiting, fmt.Errorf("%s: %w", b.doing, domain.ErrUnavailable))
}
