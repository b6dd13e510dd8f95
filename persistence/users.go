package persistence

import (
	"context"
	"errors"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Users reads users.
type Users struct{ reads *Reads }

// NewUsers makes the reader.
func NewUsers(reads *Reads) *Users { return &Users{reads} }

// loginRow is a row of users-by-email.
type loginRow struct {
	ID               domain.UserID         `db:"id"`
	Organization     domain.OrganizationID `db:"organization_id"`
	Email            string                `db:"email"`
	Name             string                `db:"name"`
	AvatarURL        *string               `db:"avatar_url"`
	Role             string                `db:"role"`
	Status           string                `db:"status"`
	MaxConversations *int                  `db:"max_conversations"`
	PasswordHash     string                `db:"password_hash"`
	Slug             string                `db:"slug"`
}

// ByEmail is the users of any status, in any organization, that have the
// e-mail, whatever its case; at most 8, oldest first. What can't be an e-mail in
// the database is nobody's. domain.ErrUnavailable when that is away.
func (u *Users) ByEmail(ctx context.Context, email string) ([]domain.LoginUser, error) {
	var rows []loginRow
	err := readError("read the users of an e-mail", u.reads.db.SelectContext(ctx, &rows, u.reads.queries.UsersByEmail, email))
	var refused *domain.ValueError
	if errors.As(err, &refused) {
		return nil, nil
	}
	users := make([]domain.LoginUser, len(rows))
	for i, r := range rows {
		users[i] = domain.LoginUser{
			User: domain.User{
				ID: r.ID, Organization: r.Organization, Email: r.Email, Name: r.Name, AvatarURL: orZero(r.AvatarURL),
				Role: domain.Role(r.Role), Status: domain.UserStatus(r.Status), MaxConversations: orZero(r.MaxConversations),
			},
			OrganizationSlug: r.Slug, PasswordHash: domain.PasswordHash(r.PasswordHash),
		}
	}
	return users, err
}

// agentRow is a row of agents.
type agentRow struct {
	ID               domain.UserID `db:"id"`
	Name             string        `db:"name"`
	AvatarURL        *string       `db:"avatar_url"`
	AssignedCount    int           `db:"assigned_count"`
	MaxConversations *int          `db:"max_conversations"`
	LastSeenAt       *time.Time    `db:"last_seen_at"`
}

// Agents is the ACTIVE users of the organization by name, at most 10,000, with
// when each was last connected and without presence: memory knows that better.
func (u *Users) Agents(ctx context.Context, org domain.OrganizationID) ([]domain.AgentView, error) {
	var rows []agentRow
	err := u.reads.db.SelectContext(ctx, &rows, u.reads.queries.Agents, org)
	views := make([]domain.AgentView, len(rows))
	for i, r := range rows {
		views[i] = domain.AgentView{
			ID: r.ID, Name: r.Name, AvatarURL: r.AvatarURL, AssignedCount: r.AssignedCount,
			MaxConversations: r.MaxConversations, LastSeenAt: timestamp(r.LastSeenAt),
		}
	}
	return views, readError("read the agents", err)
}
