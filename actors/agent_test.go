package actors

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// journal is what an office tells the world, in order: presences, releases
// begun and ended. It is Publisher and Releaser; a release ends when the test
// says so, or at once.
type journal struct {
	mu     sync.Mutex
	lines  []string
	begun  []domain.AgentRelease
	held   bool // releases wait for finish
	ending []func()
}

func (j *journal) Publish(_ domain.OrganizationID, notices []domain.Notice) {
	for _, n := range notices {
		j.note(string(n.Payload.(domain.AgentPresence).Status))
	}
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) Begin(r domain.AgentRelease, done func()) {
	j.note(string(r.Event) + " " + r.Reason)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun = append(j.begun, r)
	if j.held {
		j.ending = append(j.ending, done)
		return
	}
	done()
}

// finish ends the releases that were held.
func (j *journal) finish() {
	j.mu.Lock()
	ending := j.ending
	j.ending, j.held = nil, false
	j.mu.Unlock()
	for _, done := range ending {
		done()
	}
}

func (j *journal) releases() []domain.AgentRelease {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.begun)
}

func (j *journal) all() []string {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// rows is a SessionLog in memory.
type rows struct {
	mu     sync.Mutex
	stored map[string]domain.AgentSession
}

func (r *rows) Opened(s domain.AgentSession)  { r.put(s) }
func (r *rows) Changed(s domain.AgentSession) { r.put(s) }
func (r *rows) Seen(s domain.AgentSession)    { r.put(s) }

func (r *rows) put(s domain.AgentSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored[s.ID] = s
}

func (r *rows) of(id string) domain.AgentSession {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stored[id]
}

// office is the agents of a node in a bubble of fake time.
type office struct {
	*Agents
	t       *testing.T
	journal *journal
	rows    *rows
	org     domain.OrganizationID
	ada     domain.UserID
	ready   int // how often somebody became available
}

func inOffice(t *testing.T, grace time.Duration, f func(t *testing.T, o *office)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, w := newSystem(t), NewWheel(100*time.Millisecond, time.Now)
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) }) // nil always
		o := &office{
			t: t, journal: &journal{}, rows: &rows{stored: map[string]domain.AgentSession{}}, org: organization(1), ada: domain.UserID{1},
		}
		o.Agents = NewAgents(s, AgentConfig{
			Publisher: o.journal, Releases: o.journal, Sessions: o.rows, Wheel: w,
			Available: func(domain.OrganizationID) { o.ready++ },
			Limits:    domain.PresenceLimits{Heartbeat: 90 * time.Second, Grace: grace},
		})
		f(t, o)
		require.NoError(t, o.Close(t.Context()))
		cancel()
		running.Wait()
	})
}

// tab is a connection of ada's; its login has the same name.
func (o *office) tab(name string) domain.AgentConnection {
	var login domain.SessionID
	copy(login[:], name)
	return domain.AgentConnection{ID: name, Organization: o.org, Agent: o.ada, Login: login, IP: "192.0.2.1", UserAgent: "test"}
}

func (o *office) open(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		require.NoError(t, o.Connected(o.tab(name)))
	}
}

func (o *office) shut(names ...string) {
	for _, name := range names {
		o.Disconnected(o.tab(name), false)
	}
}

func (o *office) status() domain.Presence {
	synctest.Wait()
	if p, ok := o.present(o.org)[o.ada]; ok {
		return p.Status
	}
	return domain.Offline
}

func (o *office) present(org domain.OrganizationID) map[domain.UserID]domain.AgentPresence {
	p, err := o.Snapshot(o.t.Context(), org)
	require.NoError(o.t, err)
	return p
}

const graceOver = "AGENT_DISCONNECTED grace_over"

func TestAgentIsOnlineFromFirstToLastConnection(t *testing.T) {
	inOffice(t, 0, func(t *testing.T, o *office) {
		require.Equal(t, domain.Offline, o.status())
		o.open(t, "tab 1", "tab 2", "tab 2")
		require.Equal(t, domain.Online, o.status())
		require.Equal(t, []domain.UserID{o.ada}, o.Available(o.org))
		require.Empty(t, o.present(organization(2)))
		require.Empty(t, o.Available(organization(2)))
		o.shut("tab 2", "tab 2", "never there")
		<-time.After(time.Second)
		require.Equal(t, domain.Online, o.status())
		o.shut("tab 1")
		<-time.After(time.Second)
		require.Equal(t, domain.Offline, o.status())
		require.Zero(t, o.directory.Len(), "it leaves when it is offline")
		require.Empty(t, o.rosters.tables)
		require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE"}, o.journal.all())
	})
}

