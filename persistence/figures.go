package persistence

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// liveQueries is how many organizations' figures of today are computed at a
	// time; they read much, and lists use the same connections.
	liveQueries = 2
	// liveDays is how many days back figures are computed where they aren't
	// aggregated, today included.
	liveDays = 4
	// liveMemory is work_mem for a day's figures: sorts and hashes stay in memory.
	liveMemory = "64MB"
)

// Figures answers what agents did: past days from what is aggregated, today by
// computing it.
type Figures struct {
	reads *Reads
	now   func() time.Time
	alone singleflight.Group
	slots chan struct{}
}

// NewFigures makes the reader of figures, which tells the time by now.
func NewFigures(reads *Reads, now func() time.Time) *Figures {
	return &Figures{reads: reads, now: now, slots: make(chan struct{}, liveQueries)}
}

// Agent is the figures of one agent of the organization; ByAgent stays empty. An
// agent who did nothing has none. domain.ErrUnavailable when the database is
// away.
func (f *Figures) Agent(ctx context.Context, org domain.OrganizationID, agent domain.UserID, days domain.Days) (domain.Report, error) {
	report, err := f.report(ctx, org, agent, days)
	report.ByAgent = nil
	return report, err
}

// Organization is the figures of all agents of the organization.
func (f *Figures) Organization(ctx context.Context, org domain.OrganizationID, days domain.Days) (domain.Report, error) {
	return f.report(ctx, org, domain.UserID{}, days)
}

// report is of one agent, or of all for the zero one.
func (f *Figures) report(ctx context.Context, org domain.OrganizationID, agent domain.UserID, days domain.Days) (domain.Report, error) {
	sum := newSums()
	if err := f.addStored(ctx, sum, org, agent, days); err != nil {
		return domain.Report{}, readError("read figures", err)
	}
	missing, err := f.missing(ctx, days)
	if err != nil {
		return domain.Report{}, readError("look for days that aren't aggregated", err)
	}
	for _, day := range missing {
		live, err := f.live(ctx, org, day)
		if err != nil {
			return domain.Report{}, err
		}
		for _, a := range live {
			if agent.IsZero() || a.Agent == agent {
				sum.add(day, a)
			}
		}
	}
	return sum.report(), nil
}

// missing is the days of the range that have to be computed: those of the last
// few that aren't aggregated.
func (f *Figures) missing(ctx context.Context, days domain.Days) ([]domain.Day, error) {
	today := domain.DayOf(f.now())
	next := today.Plus(1 - liveDays)
	if days.Last.Compare(next) < 0 {
		return nil, nil
	}
	var done *time.Time
	if err := f.reads.pool.QueryRow(ctx, f.reads.queries.LastAggregatedDay).Scan(&done); err != nil {
		return nil, err
	}
	if done != nil {
		next = latest(next, domain.DayOf(*done).Plus(1))
	}
	var missing []domain.Day
	for day := latest(next, days.First); day.Compare(days.Last) <= 0 && day.Compare(today) <= 0; day = day.Plus(1) {
		missing = append(missing, day)
	}
	return missing, nil
}

func latest(a, b domain.Day) domain.Day {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// live computes the figures of a day. Who asks for the same at the same time
// gets the same answer.
func (f *Figures) live(ctx context.Context, org domain.OrganizationID, day domain.Day) ([]domain.AgentFigures, error) {
	answer := f.alone.DoChan(org.String()+day.String(), func() (any, error) {
		// The first asker may go away while others wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), liveTimeout)
		defer cancel()
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var figures []domain.AgentFigures
		err := pgx.BeginFunc(ctx, f.reads.pool, func(tx pgx.Tx) (err error) {
			figures, err = figuresOf(ctx, tx, f.reads.queries, org, day, f.now())
			return err
		})
		return figures, err
	})
	select {
	case <-ctx.Done():
		return nil, readError("compute figures", ctx.Err())
	case a := <-answer:
		figures, _ := a.Val.([]domain.AgentFigures)
		return figures, readError("compute figures", a.Err)
	}
}

// liveTimeout is how long a day's figures may take while somebody waits.
const liveTimeout = 10 * time.Second

// figuresOf computes a day of the organization, or of all for the zero one.
func figuresOf(ctx context.Context, tx pgx.Tx, q queries, org domain.OrganizationID, day domain.Day, now time.Time) ([]domain.AgentFigures, error) {
	// The cores are the live traffic's.
	if _, err := tx.Exec(ctx, "SET LOCAL work_mem = '"+liveMemory+"'; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off"); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, q.DayFigures, org, day.Start(), day.Plus(1).Start(), now)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanFigures)
}

