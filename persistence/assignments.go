package persistence

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// waitingPage is how many waiting conversations are read at a time: a rush of
// any size is worked off in pages.
const waitingPage = 200

// Assignments reads who holds what, and what waits for somebody.
type Assignments struct {
	reads *Reads
	node  string
}

// NewAssignments makes the reader for the run of the program that is called
// node.
func NewAssignments(reads *Reads, node string) *Assignments { return &Assignments{reads, node} }

// Held is what the release means, in the order of the conversations' ids, from
// after the given one on: at most 200. An agent who isn't lost but has a socket
// at another node that runs holds nothing in this sense. domain.ErrUnavailable when the database
// is away.
func (a *Assignments) Held(ctx context.Context, r domain.AgentRelease, after domain.ConversationID) ([]domain.Holding, error) {
	rows, err := a.reads.pool.Query(ctx, a.reads.queries.HeldConversations, r.Organization, r.Agent, orNull(r.TakenBy), after,
		a.node, nodeDead, r.Ended)
	if err != nil {
		return nil, readError("read what an agent holds", err)
	}
	held, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h domain.Holding, err error) {
		return h, row.Scan(&h.Conversation, &h.Assignment)
	})
	return held, readError("read what an agent holds", err)
}

// Seats is those of the agents that may be given conversations by policy, the
// organization's ACTIVE ones in the role of an agent, with what each has.
// domain.ErrUnavailable when the database is away.
func (a *Assignments) Seats(ctx context.Context, org domain.OrganizationID, agents []domain.UserID) ([]domain.Seat, error) {
	rows, err := a.reads.pool.Query(ctx, a.reads.queries.Seats, org, uuidsOf(agents))
	if err != nil {
		return nil, readError("read what agents have", err)
	}
	seats, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.Seat, error) {
		s := domain.Seat{Agent: domain.User{Organization: org, Role: domain.RoleAgent, Status: domain.UserActive}}
		var limit *int
		err := row.Scan(&s.Agent.ID, &s.Agent.Name, &s.Assigned, &limit)
		s.Agent.MaxConversations = orZero(limit)
		return s, err
	})
	return seats, readError("read what agents have", err)
}

// Waiting is a page of the conversations that wait to be given to somebody by
// policy, oldest first, from after the given one on (the zero one: from the
// first); empty when there are none left. domain.ErrUnavailable when the
// database is away.
func (a *Assignments) Waiting(ctx context.Context, org domain.OrganizationID, after domain.Waiting) ([]domain.Waiting, error) {
	rows, err := a.reads.pool.Query(ctx, a.reads.queries.WaitingConversations, org, after.Since, [16]byte(after.Conversation),
		waitingPage, domain.ReturnPause)
	if err != nil {
		return nil, readError("read what waits", err)
	}
	waiting, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w domain.Waiting, err error) {
		return w, row.Scan(&w.Conversation, &w.Since, &w.GivenBackBy)
	})
	return waiting, readError("read what waits", err)
}

// WaitingOrganizations is the organizations in which something waits to be given
// to somebody by policy. domain.ErrUnavailable when the database is away.
func (a *Assignments) WaitingOrganizations(ctx context.Context) ([]domain.OrganizationID, error) {
	rows, err := a.reads.pool.Query(ctx, a.reads.queries.WaitingOrganizations)
	if err != nil {
		return nil, readError("read where something waits", err)
	}
	organizations, err := pgx.CollectRows(rows, pgx.RowTo[domain.OrganizationID])
	return organizations, readError("read where something waits", err)
}

// orNull is t, or NULL for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
