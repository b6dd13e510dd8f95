package actors

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// onlyThat records what follows from one trace.
type onlyThat struct{ steps []string }

func (*onlyThat) Current(context.Context) domain.Trace { return domain.Trace{} }

func (o *onlyThat) Begin(parent domain.Trace, step string) (domain.Trace, func(string)) {
	o.steps = append(o.steps, step)
	parent.Span[0]++
	return parent, func(outcome string) { o.steps = append(o.steps, step+": "+outcome) }
}

// TestWhatNobodyFollowsCostsNothing counts allocations, so it isn't parallel.
func TestWhatNobodyFollowsCostsNothing(t *testing.T) {
	for name, tracer := range map[string]Tracer{"off": nil, "on, but not this message": &onlyThat{}} {
		s, err := NewSystem(SystemConfig{Logger: slog.New(slog.DiscardHandler), Now: time.Now, Tracer: tracer})
		require.NoError(t, err)
		ctx := t.Context()
		require.Zero(t, testing.AllocsPerRun(100, func() {
			_, end := s.begin(s.trace(ctx), stepDecide)
			end("committed")
		}), name)
		require.NoError(t, s.Close(ctx))
	}
	o := &onlyThat{}
	s, err := NewSystem(SystemConfig{Logger: slog.New(slog.DiscardHandler), Now: time.Now, Tracer: o})
	require.NoError(t, err)
	step, end := s.begin(domain.Trace{ID: [16]byte{1}}, stepPublish)
	end("told")
	require.Equal(t, domain.Trace{ID: [16]byte{1}, Span: [8]byte{1}}, step)
	require.Equal(t, []string{stepPublish, stepPublish + ": told"}, o.steps)
	require.NoError(t, s.Close(t.Context()))
}
