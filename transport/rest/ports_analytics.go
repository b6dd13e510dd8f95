package rest

import (
	"context"

	"github.com/chatopshub/chatopshub/domain"
)

// Figures tells what agents did; persistence is it. A storage that is away is
// domain.ErrUnavailable. Who did nothing has no figures.
type Figures interface {
	Agent(ctx context.Context, org domain.OrganizationID, agent domain.UserID, days domain.Days) (domain.Report, error)
	Organization(ctx context.Context, org domain.OrganizationID, days domain.Days) (domain.Report, error)
}
