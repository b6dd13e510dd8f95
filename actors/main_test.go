package actors

import (
	"log/slog"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come; only a failure takes
// that long.
const patience = 30 * time.Second

func newSystem(t testing.TB) *System {
	t.Helper()
	s, err := NewSystem(SystemConfig{
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(t.Context())) })
	return s
}

// behave makes a behaviour of a function.
type behave func(msg any, self Self)

func (f behave) Receive(msg any, self Self) { f(msg, self) }

// question is a message whose sender waits for the answer.
type question struct {
	n  int
	to *actor.PID
}

func (q question) ReplyTo() *actor.PID { return q.to }
