package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// ward is channels that are due for a check, and a platform that answers as the
// test says.
type ward struct {
	mu       sync.Mutex
	due      []domain.ChannelCheck
	claims   error
	kept     []string // what was written of channels
	status   map[domain.ChannelID]domain.ChannelStatus
	identify func(ctx context.Context, ch domain.Channel) (time.Time, error)
	repaired bool
	failure  error // of subscribing
	checked  []domain.ChannelID
}

func checkups(t *testing.T, test func(w *ward, c *Checkups)) {
	synctest.Test(t, func(t *testing.T) {
		w := &ward{
			status:   map[domain.ChannelID]domain.ChannelStatus{},
			identify: func(context.Context, domain.Channel) (time.Time, error) { return time.Time{}, nil },
		}
		c, err := NewCheckups(CheckupsConfig{
			Health: w, Platform: w, Census: w, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
		})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		running.Go(func() { require.NoError(t, c.Run(ctx)) })
		test(w, c)
	})
}

// becomesDue puts channels of that status before the checks, and waits until a
// round has looked at them.
func (w *ward) becomesDue(status domain.ChannelStatus, numbers ...byte) {
	w.mu.Lock()
	for _, n := range numbers {
		ch := domain.Channel{ID: domain.ChannelID{n}, Organization: org, Status: status}
		w.status[ch.ID] = status
		w.due = append(w.due, domain.ChannelCheck{Channel: ch})
	}
	w.mu.Unlock()
	<-time.After(checkEvery)
	synctest.Wait()
}

// set alters the ward while nobody uses it.
func (w *ward) set(change func()) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *ward) examined() []domain.ChannelID {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checked
}

func (w *ward) keeps() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.kept
	w.kept = nil
	return kept
}

func (w *ward) Claim(_ context.Context, limit int) ([]domain.ChannelCheck, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	claimed := w.due[:min(limit, len(w.due))]
	w.due = w.due[len(claimed):]
	return claimed, w.claims
}

// turn moves a channel from a status to another, if it is in that one.
func (w *ward) turn(id domain.ChannelID, from, to domain.ChannelStatus, line string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status[id] != from {
		return false, nil
	}
	w.status[id] = to
	w.kept = append(w.kept, line)
	return true, nil
}

func (w *ward) Fail(_ context.Context, _ domain.OrganizationID, id domain.ChannelID, reason string) (bool, error) {
	return w.turn(id, domain.ChannelActive, domain.ChannelError, "fail "+reason)
}

func (w *ward) Recover(_ context.Context, _ domain.OrganizationID, id domain.ChannelID) (bool, error) {
	return w.turn(id, domain.ChannelError, domain.ChannelActive, "recover")
}

func (w *ward) Note(_ context.Context, _ domain.OrganizationID, _ domain.ChannelID, status domain.ChannelStatus, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, strings.TrimSpace(fmt.Sprintf("note %s %s", status, text)))
	return nil
}

func (w *ward) ChannelsByStatus() map[domain.ChannelStatus]int {
	return map[domain.ChannelStatus]int{domain.ChannelActive: 2, domain.ChannelError: 1}
}

func (w *ward) Identify(ctx context.Context, c domain.ChannelCheck) (time.Time, error) {
	w.mu.Lock()
	identify := w.identify
	w.mu.Unlock()
	expires, err := identify(ctx, c.Channel)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checked = append(w.checked, c.Channel.ID)
	return expires, err
}

func (w *ward) Subscribe(context.Context, domain.ChannelCheck) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.repaired, w.failure
}

func (w *ward) answers(expires time.Time, err error) {
	w.set(func() { w.identify = func(context.Context, domain.Channel) (time.Time, error) { return expires, err } })
}

