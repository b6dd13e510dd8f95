package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// reportOn runs the command on a database.
func reportOn(t *testing.T, db *persistencetest.Database, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := environment{stdout: &out, stderr: &errs, environ: []string{"DATABASE_URL=" + db.URL, "DATA_DIR=" + t.TempDir()}}
	code = execute(t.Context(), env, append([]string{"report"}, args...))
	return code, out.String(), errs.String()
}

func TestReport(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "acme", "8001")
	ada, bob := n.agent("Ada <& Lovelace>", domain.RoleAgent), n.agent("Bob", domain.RoleAgent)
	n.exec(`INSERT INTO aggregated_days VALUES ('2026-01-31')`)
	for day := range 31 {
		n.exec(`INSERT INTO performance_metrics (organization_id, agent_id, date, total_conversations, conversations_completed, total_messages_sent,
				first_responses, avg_first_response_ms, responses, avg_response_time_ms, total_online_minutes)
			SELECT $1, $2, '2026-01-01'::date + $3::int, 10 + $3 % 7, 8 + $3 % 5, 60, 10, 60000 + 3000 * $3, 40, 20000 + 1000 * $3, 430`, n.org, ada.id, day)
	}
	n.exec(`INSERT INTO performance_metrics (organization_id, agent_id, date, total_conversations, total_messages_sent) VALUES ($1, $2, '2026-01-05', 3, 7)`, n.org, bob.id)
	picture := filepath.Join(t.TempDir(), "january.svg")

	code, out, errs := reportOn(t, db, "-organization", "acme", "-from", "2026-01-01", "-to", "2026-01-31", "-picture", picture)
	require.Equal(t, exitOK, code, errs)
	for _, want := range []string{"2026-01-01 to 2026-01-31", "Ada <& Lovelace>", "Bob", "total", "1867", "2026-01-31", "1m45s", "222h10"} {
		require.Contains(t, out, want)
	}
	drawn, err := os.ReadFile(picture)
	require.NoError(t, err)
	requireXML(t, drawn)
	require.Equal(t, 31*2, strings.Count(string(drawn), "<circle")-31, "a dot for each day and line")

	code, out, _ = reportOn(t, db, "-organization", "acme", "-agent", bob.email(t, n), "-from", "2026-01-05", "-to", "2026-01-05")
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "Bob")
	require.NotContains(t, out, "Ada")

	for _, wrong := range [][]string{
		{"-organization", "none"}, {"-organization", "acme", "-agent", "x@example.com"}, {"-from", "1.1.2026"},
		{"-from", "2026-02-01", "-to", "2026-01-01"}, {"-from", "2025-01-01", "-to", "2026-01-31"}, {"more"},
	} {
		code, _, errs := reportOn(t, db, wrong...)
		require.Equal(t, exitUsage, code, "%v: %s", wrong, errs)
	}
}

func (a testAgent) email(t *testing.T, n *tenantRows) (email string) {
	t.Helper()
	require.NoError(t, n.db.SQL.QueryRow(`SELECT email FROM users WHERE id = $1`, a.id).Scan(&email))
	return email
}

func requireXML(t *testing.T, text []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			require.NoError(t, err)
		}
	}
}

// An empty range is a picture, too.
func TestAnEmptyReportIsDrawn(t *testing.T) {
	t.Parallel()
	day, err := domain.ParseDay("2026-01-01")
	require.NoError(t, err)
	drawn := drawReport("nothing", domain.Days{First: day, Last: day}, &domain.Report{}, [24]domain.Mean{})
	requireXML(t, drawn)
	require.NotContains(t, string(drawn), "NaN")
}
