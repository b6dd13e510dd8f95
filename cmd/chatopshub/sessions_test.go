package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// The agents that every development server is seeded with.
var (
	ada   = persistence.SeedAgents()[0]
	grace = persistence.SeedAgents()[1]
)

// sessionTokens are what a client holds of a login.
type sessionTokens struct{ access, refresh string }

func tokensOf(t testing.TB, a answer) sessionTokens {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, bodyText(a))
	require.EqualValues(t, 900, a.body["expiresIn"])
	return sessionTokens{a.body["accessToken"].(string), a.body["refreshToken"].(string)}
}

func login(client *http.Client, p *program, email, password string) answer {
	return call(client, http.MethodPost, p.url()+"/api/auth/login", "", map[string]string{"email": email, "password": password})
}

func refresh(client *http.Client, p *program, token string) answer {
	return call(client, http.MethodPost, p.url()+"/api/auth/refresh", "", map[string]string{"refreshToken": token})
}

func me(client *http.Client, p *program, token string) answer {
	return call(client, http.MethodGet, p.url()+"/api/auth/me", token, nil)
}

// requireRefused waits until the access token is good on none of the nodes, and
// requires that the sockets which came with it were told and closed.
func requireRefused(t testing.TB, client *http.Client, nodes []*program, token string, sockets ...*socketClient) {
	t.Helper()
	for i, p := range nodes {
		require.Eventually(t, func() bool {
			a := me(client, p, token)
			return a.status == http.StatusUnauthorized && a.body["code"] == "token_revoked"
		}, 10*time.Second, 5*time.Millisecond, "node %d takes a revoked token", i)
	}
	for i, s := range sockets {
		s.await(t, "session.revoked", 1)
		select {
		case <-s.closed:
		case <-time.After(10 * time.Second):
			require.FailNow(t, "the socket stays", "%d", i)
		}
	}
}

// sessionNodes are two servers on one database, with a client.
func sessionNodes(t testing.TB) (nodes []*program, db *persistencetest.Database, client *http.Client) {
	t.Helper()
	db = persistencetest.New(t)
	return []*program{runProgram(t, db), runProgram(t, db)}, db, testClient(t)
}

func TestLogoutIsHeardEverywhere(t *testing.T) {
	t.Parallel()
	nodes, db, client := sessionNodes(t)
	one, two := nodes[0], nodes[1]
	ended := tokensOf(t, login(client, one, ada, persistence.SeedAgentPassword))
	kept := tokensOf(t, login(client, two, ada, persistence.SeedAgentPassword))
	here, there, other := dialSocket(t, one, ended.access), dialSocket(t, two, ended.access), dialSocket(t, one, kept.access)

	a := call(client, http.MethodPost, two.url()+"/api/auth/logout", ended.access, map[string]string{"refreshToken": ended.refresh})
	require.Equal(t, http.StatusOK, a.status, bodyText(a))
	require.Equal(t, true, a.body["success"])
	requireRefused(t, client, nodes, ended.access, here, there)
	a = refresh(client, one, ended.refresh)
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Equal(t, "refresh_token_invalid", a.body["code"])

	for _, p := range nodes {
		require.Equal(t, http.StatusOK, me(client, p, kept.access).status, "another login of the same user")
	}
	tokensOf(t, refresh(client, two, kept.refresh))
	require.Empty(t, other.named("session.revoked"))
	require.Equal(t, http.StatusUnauthorized, me(client, runProgram(t, db), ended.access).status, "a node that starts later knows")
}

func TestTabsThatRefreshTogetherStayLoggedIn(t *testing.T) {
	t.Parallel()
	nodes, db, client := sessionNodes(t)
	held := tokensOf(t, login(client, nodes[0], ada, persistence.SeedAgentPassword))
	for range 3 {
		answers := make([]answer, 6)
		var group sync.WaitGroup
		for i := range answers {
			group.Go(func() { answers[i] = refresh(client, nodes[i%2], held.refresh) })
		}
		group.Wait()
		next := tokensOf(t, answers[0])
		for _, a := range answers {
			got := tokensOf(t, a)
			require.Equal(t, next.refresh, got.refresh, "every tab gets the same successor")
			for _, p := range nodes {
				require.Equal(t, http.StatusOK, me(client, p, got.access).status)
			}
		}
		require.NotEqual(t, held.refresh, next.refresh)
		held = next
	}
	var stored string
	require.NoError(t, db.SQL.QueryRow(`SELECT string_agg(s::text, ' ') FROM sessions s`).Scan(&stored))
	require.NotContains(t, stored, held.refresh, "no token is stored")
}

