package actors

import (
	"context"

	"github.com/chatopshub/chatopshub/domain"
)

// Tracer records the ways of single messages; cmd's OpenTelemetry is it. It
// must not block.
type Tracer interface {
	// Current is the step that ctx belongs to; zero when it isn't recorded.
	Current(ctx context.Context) domain.Trace
	// Begin records a step to which parent led. End tells its outcome, once.
	Begin(parent domain.Trace, step string) (t domain.Trace, end func(outcome string))
}

// The steps of the actors.
const (
	stepDecide  = "conversation decide and commit"
	stepPublish = "feed publish"
)

// trace is the step that ctx belongs to.
func (s *System) trace(ctx context.Context) domain.Trace {
	if s.tracer == nil {
		return domain.Trace{}
	}
	return s.tracer.Current(ctx)
}

// begin begins a step where somebody records what led to it. Otherwise it
// costs a comparison.
func (s *System) begin(parent domain.Trace, step string) (domain.Trace, func(outcome string)) {
	if parent.IsZero() || s.tracer == nil {
		return domain.Trace{}, unrecorded
	}
	return s.tracer.Begin(parent, step)
}

func unrecorded(string) {}