// scanFigures reads a row of day-figures.
func scanFigures(row pgx.CollectableRow) (domain.AgentFigures, error) {
	var (
		a           domain.AgentFigures
		least, most *int64
	)
	err := row.Scan(&a.Organization, &a.Agent,
		&a.Conversations, &a.Accepted, &a.Completed, &a.Released, &a.ReassignedIn, &a.ReassignedOut, &a.Reopened,
		&a.Sent, &a.Received, &a.TextLength.Sum, &a.TextLength.Count,
		&a.FirstResponse.Sum, &a.FirstResponse.Count, &a.FirstAssigned.Sum,
		&a.Response.Sum, &a.Response.Count, &least, &most,
		&a.Handle.Sum, &a.Handle.Count, &a.Wait.Sum, &a.Wait.Count, &a.Peak, &a.OnlineMinutes)
	a.FirstAssigned.Count = a.FirstResponse.Count
	a.ResponseMin, a.ResponseMax = orZero(least), orZero(most)
	return a, err
}

// storedFigures is a row of stored-figures.
type storedFigures struct {
	agent                                         domain.UserID
	day                                           time.Time
	text, first, assigned, response, handle, wait *float64
	least, most                                   *int64
	texts, firsts, responses, handled, waits      int64
	f                                             domain.Figures
}

func (s *storedFigures) columns() []any {
	return []any{
		&s.agent, &s.day, &s.f.Conversations, &s.f.Accepted, &s.f.Completed, &s.f.Released, &s.f.ReassignedIn, &s.f.ReassignedOut,
		&s.f.Reopened, &s.f.Sent, &s.f.Received, &s.text, &s.texts, &s.first, &s.firsts, &s.assigned,
		&s.response, &s.responses, &s.least, &s.most, &s.handle, &s.handled, &s.wait, &s.waits, &s.f.Peak, &s.f.OnlineMinutes,
	}
}

// figures is the row with sums again: of whole numbers the average tells the sum
// exactly, as long as that has fewer than 15 digits.
func (s *storedFigures) figures() domain.Figures {
	f := s.f
	f.TextLength, f.FirstResponse, f.FirstAssigned = meanOf(s.text, s.texts), meanOf(s.first, s.firsts), meanOf(s.assigned, s.firsts)
	f.Response, f.Handle, f.Wait = meanOf(s.response, s.responses), meanOf(s.handle, s.handled), meanOf(s.wait, s.waits)
	f.ResponseMin, f.ResponseMax = orZero(s.least), orZero(s.most)
	return f
}

func meanOf(average *float64, count int64) domain.Mean {
	return domain.Mean{Sum: int64(math.Round(orZero(average) * float64(count))), Count: count}
}

func (f *Figures) addStored(ctx context.Context, sum *sums, org domain.OrganizationID, agent domain.UserID, days domain.Days) error {
	rows, err := f.reads.pool.Query(ctx, f.reads.queries.StoredFigures, org, agent, days.First.Start(), days.Last.Start())
	if err != nil {
		return err
	}
	var s storedFigures
	_, err = pgx.ForEachRow(rows, s.columns(), func() error {
		sum.add(domain.DayOf(s.day), domain.AgentFigures{Organization: org, Agent: s.agent, Figures: s.figures()})
		return nil
	})
	return err
}

// sums adds up figures by day and by agent.
type sums struct {
	total  domain.Figures
	days   map[domain.Day]*domain.Figures
	agents map[domain.UserID]*domain.AgentFigures
}

func newSums() *sums {
	return &sums{days: map[domain.Day]*domain.Figures{}, agents: map[domain.UserID]*domain.AgentFigures{}}
}

