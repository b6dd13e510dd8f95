package persistence

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// ByHour is the response times by the hour of the answer, in UTC, of an agent or,
// for the zero one, of the organization. It looks at each answer: for reports,
// not for pages.
func (f *Figures) ByHour(ctx context.Context, org domain.OrganizationID, agent domain.UserID, days domain.Days) (hours [24]domain.Mean, err error) {
	rows, err := f.reads.pool.Query(ctx, f.reads.queries.ResponsesByHour, org, agent, days.First.Start(), days.Last.Plus(1).Start())
	if err != nil {
		return hours, readError("read response times by hour", err)
	}
	var hour int
	var m domain.Mean
	_, err = pgx.ForEachRow(rows, []any{&hour, &m.Count, &m.Sum}, func() error {
		hours[hour] = m
		return nil
	})
	return hours, readError("read response times by hour", err)
}

// Subject is whom a report is about: the organization with the slug, under its
// name and without id, or its user with the e-mail. domain.ErrNotFound when there
// is none.
func (u *Users) Subject(ctx context.Context, slug, email string) (domain.User, error) {
	who := domain.User{Email: email}
	err := u.reads.pool.QueryRow(ctx, u.reads.queries.ReportSubject, slug, email).Scan(&who.Organization, &who.ID, &who.Name)
	return who, readError("look for an organization", err)
}

// Names is the names of all users of the organization, of any status.
func (u *Users) Names(ctx context.Context, org domain.OrganizationID) (map[domain.UserID]string, error) {
	rows, err := u.reads.pool.Query(ctx, u.reads.queries.UserNames, org)
	if err != nil {
		return nil, readError("read names", err)
	}
	names := map[domain.UserID]string{}
	var id domain.UserID
	var name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		names[id] = name
		return nil
	})
	return names, readError("read names", err)
}
