package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// TestARollingRestartUnderLoad replaces all nodes, one after the other, by what
// an operator does: SIGTERM, and start again. No client gets another answer than
// one that a balancer repeats elsewhere, because nothing was done.
func TestARollingRestartUnderLoad(t *testing.T) {
	t.Parallel()
	r := chance(t)
	f := startFleet(t, fleetConfig{nodes: 3})
	n := newTenantRows(t, f.db, "rolling", "9701")
	pages := follow(f, n, r, 12)
	tr := startTraffic(f, n, r, 12, 8)
	tr.flows(100)
	for range rounds(t) {
		for _, node := range f.all() {
			begun := time.Now()
			f.terminate(node)
			f.start(node)
			f.awaitMembers(3)
			took := time.Since(begun)
			tr.flows(50)
			gap, _ := tr.longest(begun, time.Now())
			t.Logf("%s replaced in %v; longest wait %v; %v", node.name, took.Round(time.Millisecond), gap.Round(time.Millisecond), tr.latency("", func(domain.ConversationID) bool { return false }, begun, time.Now()))
		}
	}
	tr.end()
	tr.check()
	pages.check(t, n, true)
	t.Logf("%d requests; repeated: %v; %s", tr.answered(), tr.faults, pages.told())
	require.Empty(t, tr.doubts, "requests that failed: %v\n%s", tr.faults, f.logs())
}

// loggedInUser is somebody who is logged in, on all nodes.
type loggedInUser struct {
	fleet *fleet
	sessionTokens
}

func logIn(f *fleet) *loggedInUser {
	f.t.Helper()
	return &loggedInUser{f, tokensOf(f.t, call(f.client, http.MethodPost, f.all()[0].process.Load().url+"/api/auth/login", "",
		map[string]string{"email": ada, "password": persistence.SeedAgentPassword}))}
}

// still checks that every node takes the access token, and one the refresh token.
func (l *loggedInUser) still() {
	l.fleet.t.Helper()
	for _, n := range l.fleet.all() {
		url := n.process.Load().url
		a := call(l.fleet.client, http.MethodGet, url+"/api/auth/me", l.access, nil)
		require.Equal(l.fleet.t, http.StatusOK, a.status, bodyText(a))
		l.sessionTokens = tokensOf(l.fleet.t, call(l.fleet.client, http.MethodPost, url+"/api/auth/refresh", "", map[string]string{"refreshToken": l.refresh}))
	}
}

// awaitReadiness waits until /readyz of every node says that these parts don't
// work, and all others do.
func (f *fleet) awaitReadiness(broken ...string) {
	f.t.Helper()
	for _, n := range f.all() {
		require.Eventually(f.t, func() bool {
			a := call(f.client, http.MethodGet, n.process.Load().url+"/readyz", "", nil)
			checks, _ := a.body["checks"].([]any)
			var found []string
			for _, c := range checks {
				if check, _ := c.(map[string]any); check["ok"] != true {
					found = append(found, fmt.Sprint(check["name"]))
				}
			}
			return len(checks) > 0 && slices.Equal(found, broken) && (a.status == http.StatusOK) == (len(broken) == 0)
		}, 30*time.Second, 20*time.Millisecond, "%s doesn't say that these are broken: %v", n.name, broken)
	}
}

// viewsStay requires that all nodes have all others in their view.
func (f *fleet) viewsStay() {
	f.t.Helper()
	for _, n := range f.all() {
		report, err := f.clusterOf(n)
		require.NoError(f.t, err)
		require.Len(f.t, report.Nodes, len(f.all()), "%s has lost sight", n.name)
	}
}

// TestAClusterOutlivesItsValkey: a Valkey that forgets everything, comes back
// empty, or is away for long changes nothing for clients: every request is
// answered, nobody is logged out, the nodes keep each other in view, and say in
// their readiness that their leases can't be renewed.
func TestAClusterOutlivesItsValkey(t *testing.T) {
	t.Parallel()
	r := chance(t)
	f := startFleet(t, fleetConfig{nodes: 3})
	n := newTenantRows(t, f.db, "valkey", "9702")
	someone := logIn(f)
	tr := startTraffic(f, n, r, 8, 8)
	tr.flows(100)
	unharmed := func(what string, since time.Time) {
		t.Helper()
		f.viewsStay()
		someone.still()
		tr.flows(100)
		gap, _ := tr.longest(since, time.Now())
		t.Logf("%s: longest wait %v; repeated: %v", what, gap.Round(time.Millisecond), tr.faults)
		require.Empty(t, tr.faults, "%s is felt by clients", what)
	}
	for range rounds(t) {
		begun := time.Now()
		f.valkey.flush()
		require.Eventually(t, func() bool { tr.flows(10); f.viewsStay(); return time.Since(begun) > 2*f.lease }, time.Minute, 20*time.Millisecond)
		unharmed("flush", begun)

		begun = time.Now()
		f.valkey.stop()
		f.valkey.start()
		unharmed("restart", begun)
		f.awaitReadiness()

		begun = time.Now()
		f.valkey.stop()
		f.awaitReadiness("valkey", "cluster")
		away := 2 * f.lease
		if rounds(t) > 1 {
			away = time.Minute
		}
		require.Eventually(t, func() bool { tr.flows(10); f.viewsStay(); return time.Since(begun) > away }, 2*time.Minute, 20*time.Millisecond)
		unharmed("away for "+away.String(), begun)
		f.valkey.start()
		f.awaitReadiness()
		unharmed("back", begun)
		f.awaitMembers(3)
	}
	tr.end()
	tr.check()
}

// TestAClusterOutlivesItsPostgreSQL: while the database is away callers are told
// so, and afterwards everything goes on by itself.
func TestAClusterOutlivesItsPostgreSQL(t *testing.T) {
	t.Parallel()
	r := chance(t)
	server := persistencetest.NewServer(t)
	f := startFleet(t, fleetConfig{db: server.New(t), nodes: 3})
	n := newTenantRows(t, f.db, "postgres", "9703")
	someone := logIn(f)
	tr := startTraffic(f, n, r, 8, 8)
	tr.flows(100)
	for range rounds(t) {
		for what, stop := range map[string]func(){"stopped": server.Stop, "killed": server.Kill} {
			begun := time.Now()
			stop()
			f.awaitReadiness("postgresql")
			f.viewsStay()
			server.Start()
			started := time.Now()
			f.awaitReadiness()
			ready := time.Now()
			tr.flows(100)
			someone.still()
			gap, _ := tr.longest(begun, time.Now())
			t.Logf("%s for %v: ready %v after its start; longest wait %v", what, started.Sub(begun).Round(time.Millisecond), ready.Sub(started).Round(time.Millisecond), gap.Round(time.Millisecond))
		}
	}
	f.awaitMembers(3)
	tr.end()
	tr.check()
	t.Logf("%d requests; repeated: %v; done late: %d", tr.answered(), tr.faults, tr.late)
}