func TestAgentIsAwayWithoutHeartbeats(t *testing.T) {
	inOffice(t, 0, func(t *testing.T, o *office) {
		o.open(t, "tab")
		for range 4 {
			<-time.After(60 * time.Second)
			o.Heartbeat(o.tab("tab"))
		}
		require.Equal(t, domain.Online, o.status())
		require.WithinDuration(t, time.Now(), time.Time(o.present(o.org)[o.ada].LastSeenAt), 0)
		require.Equal(t, time.Now(), o.rows.of("tab").LastSeenAt)
		<-time.After(91 * time.Second)
		require.Equal(t, domain.Away, o.status())
		require.Equal(t, domain.Away, o.rows.of("tab").Status)
		require.Empty(t, o.Available(o.org))
		o.Heartbeat(o.tab("tab"))
		require.Equal(t, domain.Online, o.status())
		require.Equal(t, 2, o.ready)
		require.Equal(t, []string{"ONLINE", "AWAY", "ONLINE"}, o.journal.all())
	})
}

func TestAgentBackWithinGraceKeepsEverything(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		o.open(t, "tab 1")
		o.shut("tab 1")
		<-time.After(29 * time.Second)
		require.Equal(t, domain.Online, o.status(), "shown unchanged")
		require.Empty(t, o.Available(o.org), "but nothing new is given")
		o.open(t, "tab 2")
		require.Equal(t, domain.Online, o.status())
		require.Equal(t, 2, o.ready)
		<-time.After(40 * time.Second)
		require.Equal(t, []string{"ONLINE"}, o.journal.all())
	})
}

func TestAgentFlapsAHundredTimes(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		for range 100 {
			o.open(t, "tab")
			<-time.After(time.Second)
			o.shut("tab")
			<-time.After(29 * time.Second)
		}
		require.Equal(t, []string{"ONLINE"}, o.journal.all())
		<-time.After(2 * time.Second)
		require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE"}, o.journal.all())
	})
}

func TestAgentGoneForGoodReleasesWhatItTookBefore(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		o.open(t, "tab")
		<-time.After(time.Second)
		lost := time.Now()
		o.shut("tab")
		synctest.Wait()
		require.Equal(t, domain.Online, o.rows.of("tab").Status, "grace runs: to be known by who comes after a crash")
		require.Equal(t, lost, o.rows.of("tab").EndedAt)
		<-time.After(30*time.Second + 200*time.Millisecond)
		require.Equal(t, domain.Offline, o.status())
		require.Equal(t, domain.Offline, o.rows.of("tab").Status)
		require.Equal(t, []domain.AgentRelease{{
			Organization: o.org, Agent: o.ada, TakenBy: lost, Event: domain.AuditAgentDisconnected, Reason: domain.ReasonGraceOver,
		}}, o.journal.releases())
	})
}

// Colleagues hear OFFLINE when what the agent had is theirs to take; an agent
// who is back meanwhile is shown again after that.
func TestAgentIsOfflineOnceItsConversationsAreReleased(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		o.journal.held = true
		o.open(t, "tab")
		o.shut("tab")
		<-time.After(31 * time.Second)
		require.Equal(t, []string{"ONLINE", graceOver}, o.journal.all())
		require.Equal(t, domain.Offline, o.status(), "who looks is told the truth")
		o.open(t, "tab 2")
		require.Equal(t, domain.Online, o.status())
		require.Equal(t, []string{"ONLINE", graceOver}, o.journal.all())
		require.Empty(t, o.Available(o.org), "nothing is given while something is taken")
		o.journal.finish()
		require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE", "ONLINE"}, o.journal.all())
		require.Equal(t, []domain.UserID{o.ada}, o.Available(o.org))
		require.Equal(t, 2, o.ready)
	})
}

