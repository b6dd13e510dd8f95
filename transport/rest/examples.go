package rest

import (
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// This file is what the OpenAPI document shows as answers.

func exampleTime(minute int) domain.Timestamp {
	return domain.Timestamp(time.Date(2026, time.January, 31, 9, minute, 2, 123e6, time.UTC))
}

func exampleAgentRef() domain.PersonRef {
	ref := domain.PersonRef{Name: "Ada"}
	ref.ID = exampleOf(ref.ID, "018f2a4e-0000-7000-8000-000000000001")
	return ref
}

// exampleOf is an id of the kind of the first argument.
func exampleOf[K any](id domain.ID[K], text string) domain.ID[K] {
	if !readID(&id, text) {
		panic("rest: the example id " + text + " is not a UUID")
	}
	return id
}

func exampleConversation() domain.ConversationView {
	var v domain.ConversationView
	agent := exampleAgentRef()
	v.ID = exampleOf(v.ID, "7b0d5c0e-52f5-5a3c-9a38-3f0e1c1b6a10")
	v.Organization = exampleOf(v.Organization, "018f2a4e-0000-7000-8000-0000000000aa")
	v.Channel = exampleOf(v.Channel, "018f2a4e-0000-7000-8000-0000000000bb")
	v.Contact = exampleOf(v.Contact, "e1a2b3c4-0d5e-5f60-8a7b-9c0d1e2f3a4b")
	v.Status, v.Holder, v.HolderRef = domain.Assigned, &agent.ID, &agent
	v.AssignedAt, v.LastMessageAt, v.WindowExpiresAt = exampleTime(16), exampleTime(15), exampleTime(15)
	v.CreatedAt, v.UpdatedAt, v.Unread, v.Version = exampleTime(15), exampleTime(16), 1, 3
	v.ContactRef = domain.ContactRef{ID: v.Contact, ProviderID: "15550001111", DisplayName: "Grace", Provider: domain.WhatsApp}
	v.ChannelRef = domain.ChannelRef{ID: v.Channel, Name: "Support", Provider: domain.WhatsApp}
	m := exampleMessage()
	v.LastMessage = &domain.MessageSummary{ID: m.ID, Direction: m.Direction, Body: m.Body, CreatedAt: m.CreatedAt}
	return v
}

func exampleMessage() domain.MessageView {
	m := domain.Message{
		Direction: domain.Inbound, Type: domain.TypeText, Body: "Hello, is my order on its way?", Status: domain.StatusDelivered,
		ProviderMessageID: "wamid.HBgLMTU1NTAwMDExMTEVAgASGBQzQQ", ProviderAt: time.Time(exampleTime(15)),
		CreatedAt: time.Time(exampleTime(15)), UpdatedAt: time.Time(exampleTime(15)),
	}
	m.ID = exampleOf(m.ID, "019c13a5-6f4b-7000-8000-000000000001")
	var conversation domain.ConversationID
	return domain.MessageViewOf(exampleOf(conversation, "7b0d5c0e-52f5-5a3c-9a38-3f0e1c1b6a10"), m, nil, nil)
}

func exampleSent() domain.MessageView {
	agent := exampleAgentRef()
	m := domain.Message{
		Direction: domain.Outbound, Agent: agent.ID, Type: domain.TypeText, Body: "Yes, it comes tomorrow.",
		Status: domain.StatusPending, SendState: domain.SendQueued,
		CreatedAt: time.Time(exampleTime(17)), UpdatedAt: time.Time(exampleTime(17)),
	}
	m.ID = exampleOf(m.ID, "019c13a7-6f4b-7000-8000-000000000001")
	return domain.MessageViewOf(exampleMessage().Conversation, m, nil, nil)
}

func exampleDetail() conversationDetail {
	return conversationDetail{ConversationView: exampleConversation(), Messages: []domain.MessageView{exampleMessage()}}
}

func exampleEvent() domain.AuditView {
	agent := exampleAgentRef()
	e := domain.AuditView{Seq: 3, Type: domain.AuditAccepted, Actor: &agent, CreatedAt: exampleTime(16)}
	e.ID = exampleOf(e.ID, "019c13a6-0000-7000-8000-000000000001")
	e.Conversation = exampleOf(e.Conversation, "7b0d5c0e-52f5-5a3c-9a38-3f0e1c1b6a10")
	e.Facts.Agent = agent.ID
	return e
}

func exampleAgent() domain.AgentView {
	agent := exampleAgentRef()
	return domain.AgentView{
		ID: agent.ID, Name: agent.Name, Presence: domain.Online, LastSeenAt: exampleTime(16),
		AssignedCount: 3, MaxConversations: new(10),
	}
}

func exampleAttachment() uploadedFile {
	a := uploadedFile{FileName: new("invoice.pdf"), MimeType: "application/pdf", SizeBytes: 48211}
	a.ID = exampleOf(a.ID, "019c13a7-0000-7000-8000-000000000001")
	a.URL = "https://inbox.example.com/api/attachments/019c13a7-0000-7000-8000-000000000001?expires=1769860800&signature=Q3JlYXRlZCBieSB1cw"
	return a
}

func exampleList[T any](row T) list[T] {
	return list[T]{Data: []T{row}, Meta: domain.Page{Number: 1, Limit: 20}.Meta(1, false)}
}

func exampleMe() meBody {
	agent := exampleAgentRef()
	me := meBody{ID: agent.ID, Name: agent.Name, Email: "agent@example.com", Role: domain.RoleAgent, Status: domain.UserActive}
	me.Organization = exampleOf(me.Organization, "018f2a4e-0000-7000-8000-0000000000aa")
	return me
}

func exampleLogin() loginAnswer {
	me := exampleMe()
	return loginAnswer{
		SessionTokens: SessionTokens{
			AccessToken: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl", RefreshToken: "bm90LWEtcmVhbC10b2tlbg", ExpiresIn: 900,
		},
		User: loginUser{ID: me.ID, Name: me.Name, Email: me.Email, Role: me.Role, Organization: me.Organization},
	}
}

func exampleReady() readyBody {
	return readyBody{Status: "ready", Checks: []checkBody{{Name: "postgresql", OK: true}}}
}

// exampleProblem is the likeliest problem of a status.
func exampleProblem(status int) *Problem {
	switch status {
	case 401:
		return problemOf(unauthorized("token_missing", "The call needs an access token: Authorization: Bearer <token>.", ""))
	case 403:
		return refused(&domain.Refusal{Code: domain.CodeNotHolder, Status: domain.Pending})
	case 404:
		return problemOf(domain.ErrNotFound)
	case 409:
		agent := exampleAgentRef()
		return refused(&domain.Refusal{
			Code: domain.CodeAlreadyAssigned, Status: domain.Assigned, Holder: agent.ID, HolderName: agent.Name,
			AssignedAt: time.Time(exampleTime(16)),
		})
	case 422:
		return invalid("query", "limit", "expected number <= 100")
	case 429:
		return throttled(throttleWindow)
	case 503:
		return problemOf(domain.ErrUnavailable)
	case 504:
		return problemOf(domain.ErrOutcomeUnknown)
	}
	return problem(status, codeOf(status), "")
}
