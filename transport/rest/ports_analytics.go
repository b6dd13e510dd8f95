package rest

import (
	"context"
	"encoding/json"

	"github.com/chatopshub/chatopshub/domain"
)

// Figures tells what agents did; persistence is it. A storage that is away is
// domain.ErrUnavailable. Who did nothing has no figures.
type Figures interface {
	Agent(ctx context.Context, org domain.OrganizationID, agent domain.UserID, days domain.Days) (domain.Report, error)
	Organization(ctx context.Context, org domain.OrganizationID, days domain.Days) (domain.Report, error)
}

// Persons erases and exports customers; persistence is it. What is absent or
// another organization's is domain.ErrNotFound.
type Persons interface {
	// Erase removes everything of the person, and returns when that is durable.
	// Begun, it is finished, whatever it returns.
	Erase(ctx context.Context, org domain.OrganizationID, contact domain.ContactID, by domain.UserID) error
	// Export gives every row of the person, table by table, then which files have
	// content.
	Export(ctx context.Context, org domain.OrganizationID, contact domain.ContactID,
		row func(table string, row json.RawMessage) error, file func(domain.FileKey) error) error
}
