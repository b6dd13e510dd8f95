package domain

// ChannelCheck is a channel that is to be asked whether it works.
type ChannelCheck struct {
	Channel         Channel
	BusinessAccount string // WhatsApp: id of the business account (WABA) that the number is in; empty: not known
	OwnApp          bool   // it belongs to another Meta app than the environment's
}
