package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// ToProve opens a channel's credentials for a test. domain.ErrNotFound; a
// *domain.CallError where they can't be read: they have to be set again.
func (c *Channels) ToProve(ctx context.Context, org domain.OrganizationID, id domain.ChannelID) (domain.ChannelProof, error) {
	var row channelRow
	if err := c.reads.db.GetContext(ctx, &row, c.reads.queries.ChannelView, org, id); err != nil {
		return domain.ChannelProof{}, readError("read a channel", err)
	}
	proof := domain.ChannelProof{
		Channel: domain.Channel{
			ID: id, Organization: org, Provider: domain.Provider(orZero(row.Provider)), Name: orZero(row.Name),
			ExternalID: orZero(row.ExternalID), Status: domain.ChannelStatus(orZero(row.Status)),
		},
		Seal: row.Config[FieldAccessToken],
	}
	return proof, c.open(&proof, row.WebhookSecret)
}

// open opens the secrets of a channel that is to be tested.
func (c *Channels) open(proof *domain.ChannelProof, webhookSecret *string) error {
	var err error
	if proof.Token, err = c.sealer.Open(proof.Channel.ID, FieldAccessToken, proof.Seal); err != nil {
		return unreadable("access token", err)
	}
	if webhookSecret == nil {
		return nil
	}
	if proof.AppSecret, err = c.sealer.Open(proof.Channel.ID, FieldWebhookSecret, *webhookSecret); err != nil {
		return unreadable("webhook secret", err)
	}
	return nil
}

func unreadable(what string, cause error) error {
	return &domain.CallError{
		Class: domain.FailureChannel, Code: domain.CallUnsendable, Cause: cause,
		Text: "the stored " + what + " can't be read: set it again",
	}
}

// Prove notes what a test has found: failure is nil when the platform knows the
// number or page by the credentials that were tested. Then a channel in ERROR is
// ACTIVE again. A failure of class FailureChannel puts an ACTIVE one into ERROR.
// domain.ErrChannelChanged when the credentials aren't the tested ones any more.
func (c *Channels) Prove(ctx context.Context, by domain.Caller, tested domain.ChannelProof, failure *domain.CallError) error {
	err := c.reads.administer(ctx, by, func(tx pgx.Tx) (audited, error) {
		q := &c.reads.queries
		args := []any{by.Organization, tested.Channel.ID, tested.Channel.ExternalID, tested.Seal}
		query, found := q.ChannelProved, map[string]any{"success": true}
		if failure != nil {
			query, found = q.ChannelDisproved, map[string]any{"success": false, "code": failure.Code}
			args = append(args, failure.Text, failure.Class == domain.FailureChannel)
		}
		tag, err := tx.Exec(ctx, query, args...)
		if err == nil && tag.RowsAffected() == 0 {
			err = domain.ErrChannelChanged
		}
		return audited{"channel.tested", tested.Channel.ID.String(), found}, err
	})
	return administrationError("note the test of a channel", err)
}

// WorkingChannel is a channel that is to work, with what it works by.
type WorkingChannel struct {
	domain.ChannelProof
	Organization string // its slug
	Unreadable   error  // why there are no credentials; nil: there are
}

// Working is the channels of all organizations that are to work, at most limit,
// for whoever runs the installation.
func (c *Channels) Working(ctx context.Context, limit int) ([]WorkingChannel, error) {
	rows, err := c.reads.pool.Query(ctx, c.reads.queries.WorkingChannels, limit)
	if err != nil {
		return nil, readError("read the channels", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w WorkingChannel, err error) {
		var token, secret *string
		ch := &w.Channel
		err = row.Scan(&ch.ID, &w.Organization, &ch.Name, (*string)(&ch.Provider), &ch.ExternalID, (*string)(&ch.Status), &token, &secret)
		w.Seal = orZero(token)
		if err == nil {
			w.Unreadable = c.open(&w.ChannelProof, secret)
		}
		return w, err
	})
	return found, readError("read the channels", err)
}

// Reseal seals the secrets of all channels with the current key that were sealed
// with another one which the sealer opens, and returns of how many channels.
// Those that it can't open stay as they are and are the error. Run again, it
// changes nothing.
func (c *Channels) Reseal(ctx context.Context) (int, error) {
	var (
		resealed int
		failures []error
		last     = domain.ChannelID(uuid.Nil)
	)
	for {
		batch, err := c.sealedAfter(ctx, last)
		if err != nil || len(batch) == 0 {
			return resealed, errors.Join(append(failures, err)...)
		}
		for _, ch := range batch {
			changed, err := c.reseal(ctx, ch)
			if err != nil {
				failures = append(failures, err)
			}
			if changed {
				resealed++
			}
			last = ch.id
		}
	}
}

type sealedChannel struct {
	id            domain.ChannelID
	token, secret *string
}

func (c *Channels) sealedAfter(ctx context.Context, last domain.ChannelID) ([]sealedChannel, error) {
	rows, err := c.reads.pool.Query(ctx, c.reads.queries.SealedChannels, uuid.UUID(last).String())
	if err != nil {
		return nil, readError("read sealed secrets", err)
	}
	batch, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ch sealedChannel, err error) {
		err = row.Scan(&ch.id, &ch.token, &ch.secret)
		return ch, err
	})
	return batch, readError("read sealed secrets", err)
}

func (c *Channels) reseal(ctx context.Context, ch sealedChannel) (changed bool, err error) {
	token, tokenErr := c.sealer.Renew(ch.id, FieldAccessToken, ch.token)
	secret, secretErr := c.sealer.Renew(ch.id, FieldWebhookSecret, ch.secret)
	if err := errors.Join(tokenErr, secretErr); err != nil {
		return false, err
	}
	if token == nil && secret == nil {
		return false, nil
	}
	tag, err := c.reads.pool.Exec(ctx, c.reads.queries.ResealChannel, ch.id, ch.token, token, ch.secret, secret)
	if err != nil {
		return false, readError(fmt.Sprintf("seal channel %s anew", ch.id), err)
	}
	return tag.RowsAffected() > 0, nil
}
