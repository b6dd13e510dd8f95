//go:build haproxy

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

var (
	clusterAt = regexp.MustCompile(`All of it +(http://\S+)`)
	nodeAt    = regexp.MustCompile(`node\d +(http://\S+)  (http://\S+)/cluster .* pid (\d+)`)
)

// TestAClusterOnOneMachine is what "make cluster" starts: real processes, a real
// Valkey or Redis, TLS between the nodes, HAProxy before them. One node is killed;
// the others go on, and Ctrl-C ends everything.
func TestAClusterOnOneMachine(t *testing.T) {
	t.Parallel()
	path, err := binary()
	require.NoError(t, err)
	stdout, stderr := &lockedBuffer{}, &lockedBuffer{}
	cmd := exec.Command(path, "cluster")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "PORT=0", "DATA_DIR=" + cmd.Dir, "DATABASE_URL=" + persistencetest.New(t).URL,
		"META_GRAPH_URL=" + noPlatform, "CLUSTER_LEASE_TTL=2s", "LOG_LEVEL=warn",
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

	pid, err := strconv.Atoi(nodes[1][3])
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return strings.Contains(stderr.String(), "node2 has ended (signal: killed)") }, 10*time.Second, 10*time.Millisecond)
	for range 20 {
		require.Equal(t, http.StatusOK, call(client, http.MethodGet, public+"/api/auth/me", token, nil).status)
	}
	awaitMembers(t, append(nodes[:1:1], nodes[2:]...), localNodes-1)

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	select {
	case <-launcher.ended:
		require.NoError(t, launcher.err, "%s", stderr)
	case <-time.After(2 * time.Minute):
		require.FailNow(t, "the cluster didn't end", "%s", stderr)
	}
	for _, url := range []string{public, nodes[0][1], nodes[2][1]} {
		_, err := http.Get(url + "/healthz")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
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
