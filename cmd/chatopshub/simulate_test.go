package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// TestOneCommandIsAWholeSystem: customers write, an agent accepts, reads and
// answers, the customers get it and answer back. Nothing else runs.
func TestOneCommandIsAWholeSystem(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	path, err := binary()
	require.NoError(t, err)
	dir := t.TempDir()
	s := startCommand(t, dir, []string{"PORT=0", "DATA_DIR=" + dir, "DATABASE_URL=" + db.URL, "LOG_LEVEL=warn"},
		path, "simulate", "--serve", "--customers", "2", "--rate", "4")
	s.await(t, "the Graph API is at http://127.0.0.1:")
	url := listeningAt.FindStringSubmatch(s.out.String())[1]
	client := testClient(t)
	login := call(client, http.MethodPost, url+"/api/auth/login", "",
		map[string]any{"email": persistence.SeedAgents()[0], "password": persistence.SeedAgentPassword})
	require.Equal(t, http.StatusOK, login.status, bodyText(login))
	token := login.body["accessToken"].(string)
	asks := func(method, path string, body map[string]any, status int) answer {
		t.Helper()
		var sent any // no body at all
		if body != nil {
			sent = body
		}
		a := call(client, method, url+"/api/conversations"+path, token, sent)
		require.Equal(t, status, a.status, bodyText(a))
		return a
	}
	var rows []any
	require.Eventually(t, func() bool {
		rows = asks(http.MethodGet, "?status=PENDING", nil, http.StatusOK).body["data"].([]any)
		return len(rows) == 2
	}, 30*time.Second, 50*time.Millisecond, "nobody writes")
	for i, row := range rows {
		id := row.(map[string]any)["id"].(string)
		asks(http.MethodPost, "/"+id+"/accept", nil, http.StatusOK)
		asks(http.MethodPost, "/"+id+"/messages", map[string]any{"body": fmt.Sprint("Good morning ", i)}, http.StatusCreated)
		s.await(t, fmt.Sprint("gets     Good morning ", i))
		require.Eventually(t, func() bool { // new messages may come at any time
			asks(http.MethodPost, "/"+id+"/read", nil, http.StatusOK)
			return strings.Count(s.out.String(), "sees     that it was read") > i
		}, 30*time.Second, 100*time.Millisecond, s.out)
	}
	require.Eventually(t, func() bool { return strings.Count(s.out.String(), "  answers  ") >= 2 }, 30*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		for _, row := range asks(http.MethodGet, "?assignedTo=me", nil, http.StatusOK).body["data"].([]any) {
			if contact := row.(map[string]any)["contact"].(map[string]any); !regexp.MustCompile(`^\w+ Okafor$`).MatchString(contact["displayName"].(string)) {
				return false // Messenger's is looked up
			}
		}
		return true
	}, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	s.exits(t, 0)
	require.Regexp(t, `customers wrote \d+ messages, got 2, and saw [2-9]\d* receipts`, s.out.String())
}

// TestTheSimulatorPlaysForARunningServer: by an address that both know.
func TestTheSimulatorPlaysForARunningServer(t *testing.T) {
	t.Parallel()
	probe, err := graphtest.Start(graphtest.Config{}) // a port that is free
	require.NoError(t, err)
	addr := strings.TrimPrefix(probe.URL(), "http://")
	probe.Close()
	p := runProgram(t, persistencetest.New(t), "META_GRAPH_URL=http://"+addr)
	path, err := binary()
	require.NoError(t, err)
	dir := t.TempDir()
	s := startCommand(t, dir, []string{
		"DATA_DIR=" + dir, "AUTH_URL=" + p.url(), "WHATSAPP_APP_SECRET=" + testAppSecret, "MESSENGER_APP_SECRET=" + testAppSecret,
	}, path, "simulate", "--graph-addr", addr, "--customers", "3", "--rate", "20", "--duration", "1s")
	s.exits(t, 0)
	require.Regexp(t, `customers wrote [1-9]\d* messages`, s.out.String())
	require.NotContains(t, s.out.String(), "can't write")
	require.Positive(t, metricSum(t, p, "chatopshub_webhook_elements_total"))

	lost := startCommand(t, dir, []string{"DATA_DIR=" + dir, "AUTH_URL=" + noPlatform}, path,
		"simulate", "--graph-addr", addr, "--rate", "20", "--duration", "200ms")
	lost.exits(t, exitFailure)
	require.Contains(t, lost.out.String(), "is the server running")
}

func TestFaultsOfTheSimulatedPlatform(t *testing.T) {
	t.Parallel()
	var f faults
	require.NoError(t, f.Set("drop=0.2, throttle=0.1,error=0.05,reject=0.01,latency=200ms"))
	require.True(t, f.isSet())
	plan, counts := f.plan(7), map[string]int{}
	const calls = 10_000
	for i := range calls {
		fault := plan(graphtest.Call{Provider: graphtest.Messenger, Kind: graphtest.KindMessage, Recipient: fmt.Sprint(i), Nth: 1})
		require.Equal(t, 200*time.Millisecond, fault.Delay)
		switch {
		case fault.Take && fault.Cut:
			counts["drop"]++
		case fault.Error != nil:
			counts[fmt.Sprint(fault.Error.Code)]++
		default:
			counts["none"]++
		}
	}
	for kind, share := range map[string]float64{"drop": 0.2, "613": 0.08, "2": 0.036, "551": 0.0068} {
		require.InDelta(t, share*calls, counts[kind], 0.02*calls, kind)
		require.Positive(t, counts[kind], kind)
	}
	require.Equal(t, graphtest.Fault{Delay: 200 * time.Millisecond}, plan(graphtest.Call{Kind: graphtest.KindOther}), "look-ups work")
	for text, says := range map[string]string{
		"drop":         "drop takes a share",
		"drop=NaN":     "drop takes a share",
		"drop=-0.1":    "drop takes a share",
		"latency=fast": "latency takes a time",
		"latency=1h":   "latency takes a time",
		"fire=0.1":     "takes drop, throttle",
		"":             "takes drop, throttle",
	} {
		require.ErrorContains(t, new(faults).Set(text), says, text)
	}
}
