package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/embedded"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// TestOperatorsSeeWhatThereIs: the metrics keep Prometheus' conventions, and
// every metric that the dashboard and the alarms name is in a scrape.
func TestOperatorsSeeWhatThereIs(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "operators", "9300")
	valkey, err := embedded.StartValkey()
	require.NoError(t, err)
	t.Cleanup(valkey.Close)
	node := []string{"METRICS_ADDR=127.0.0.1:0", "CLUSTER_ADDR=127.0.0.1:0", "VALKEY_URL=" + valkey.URL(), "STORAGE_PATH=" + t.TempDir()}
	p := runProgram(t, db, node...)
	client := testClient(t)
	agent := n.agent("ada", domain.RoleAgent)
	awaitAgent(t, p, n, agent)
	watcher := dialSocket(t, p, agent.token)
	deliver(t, client, p.url(), webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "N", Number: "4970000000"}, "one", "hello", time.Now()))
	watcher.await(t, "conversation.created", 1)
	require.Equal(t, http.StatusOK, call(client, http.MethodGet, p.url()+"/api/conversations", agent.token, nil).status)
	require.Equal(t, http.StatusNotFound, call(client, http.MethodGet, p.url()+"/metrics", "", nil).status, "operators have a listener of their own")

	scrape := func() *http.Response {
		answer, err := client.Get(p.metricsURL() + "/metrics")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		t.Cleanup(func() { require.NoError(t, answer.Body.Close()) })
		return answer
	}
	shows := func(metric string) {
		require.Eventually(t, func() bool {
			body, err := io.ReadAll(scrape().Body)
			return err == nil && bytes.Contains(body, []byte(metric))
		}, time.Minute, 50*time.Millisecond, metric)
	}
	// The daily work is done at the start, too, by whichever node is there; a link
	// shows when the node has heard of another.
	shows("chatopshub_job_last_success_timestamp_seconds{")
	runProgram(t, db, node...)
	shows("chatopshub_peer_up{")
	problems, err := promlint.New(scrape().Body).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	text := expfmt.NewTextParser(model.UTF8Validation)
	families, err := text.TextToMetricFamilies(scrape().Body)
	require.NoError(t, err)

	exposed := map[string]bool{"up": true} // Prometheus' own
	for name, family := range families {
		exposed[name] = true
		if family.GetType().String() == "HISTOGRAM" {
			exposed[name+"_bucket"], exposed[name+"_sum"], exposed[name+"_count"] = true, true, true
		}
	}
	for where, expressions := range map[string][]string{"dashboard": dashboardExpressions(t), "alarms": alarmExpressions(t)} {
		require.NotEmpty(t, expressions)
		for _, expression := range expressions {
			for _, name := range metricsOf(t, expression) {
				require.True(t, exposed[name], "%s: %s is in no scrape: %s", where, name, expression)
			}
		}
	}
}

func operationsFile(t *testing.T, name ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "docs"}, name...)...))
	require.NoError(t, err)
	return data
}

func dashboardExpressions(t *testing.T) (found []string) {
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	require.NoError(t, json.Unmarshal(operationsFile(t, "operations", "dashboard.json"), &dashboard))
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found = append(found, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	return found
}

func alarms(t *testing.T) []rulefmt.Rule {
	groups, errs := rulefmt.Parse(operationsFile(t, "operations", "alerts.yml"), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	require.Len(t, groups.Groups, 1)
	return groups.Groups[0].Rules
}

func alarmExpressions(t *testing.T) (found []string) {
	for _, rule := range alarms(t) {
		found = append(found, rule.Expr)
	}
	return found
}

// metricsOf are the names of the metrics in an expression of PromQL.
func metricsOf(t *testing.T, expression string) (names []string) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	require.NoError(t, err, expression)
	for _, selectors := range parser.ExtractSelectors(parsed) {
		for _, matcher := range selectors {
			if matcher.Name == model.MetricNameLabel {
				names = append(names, matcher.Value)
			}
		}
	}
	require.NotEmpty(t, names, expression)
	return names
}

// TestEveryAlarmSaysWhatToDo: the run-book has an entry for each, and none for
// an alarm that is gone.
func TestEveryAlarmSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, book, found := strings.Cut(string(operationsFile(t, "operations.md")), "\n## Alarms\n")
	require.True(t, found)
	entries := map[string]bool{}
	for line := range strings.Lines(book) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			entries[name] = true
		}
	}
	for _, rule := range alarms(t) {
		require.True(t, entries[rule.Alert], rule.Alert)
		delete(entries, rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"])
		require.Equal(t, "docs/operations.md#"+strings.ToLower(rule.Alert), rule.Annotations["runbook"])
		require.Contains(t, []string{"page", "ticket"}, rule.Labels["severity"])
	}
	require.Empty(t, entries)
}
