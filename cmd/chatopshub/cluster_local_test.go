//go:build haproxy

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

var (
	clusterAt = regexp.MustCompile(`All of it +(http://\S+)`)
	nodeAt    = regexp.MustCompile(`node\d +(http://\S+)  (http://\S+)/cluster .* pid (\d+)`)
)

// TestAClusterOnOneMachine is what "make cluster" starts: real processes, a real
// Valkey or Redis, TLS between the nodes, HAProxy before them. One node is ended
// and one killed; the other goes on, and Ctrl-C ends everything.
func TestAClusterOnOneMachine(t *testing.T) {
	t.Parallel()
	path, err := binary()
	require.NoError(t, err)
	stdout, stderr := &lockedBuffer{}, &lockedBuffer{}
	cmd := exec.Command(path, "cluster")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "PORT=0", "DATA_DIR=" + cmd.Dir, "DATABASE_URL=" + persistencetest.New(t).URL,
		"META_GRAPH_URL=" + noPlatform, "CLUSTER_LEASE_TTL=2s", "LOG_LEVEL=warn", "REQUESTS_PER_USER=0",
	}
	cmd.Stdout = stdout
	launcher, err := startChild("cluster", cmd, stderr)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it ended, unless the test has failed
		<-launcher.ended
	})
	err = launcher.await(t.Context(), func(context.Context) error {
		if !clusterAt.MatchString(stdout.String()) {
			return errors.New("it doesn't say where it is")
		}
		return nil
	})
	require.NoError(t, err, "%s", stderr)
	nodes := nodeAt.FindAllStringSubmatch(stdout.String(), -1)
	require.Len(t, nodes, localNodes, "%s\n%s", stdout, stderr)
	public := clusterAt.FindStringSubmatch(stdout.String())[1]
	client := testClient(t)
	login := call(client, http.MethodPost, public+"/api/auth/login", "", map[string]any{"email": seedEmail, "password": seedPassword})
	require.Equal(t, http.StatusOK, login.status, bodyText(login))
	token, _ := login.body["accessToken"].(string)
	for _, node := range nodes {
		require.Equal(t, http.StatusOK, call(client, http.MethodGet, node[1]+"/api/auth/me", token, nil).status, "a token of one is good for all")
	}
	awaitMembers(t, nodes, localNodes)

	// One is ended as an upgrade does it: the clients don't notice.
	calls := askAllTheTime(t, public, token)
	end := func(node int, signal syscall.Signal, how string) {
		pid, err := strconv.Atoi(nodes[node][3])
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, signal))
		require.Eventually(t, func() bool {
			return strings.Contains(stderr.String(), fmt.Sprintf("node%d has ended (%s)", node+1, how))
		}, 40*time.Second, 10*time.Millisecond, stderr)
	}
	end(2, syscall.SIGTERM, "exit status 0")
	awaitMembers(t, nodes[:2], localNodes-1)
	statuses := calls()
	require.Len(t, statuses, 1, "%v", statuses)
	require.Greater(t, statuses[http.StatusOK], 100)

	end(1, syscall.SIGKILL, "signal: killed")
	for range 20 {
		require.Equal(t, http.StatusOK, call(client, http.MethodGet, public+"/api/auth/me", token, nil).status, "what couldn't reach it goes to another")
	}
	awaitMembers(t, nodes[:1], localNodes-2)

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	select {
	case <-launcher.ended:
		require.NoError(t, launcher.err, "%s", stderr)
	case <-time.After(2 * time.Minute):
		require.FailNow(t, "the cluster didn't end", "%s", stderr)
	}
	for _, url := range []string{public, nodes[0][1]} {
		_, err := http.Get(url + "/healthz")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

// askAllTheTime has some clients call until what it returns is called, which
// tells how often they were answered with which status.
func askAllTheTime(t *testing.T, url, token string) (stop func() map[int]int) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var asking sync.WaitGroup
	statuses := map[int]int{}
	for i := range 8 {
		client := testClient(t)
		asking.Go(func() {
			for ctx.Err() == nil {
				var status int
				if i%2 == 0 {
					status = call(client, http.MethodGet, url+"/api/conversations", token, nil).status
				} else {
					status = call(client, http.MethodPost, url+"/api/channels/"+domain.ChannelID(entropy()).String()+"/test", token, nil).status
					if status == http.StatusNotFound {
						status = http.StatusOK // there is no such channel
					}
				}
				mu.Lock()
				statuses[status]++
				mu.Unlock()
				<-time.After(5 * time.Millisecond)
			}
		})
	}
	return func() map[int]int {
		cancel()
		asking.Wait()
		return statuses
	}
}

// awaitMembers waits until each of the nodes knows of so many.
func awaitMembers(t *testing.T, nodes [][]string, members int) {
	t.Helper()
	for _, node := range nodes {
		require.Eventually(t, func() bool {
			answer, err := http.Get(node[2] + "/cluster")
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			var report clusterReport
			return json.NewDecoder(answer.Body).Decode(&report) == nil && len(report.Nodes) == members
		}, 20*time.Second, 50*time.Millisecond, "%s doesn't see %d nodes", node[2], members)
	}
}
