package domain

// Thread names a conversation and the channel that it is on.
type Thread struct {
	Organization OrganizationID
	Channel      ChannelID
	Conversation ConversationID
}

// NameLearned tells the name of the customer, for which the platform was asked.
// Where the customer has one already, nothing changes.
type NameLearned struct{ Name string }

func (NameLearned) command() {}

// WantsName reports whether the platform has to be asked for the customer's
// name: WhatsApp tells it with each message, Messenger never does.
func (c *Conversation) WantsName() bool {
	return c.Exists() && c.Provider == Messenger && c.ContactName == ""
}

func (d *decision) nameLearned(cmd NameLearned) {
	if !d.before.Exists() || d.c.ContactName != "" || cmd.Name == "" {
		return
	}
	d.c.ContactName, d.changed = cmd.Name, true
	// Nothing was heard of the customer now: last_seen_at stays.
	d.change.Contact = &Contact{
		ID: d.c.Contact, Organization: d.c.Organization, Provider: d.c.Provider,
		ProviderID: d.c.ContactAlias, Name: d.c.ContactName, SeenAt: d.c.CreatedAt,
	}
}
