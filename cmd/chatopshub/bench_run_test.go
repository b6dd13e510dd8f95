package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// requireBenchSchema checks a report against the documented form.
func requireBenchSchema(t *testing.T, report []byte) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/performance/bench-report.schema.json")
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(report))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document))
}

// benchCall is a call of the command.
type benchCall struct {
	env  environment
	args []string
	out  string // folder
	said *lockedBuffer
}

func newBenchCall(t *testing.T, environ []string, args ...string) *benchCall {
	c := &benchCall{out: filepath.Join(t.TempDir(), "results"), said: &lockedBuffer{}}
	c.env = environment{stdout: c.said, stderr: c.said, environ: append([]string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}, environ...)}
	c.args = append([]string{"--out", c.out, "--duration", "200ms", "--repeats", "1", "--clients", "16"}, args...)
	return c
}

// run measures with the real program, and returns what it wrote down.
func (c *benchCall) run(ctx context.Context, t *testing.T) (*benchReport, error) {
	t.Helper()
	executable, err := binary()
	require.NoError(t, err)
	b, err := parseBench(c.env, c.args)
	require.NoError(t, err)
	failed := b.run(ctx, c.env, executable)
	text, err := os.ReadFile(filepath.Join(c.out, "report.json"))
	require.NoError(t, err, "%v", failed)
	requireBenchSchema(t, text)
	picture, err := os.ReadFile(filepath.Join(c.out, "report.svg"))
	require.NoError(t, err)
	requireXML(t, picture)
	var report benchReport
	require.NoError(t, json.Unmarshal(text, &report))
	return &report, failed
}

// TestBench plays every scenario against a real server, and holds what it reports
// against what the database has.
func TestBench(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	c := newBenchCall(t, []string{benchDatabaseVariable + "=" + db.URL}, "--agents", "12", "--conversations", "24", "--sockets", "30")
	report, err := c.run(t.Context(), t)
	require.NoError(t, err, c.said)
	require.True(t, report.Complete)
	require.Len(t, report.Scenarios, len(scenarios()))
	for _, s := range report.Scenarios {
		require.Empty(t, s.Failed, s.Name)
		require.Empty(t, s.Errors, s.Name)
		require.NotEmpty(t, s.Figures, s.Name)
		require.Positive(t, s.RSS, s.Name)
		for _, f := range s.Figures {
			if s.Name != "idle-memory" { // of so few sockets it's noise
				require.Positive(t, f.Median, "%s: %s", s.Name, f.Name)
			}
		}
		for _, l := range s.Latencies {
			require.Positive(t, l.Count, "%s: %s", s.Name, l.Name)
			require.LessOrEqual(t, l.P50, l.P99)
			require.LessOrEqual(t, l.P99, l.Max)
		}
		require.Contains(t, c.said.String(), s.Name+": "+s.Summary)
	}
	n := &tenantRows{t: t, db: db}
	const ours = `(SELECT id FROM organizations WHERE slug = 'default')`
	require.EqualValues(t, report.Messages, n.count(`SELECT count(*) FROM messages WHERE direction = 'INBOUND' AND organization_id = `+ours),
		"each message that was posted is there, and there once")
	outbound := n.count(`SELECT count(*) FROM messages WHERE direction = 'OUTBOUND' AND organization_id = ` + ours)
	require.Equal(t, outbound, n.count(`SELECT count(*) FROM messages WHERE direction = 'OUTBOUND' AND status = 'SENT' AND organization_id = `+ours))
	require.Positive(t, outbound)
	require.Zero(t, n.count(`SELECT count(*) FROM (SELECT c.id FROM conversations c JOIN conversation_events e ON e.conversation_id = c.id
		WHERE c.organization_id = `+ours+` GROUP BY c.id HAVING count(e.seq) <> c.event_seq) q`), "audit trails with gaps")
	latest := report.Scenarios[len(report.Scenarios)-1]
	require.Equal(t, "day", latest.Name)
	require.Equal(t, "customer's message", latest.Latencies[1].Name)
	require.InDelta(t, dayRate*report.Settings.DurationSeconds, latest.Latencies[1].Count, 1, "as many as were due, however slow the answers")
	left, err := filepath.Glob(filepath.Join(lookUp(c.env.environ, "TMPDIR"), "chatopshub-bench-*"))
	require.NoError(t, err)
	require.Empty(t, left, "its folder is removed")

	again := newBenchCall(t, []string{benchDatabaseVariable + "=" + db.URL}, "--only", "list")
	_, err = again.run(t.Context(), t)
	require.ErrorContains(t, err, "takes the URL of an empty database")
}

