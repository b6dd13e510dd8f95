package persistence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// The keys of channels.config beside FieldAccessToken.
const (
	fieldPhoneNumberID   = "phoneNumberId"
	fieldPageID          = "pageId"
	fieldBusinessAccount = "businessAccountId"
)

// Channels is the channels as their administrators see and change them. Nodes
// learn of changes by the Registry.
type Channels struct {
	reads  *Reads
	sealer *Sealer
}

// NewChannels makes it.
func NewChannels(reads *Reads, sealer *Sealer) *Channels { return &Channels{reads, sealer} }

// channelRow is a row of list-channels and channel-view.
type channelRow struct {
	Total            int              `db:"total"`
	ID               domain.ChannelID `db:"id"`
	Provider         *string          `db:"provider"`
	Name             *string          `db:"name"`
	Config           channelConfig    `db:"config"`
	ExternalID       *string          `db:"external_id"`
	WebhookSecret    *string          `db:"webhook_secret"`
	Status           *string          `db:"status"`
	LastError        *string          `db:"last_error"`
	AssignmentPolicy *string          `db:"assignment_policy"`
	SendRate         *int             `db:"send_rate"`
	ProvedAt         *time.Time       `db:"proved_at"`
	CreatedAt        *time.Time       `db:"created_at"`
	UpdatedAt        *time.Time       `db:"updated_at"`
}

// List is a page of the organization's channels, by name, with their secrets
// masked.
func (c *Channels) List(ctx context.Context, org domain.OrganizationID, page domain.Page) ([]domain.ChannelView, domain.PageMeta, error) {
	var rows []channelRow
	if err := c.reads.db.SelectContext(ctx, &rows, c.reads.queries.ListChannels, org, page.Limit, page.Offset()); err != nil {
		return nil, domain.PageMeta{}, readError("list channels", err)
	}
	var views []domain.ChannelView
	for i := range rows {
		if !rows[i].ID.IsZero() {
			views = append(views, c.view(&rows[i]))
		}
	}
	return views, pageMeta(page, rows[0].Total), nil
}

// Get is one channel of the organization, or domain.ErrNotFound.
func (c *Channels) Get(ctx context.Context, org domain.OrganizationID, id domain.ChannelID) (domain.ChannelView, error) {
	var row channelRow
	if err := c.reads.db.GetContext(ctx, &row, c.reads.queries.ChannelView, org, id); err != nil {
		return domain.ChannelView{}, readError("read a channel", err)
	}
	return c.view(&row), nil
}

func (c *Channels) view(r *channelRow) domain.ChannelView {
	v := domain.ChannelView{
		ID: r.ID, Name: orZero(r.Name), Provider: domain.Provider(orZero(r.Provider)), Status: domain.ChannelStatus(orZero(r.Status)),
		Config: &domain.ChannelConfigView{
			PhoneNumberID: r.Config[fieldPhoneNumberID], BusinessAccountID: r.Config[fieldBusinessAccount], PageID: r.Config[fieldPageID],
			AccessToken: c.masked(r.ID, FieldAccessToken, r.Config[FieldAccessToken]),
		},
		AssignmentPolicy: domain.AssignmentPolicy(orZero(r.AssignmentPolicy)), SendRate: r.SendRate, LastError: r.LastError,
		ProvedAt: timestamp(r.ProvedAt), CreatedAt: timestamp(r.CreatedAt), UpdatedAt: timestamp(r.UpdatedAt),
	}
	if r.WebhookSecret != nil {
		masked := c.masked(r.ID, FieldWebhookSecret, *r.WebhookSecret)
		v.WebhookSecret = &masked
	}
	return v
}

// masked is a sealed secret as it is shown. One that can't be opened shows
// nothing of itself; that it doesn't work is said elsewhere.
func (c *Channels) masked(channel domain.ChannelID, field, sealed string) string {
	secret, err := c.sealer.Open(channel, field, sealed)
	if err != nil {
		return domain.MaskedSecret("")
	}
	return domain.MaskedSecret(secret)
}

// Create makes an INACTIVE channel that has proved nothing, and returns its id
// when that is durable.
func (c *Channels) Create(ctx context.Context, by domain.Caller, draft domain.ChannelDraft) (domain.ChannelID, error) {
	id := domain.ChannelID(uuid.New())
	config := channelConfig{
		accountField(draft.Provider): draft.ExternalID,
		FieldAccessToken:             c.sealer.Seal(id, FieldAccessToken, draft.AccessToken),
	}
	if draft.BusinessAccount != "" {
		config[fieldBusinessAccount] = draft.BusinessAccount
	}
	var secret *string
	if draft.WebhookSecret != "" {
		sealed := c.sealer.Seal(id, FieldWebhookSecret, draft.WebhookSecret)
		secret = &sealed
	}
	err := c.reads.administer(ctx, by, func(tx pgx.Tx) (audited, error) {
		_, err := tx.Exec(ctx, c.reads.queries.AddChannel, id, by.Organization, string(draft.Provider), draft.Name, config, draft.ExternalID,
			secret, string(draft.AssignmentPolicy), nullIfZero(draft.SendRate))
		return audited{"channel.created", id.String(), map[string]any{"provider": draft.Provider, "externalId": draft.ExternalID}}, err
	})
	return id, administrationError("create a channel", err)
}

