package domain

import "encoding/json"

// MaxSendRate is the greatest number of messages per second that a channel can
// be told to send: what WhatsApp grants the numbers that it trusts most.
const MaxSendRate = 1000

// ChannelView is a channel as administrators see it. To agents only its first
// fields are shown: ChannelRef and Status.
type ChannelView struct {
	ID               ChannelID          `json:"id"`
	Name             string             `json:"name"`
	Provider         Provider           `json:"provider"`
	Status           ChannelStatus      `json:"status"`
	Config           *ChannelConfigView `json:"config,omitempty"`
	WebhookSecret    *string            `json:"webhookSecret,omitempty"`
	AssignmentPolicy AssignmentPolicy   `json:"assignmentPolicy,omitempty"`
	SendRate         *int               `json:"sendRate,omitempty"`
	LastError        *string            `json:"lastError,omitempty"`
	ProvedAt         Timestamp          `json:"provedAt,omitzero"`
	CreatedAt        Timestamp          `json:"createdAt,omitzero"`
	UpdatedAt        Timestamp          `json:"updatedAt,omitzero"`
}

// ChannelConfigView is a channel's config with its secret masked.
type ChannelConfigView struct {
	PhoneNumberID     string `json:"phoneNumberId,omitempty"`
	BusinessAccountID string `json:"businessAccountId,omitempty"`
	PageID            string `json:"pageId,omitempty"`
	AccessToken       string `json:"accessToken"`
}

// ForAgents is what agents may see of the channel.
func (v ChannelView) ForAgents() ChannelView {
	return ChannelView{ID: v.ID, Name: v.Name, Provider: v.Provider, Status: v.Status}
}

// ChannelDraft is a channel to be made, checked.
type ChannelDraft struct {
	Provider         Provider
	Name             string
	ExternalID       string // WhatsApp: phone number id; Messenger: page id
	BusinessAccount  string // WhatsApp; may be empty
	AccessToken      string
	WebhookSecret    string // empty: the environment's
	AssignmentPolicy AssignmentPolicy
	SendRate         int // messages per second; 0: the platform's
}

// ChannelPatch is what changes of a channel; nil leaves a field as it is.
type ChannelPatch struct {
	Name             *string
	Status           *ChannelStatus // ACTIVE or INACTIVE
	ExternalID       *string
	BusinessAccount  *string
	AccessToken      *string
	WebhookSecret    *string // "": the environment's from now on
	AssignmentPolicy *AssignmentPolicy
	SendRate         *int // 0: the platform's
}

// ChannelProof is a channel's credentials as they were read for a test. Whatever
// the test finds holds for these alone: Seal tells whether they are still those
// of the channel.
type ChannelProof struct {
	Channel   Channel
	Token     string // open
	AppSecret string // open; empty: none of its own
	Seal      string // of the token, as stored
}

// MarshalJSON keeps the secrets out of whatever a proof is written to.
func (ChannelProof) MarshalJSON() ([]byte, error) { return json.Marshal("[hidden]") }

// String hides the secrets.
func (ChannelProof) String() string { return "[hidden]" }

// GoString hides them from %#v, too.
func (ChannelProof) GoString() string { return "[hidden]" }

// ContactView is a customer with the names that platforms know one by.
type ContactView struct {
	ID          ContactID   `json:"id"`
	Provider    Provider    `json:"provider"`
	ProviderID  string      `json:"providerId"`
	DisplayName string      `json:"displayName"`
	Aliases     []AliasView `json:"aliases"`
	MergedInto  *ContactID  `json:"mergedInto"` // proved to be that contact
	FirstSeenAt Timestamp   `json:"firstSeenAt"`
	LastSeenAt  Timestamp   `json:"lastSeenAt"`
	CreatedAt   Timestamp   `json:"createdAt"`
	UpdatedAt   Timestamp   `json:"updatedAt"`
}

// AliasView is one name of a customer.
type AliasView struct {
	Kind  AliasKind `json:"kind"`
	Value string    `json:"value"`
}

// ContactFilter picks the contacts of a list.
type ContactFilter struct {
	Search string // in names and aliases; valid UTF-8 without NUL
	Page   Page
}

// DeadLetterView is a dead letter as administrators see it.
type DeadLetterView struct {
	ID          DeadLetterID `json:"id"`
	Provider    Provider     `json:"provider"`
	Account     *string      `json:"account"`
	Reason      string       `json:"reason"`
	Detail      *string      `json:"detail"`
	Payload     string       `json:"payload"`
	PayloadSize int          `json:"payloadBytes"`
	Attempts    int          `json:"attempts"`
	Requested   bool         `json:"replayRequested"` // a replay was asked for and hasn't been tried yet
	ReceivedAt  Timestamp    `json:"receivedAt"`
	ReplayedAt  Timestamp    `json:"replayedAt"`
}