// TestBenchOfARunningServer: with an administrator's password and the app secret,
// a server that somebody else started; afterwards its agents are inactive.
func TestBenchOfARunningServer(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	server := startProcess(t, "DATABASE_URL="+db.URL, "SEED_ADMIN_PASSWORD=correct horse battery")
	c := newBenchCall(t, []string{benchPasswordVariable + "=correct horse battery", benchSecretVariable + "=" + testAppSecret},
		"--url", server.url, "--only", "ingest,accept-race,day", "--agents", "3", "--conversations", "6", "--rate", "50")
	report, err := c.run(t.Context(), t)
	require.NoError(t, err, c.said)
	require.Equal(t, server.url, report.Server)
	require.Len(t, report.Scenarios, 3)
	for _, s := range report.Scenarios {
		require.Empty(t, s.Failed, s.Name)
	}
	n := &tenantRows{t: t, db: db}
	require.EqualValues(t, report.Messages, n.count(`SELECT count(*) FROM messages WHERE direction = 'INBOUND'`))
	require.Equal(t, 3, n.count(`SELECT count(*) FROM users WHERE status = 'INACTIVE'`))
	for _, secret := range []string{"correct horse", testAppSecret} {
		require.NotContains(t, c.said.String(), secret)
	}

	c.env.environ = append([]string{benchPasswordVariable + "=a wrong one"}, c.env.environ...)
	_, err = c.run(t.Context(), t)
	require.ErrorContains(t, err, "log in as admin@chatopshub.local")
	require.NotContains(t, err.Error(), "a wrong one")
}

// TestBenchIsStopped: what was started ends, and what was found is written down.
func TestBenchIsStopped(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	c := newBenchCall(t, []string{benchDatabaseVariable + "=" + db.URL}, "--only", "ingest", "--conversations", "5")
	c.args = append(c.args, "--duration", "10m")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		eventually(ctx, time.Minute, func() bool { return strings.Contains(c.said.String(), "1/1 ingest") })
	}()
	begun := time.Now()
	report, err := c.run(ctx, t)
	require.ErrorContains(t, err, "stopped")
	require.Less(t, time.Since(begun), 2*time.Minute)
	require.False(t, report.Complete)
	require.NotEmpty(t, report.Scenarios)
	left, err := filepath.Glob(filepath.Join(lookUp(c.env.environ, "TMPDIR"), "chatopshub-bench-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestBenchCallsThatAreWrong(t *testing.T) {
	t.Parallel()
	remote := []string{benchPasswordVariable + "=p", benchSecretVariable + "=s"}
	for _, c := range []struct {
		args    string
		environ []string
		says    string
	}{
		{"--agents 0", nil, "--agents takes 1 to 10000, got 0"},
		{"--conversations 1000001", nil, "--conversations takes 1 to 1000000"},
		{"--sockets -1", nil, "--sockets takes 1 to 20000"},
		{"--clients x", nil, "invalid value"},
		{"--repeats 0", nil, "--repeats takes 1 to 100"},
		{"--duration 1ms", nil, "--duration takes 100ms to 1h"},
		{"--rate -1", nil, "--rate takes 0 to 1000000"},
		{"--rate NaN", nil, "--rate takes 0 to 1000000"},
		{"--only ingest,lunch", nil, `--only takes idle-memory, `},
		{"--only lunch", nil, `got "lunch"`},
		{"more", nil, `unknown argument "more"`},
		{"--admin a@b", nil, "--admin goes with --url"},
		{"--metrics http://x", nil, "--metrics goes with --url"},
		{"--url localhost:3001", remote, "--url takes http://host"},
		{"--url http://user:secret@localhost", remote, "--url takes http://host"},
		{"--url http://localhost:3001", nil, benchPasswordVariable},
		{"--url http://localhost:3001", remote[:1], benchSecretVariable},
		{"--url http://localhost:3001 --metrics ftp://x", remote, "--metrics takes"},
		{"--url http://localhost:3001 --only outbound", remote, "outbound needs a server of our own"},
	} {
		var out, errs bytes.Buffer
		code := execute(t.Context(), environment{stdout: &out, stderr: &errs, environ: c.environ}, append([]string{"bench"}, strings.Fields(c.args)...))
		require.Equal(t, exitUsage, code, c.args)
		require.Contains(t, errs.String(), c.says, c.args)
	}
	b, err := parseBench(environment{environ: remote}, strings.Fields("--url http://localhost:3001/ --only day,list"))
	require.NoError(t, err)
	require.Equal(t, []string{"list", "day"}, []string{b.scenarios[0].name, b.scenarios[1].name})
	require.Len(t, b.scenarios, 2)
	b, err = parseBench(environment{environ: remote}, strings.Fields("--url http://localhost:3001"))
	require.NoError(t, err)
	require.Len(t, b.scenarios, len(scenarios())-1)
}