func (s *sums) add(day domain.Day, a domain.AgentFigures) {
	s.total.Add(a.Figures)
	if s.days[day] == nil {
		s.days[day] = &domain.Figures{}
	}
	s.days[day].Add(a.Figures)
	if s.agents[a.Agent] == nil {
		s.agents[a.Agent] = &domain.AgentFigures{Organization: a.Organization, Agent: a.Agent}
	}
	s.agents[a.Agent].Add(a.Figures)
}

func (s *sums) report() domain.Report {
	report := domain.Report{Total: s.total}
	for day, figures := range s.days {
		report.Daily = append(report.Daily, domain.DayFigures{Day: day, Figures: *figures})
	}
	for _, a := range s.agents {
		report.ByAgent = append(report.ByAgent, *a)
	}
	slices.SortFunc(report.Daily, func(a, b domain.DayFigures) int { return a.Day.Compare(b.Day) })
	slices.SortFunc(report.ByAgent, func(a, b domain.AgentFigures) int {
		return cmp.Or(bytes.Compare(a.Agent[:], b.Agent[:]))
	})
	return report
}

// AggregateNext aggregates the earliest finished day that isn't yet, in one
// transaction, and returns it; false when there is none. Two callers at once
// wait for each other.
func (f *Figures) AggregateNext(ctx context.Context) (day domain.Day, found bool, err error) {
	err = f.exclusively(ctx, func(tx pgx.Tx) error {
		var next *time.Time
		if err := tx.QueryRow(ctx, f.reads.queries.NextDay).Scan(&next); err != nil {
			return err
		}
		if next == nil || domain.DayOf(*next).Compare(domain.DayOf(f.now())) >= 0 {
			return nil
		}
		day, found = domain.DayOf(*next), true
		return f.aggregate(ctx, tx, day)
	})
	if err != nil {
		return day, false, readError("aggregate figures", err)
	}
	return day, found, nil
}

// Aggregate aggregates a finished day again. It gives the same rows; those that
// are right aren't touched.
func (f *Figures) Aggregate(ctx context.Context, day domain.Day) error {
	if day.Compare(domain.DayOf(f.now())) >= 0 {
		return fmt.Errorf("aggregate figures: %s isn't over", day)
	}
	return readError("aggregate figures", f.exclusively(ctx, func(tx pgx.Tx) error { return f.aggregate(ctx, tx, day) }))
}

// aggregationTimeout is how long a day may take, in PostgreSQL's words.
const aggregationTimeout = "10min"

func (f *Figures) exclusively(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, f.reads.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '"+aggregationTimeout+"'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, f.reads.queries.LockAggregation); err != nil {
			return err
		}
		return do(tx)
	})
}

func (f *Figures) aggregate(ctx context.Context, tx pgx.Tx, day domain.Day) error {
	figures, err := figuresOf(ctx, tx, f.reads.queries, domain.OrganizationID{}, day, f.now())
	if err != nil {
		return err
	}
	agents := make([]domain.UserID, len(figures))
	batch := &pgx.Batch{}
	for i, a := range figures {
		agents[i] = a.Agent
		batch.Queue(f.reads.queries.StoreFigures, figureParams(day, &a)...)
	}
	batch.Queue(f.reads.queries.DropFigures, day.Start(), uuidsOf(agents))
	batch.Queue(f.reads.queries.MarkDay, day.Start())
	return tx.SendBatch(ctx, batch).Close()
}

func figureParams(day domain.Day, a *domain.AgentFigures) []any {
	var least, most *int64
	if a.Response.Count > 0 {
		least, most = &a.ResponseMin, &a.ResponseMax
	}
	return []any{
		a.Organization, a.Agent, day.Start(), a.Conversations, a.Accepted, a.Completed, a.Released, a.ReassignedIn, a.ReassignedOut,
		a.Reopened, a.Sent, a.Received, a.TextLength.Value(), a.TextLength.Count, a.FirstResponse.Value(), a.FirstResponse.Count,
		a.FirstAssigned.Value(), a.Response.Value(), a.Response.Count, least, most, a.Handle.Value(), a.Handle.Count,
		a.Wait.Value(), a.Wait.Count, a.Peak, a.OnlineMinutes,
	}
}