func TestAStolenTokenEndsTheSessionEverywhere(t *testing.T) {
	t.Parallel()
	nodes, db, client := sessionNodes(t)
	stolen := tokensOf(t, login(client, nodes[0], ada, persistence.SeedAgentPassword))
	owner := tokensOf(t, refresh(client, nodes[0], stolen.refresh))
	bystander := tokensOf(t, login(client, nodes[0], grace, persistence.SeedAgentPassword))
	here, there := dialSocket(t, nodes[0], owner.access), dialSocket(t, nodes[1], stolen.access)
	_, err := db.SQL.Exec(`UPDATE sessions SET rotated_at = rotated_at - interval '31 seconds'`)
	require.NoError(t, err)

	a := refresh(client, nodes[1], stolen.refresh)
	require.Equal(t, http.StatusUnauthorized, a.status, bodyText(a))
	requireRefused(t, client, nodes, owner.access, here, there)
	requireRefused(t, client, nodes, stolen.access)
	require.Equal(t, http.StatusUnauthorized, refresh(client, nodes[0], owner.refresh).status, "the owner logs in again")
	tokensOf(t, login(client, nodes[0], ada, persistence.SeedAgentPassword))
	require.Equal(t, http.StatusOK, me(client, nodes[1], bystander.access).status)
	var action string
	require.NoError(t, db.SQL.QueryRow(`SELECT action FROM admin_audit`).Scan(&action))
	require.Equal(t, "session.token_reused", action)
}

func TestWhoIsChangedHasToLogInAgain(t *testing.T) {
	t.Parallel()
	nodes, db, client := sessionNodes(t)
	change := func(statement string) {
		_, err := db.SQL.Exec(statement, ada)
		require.NoError(t, err)
	}
	promoted := tokensOf(t, login(client, nodes[0], ada, persistence.SeedAgentPassword))
	here, there := dialSocket(t, nodes[0], promoted.access), dialSocket(t, nodes[1], promoted.access)
	change(`UPDATE users SET role = 'ADMIN' WHERE email = $1`)
	requireRefused(t, client, nodes, promoted.access, here, there)
	require.Equal(t, http.StatusUnauthorized, refresh(client, nodes[0], promoted.refresh).status)

	suspended := tokensOf(t, login(client, nodes[1], ada, persistence.SeedAgentPassword))
	here, there = dialSocket(t, nodes[0], suspended.access), dialSocket(t, nodes[1], suspended.access)
	change(`UPDATE users SET status = 'SUSPENDED' WHERE email = $1`)
	requireRefused(t, client, nodes, suspended.access, here, there)
	require.Equal(t, http.StatusUnauthorized, refresh(client, nodes[0], suspended.refresh).status)
	require.Equal(t, http.StatusForbidden, login(client, nodes[0], ada, persistence.SeedAgentPassword).status)

	change(`UPDATE users SET status = 'ACTIVE' WHERE email = $1`)
	require.Eventually(t, func() bool {
		back := login(client, nodes[0], ada, persistence.SeedAgentPassword)
		return back.status == http.StatusOK && me(client, nodes[1], tokensOf(t, back).access).status == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond, "who is back may work")
	require.Equal(t, http.StatusUnauthorized, me(client, nodes[0], suspended.access).status, "what was revoked stays revoked")
}

func TestValkeyFlushedOrGoneLogsNobodyOut(t *testing.T) {
	t.Parallel()
	valkey := miniredis.RunT(t)
	p := runProgram(t, persistencetest.New(t), "VALKEY_URL=redis://"+valkey.Addr()+"/0")
	client := testClient(t)
	held := tokensOf(t, login(client, p, ada, persistence.SeedAgentPassword))
	socket := dialSocket(t, p, held.access)
	still := func() {
		t.Helper()
		require.Equal(t, http.StatusOK, me(client, p, held.access).status)
		held = tokensOf(t, refresh(client, p, held.refresh))
		tokensOf(t, login(client, p, ada, persistence.SeedAgentPassword))
		require.Empty(t, socket.named("session.revoked"))
	}
	still()
	valkey.FlushAll()
	still()
	valkey.Close()
	still()
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, login(client, p, grace, "wrong").status)
	}
	require.Equal(t, http.StatusTooManyRequests, login(client, p, grace, persistence.SeedAgentPassword).status, "the node counts by itself")
}

