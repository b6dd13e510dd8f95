package socket

import "github.com/chatopshub/chatopshub/domain"

// Tracer records single events; cmd's OpenTelemetry is it. It must not block.
type Tracer interface {
	// Deliver records that the event which the step parent led to is queued for
	// its sockets; end says how often, with the events that came beside it.
	Deliver(parent domain.Trace) (end func(sockets int))
}

// traced records the delivery of those of the events that are followed.
func (s *Server) traced(events []domain.FeedEvent) (end func(sockets int)) {
	end = unrecorded
	if s.config.Tracer == nil {
		return end
	}
	for _, e := range events {
		if e.Trace.IsZero() {
			continue
		}
		before, own := end, s.config.Tracer.Deliver(e.Trace)
		end = func(sockets int) { own(sockets); before(sockets) }
	}
	return end
}

func unrecorded(int) {}
