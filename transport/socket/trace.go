package socket

import "github.com/chatopshub/chatopshub/domain"

// Tracer records single events; cmd's OpenTelemetry is it. It must not block.
type Tracer interface {
	// Deliver records that the event which the step parent led to is queued for
	// its sockets; end says for how many.
	Deliver(parent domain.Trace) (end func(sockets int))
}

func (a *audience) trace(e domain.FeedEvent) (end func(sockets int)) {
	if e.Trace.IsZero() || a.tracer == nil {
		return unrecorded
	}
	return a.tracer.Deliver(e.Trace)
}

func unrecorded(int) {}
