package actors

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// desks is Holdings and Commands: who holds what, and conversations that fail
// as they are told before they answer.
type desks struct {
	mu       sync.Mutex
	held     map[domain.UserID][]domain.Holding
	failures map[domain.ConversationID][]error
	unread   int // how often reading fails
	done     []domain.ReleaseIf
	busy     int
	most     int
	gate     chan struct{} // when not nil, commands wait for it
}

func (d *desks) Held(_ context.Context, r domain.AgentRelease, after domain.ConversationID) ([]domain.Holding, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread > 0 {
		d.unread--
		return nil, domain.ErrUnavailable
	}
	for _, h := range d.held[r.Agent] {
		if string(h.Conversation[:]) > string(after[:]) {
			return []domain.Holding{h}, nil // pages of one
		}
	}
	return nil, nil
}

func (d *desks) Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error {
	d.mu.Lock()
	d.busy++
	d.most = max(d.most, d.busy)
	gate := d.gate
	d.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy--
	if f := d.failures[id]; len(f) > 0 {
		d.failures[id] = f[1:]
		return f[0]
	}
	r := cmd.(domain.ReleaseIf)
	d.done = append(d.done, r)
	d.held[r.Agent] = slices.DeleteFunc(slices.Clone(d.held[r.Agent]), func(h domain.Holding) bool { return h.Conversation == id })
	return nil
}

func holding(n byte) domain.Holding {
	return domain.Holding{Conversation: domain.ConversationID{15: n}, Assignment: int64(n) * 10}
}

func releasing(t *testing.T, f func(t *testing.T, d *desks, rs *Releases)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &desks{held: map[domain.UserID][]domain.Holding{}, failures: map[domain.ConversationID][]error{}}
		f(t, d, NewReleases(d, d, slog.New(slog.DiscardHandler)))
	})
}

var goneForGood = domain.AgentRelease{Agent: domain.UserID{1}, Event: domain.AuditAgentDisconnected, Reason: domain.ReasonGraceOver}

func TestReleaseNamesEachAssignmentAndRepeatsWhatPasses(t *testing.T) {
	releasing(t, func(t *testing.T, d *desks, rs *Releases) {
		d.held[goneForGood.Agent] = []domain.Holding{holding(1), holding(2), holding(3)}
		d.unread = 2
		d.failures[holding(2).Conversation] = []error{domain.ErrUnavailable, domain.ErrOverloaded, domain.ErrOutcomeUnknown}
		require.NoError(t, rs.Release(t.Context(), goneForGood))
		want := []domain.ReleaseIf{}
		for n := range int64(3) {
			want = append(want, domain.ReleaseIf{
				Agent: goneForGood.Agent, Assignment: (n + 1) * 10, Event: goneForGood.Event, Reason: goneForGood.Reason,
			})
		}
		require.Equal(t, want, d.done)
	})
}

func TestReleaseGoesOnPastWhatCantBeReleased(t *testing.T) {
	releasing(t, func(t *testing.T, d *desks, rs *Releases) {
		d.held[goneForGood.Agent] = []domain.Holding{holding(1), holding(2)}
		d.failures[holding(1).Conversation] = []error{domain.ErrFailed}
		require.ErrorIs(t, rs.Release(t.Context(), goneForGood), domain.ErrFailed)
		require.Len(t, d.done, 1)
	})
}

func TestReleaseEndsWithItsContext(t *testing.T) {
	releasing(t, func(t *testing.T, d *desks, rs *Releases) {
		d.unread = 1 << 30
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, rs.Release(ctx, goneForGood), domain.ErrUnavailable)
		require.Less(t, 1<<30-d.unread, 30, "with pauses")
	})
}

func TestReleasesAreBoundedAndAllDone(t *testing.T) {
	releasing(t, func(t *testing.T, d *desks, rs *Releases) {
		const agents = 100
		d.gate = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var ended sync.Map
		for n := range byte(agents) {
			r := goneForGood
			r.Agent = domain.UserID{2, n}
			d.held[r.Agent] = []domain.Holding{holding(n + 1)}
			rs.Begin(r, func() { ended.Store(n, true) })
		}
		running.Go(func() { require.NoError(t, rs.Run(ctx)) })
		synctest.Wait()
		require.Equal(t, releaseWorkers, d.most)
		close(d.gate)
		synctest.Wait()
		require.Len(t, d.done, agents)
		for n := range byte(agents) {
			_, ok := ended.Load(n)
			require.True(t, ok)
		}
		cancel()
		running.Wait()
		rs.Begin(goneForGood, func() { t.Error("nobody works any more") })
	})
}
