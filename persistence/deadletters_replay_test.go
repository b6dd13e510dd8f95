package persistence_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestLettersAreListedForTheirOrganization(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	one, two := newTenant(t, database, "one"), newTenant(t, database, "two")
	letters := persistence.NewDeadLetters(openReads(t, database), 100, discard())
	mine := letterOf(domain.DeadLetter{Organization: one.org, Account: "1", Payload: []byte("{\"a\":\"\xff\x00\"}"), ReceivedAt: dawn})
	theirs := letterOf(domain.DeadLetter{Organization: two.org})
	nobodys := letterOf(domain.DeadLetter{Payload: []byte("x")})
	require.NoError(t, letters.Keep(t.Context(), []domain.DeadLetter{mine, theirs, nobodys}))

	views, meta, err := letters.List(t.Context(), one.org, first)
	require.NoError(t, err)
	require.Equal(t, 1, meta.Total)
	account := "1"
	require.Equal(t, []domain.DeadLetterView{{
		ID: mine.ID, Provider: domain.WhatsApp, Account: &account, Reason: "unknown_channel", Payload: "{\"a\":\"\uFFFD\uFFFD\"}", PayloadSize: 10,
		ReceivedAt: domain.Timestamp(dawn),
	}}, views)
	views, _, err = letters.List(t.Context(), domain.OrganizationID{}, first)
	require.NoError(t, err)
	require.Len(t, views, 3, "whoever runs the installation sees them all")
	require.Equal(t, mine.ID, views[2].ID, "newest first")
	_, err = letters.Get(t.Context(), two.org, mine.ID)
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.ErrorIs(t, letters.Replay(t.Context(), two.org, mine.ID, nil), domain.ErrNotFound)
	require.ErrorIs(t, letters.Replay(t.Context(), one.org, nobodys.ID, nil), domain.ErrNotFound)
}

func TestALetterIsTakenOnce(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	letters := persistence.NewDeadLetters(openReads(t, database), 100, discard())
	letter := letterOf(domain.DeadLetter{
		Organization: n.org, Account: "1", Payload: []byte("{}"), ReceivedAt: dawn, SignedBy: "abc", Headers: map[string]string{"User-Agent": "x"},
	})
	require.NoError(t, letters.Keep(t.Context(), []domain.DeadLetter{letter}))
	var taken atomic.Int32
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() {
			errs[i] = letters.Replay(t.Context(), n.org, letter.ID, func(_ context.Context, got domain.DeadLetter) error {
				taken.Add(1)
				if got.ID != letter.ID || got.SignedBy != "abc" || string(got.Payload) != "{}" || got.Organization != n.org {
					return errors.New("not the letter")
				}
				return nil
			})
		})
	}
	all.Wait()
	require.EqualValues(t, 1, taken.Load())
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, domain.ErrOverloaded, "somebody was at it")
		}
	}
	view, err := letters.Get(t.Context(), n.org, letter.ID)
	require.NoError(t, err)
	require.False(t, time.Time(view.ReplayedAt).IsZero())
	require.Equal(t, 1, view.Attempts)
	require.NoError(t, letters.Replay(t.Context(), n.org, letter.ID, nil), "taken stays taken")
}

func TestALetterThatIsRefusedSaysWhy(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	letters := persistence.NewDeadLetters(openReads(t, database), 100, discard())
	letter := letterOf(domain.DeadLetter{Organization: n.org})
	require.NoError(t, letters.Keep(t.Context(), []domain.DeadLetter{letter}))
	var refused *domain.ReplayError
	for range 2 {
		err := letters.Replay(t.Context(), n.org, letter.ID, func(context.Context, domain.DeadLetter) error {
			return &domain.ReplayError{Reason: "unknown_channel"}
		})
		require.ErrorAs(t, err, &refused, "it can be tried again at once")
	}
	view, err := letters.Get(t.Context(), n.org, letter.ID)
	require.NoError(t, err)
	require.Equal(t, "unknown_channel", *view.Detail)
	require.Equal(t, 2, view.Attempts)
	require.True(t, time.Time(view.ReplayedAt).IsZero())

	// What is temporary leaves the claim, which runs out by itself.
	require.ErrorIs(t, letters.Replay(t.Context(), n.org, letter.ID, func(context.Context, domain.DeadLetter) error {
		return domain.ErrUnavailable
	}), domain.ErrUnavailable)
	require.ErrorIs(t, letters.Replay(t.Context(), n.org, letter.ID, nil), domain.ErrOverloaded)
	n.exec(`UPDATE webhook_dead_letters SET attempted_at = attempted_at - interval '1 minute'`)
	require.NoError(t, letters.Replay(t.Context(), n.org, letter.ID, func(context.Context, domain.DeadLetter) error { return nil }))
}

func TestReplaysAreAskedFor(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	letters := persistence.NewDeadLetters(openReads(t, database), 100, discard())
	letter := letterOf(domain.DeadLetter{})
	require.NoError(t, letters.Keep(t.Context(), []domain.DeadLetter{letter}))
	id, err := letters.Requested(t.Context())
	require.NoError(t, err)
	require.True(t, id.IsZero())
	n, err := letters.RequestReplays(t.Context(), []domain.DeadLetterID{letter.ID, {1}})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	id, err = letters.Requested(t.Context())
	require.NoError(t, err)
	require.Equal(t, letter.ID, id)
	require.NoError(t, letters.Replay(t.Context(), domain.OrganizationID{}, id, func(context.Context, domain.DeadLetter) error { return nil }))
	id, err = letters.Requested(t.Context())
	require.NoError(t, err)
	require.True(t, id.IsZero())
}
