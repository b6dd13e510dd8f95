package domain

// Provider is a messaging platform.
type Provider string

// The platforms we speak to.
const (
	WhatsApp  Provider = "WHATSAPP"
	Messenger Provider = "MESSENGER"
)

// ChannelStatus says whether a channel sends. Inbound is stored in every status.
type ChannelStatus string

// The statuses of a channel. An ERROR channel keeps its sends until it works again.
const (
	ChannelActive   ChannelStatus = "ACTIVE"
	ChannelInactive ChannelStatus = "INACTIVE"
	ChannelError    ChannelStatus = "ERROR"
)

// Channel is one number or page of an organization, without its secrets.
type Channel struct {
	ID           ChannelID
	Organization OrganizationID
	Provider     Provider
	Name         string
	ExternalID   string // WhatsApp: phone number id; Messenger: page id
	Status       ChannelStatus
	Policy       AssignmentPolicy
	SendRate     int // messages a second; 0: the platform's usual
}