func TestWhatACheckFindsIsKept(t *testing.T) {
	t.Parallel()
	dead := &domain.CallError{Class: domain.FailureChannel, Code: "190", Text: "Session has expired"}
	checkups(t, func(w *ward, c *Checkups) {
		w.becomesDue(domain.ChannelActive, 1)
		require.Equal(t, []string{"note ACTIVE"}, w.keeps(), "an error of former times goes")
		w.becomesDue(domain.ChannelError, 1)
		require.Equal(t, []string{"recover", "note ACTIVE"}, w.keeps())

		w.answers(time.Time{}, dead)
		w.becomesDue(domain.ChannelActive, 1)
		require.Equal(t, []string{"fail 190: Session has expired"}, w.keeps())
		w.becomesDue(domain.ChannelError, 1)
		require.Equal(t, []string{"note ERROR 190: Session has expired"}, w.keeps(), "the reason may be another one now")

		for _, nothing := range []error{&domain.CallError{Class: domain.FailureTransient}, errors.New("odd")} {
			w.answers(time.Time{}, nothing)
			w.becomesDue(domain.ChannelActive, 1)
			w.becomesDue(domain.ChannelError, 1)
			require.Empty(t, w.keeps(), "that says nothing of the channel")
		}

		w.answers(time.Now().Add(expiryWarning/2), nil)
		w.becomesDue(domain.ChannelActive, 1)
		require.Regexp(t, "^note ACTIVE the access token expires at ", w.keeps()[0])
		w.answers(time.Now().Add(2*expiryWarning), nil)
		w.becomesDue(domain.ChannelActive, 1)
		require.Equal(t, []string{"note ACTIVE"}, w.keeps())

		w.set(func() {
			w.failure = &domain.CallError{Class: domain.FailureChannel, Code: "200", Text: "pages_manage_metadata"}
		})
		w.becomesDue(domain.ChannelError, 1)
		kept := w.keeps()
		require.Equal(t, "recover", kept[0], "it can send")
		require.Regexp(t, "^note ACTIVE its webhooks may not come.*200: pages_manage_metadata", kept[1])
		w.set(func() { w.failure, w.repaired = nil, true })
		w.becomesDue(domain.ChannelActive, 1)
		require.Equal(t, []string{"note ACTIVE"}, w.keeps())
		require.Equal(t, 1.0, testutil.ToFloat64(c.repairs))
		for outcome, n := range map[string]float64{checkWell: 5, checkBroken: 2, checkUnknown: 4, checkUnsubscribed: 1} {
			require.Equal(t, n, testutil.ToFloat64(c.checks.WithLabelValues(outcome)), outcome)
		}
		require.NoError(t, testutil.CollectAndCompare(census{w}, strings.NewReader(`
			# HELP chatopshub_channels Channels of all organizations; every node shows all.
			# TYPE chatopshub_channels gauge
			chatopshub_channels{status="ACTIVE"} 2
			chatopshub_channels{status="ERROR"} 1
		`)))
	})
}

// TestAChannelThatHangsDelaysNoOther: it has one of the slots until its time is
// over, and the others are checked meanwhile.
func TestAChannelThatHangsDelaysNoOther(t *testing.T) {
	t.Parallel()
	checkups(t, func(w *ward, c *Checkups) {
		w.set(func() {
			w.identify = func(ctx context.Context, ch domain.Channel) (time.Time, error) {
				if ch.ID[0] < checksAtOnce { // all slots but one
					<-ctx.Done()
					return time.Time{}, ctx.Err()
				}
				return time.Time{}, nil
			}
		})
		var all []byte
		for n := range byte(100) {
			all = append(all, n+1)
		}
		w.becomesDue(domain.ChannelActive, all...)
		require.Len(t, w.examined(), 100-(checksAtOnce-1))
		<-time.After(checkTimeout)
		require.Len(t, w.examined(), 100)
		require.Equal(t, float64(checksAtOnce-1), testutil.ToFloat64(c.checks.WithLabelValues(checkUnknown)))
	})
}

func TestChecksGoOnAfterTheDatabaseWasAway(t *testing.T) {
	t.Parallel()
	checkups(t, func(w *ward, _ *Checkups) {
		w.set(func() { w.claims = domain.ErrUnavailable })
		<-time.After(10 * checkEvery)
		w.set(func() { w.claims = nil })
		w.becomesDue(domain.ChannelActive, 1, 2)
		require.Len(t, w.examined(), 2)
	})
}