func TestRevokedSessionsHaveNoGrace(t *testing.T) {
	const revoked = "AGENT_DISCONNECTED session_revoked"
	for name, c := range map[string]struct {
		act  func(o *office)
		want []string
	}{
		"the last socket":     {func(o *office) { o.shut("tab 1"); o.Disconnected(o.tab("tab 2"), true) }, []string{"ONLINE", revoked, "OFFLINE"}},
		"one of two":          {func(o *office) { o.Disconnected(o.tab("tab 2"), true) }, []string{"ONLINE"}},
		"while grace runs":    {func(o *office) { o.shut("tab 1", "tab 2"); o.endLogin("tab 2") }, []string{"ONLINE", revoked, "OFFLINE"}},
		"another one's login": {func(o *office) { o.shut("tab 1", "tab 2"); o.endLogin("tab 1") }, []string{"ONLINE"}},
		"with sockets left":   {func(o *office) { o.endLogin("tab 2") }, []string{"ONLINE"}},
		"grace is over already": {func(o *office) {
			o.shut("tab 1", "tab 2")
			<-time.After(31 * time.Second)
			o.endLogin("tab 2")
		}, []string{"ONLINE", graceOver, "OFFLINE"}},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
				o.open(t, "tab 1", "tab 2")
				c.act(o)
				require.Equal(t, c.want, o.journal.all())
				if c.want[len(c.want)-1] == "OFFLINE" {
					o.inGrace.Range(func(any, any) bool { t.Error("a login is remembered"); return true })
				}
			})
		})
	}
}

// endLogin is a logout that every node hears of.
func (o *office) endLogin(name string) {
	synctest.Wait()
	o.CloseSession(o.org, o.tab(name).Login)
}

func TestSuspensionReleasesEverything(t *testing.T) {
	const suspended = "RELEASED suspended"
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		o.CloseAgent(o.org, o.ada) // who works by REST alone
		require.Equal(t, []string{suspended}, o.journal.all())
		o.open(t, "tab 1", "tab 2")
		o.CloseAgent(o.org, o.ada)
		o.Disconnected(o.tab("tab 1"), true)
		o.Disconnected(o.tab("tab 2"), true)
		require.Equal(t, []string{suspended, "ONLINE", suspended, "OFFLINE"}, o.journal.all())
		for _, r := range o.journal.releases() {
			require.Equal(t, domain.AgentRelease{Organization: o.org, Agent: o.ada, Event: domain.AuditReleased, Reason: domain.ReasonSuspended}, r)
		}
		require.Equal(t, domain.Offline, o.rows.of("tab 2").Status)
		require.Zero(t, o.directory.Len())
	})
}

// Goal: an agent whose actor had to be stopped isn't shown as present for ever,
// and its living connection brings it back.
func TestAgentReturnsAfterItsActorFailed(t *testing.T) {
	inOffice(t, 0, func(t *testing.T, o *office) {
		o.open(t, "tab")
		require.Equal(t, domain.Online, o.status())
		wheel := o.config.Wheel
		o.config.Wheel = nil // every message panics while the agent is online
		for range reloadAt {
			o.Heartbeat(o.tab("tab"))
		}
		require.Equal(t, domain.Offline, o.status())
		require.Zero(t, o.directory.Len())
		o.config.Wheel = wheel
		o.Heartbeat(o.tab("tab"))
		require.Equal(t, domain.Online, o.status())
		require.Empty(t, o.journal.releases(), "nothing is taken from who is here")
	})
}

// Goal: a panic on the way doesn't make the actor miscount its connections.
func TestAgentCountsRightAfterAPanic(t *testing.T) {
	inOffice(t, 30*time.Second, func(t *testing.T, o *office) {
		o.open(t, "tab 1")
		synctest.Wait()
		wheel := o.config.Wheel
		o.config.Wheel = nil
		o.open(t, "tab 2")
		o.shut("tab 1")
		synctest.Wait()
		o.config.Wheel = wheel
		o.Heartbeat(o.tab("tab 2"))
		<-time.After(time.Minute)
		require.Equal(t, []string{"ONLINE"}, o.journal.all())
		o.shut("tab 2")
		<-time.After(31 * time.Second)
		require.Equal(t, []string{"ONLINE", graceOver, "OFFLINE"}, o.journal.all())
	})
}
