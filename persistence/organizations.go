package persistence

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// ErrSlugTaken is returned when another organization has the slug.
var ErrSlugTaken = errors.New("another organization has the slug")

// CreateOrganization makes an organization with its first administrator, both
// or neither, and returns its id when that is durable; ErrSlugTaken.
func CreateOrganization(ctx context.Context, reads *Reads, name, slug string, admin domain.NewUser) (domain.OrganizationID, error) {
	var org domain.OrganizationID
	err := pgx.BeginFunc(ctx, reads.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, reads.queries.AddOrganization, name, slug).Scan(&org); err != nil {
			return err
		}
		id, err := addUser(ctx, tx, reads.queries, org, admin)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, reads.queries.Audit, org, domain.UserID{}, "organization.created", org.String(), map[string]any{"admin": id})
		return err
	})
	return org, administrationError("create an organization", err)
}
