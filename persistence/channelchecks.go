package persistence

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// Claim is up to limit channels, of all organizations, that are due to be asked
// whether they work, those that waited longest first. Who gets one makes the
// check: no other node gets it until it is due again.
func (h *ChannelHealth) Claim(ctx context.Context, limit int) ([]domain.ChannelCheck, error) {
	rows, err := h.reads.pool.Query(ctx, h.reads.queries.ClaimChannelChecks, limit)
	if err != nil {
		return nil, readError("claim checks of channels", err)
	}
	checks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (domain.ChannelCheck, error) {
		var c domain.ChannelCheck
		ch := &c.Channel
		err := row.Scan(&ch.ID, &ch.Organization, (*string)(&ch.Provider), &ch.Name, &ch.ExternalID, (*string)(&ch.Status),
			&ch.SendRate, &c.BusinessAccount, &c.OwnApp)
		return c, err
	})
	return checks, readError("claim checks of channels", err)
}

// Note puts text in the place of the last error of a channel that is in that
// status; an empty one takes it away. What is kept of it is as with Fail.
func (h *ChannelHealth) Note(ctx context.Context, org domain.OrganizationID, id domain.ChannelID, status domain.ChannelStatus, text string) error {
	_, err := h.reads.pool.Exec(ctx, h.reads.queries.NoteChannel, org, id, string(status), publicError(text))
	return readError("note how a channel is", err)
}

// ChannelsByStatus counts the channels of all organizations.
func (r *Registry) ChannelsByStatus() map[domain.ChannelStatus]int {
	counts := map[domain.ChannelStatus]int{domain.ChannelActive: 0, domain.ChannelInactive: 0, domain.ChannelError: 0}
	r.current.Load().channels.Range(func(_, ch any) bool {
		counts[ch.(*configuredChannel).Status]++
		return true
	})
	return counts
}
