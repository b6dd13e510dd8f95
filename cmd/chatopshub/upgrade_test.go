package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/embedded"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// TestTwoReleasesSideBySide replaces three nodes of the commit UPGRADE_FROM by
// this build, one after the other, and then back, while customers write and
// agents accept: every request succeeds once it was repeated after a 503, a 504
// or a broken connection, nothing that was acknowledged is lost or doubled, and
// each conversation has one holder. Without UPGRADE_FROM this build is replaced
// by itself: a rolling restart.
func TestTwoReleasesSideBySide(t *testing.T) {
	t.Parallel()
	current, err := binary()
	require.NoError(t, err)
	former := current
	if commit := os.Getenv("UPGRADE_FROM"); commit != "" {
		former = buildCommit(t, commit)
	}
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "upgrade", "9500")
	valkey, err := embedded.StartValkey()
	require.NoError(t, err)
	t.Cleanup(valkey.Close)
	releases := newReleases(t, "DATABASE_URL="+db.URL, "VALKEY_URL="+valkey.URL(), "STORAGE_PATH="+t.TempDir())
	for i := range releases.nodes {
		releases.start(i, former)
	}
	u := &upgradeLoad{t: t, tenant: n, releases: releases, client: testClient(t), acked: &ledger{holders: map[domain.ConversationID]testAgent{}}}
	for i := range 4 {
		u.agents = append(u.agents, n.agent(fmt.Sprint("agent", i), domain.RoleAgent))
	}
	u.awaitAgents()

	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for worker := range 6 {
		working.Go(func() { u.work(ctx, worker) })
	}
	for _, release := range []string{current, former} {
		for i := range releases.nodes {
			awaitProgress(t, u.acked)
			releases.replace(i, release)
		}
	}
	awaitProgress(t, u.acked)
	stop()
	working.Wait()
	u.acked.check(t, n)
	t.Logf("%d messages and %d accepts were acknowledged; %d requests were repeated", len(u.acked.messages), len(u.acked.holders), u.repeated.Load())
}

// buildCommit builds the program as it was at a commit, beside the work tree.
func buildCommit(t *testing.T, commit string) string {
	t.Helper()
	folder, path := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "chatopshub")
	run := func(dir, name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	}
	run("", "git", "worktree", "add", "--detach", folder, commit)
	defer run("", "git", "worktree", "remove", "--force", folder)
	run(folder, "go", "build", "-o", path, "./cmd/chatopshub")
	return path
}

// releases is three nodes at addresses that stay when the nodes are replaced.
type releases struct {
	t       *testing.T
	environ []string // of all
	nodes   [localNodes]struct {
		http, peers string
		process     *serverProcess
	}
}

func newReleases(t *testing.T, environ ...string) *releases {
	t.Helper()
	f := &releases{t: t, environ: environ}
	for i := range f.nodes {
		var err error
		f.nodes[i].http, err = freeAddr(0)
		require.NoError(t, err)
		f.nodes[i].peers, err = freeAddr(0)
		require.NoError(t, err)
	}
	return f
}

// start has the ith node run that release, and returns once it is ready.
func (f *releases) start(i int, release string) {
	f.t.Helper()
	n := &f.nodes[i]
	_, port, _ := strings.Cut(n.http, ":")
	n.process = startRelease(f.t, release, append(f.environ, "PORT="+port, "CLUSTER_ADDR="+n.peers)...)
	require.Eventually(f.t, func() bool { return isOK(f.t.Context(), f.url(i)+"/readyz") == nil }, time.Minute, 20*time.Millisecond)
}

// replace ends the ith node as an operator does, and starts that release there.
func (f *releases) replace(i int, release string) {
	f.t.Helper()
	require.Zero(f.t, f.nodes[i].process.terminate(), "%s", f.nodes[i].process.stderr)
	f.start(i, release)
}

func (f *releases) url(i int) string { return "http://" + f.nodes[i%len(f.nodes)].http }

// upgradeLoad is customers and agents at work, over all nodes.
type upgradeLoad struct {
	t        *testing.T
	tenant   *tenantRows
	releases *releases
	client   *http.Client
	agents   []testAgent
	acked    *ledger
	repeated atomic.Int32
}

// awaitAgents waits until every node knows the agents.
func (u *upgradeLoad) awaitAgents() {
	u.t.Helper()
	for i := range u.releases.nodes {
		for _, a := range u.agents {
			require.Eventually(u.t, func() bool {
				return call(u.client, http.MethodGet, u.releases.url(i)+"/api/agents", a.token, nil).status == http.StatusOK
			}, 10*time.Second, 10*time.Millisecond)
		}
	}
}

// requestPatience is how long a client repeats a request.
const requestPatience = 30 * time.Second

// anywhere repeats a request on one node after the other, as long as its answer
// says that it may be repeated: nobody answered, 503, 504.
func (u *upgradeLoad) anywhere(what string, request func(url string) int) int {
	begun := time.Now()
	for node := rand.IntN(len(u.releases.nodes)); ; node++ {
		switch status := request(u.releases.url(node)); {
		case status != 0 && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout:
			return status
		case time.Since(begun) > requestPatience:
			u.t.Errorf("%s: no answer within %v, the last one %d", what, requestPatience, status)
			return status
		}
		u.repeated.Add(1)
		<-time.After(20 * time.Millisecond)
	}
}

// work has a customer write, an agent accept the conversation and look at the
// list, again and again.
func (u *upgradeLoad) work(ctx context.Context, worker int) {
	for i := 0; ctx.Err() == nil; i++ {
		number := fmt.Sprint(4950000000 + rand.IntN(2000))
		u.write(number, fmt.Sprintf("wamid.upgrade.%d.%d", worker, i))
		u.accept(u.tenant.conversationOf(number), u.agents[rand.IntN(len(u.agents))])
		agent := u.agents[rand.IntN(len(u.agents))]
		status := u.anywhere("list", func(url string) int {
			return call(u.client, http.MethodGet, url+"/api/conversations?limit=5", agent.token, nil).status
		})
		if status != http.StatusOK {
			u.t.Errorf("a list was answered %d", status)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (u *upgradeLoad) write(number, id string) {
	body := webhooktest.WhatsAppText(u.tenant.account, webhooktest.Customer{Name: "N", Number: number}, id, "hello", time.Now())
	status := u.anywhere("webhook", func(url string) int { return postWebhook(u.client, url, "whatsapp", testAppSecret, body) })
	if status != http.StatusOK {
		u.t.Errorf("a webhook was answered %d", status)
		return
	}
	u.acked.message(id)
}

// accept is safe to repeat: who has the conversation already is told so by 200.
func (u *upgradeLoad) accept(conversation domain.ConversationID, by testAgent) {
	var last answer
	status := u.anywhere("accept", func(url string) int {
		last = call(u.client, http.MethodPost, fmt.Sprintf("%s/api/conversations/%s/accept", url, conversation), by.token, nil)
		return last.status
	})
	u.acked.mu.Lock()
	defer u.acked.mu.Unlock()
	has, held := u.acked.holders[conversation]
	switch {
	case status == http.StatusOK && held && has.id != by.id:
		u.t.Errorf("%s and %s both were given %s", has.name, by.name, conversation)
	case status == http.StatusOK:
		u.acked.holders[conversation] = by
		u.acked.progress++
	case status != http.StatusConflict:
		u.t.Errorf("an accept was answered %d: %s", status, cmp.Or(bodyText(last), "nothing"))
	}
}
