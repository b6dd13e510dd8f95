package rest

import (
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

type newChannelBody struct {
	Provider         domain.Provider         `json:"provider" enum:"WHATSAPP,MESSENGER"`
	Name             string                  `json:"name" maxLength:"200" pattern:"\\S" patternDescription:"a name"`
	Config           ChannelConfig           `json:"config"`
	WebhookSecret    string                  `json:"webhookSecret,omitempty" minLength:"16" maxLength:"256" doc:"The Meta app's secret; left out: the server's own"`
	AssignmentPolicy domain.AssignmentPolicy `json:"assignmentPolicy,omitempty" enum:"MANUAL,AUTO" default:"MANUAL"`
	SendRate         int                     `json:"sendRate,omitempty" minimum:"1" maximum:"1000" doc:"Messages per second; left out: what the platform allows"`
}

// ChannelConfig is what a channel works by: for WHATSAPP phoneNumberId and
// accessToken, for MESSENGER pageId and accessToken.
type ChannelConfig struct {
	PhoneNumberID     *string `json:"phoneNumberId,omitempty" pattern:"^[0-9]{1,32}$" patternDescription:"digits" doc:"WHATSAPP"`
	BusinessAccountID *string `json:"businessAccountId,omitempty" pattern:"^[0-9]{0,32}$" patternDescription:"digits" doc:"WHATSAPP"`
	PageID            *string `json:"pageId,omitempty" pattern:"^[0-9]{1,32}$" patternDescription:"digits" doc:"MESSENGER"`
	AccessToken       *string `json:"accessToken,omitempty" minLength:"8" maxLength:"4096" doc:"Masked in answers. Sent back as it is shown, it stays what it is"`
}

// check refuses what belongs to the other platform and what can't be a token.
func (c ChannelConfig) check(provider domain.Provider) error {
	const foreign = "is of channels of the other provider"
	switch {
	case provider == domain.WhatsApp && c.PageID != nil:
		return invalid("body", "config.pageId", foreign)
	case provider == domain.Messenger && c.PhoneNumberID != nil:
		return invalid("body", "config.phoneNumberId", foreign)
	case provider == domain.Messenger && c.BusinessAccountID != nil:
		return invalid("body", "config.businessAccountId", foreign)
	case c.AccessToken != nil && !domain.IsMasked(*c.AccessToken) && !isToken(*c.AccessToken):
		return invalid("body", "config.accessToken", "takes a token as the platform gave it: ASCII without spaces")
	}
	return nil
}

// isToken reports whether text can stand in a header.
func isToken(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// account is the number or page, and the name of its field.
func (c ChannelConfig) account(provider domain.Provider) (id *string, field string) {
	if provider == domain.Messenger {
		return c.PageID, "config.pageId"
	}
	return c.PhoneNumberID, "config.phoneNumberId"
}

// draft is the channel that the body describes.
func (b newChannelBody) draft() (domain.ChannelDraft, error) {
	draft := domain.ChannelDraft{
		Provider: b.Provider, Name: strings.TrimSpace(b.Name), WebhookSecret: b.WebhookSecret,
		AssignmentPolicy: b.AssignmentPolicy, SendRate: b.SendRate,
	}
	if err := b.Config.check(b.Provider); err != nil {
		return draft, err
	}
	account, field := b.Config.account(b.Provider)
	switch {
	case account == nil:
		return draft, invalid("body", field, "is needed")
	case b.Config.AccessToken == nil:
		return draft, invalid("body", "config.accessToken", "is needed")
	case domain.IsMasked(*b.Config.AccessToken):
		return draft, invalid("body", "config.accessToken", "is masked: takes the token itself")
	case domain.IsMasked(b.WebhookSecret):
		return draft, invalid("body", "webhookSecret", "is masked: takes the secret itself")
	}
	draft.ExternalID, draft.AccessToken = *account, *b.Config.AccessToken
	if b.Config.BusinessAccountID != nil {
		draft.BusinessAccount = *b.Config.BusinessAccountID
	}
	return draft, nil
}

type channelPatchBody struct {
	Name             *string                  `json:"name,omitempty" maxLength:"200" pattern:"\\S" patternDescription:"a name"`
	Config           *ChannelConfig           `json:"config,omitempty"`
	Status           *domain.ChannelStatus    `json:"status,omitempty" enum:"ACTIVE,INACTIVE"`
	WebhookSecret    Nullable[string]         `json:"webhookSecret,omitempty" maxLength:"256" doc:"null: the server's own. Masked: it stays what it is"`
	AssignmentPolicy *domain.AssignmentPolicy `json:"assignmentPolicy,omitempty" enum:"MANUAL,AUTO"`
	SendRate         Nullable[int]            `json:"sendRate,omitempty" minimum:"1" maximum:"1000" doc:"null: what the platform allows"`
}

// minWebhookSecret is the least length of a secret that isn't masked: Meta's
// have 32 characters.
const minWebhookSecret = 16

// patch is what the body changes of a channel of the provider.
func (b channelPatchBody) patch(provider domain.Provider) (domain.ChannelPatch, error) {
	patch := domain.ChannelPatch{
		Name: trimmed(b.Name), Status: b.Status, WebhookSecret: unmasked(b.WebhookSecret.orZero()),
		AssignmentPolicy: b.AssignmentPolicy, SendRate: b.SendRate.orZero(),
	}
	if secret := patch.WebhookSecret; b.WebhookSecret.value != nil && secret != nil && len(*secret) < minWebhookSecret {
		return patch, invalid("body", "webhookSecret", "takes 16 characters or more")
	}
	if b.Config == nil {
		return patch, nil
	}
	if err := b.Config.check(provider); err != nil {
		return patch, err
	}
	patch.ExternalID, _ = b.Config.account(provider)
	patch.BusinessAccount, patch.AccessToken = b.Config.BusinessAccountID, unmasked(b.Config.AccessToken)
	return patch, nil
}

// unmasked is nil for a secret that is to stay what it is.
func unmasked(secret *string) *string {
	if secret != nil && domain.IsMasked(*secret) {
		return nil
	}
	return secret
}
