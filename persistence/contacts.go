package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// Contacts reads customers.
type Contacts struct{ reads *Reads }

// NewContacts makes the reader.
func NewContacts(reads *Reads) *Contacts { return &Contacts{reads} }

// contactRow is a row of contact-view.
type contactRow struct {
	ID          domain.ContactID `db:"id"`
	Provider    string           `db:"provider"`
	ProviderID  string           `db:"provider_id"`
	DisplayName string           `db:"display_name"`
	MergedInto  domain.ContactID `db:"merged_into"`
	FirstSeenAt time.Time        `db:"first_seen_at"`
	LastSeenAt  time.Time        `db:"last_seen_at"`
	CreatedAt   time.Time        `db:"created_at"`
	UpdatedAt   time.Time        `db:"updated_at"`
	Position    int              `db:"position"`
}

// List is a page of the organization's contacts by name, without those that
// turned out to be others. A search finds words and their beginnings in names,
// numbers and aliases, up to searchHits of them. domain.ErrUnavailable when the
// database is away.
func (c *Contacts) List(ctx context.Context, org domain.OrganizationID, filter domain.ContactFilter) ([]domain.ContactView, domain.PageMeta, error) {
	query, args := c.reads.queries.ListContacts, []any{org, filter.Page.Limit, filter.Page.Offset()}
	cut := false
	if filter.Search != "" {
		hits, err := c.reads.search(ctx, org, filter.Search, contactsAlone)
		if err != nil {
			return nil, domain.PageMeta{}, readError("search contacts", err)
		}
		query, args, cut = c.reads.queries.PickContacts, append(args, hits.contacts), hits.contactsCut
	}
	var rows []struct {
		Total int              `db:"total"`
		ID    domain.ContactID `db:"id"`
	}
	if err := c.reads.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, domain.PageMeta{}, readError("list contacts", err)
	}
	var ids [][16]byte
	for _, row := range rows {
		if !row.ID.IsZero() {
			ids = append(ids, row.ID)
		}
	}
	meta := pageMeta(filter.Page, rows[0].Total)
	meta.TotalIsCapped = meta.TotalIsCapped || cut
	views, err := c.views(ctx, org, ids)
	return views, meta, readError("list contacts", err)
}

// Get is one contact of the organization, or domain.ErrNotFound.
func (c *Contacts) Get(ctx context.Context, org domain.OrganizationID, id domain.ContactID) (domain.ContactView, error) {
	views, err := c.views(ctx, org, [][16]byte{id})
	if err != nil {
		return domain.ContactView{}, readError("read a contact", err)
	}
	if len(views) == 0 {
		return domain.ContactView{}, fmt.Errorf("contact %s: %w", id, domain.ErrNotFound)
	}
	return views[0], nil
}

func (c *Contacts) views(ctx context.Context, org domain.OrganizationID, ids [][16]byte) ([]domain.ContactView, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []contactRow
	if err := c.reads.db.SelectContext(ctx, &rows, c.reads.queries.ContactView, org, ids); err != nil {
		return nil, err
	}
	aliases, err := c.aliases(ctx, org, ids)
	if err != nil {
		return nil, err
	}
	views := make([]domain.ContactView, len(rows))
	for i, r := range rows {
		views[i] = domain.ContactView{
			ID: r.ID, Provider: domain.Provider(r.Provider), ProviderID: r.ProviderID, DisplayName: r.DisplayName,
			Aliases:     append([]domain.AliasView{}, aliases[r.ID]...),
			FirstSeenAt: domain.Timestamp(r.FirstSeenAt), LastSeenAt: domain.Timestamp(r.LastSeenAt),
			CreatedAt: domain.Timestamp(r.CreatedAt), UpdatedAt: domain.Timestamp(r.UpdatedAt),
		}
		if !r.MergedInto.IsZero() {
			views[i].MergedInto = &r.MergedInto
		}
	}
	return views, nil
}

func (c *Contacts) aliases(ctx context.Context, org domain.OrganizationID, ids [][16]byte) (map[domain.ContactID][]domain.AliasView, error) {
	var rows []struct {
		Contact domain.ContactID `db:"contact_id"`
		Kind    string           `db:"kind"`
		Alias   string           `db:"alias"`
	}
	if err := c.reads.db.SelectContext(ctx, &rows, c.reads.queries.AliasesOfContacts, org, ids); err != nil {
		return nil, err
	}
	aliases := make(map[domain.ContactID][]domain.AliasView, len(ids))
	for _, r := range rows {
		aliases[r.Contact] = append(aliases[r.Contact], domain.AliasView{Kind: domain.AliasKind(r.Kind), Value: r.Alias})
	}
	return aliases, nil
}
