package actors

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// held is a storage of assignments, and the way to their conversations.
type held struct {
	mu    sync.Mutex
	left  map[domain.ConversationID]domain.Assignment
	asked []domain.ReleaseIf
	fail  func(domain.Assignment) error
}

func (h *held) hold(n int, agent byte, status domain.UserStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range n {
		a := domain.Assignment{Conversation: domain.ConversationID{agent, byte(i), byte(i >> 8)}, Agent: domain.UserID{agent}, Seq: int64(i + 1), Status: status}
		h.left[a.Conversation] = a
	}
}

func (h *held) AssignmentsToEnd(_ context.Context, of domain.UserID, limit int) (found []domain.Assignment, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.left {
		if (of.IsZero() || of == a.Agent) && len(found) < limit {
			found = append(found, a)
		}
	}
	return found, nil
}

func (h *held) Do(_ context.Context, id domain.ConversationID, cmd domain.Command) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.left[id]
	if h.fail != nil {
		if err := h.fail(a); err != nil {
			return err
		}
	}
	h.asked = append(h.asked, cmd.(domain.ReleaseIf))
	delete(h.left, id)
	return nil
}

func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.left)
}

func TestRelieveReleasesWhatOneUserHolds(t *testing.T) {
	t.Parallel()
	h := &held{left: map[domain.ConversationID]domain.Assignment{}}
	h.hold(3*reliefBatch+1, 1, domain.UserSuspended)
	h.hold(5, 2, domain.UserInactive)
	r := NewRelief(h, h, time.Second, slog.New(slog.DiscardHandler))
	require.NoError(t, r.Relieve(t.Context(), domain.UserID{1}))
	require.Equal(t, 5, h.count(), "another user's stay")
	for _, cmd := range h.asked {
		require.Equal(t, domain.AuditReleased, cmd.Event)
		require.Equal(t, "user_suspended", cmd.Reason)
		require.Equal(t, domain.UserID{1}, cmd.Agent)
		require.Positive(t, cmd.Assignment)
	}
	require.NoError(t, r.Relieve(t.Context(), domain.UserID{}))
	require.Zero(t, h.count())
	require.Equal(t, "user_inactive", h.asked[len(h.asked)-1].Reason)
}

// What an interruption leaves behind is found by the next round.
func TestReliefGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &held{left: map[domain.ConversationID]domain.Assignment{}}
		h.hold(20, 1, domain.UserInactive)
		h.fail = func(a domain.Assignment) error {
			if a.Seq%2 == 0 {
				return domain.ErrUnavailable
			}
			return nil
		}
		r := NewRelief(h, h, 15*time.Second, slog.New(slog.DiscardHandler))
		require.ErrorIs(t, r.Relieve(t.Context(), domain.UserID{1}), domain.ErrUnavailable)
		require.Equal(t, 10, h.count())

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		require.Equal(t, 10, h.count(), "the storage is still away")
		h.mu.Lock()
		h.fail = nil
		h.mu.Unlock()
		<-time.After(16 * time.Second)
		require.Zero(t, h.count())
		stop()
		require.NoError(t, <-ended)
	})
}
