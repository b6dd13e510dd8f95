package actors

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// published is a Publisher that keeps the presences it gets.
type published struct {
	mu    sync.Mutex
	shown []domain.Presence
}

func (p *published) Publish(_ domain.OrganizationID, notices []domain.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range notices {
		p.shown = append(p.shown, n.Payload.(domain.AgentPresence).Status)
	}
}

// office is the agents of a node in a bubble of fake time.
type office struct {
	*Agents
	published *published
	org       domain.OrganizationID
	ada       domain.UserID
}

func inOffice(t *testing.T, grace time.Duration, f func(t *testing.T, o office)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, w, p := newSystem(t), NewWheel(100*time.Millisecond, time.Now), &published{}
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) }) // nil always
		a := NewAgents(s, AgentConfig{
			Publisher: p, Wheel: w, Limits: domain.PresenceLimits{Heartbeat: 90 * time.Second, Grace: grace},
		})
		f(t, office{a, p, organization(1), domain.UserID{1}})
		require.NoError(t, a.Close(t.Context()))
		cancel()
		running.Wait()
	})
}

func (o office) status() domain.Presence {
	synctest.Wait()
	if p, ok := o.Snapshot(o.org)[o.ada]; ok {
		return p.Status
	}
	return domain.Offline
}

func TestAgentIsOnlineFromFirstToLastConnection(t *testing.T) {
	inOffice(t, 0, func(t *testing.T, o office) {
		require.Equal(t, domain.Offline, o.status())
		require.NoError(t, o.Connected(o.org, o.ada, "tab 1"))
		require.NoError(t, o.Connected(o.org, o.ada, "tab 2"))
		require.NoError(t, o.Connected(o.org, o.ada, "tab 2"))
		require.Equal(t, domain.Online, o.status())
		require.Empty(t, o.Snapshot(organization(2)))
		o.Disconnected(o.ada, "tab 2")
		o.Disconnected(o.ada, "tab 2")
		o.Disconnected(o.ada, "never there")
		<-time.After(time.Second)
		require.Equal(t, domain.Online, o.status())
		o.Disconnected(o.ada, "tab 1")
		<-time.After(time.Second)
		require.Equal(t, domain.Offline, o.status())
		require.Zero(t, o.directory.Len(), "it leaves when it is offline")
		require.Empty(t, o.presences.orgs)
		require.Equal(t, []domain.Presence{domain.Online, domain.Offline}, o.published.shown)
	})
}

func TestAgentIsAwayWithoutHeartbeats(t *testing.T) {
	inOffice(t, 0, func(t *testing.T, o office) {
		require.NoError(t, o.Connected(o.org, o.ada, "tab"))
		for range 4 {
			<-time.After(60 * time.Second)
			o.Heartbeat(o.org, o.ada, "tab")
		}
		require.Equal(t, domain.Online, o.status())
		require.WithinDuration(t, time.Now(), time.Time(o.Snapshot(o.org)[o.ada].LastSeenAt), 0)
		<-time.After(91 * time.Second)
		require.Equal(t, domain.Away, o.status())
		o.Heartbeat(o.org, o.ada, "tab")
		require.Equal(t, domain.Online, o.status())
		require.Equal(t, []domain.Presence{domain.Online, domain.Away, domain.Online}, o.published.shown)
	})
}

func TestAgentStaysDuringGrace(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o office) {
		require.NoError(t, o.Connected(o.org, o.ada, "tab 1"))
		o.Disconnected(o.ada, "tab 1")
		<-time.After(29 * time.Second)
		require.Equal(t, domain.Online, o.status())
		require.NoError(t, o.Connected(o.org, o.ada, "tab 2"))
		<-time.After(40 * time.Second)
		require.Equal(t, domain.Online, o.status())
		o.Disconnected(o.ada, "tab 2")
		<-time.After(31 * time.Second)
		require.Equal(t, domain.Offline, o.status())
		require.Equal(t, []domain.Presence{domain.Online, domain.Offline}, o.published.shown)
	})
}

// Goal: an agent whose actor had to be stopped isn't shown as present for ever,
// and its living connection brings it back.
func TestAgentReturnsAfterItsActorFailed(t *testing.T) {
	inOffice(t, 0, func(t *testing.T, o office) {
		require.NoError(t, o.Connected(o.org, o.ada, "tab"))
		require.Equal(t, domain.Online, o.status())
		wheel := o.config.Wheel
		o.config.Wheel = nil // every message panics while the agent is online
		for range reloadAt {
			o.Heartbeat(o.org, o.ada, "tab")
		}
		require.Equal(t, domain.Offline, o.status())
		require.Zero(t, o.directory.Len())
		o.config.Wheel = wheel
		o.Heartbeat(o.org, o.ada, "tab")
		require.Equal(t, domain.Online, o.status())
	})
}