// loginFrom logs in as the first agent.
func loginFrom(t testing.TB, client *http.Client, p *program, address, password string) (status int, retryAfter string) {
	return loginAs(t, client, p, address, ada, password)
}

// loginAs logs in through a proxy, which says where it comes from.
func loginAs(t testing.TB, client *http.Client, p *program, address, email, password string) (status int, retryAfter string) {
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url()+"/api/auth/login", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Forwarded-For", address)
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTenThousandWrongPasswords against one account, from as many addresses: ten
// are looked at, and the owner gets in when the window is over.
func TestTenThousandWrongPasswords(t *testing.T) {
	valkey := miniredis.RunT(t)
	p := runProgram(t, persistencetest.New(t), "VALKEY_URL=redis://"+valkey.Addr()+"/0", "TRUSTED_PROXIES=127.0.0.0/8")
	client := testClient(t)
	held := tokensOf(t, login(client, p, ada, persistence.SeedAgentPassword))
	attack := func(from, attempts int) map[int]int {
		const parallel = 8
		counts := make([]map[int]int, parallel)
		var group sync.WaitGroup
		for worker := range parallel {
			counts[worker] = map[int]int{}
			group.Go(func() {
				for i := worker; i < attempts; i += parallel {
					status, _ := loginFrom(t, client, p, fmt.Sprintf("10.%d.%d.1", (from+i)/256, (from+i)%256), fmt.Sprint("guess", i))
					counts[worker][status]++
				}
			})
		}
		group.Wait()
		all := map[int]int{}
		for _, c := range counts {
			for status, n := range c {
				all[status] += n
			}
		}
		return all
	}
	first := attack(0, 1000)
	// A window may end meanwhile, and the next one has ten more.
	require.Contains(t, []int{10, 20}, first[http.StatusUnauthorized])
	require.Equal(t, 1000, first[http.StatusUnauthorized]+first[http.StatusTooManyRequests])
	before := liveHeap()
	more := attack(1000, 9000)
	require.Contains(t, []int{0, 10}, more[http.StatusUnauthorized])
	require.Equal(t, 9000, more[http.StatusUnauthorized]+more[http.StatusTooManyRequests])
	require.Less(t, liveHeap()-before, int64(16<<20), "with the stand-in for Valkey in the same process")

	status, retryAfter := loginFrom(t, client, p, "192.0.2.1", persistence.SeedAgentPassword)
	require.Equal(t, http.StatusTooManyRequests, status, "not even with the right one, or it could be found out")
	require.NotEmpty(t, retryAfter)
	held = tokensOf(t, refresh(client, p, held.refresh)) // who is logged in isn't disturbed
	require.Equal(t, http.StatusOK, me(client, p, held.access).status)

	valkey.FastForward(5 * time.Minute)
	require.Empty(t, slices.DeleteFunc(valkey.Keys(), func(key string) bool { return !strings.HasPrefix(key, "chatopshub:throttle:") }),
		"no counter outlives its window")
	status, _ = loginFrom(t, client, p, "192.0.2.1", persistence.SeedAgentPassword)
	require.Equal(t, http.StatusOK, status)
}

// TestASessionBelongsToItsUser: nobody ends or continues another's.
func TestASessionBelongsToItsUser(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "another", "9101")
	p := runProgram(t, db)
	client := testClient(t)
	mine := tokensOf(t, login(client, p, ada, persistence.SeedAgentPassword))
	for _, stranger := range []string{
		tokensOf(t, login(client, p, grace, persistence.SeedAgentPassword)).access, n.agent("stranger", domain.RoleAdmin).token,
	} {
		call(client, http.MethodPost, p.url()+"/api/auth/logout", stranger, map[string]string{"refreshToken": mine.refresh})
	}
	require.Equal(t, http.StatusOK, me(client, p, mine.access).status)
	tokensOf(t, refresh(client, p, mine.refresh))
}
