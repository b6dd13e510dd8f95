package rest

import "github.com/chatopshub/chatopshub/domain"

func exampleUser() domain.UserView {
	agent := exampleAgentRef()
	u := domain.UserView{
		ID: agent.ID, Email: "ada@example.com", Name: agent.Name, Role: domain.RoleAgent, Status: domain.UserActive,
		MaxConversations: new(10), AssignedCount: 3, CreatedAt: exampleTime(10), UpdatedAt: exampleTime(16),
	}
	u.Organization = exampleOf(u.Organization, "018f2a4e-0000-7000-8000-0000000000aa")
	return u
}

func exampleChannel() domain.ChannelView {
	v := domain.ChannelView{
		Name: "Support", Provider: domain.WhatsApp, Status: domain.ChannelActive,
		Config:           &domain.ChannelConfigView{PhoneNumberID: "108765432109876", AccessToken: domain.MaskedSecret("not a token: x4f2")},
		AssignmentPolicy: domain.AssignManually, SendRate: new(80), ProvedAt: exampleTime(11), CreatedAt: exampleTime(10), UpdatedAt: exampleTime(11),
	}
	v.ID = exampleOf(v.ID, "018f2a4e-0000-7000-8000-0000000000bb")
	return v
}

func exampleContact() domain.ContactView {
	c := domain.ContactView{
		Provider: domain.WhatsApp, ProviderID: "15550001111", DisplayName: "Grace",
		Aliases:     []domain.AliasView{{Kind: domain.AliasNumber, Value: "15550001111"}},
		FirstSeenAt: exampleTime(15), LastSeenAt: exampleTime(15), CreatedAt: exampleTime(15), UpdatedAt: exampleTime(15),
	}
	c.ID = exampleOf(c.ID, "e1a2b3c4-0d5e-5f60-8a7b-9c0d1e2f3a4b")
	return c
}

func exampleDeadLetter() domain.DeadLetterView {
	v := domain.DeadLetterView{
		Provider: domain.WhatsApp, Account: new("108765432109876"), Reason: "unknown_target",
		Payload: `{"object":"whatsapp_business_account","entry":[]}`, PayloadSize: 49, Attempts: 1, ReceivedAt: exampleTime(15),
	}
	v.ID = exampleOf(v.ID, "5f2b1c3d-0000-5000-8000-000000000001")
	return v
}
