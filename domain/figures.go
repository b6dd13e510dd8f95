package domain

import (
	"fmt"
	"time"
)

// Day is a calendar day in UTC.
type Day struct{ start time.Time }

// DayOf is the day that t lies in.
func DayOf(t time.Time) Day { return Day{t.UTC().Truncate(24 * time.Hour)} }

// ParseDay reads 2026-01-31.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Day{}, fmt.Errorf("parse day: want a date such as 2026-01-31")
	}
	return Day{t}, nil
}

// Start is the day's first moment; the day ends where the next one starts.
func (d Day) Start() time.Time { return d.start }

// Plus is the day that many days later.
func (d Day) Plus(days int) Day { return Day{d.start.AddDate(0, 0, days)} }

// Compare is negative where d is the earlier day, as cmp.Compare.
func (d Day) Compare(other Day) int { return d.start.Compare(other.start) }

// DaysUntil counts the days from d to other: 0 for the same day.
func (d Day) DaysUntil(other Day) int { return int(other.start.Sub(d.start) / (24 * time.Hour)) }

func (d Day) String() string { return d.start.Format(time.DateOnly) }

// MarshalText makes JSON show 2026-01-31.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Day) UnmarshalText(text []byte) error {
	parsed, err := ParseDay(string(text))
	*d = parsed
	return err
}

// Days is the days from First to Last, both included.
type Days struct{ First, Last Day }

// Mean is the average of Count values, kept as their sum, so that it can be
// added up over days and agents.
type Mean struct{ Sum, Count int64 }

// Add adds the values of m.
func (m *Mean) Add(o Mean) { m.Sum, m.Count = m.Sum+o.Sum, m.Count+o.Count }

// Value is the average; nil of nothing.
func (m Mean) Value() *float64 {
	if m.Count == 0 {
		return nil
	}
	return new(float64(m.Sum) / float64(m.Count))
}

// Figures is what an agent did, or several, on a day or several.
// docs/analytics.md defines each. Durations are in milliseconds.
type Figures struct {
	Conversations, Accepted, Completed, Released int64
	ReassignedIn, ReassignedOut, Reopened        int64
	Sent, Received                               int64

	TextLength    Mean // characters
	FirstResponse Mean // from arrival
	// FirstAssigned is the first responses from assignment; its Count is that of
	// FirstResponse.
	FirstAssigned Mean
	Response      Mean
	ResponseMin   int64 // of Response; 0 without any
	ResponseMax   int64
	Handle        Mean
	Wait          Mean
	Peak          int64
	OnlineMinutes int64
}

// Add adds up: of peaks the highest counts.
func (f *Figures) Add(o Figures) {
	if o.Response.Count > 0 && (f.Response.Count == 0 || o.ResponseMin < f.ResponseMin) {
		f.ResponseMin = o.ResponseMin
	}
	f.ResponseMax = max(f.ResponseMax, o.ResponseMax)
	f.Conversations += o.Conversations
	f.Accepted += o.Accepted
	f.Completed += o.Completed
	f.Released += o.Released
	f.ReassignedIn += o.ReassignedIn
	f.ReassignedOut += o.ReassignedOut
	f.Reopened += o.Reopened
	f.Sent += o.Sent
	f.Received += o.Received
	f.TextLength.Add(o.TextLength)
	f.FirstResponse.Add(o.FirstResponse)
	f.FirstAssigned.Add(o.FirstAssigned)
	f.Response.Add(o.Response)
	f.Handle.Add(o.Handle)
	f.Wait.Add(o.Wait)
	f.Peak = max(f.Peak, o.Peak)
	f.OnlineMinutes += o.OnlineMinutes
}

// AgentFigures is the figures of one agent.
type AgentFigures struct {
	Organization OrganizationID
	Agent        UserID
	Figures
}

// DayFigures is the figures of one day.
type DayFigures struct {
	Day Day
	Figures
}

// Report is what Analytics tells of a range of days. Days without figures are
// in none of the lists.
type Report struct {
	Total   Figures
	Daily   []DayFigures   // in order
	ByAgent []AgentFigures // of an organization; by id
}
