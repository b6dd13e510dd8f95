package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chatopshub/chatopshub/domain"
)

// userRow is a row of list-users and user-view.
type userRow struct {
	Total            int                   `db:"total"`
	ID               domain.UserID         `db:"id"`
	Organization     domain.OrganizationID `db:"organization_id"`
	Email            *string               `db:"email"`
	Name             *string               `db:"name"`
	AvatarURL        *string               `db:"avatar_url"`
	Role             *string               `db:"role"`
	Status           *string               `db:"status"`
	MaxConversations *int                  `db:"max_conversations"`
	AssignedCount    *int                  `db:"assigned_count"`
	CreatedAt        *time.Time            `db:"created_at"`
	UpdatedAt        *time.Time            `db:"updated_at"`
}

func (r *userRow) view() domain.UserView {
	return domain.UserView{
		ID: r.ID, Organization: r.Organization, Email: orZero(r.Email), Name: orZero(r.Name), AvatarURL: r.AvatarURL,
		Role: domain.Role(orZero(r.Role)), Status: domain.UserStatus(orZero(r.Status)), MaxConversations: r.MaxConversations,
		AssignedCount: orZero(r.AssignedCount), CreatedAt: timestamp(r.CreatedAt), UpdatedAt: timestamp(r.UpdatedAt),
	}
}

// List is a page of the organization's users, by name.
// domain.ErrUnavailable when the database is away.
func (u *Users) List(ctx context.Context, org domain.OrganizationID, filter domain.UserFilter) ([]domain.UserView, domain.PageMeta, error) {
	var rows []userRow
	err := u.reads.db.SelectContext(ctx, &rows, u.reads.queries.ListUsers,
		org, string(filter.Role), string(filter.Status), filter.Page.Limit, filter.Page.Offset())
	if err != nil {
		return nil, domain.PageMeta{}, readError("list users", err)
	}
	var views []domain.UserView
	for i := range rows {
		if !rows[i].ID.IsZero() {
			views = append(views, rows[i].view())
		}
	}
	return views, pageMeta(filter.Page, rows[0].Total), nil
}

// pageMeta describes a page of a list whose rows were counted up to one more
// than domain.MaxRows.
func pageMeta(page domain.Page, counted int) domain.PageMeta {
	return page.Meta(min(counted, domain.MaxRows), counted > domain.MaxRows)
}

// Get is one user of the organization, or domain.ErrNotFound.
func (u *Users) Get(ctx context.Context, org domain.OrganizationID, id domain.UserID) (domain.UserView, error) {
	var row userRow
	if err := u.reads.db.GetContext(ctx, &row, u.reads.queries.UserView, org, id); err != nil {
		return domain.UserView{}, readError("read a user", err)
	}
	return row.view(), nil
}

// Create makes a user and returns its id when that is durable;
// domain.ErrEmailTaken when another one of the organization has the e-mail.
func (u *Users) Create(ctx context.Context, by domain.Caller, user domain.NewUser) (domain.UserID, error) {
	var id domain.UserID
	err := u.reads.administer(ctx, by, func(tx pgx.Tx) (audited, error) {
		var err error
		id, err = addUser(ctx, tx, u.reads.queries, by.Organization, user)
		return audited{"user.created", id.String(), map[string]any{"email": user.Email, "role": user.Role}}, err
	})
	return id, administrationError("create a user", err)
}

func addUser(ctx context.Context, tx pgx.Tx, q queries, org domain.OrganizationID, user domain.NewUser) (id domain.UserID, err error) {
	err = tx.QueryRow(ctx, q.AddUser, org, user.Email, string(user.Password), user.Name, string(user.Role), user.MaxConversations).Scan(&id)
	return id, err
}

// Update changes a user of the organization and returns when that is durable.
// Who gets another role, status or password is logged out everywhere.
// domain.ErrNotFound; domain.ErrLastAdmin when nobody would be left to
// administer the organization, however many try at once.
func (u *Users) Update(ctx context.Context, by domain.Caller, id domain.UserID, patch domain.UserPatch) error {
	err := u.reads.administer(ctx, by, func(tx pgx.Tx) (audited, error) {
		return audited{"user.updated", id.String(), patchedFields(patch)}, u.update(ctx, tx, by.Organization, id, patch)
	})
	return administrationError("update a user", err)
}

func (u *Users) update(ctx context.Context, tx pgx.Tx, org domain.OrganizationID, id domain.UserID, patch domain.UserPatch) error {
	q := &u.reads.queries
	if patch.Role != nil || patch.Status != nil {
		if _, err := tx.Exec(ctx, q.LockOrganization, org); err != nil {
			return err
		}
	}
	var role, status string
	if err := tx.QueryRow(ctx, q.LockUser, org, id).Scan(&role, &status); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, q.ChangeUser, org, id,
		patch.Name, (*string)(patch.Role), (*string)(patch.Status), (*string)(patch.Password), patch.MaxConversations)
	if err != nil {
		return err
	}
	if role != string(domain.RoleAdmin) || status != string(domain.UserActive) {
		return nil
	}
	var remains bool
	if err := tx.QueryRow(ctx, q.HasAdmin, org).Scan(&remains); err != nil {
		return err
	}
	if !remains {
		return domain.ErrLastAdmin
	}
	return nil
}

// patchedFields is what the audit keeps of a change: never the password.
func patchedFields(p domain.UserPatch) map[string]any {
	fields := map[string]any{}
	if p.Name != nil {
		fields["name"] = *p.Name
	}
	if p.Role != nil {
		fields["role"] = *p.Role
	}
	if p.Status != nil {
		fields["status"] = *p.Status
	}
	if p.MaxConversations != nil {
		fields["maxConversations"] = *p.MaxConversations
	}
	if p.Password != nil {
		fields["password"] = true
	}
	return fields
}

// audited is what an administrator did, for admin_audit.
type audited struct {
	action, subject string
	metadata        map[string]any
}

// administer does something of an administrator and writes down that it was
// done, both or neither. Without an actor it was the command line.
func (r *Reads) administer(ctx context.Context, by domain.Caller, do func(pgx.Tx) (audited, error)) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		done, err := do(tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, r.queries.Audit, by.Organization, by.User, done.action, done.subject, done.metadata)
		return err
	})
}

// administrationError says what a failed change means to its caller: a conflict
// that domain names, or what readError says.
func administrationError(doing string, err error) error {
	for _, known := range []error{domain.ErrLastAdmin, domain.ErrChannelUnproved, domain.ErrChannelFailing, domain.ErrChannelChanged} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", doing, known)
		}
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "23505" { // unique_violation
		switch answer.ConstraintName {
		case "users_organization_email":
			return fmt.Errorf("%s: %w", doing, domain.ErrEmailTaken)
		case "channels_provider_external_id":
			return fmt.Errorf("%s: %w", doing, domain.ErrChannelTaken)
		case "organizations_slug_key":
			return fmt.Errorf("%s: %w", doing, ErrSlugTaken)
		}
	}
	return readError(doing, err)
}
