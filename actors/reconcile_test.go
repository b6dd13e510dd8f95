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

// ledgerOfAbsence answers the reconciler, page by page.
type ledgerOfAbsence struct {
	mu     sync.Mutex
	absent []domain.Absence // in the order of the agents' ids
	fail   error
	asked  int
}

func (l *ledgerOfAbsence) Absent(_ context.Context, after domain.UserID) ([]domain.Absence, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	for _, x := range l.absent {
		if string(x.Agent[:]) > string(after[:]) {
			return []domain.Absence{x}, l.fail // pages of one
		}
	}
	return nil, l.fail
}

func (l *ledgerOfAbsence) set(fail error, absent ...domain.Absence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.absent, l.fail = absent, fail
}

// reconciling runs the reconciler of the office while the test runs.
func (o *office) reconciling(t *testing.T, l *ledgerOfAbsence) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { require.NoError(t, o.Reconcile(ctx, l, slog.New(slog.DiscardHandler))) })
	return func() { cancel(); running.Wait() }
}

func (o *office) lost(shown domain.Presence, at time.Time) domain.Absence {
	return domain.Absence{Organization: o.org, Agent: o.ada, Shown: shown, LastSeenAt: at, LostAt: at}
}

func TestReconcilerLetsGraceRunFromWhenSocketsAreAcceptedAgain(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		lost := time.Now().Add(-time.Hour) // we were away for long
		l := &ledgerOfAbsence{}
		l.set(nil, o.lost(domain.Away, lost), domain.Absence{Organization: o.org, Agent: domain.UserID{2}, Shown: domain.Online, LostAt: lost})
		defer o.reconciling(t, l)()
		<-time.After(29 * time.Second)
		require.Equal(t, domain.Away, o.status(), "shown as before")
		require.Empty(t, o.Available(o.org))
		require.Empty(t, o.journal.releases())
		l.set(nil)
		<-time.After(1200 * time.Millisecond)
		require.Equal(t, domain.Offline, o.status())
		require.Len(t, o.journal.releases(), 2)
		require.Contains(t, o.journal.releases(), domain.AgentRelease{
			Organization: o.org, Agent: o.ada, TakenBy: lost, Event: domain.AuditAgentDisconnected, Reason: domain.ReasonGraceOver,
		}, "what was taken after the loss was taken by REST alone")
	})
}

func TestReconcilerIsStoppedByTheAgentsReturn(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		l := &ledgerOfAbsence{}
		l.set(nil, o.lost(domain.Online, time.Now().Add(-time.Second)))
		defer o.reconciling(t, l)()
		<-time.After(20 * time.Second)
		o.open(t, "tab") // its row isn't stored yet: the reconciler goes on
		<-time.After(5 * time.Minute)
		require.Empty(t, o.journal.releases())
		require.Equal(t, []string{"ONLINE", "AWAY"}, o.journal.all())
	})
}

func TestReconcilerFinishesWhatWasBegun(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		lost := time.Now()
		l := &ledgerOfAbsence{}
		o.journal.held = true
		l.set(nil, o.lost(domain.Offline, lost))
		defer o.reconciling(t, l)()
		<-time.After(4*ReconcileEvery + time.Second)
		require.Len(t, o.journal.releases(), 1, "at once, as grace was over, and not again while it is under way")
		require.Equal(t, lost, o.journal.releases()[0].TakenBy)
		o.journal.finish()
		<-time.After(ReconcileEvery)
		require.Len(t, o.journal.releases(), 2, "whatever is left is tried again")
		require.Equal(t, []string{graceOver, "OFFLINE", graceOver, "OFFLINE"}, o.journal.all())
		l.set(nil)
		<-time.After(ReconcileEvery)
		synctest.Wait()
		require.Zero(t, o.directory.Len())
	})
}

func TestReconcilerReleasesTheSuspended(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		l := &ledgerOfAbsence{}
		l.set(domain.ErrUnavailable)
		defer o.reconciling(t, l)()
		<-time.After(2*ReconcileEvery + time.Second) // between two rounds
		l.set(nil, domain.Absence{Organization: o.org, Agent: o.ada, Suspended: true})
		<-time.After(ReconcileEvery)
		require.Equal(t, []string{"RELEASED suspended"}, o.journal.all())
		l.set(nil)
	})
}

// Goal: the end of a connection counts though the actor that knew of it is no
// more: the row ends as the last one, for the reconciler to find.
func TestEndOfAConnectionThatNobodyKnowsIsStored(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		o.shut("tab")
		s := o.rows.of("tab")
		require.Equal(t, time.Now(), s.EndedAt)
		require.Equal(t, domain.Online, s.Status, "with a grace period to come")
		o.Disconnected(o.tab("revoked"), true)
		require.Equal(t, domain.Offline, o.rows.of("revoked").Status)
		require.Zero(t, o.directory.Len())
	})
}
