package valkey

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// answerTimeout is how long Valkey may take: somebody waits for the answer,
	// and going on without is better than making them wait longer.
	answerTimeout = 250 * time.Millisecond
	// awayPause is for how long Valkey isn't asked after it didn't answer.
	awayPause = time.Second
)

// outage remembers that Valkey doesn't answer.
type outage struct {
	now   func() time.Time
	until atomic.Int64 // ns since 1970
}

// over reports whether Valkey is worth asking.
func (o *outage) over() bool { return o.now().UnixNano() >= o.until.Load() }

// begins takes note that Valkey didn't answer. It is false when that says
// nothing about Valkey, because the caller is gone.
func (o *outage) begins(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	o.until.Store(o.now().Add(awayPause).UnixNano())
	return true
}