// accountField is where config names the number or page.
func accountField(p domain.Provider) string {
	if p == domain.Messenger {
		return fieldPageID
	}
	return fieldPhoneNumberID
}

func nullIfZero(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// Update changes a channel and returns when that is durable. Another number or
// page makes it INACTIVE until that is proved. domain.ErrNotFound;
// domain.ErrChannelUnproved, domain.ErrChannelFailing and
// domain.ErrChannelTaken for a channel that can't be made ACTIVE.
func (c *Channels) Update(ctx context.Context, by domain.Caller, id domain.ChannelID, patch domain.ChannelPatch) error {
	err := c.reads.administer(ctx, by, func(tx pgx.Tx) (audited, error) {
		rows, err := tx.Query(ctx, c.reads.queries.LockChannel, by.Organization, id)
		if err != nil {
			return audited{}, err
		}
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByNameLax[channelRow])
		if err != nil {
			return audited{}, err
		}
		changed, err := c.apply(row, patch)
		if err != nil {
			return audited{}, err
		}
		_, err = tx.Exec(ctx, c.reads.queries.ChangeChannel, by.Organization, id, row.Name, row.Config, row.ExternalID, row.WebhookSecret,
			row.Status, row.AssignmentPolicy, row.SendRate, row.ProvedAt, row.LastError)
		return audited{"channel.updated", id.String(), changed}, err
	})
	return administrationError("update a channel", err)
}

// apply changes row and says what has changed, for the audit: never a secret.
func (c *Channels) apply(row *channelRow, patch domain.ChannelPatch) (map[string]any, error) {
	changed := map[string]any{}
	if patch.Name != nil {
		row.Name, changed["name"] = patch.Name, *patch.Name
	}
	if patch.BusinessAccount != nil {
		row.Config[fieldBusinessAccount], changed[fieldBusinessAccount] = *patch.BusinessAccount, *patch.BusinessAccount
	}
	if patch.AssignmentPolicy != nil {
		row.AssignmentPolicy, changed["assignmentPolicy"] = (*string)(patch.AssignmentPolicy), *patch.AssignmentPolicy
	}
	if patch.SendRate != nil {
		row.SendRate, changed["sendRate"] = nullIfZero(*patch.SendRate), *patch.SendRate
	}
	c.applySecrets(row, patch, changed)
	if patch.ExternalID != nil && *patch.ExternalID != orZero(row.ExternalID) {
		inactive := string(domain.ChannelInactive)
		row.Config[accountField(domain.Provider(orZero(row.Provider)))] = *patch.ExternalID
		row.ExternalID, row.Status, row.ProvedAt, row.LastError = patch.ExternalID, &inactive, nil, nil
		changed["externalId"] = *patch.ExternalID
	}
	if patch.Status == nil || string(*patch.Status) == orZero(row.Status) {
		return changed, nil
	}
	if *patch.Status == domain.ChannelActive {
		if row.ProvedAt == nil {
			return nil, domain.ErrChannelUnproved
		}
		if domain.ChannelStatus(orZero(row.Status)) == domain.ChannelError {
			return nil, domain.ErrChannelFailing
		}
	}
	row.Status, changed["status"] = (*string)(patch.Status), *patch.Status
	return changed, nil
}

func (c *Channels) applySecrets(row *channelRow, patch domain.ChannelPatch, changed map[string]any) {
	if patch.AccessToken != nil {
		row.Config[FieldAccessToken] = c.sealer.Seal(row.ID, FieldAccessToken, *patch.AccessToken)
		changed[FieldAccessToken] = true
	}
	if patch.WebhookSecret != nil {
		row.WebhookSecret, changed[FieldWebhookSecret] = nil, *patch.WebhookSecret != ""
		if *patch.WebhookSecret != "" {
			sealed := c.sealer.Seal(row.ID, FieldWebhookSecret, *patch.WebhookSecret)
			row.WebhookSecret = &sealed
		}
	}
}

// channelConfig is channels.config.
type channelConfig map[string]string

// Scan reads the column; NULL is empty.
func (c *channelConfig) Scan(src any) error {
	*c = channelConfig{}
	switch src := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(src), c)
	case []byte:
		return json.Unmarshal(src, c)
	}
	return fmt.Errorf("scan the config of a channel: got a %T", src)
}
