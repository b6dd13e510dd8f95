package rest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// fakeFigures answers one report, and keeps what was asked for last.
type fakeFigures struct {
	report domain.Report
	err    error

	mu    sync.Mutex
	org   domain.OrganizationID
	agent domain.UserID
	days  domain.Days
}

func (f *fakeFigures) Agent(_ context.Context, org domain.OrganizationID, agent domain.UserID, days domain.Days) (domain.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.org, f.agent, f.days = org, agent, days
	return f.report, f.err
}

func (f *fakeFigures) Organization(ctx context.Context, org domain.OrganizationID, days domain.Days) (domain.Report, error) {
	return f.Agent(ctx, org, domain.UserID{}, days)
}

func atNoon(f *fixture) {
	f.config.Now = func() time.Time { return time.Date(2026, 3, 10, 23, 59, 59, 0, time.FixedZone("", 3600)) }
	f.issuer.Now = f.config.Now
}

func TestWhoseFiguresOneMaySee(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	colleague := f.addUser(f.org, "Barbara", domain.RoleAgent)
	own := "/api/analytics/agents/" + f.agent.ID.String()
	require.Equal(t, 200, f.as(f.agent, "GET", own, "").status)
	require.Equal(t, f.org, f.figures.org)
	require.Equal(t, f.agent.ID, f.figures.agent)
	require.Equal(t, 200, f.as(f.admin, "GET", own, "").status)
	f.problem(f.as(colleague, "GET", own, ""), 403, "forbidden")
	f.problem(f.as(f.foreigner, "GET", own, ""), 404, "not_found")
	f.problem(f.as(f.admin, "GET", "/api/analytics/agents/"+f.foreigner.ID.String(), ""), 404, "not_found")
	f.problem(f.as(f.agent, "GET", "/api/analytics/agents/"+f.foreigner.ID.String(), ""), 404, "not_found")
	f.problem(f.as(f.agent, "GET", "/api/analytics/organization", ""), 403, "forbidden")
	require.Equal(t, 200, f.as(f.foreigner, "GET", "/api/analytics/organization", "").status)
	require.Equal(t, f.foreigner.Organization, f.figures.org, "the own organization's")
}

func TestRangesOfFigures(t *testing.T) {
	t.Parallel()
	f := newFixture(t, atNoon)
	for query, want := range map[string]string{
		"": "2026-02-09 2026-03-10", // the zone of the machine has no part in it
		"?startDate=2026-03-01&endDate=2026-03-01": "2026-03-01 2026-03-01",
		"?endDate=2026-01-31":                      "2026-01-02 2026-01-31",
		"?startDate=2025-03-10":                    "2025-03-10 2026-03-10",
		"?startDate=2026-01-01&endDate=2026-12-31": "2026-01-01 2026-12-31",
	} {
		require.Equal(t, 200, f.as(f.admin, "GET", "/api/analytics/organization"+query, "").status, query)
		require.Equal(t, want, f.figures.days.First.String()+" "+f.figures.days.Last.String(), query)
	}
	for query, field := range map[string]string{
		"?startDate=2026-03-02&endDate=2026-03-01": "query.startDate",
		"?startDate=2025-03-09":                    "query.startDate",
		"?startDate=2026-02-30":                    "query.startDate",
		"?endDate=yesterday":                       "query.endDate",
		"?endDate=2026-03-01T00:00:00Z":            "query.endDate",
		"?startDate=2026-04-01":                    "query.startDate",
		"?startdate=2026-03-01":                    "query.startdate",
	} {
		for _, path := range []string{"/api/analytics/organization", "/api/analytics/agents/" + f.agent.ID.String()} {
			a := f.as(f.admin, "GET", path+query, "")
			f.problem(a, 422, "validation_failed")
			require.Equal(t, field, fieldOf(a), query)
		}
	}
}

func TestFiguresAsClientsSeeThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, atNoon)
	day := domain.DayOf(f.config.Now())
	figures := domain.Figures{Sent: 3, Response: domain.Mean{Sum: 3000, Count: 2}, ResponseMin: 1000, ResponseMax: 2000}
	f.figures.report = domain.Report{
		Total: figures, Daily: []domain.DayFigures{{Day: day, Figures: figures}},
		ByAgent: []domain.AgentFigures{{Organization: f.org, Agent: f.agent.ID, Figures: figures}},
	}
	a := f.as(f.admin, "GET", "/api/analytics/organization", "")
	var body organizationAnalytics
	require.NoError(t, json.Unmarshal(a.raw, &body))
	require.Equal(t, "Ada", body.ByAgent[0].Agent.Name)
	require.Equal(t, 1500.0, *body.Summary.AvgResponseTimeMs)
	require.EqualValues(t, 2000, *body.Daily[0].MaxResponseTimeMs)
	require.Nil(t, body.Summary.AvgFirstResponseMs, "there was none")
	require.Nil(t, body.Daily[0].Agent)
	require.Equal(t, "2026-03-10", body.Daily[0].Date.String())

	a = f.as(f.agent, "GET", "/api/analytics/agents/"+f.agent.ID.String(), "")
	require.Contains(t, string(a.raw), `"daily":[{"organizationId":"`+f.org.String()+`","agentId":"`+f.agent.ID.String()+`","date":"2026-03-10","totalConversations":0`)
	require.Contains(t, a.body["summary"], "avgFirstResponseMs", "null, not absent")

	f.figures.report, f.figures.err = domain.Report{}, domain.ErrUnavailable
	f.problem(f.as(f.admin, "GET", "/api/analytics/organization", ""), 503, "unavailable")
}
