package rest

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// maxDays is the longest range of figures.
	maxDays = 366
	// usualDays is the range when none is asked for.
	usualDays = 30
)

// analyticsRoutes registers the figures.
func (s *server) analyticsRoutes(agents access) {
	const dates = "Dates are UTC days, both included; today counts as far as it has come. Without dates: the last 30 days."
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/analytics/agents/{agentId}", id: "agentAnalytics", tag: "Analytics",
		summary: "Figures of an agent", about: "An AGENT sees only the own ones. " + dates,
		refuses: []int{404, 503}, example: exampleAgentAnalytics(),
	}, s.agentAnalytics)
	register(s, operation{
		access: only(domain.RoleAdmin), method: http.MethodGet, path: "/api/analytics/organization", id: "organizationAnalytics", tag: "Analytics",
		summary: "Figures of the organization", about: "Only for ADMIN. " + dates,
		refuses: []int{503}, example: exampleOrganizationAnalytics(),
	}, s.organizationAnalytics)
}

// DaysQuery is a range of days; exported as PageQuery is.
type DaysQuery struct {
	Start string `query:"startDate" doc:"The first day, such as 2026-01-01"`
	End   string `query:"endDate" doc:"The last day, such as 2026-01-31"`
}

func (in *DaysQuery) days(today domain.Day) (domain.Days, error) {
	days := domain.Days{Last: today}
	if in.End != "" {
		day, err := domain.ParseDay(in.End)
		if err != nil {
			return days, invalid("query", "endDate", "takes a date such as 2026-01-31")
		}
		days.Last = day
	}
	days.First = days.Last.Plus(1 - usualDays)
	if in.Start != "" {
		day, err := domain.ParseDay(in.Start)
		if err != nil {
			return days, invalid("query", "startDate", "takes a date such as 2026-01-01")
		}
		days.First = day
	}
	switch length := days.First.DaysUntil(days.Last) + 1; {
	case length < 1:
		return days, invalid("query", "startDate", "takes a date that isn't after endDate")
	case length > maxDays:
		return days, invalid("query", "startDate", fmt.Sprintf("takes a date so that the range has %d days at most", maxDays))
	}
	return days, nil
}

// dayFigures is the figures of a day; Agent and Organization are those of the
// report.
type dayFigures struct {
	Organization domain.OrganizationID `json:"organizationId"`
	Agent        *domain.UserID        `json:"agentId,omitempty" doc:"In the figures of one agent"`
	Date         domain.Day            `json:"date" format:"date"`
	domain.FiguresView
}

// agentFigures is the figures of one agent over all days.
type agentFigures struct {
	Agent domain.PersonRef `json:"agent"`
	domain.FiguresView
}

type agentAnalytics struct {
	Summary domain.FiguresView `json:"summary"`
	Daily   []dayFigures       `json:"daily" doc:"The days with any figures, in order"`
}

type organizationAnalytics struct {
	Summary domain.FiguresView `json:"summary"`
	ByAgent []agentFigures     `json:"byAgent"`
	Daily   []dayFigures       `json:"daily" doc:"The days with any figures, in order"`
}

type agentAnalyticsInput struct {
	Agent domain.UserID `path:"agentId" format:"uuid" doc:"The agent"`
	DaysQuery
}

type agentAnalyticsOutput struct{ Body agentAnalytics }

func (s *server) agentAnalytics(ctx context.Context, in *agentAnalyticsInput) (*agentAnalyticsOutput, error) {
	caller := callerOf(ctx)
	if _, known := s.Directory.User(caller.Organization, in.Agent); !known {
		return nil, fmt.Errorf("figures of agent %s: %w", in.Agent, domain.ErrNotFound)
	}
	if caller.Role != domain.RoleAdmin && caller.ID != in.Agent {
		return nil, problem(http.StatusForbidden, "forbidden", "An agent sees the own figures only.")
	}
	days, err := in.days(domain.DayOf(s.Now()))
	if err != nil {
		return nil, err
	}
	report, err := s.Figures.Agent(ctx, caller.Organization, in.Agent, days)
	if err != nil {
		return nil, fmt.Errorf("figures of agent %s: %w", in.Agent, err)
	}
	return &agentAnalyticsOutput{agentAnalytics{
		Summary: report.Total.View(), Daily: daily(&report, caller.Organization, &in.Agent),
	}}, nil
}

type organizationAnalyticsOutput struct{ Body organizationAnalytics }

func (s *server) organizationAnalytics(ctx context.Context, in *DaysQuery) (*organizationAnalyticsOutput, error) {
	days, err := in.days(domain.DayOf(s.Now()))
	if err != nil {
		return nil, err
	}
	org := callerOf(ctx).Organization
	report, err := s.Figures.Organization(ctx, org, days)
	if err != nil {
		return nil, fmt.Errorf("figures of the organization: %w", err)
	}
	body := organizationAnalytics{Summary: report.Total.View(), ByAgent: []agentFigures{}, Daily: daily(&report, org, nil)}
	for _, a := range report.ByAgent {
		user, _ := s.Directory.User(org, a.Agent) // nameless, if it was just removed
		body.ByAgent = append(body.ByAgent, agentFigures{domain.PersonRef{ID: a.Agent, Name: user.Name}, a.Figures.View()})
	}
	return &organizationAnalyticsOutput{body}, nil
}

func daily(report *domain.Report, org domain.OrganizationID, agent *domain.UserID) []dayFigures {
	rows := make([]dayFigures, len(report.Daily))
	for i, d := range report.Daily {
		rows[i] = dayFigures{Organization: org, Agent: agent, Date: d.Day, FiguresView: d.Figures.View()}
	}
	return rows
}

func exampleFigures() domain.Figures {
	mean := func(average, count int64) domain.Mean { return domain.Mean{Sum: average * count, Count: count} }
	return domain.Figures{
		Conversations: 31, Accepted: 24, Completed: 22, Released: 2, ReassignedIn: 3, ReassignedOut: 1, Reopened: 1, Sent: 140, Received: 175,
		TextLength: mean(64, 132), FirstResponse: mean(48_000, 25), FirstAssigned: mean(21_000, 25),
		Response: mean(39_000, 118), ResponseMin: 2_100, ResponseMax: 610_000,
		Handle: mean(900_000, 25), Wait: mean(27_000, 24), Peak: 6, OnlineMinutes: 462,
	}
}

func exampleAgentAnalytics() agentAnalytics {
	figures, agent := exampleFigures(), exampleAgentRef()
	report := domain.Report{Daily: []domain.DayFigures{{Day: exampleDay(), Figures: figures}}}
	return agentAnalytics{Summary: figures.View(), Daily: daily(&report, exampleMe().Organization, &agent.ID)}
}

func exampleOrganizationAnalytics() organizationAnalytics {
	figures := exampleFigures()
	report := domain.Report{Daily: []domain.DayFigures{{Day: exampleDay(), Figures: figures}}}
	return organizationAnalytics{
		Summary: figures.View(), ByAgent: []agentFigures{{exampleAgentRef(), figures.View()}},
		Daily: daily(&report, exampleMe().Organization, nil),
	}
}

func exampleDay() domain.Day { return domain.DayOf(time.Time(exampleTime(0))) }
