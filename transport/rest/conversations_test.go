package rest

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestListConversations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	channel, other := newID(domain.ChannelID{}), newID(domain.UserID{})
	page := domain.Page{Number: 1, Limit: 20}
	tests := []struct {
		query string
		want  domain.ConversationFilter
	}{
		{"", domain.ConversationFilter{Sort: domain.SortNewest, Page: page}},
		{"?status=PENDING&status=ASSIGNED&status=PENDING", domain.ConversationFilter{
			Statuses: []domain.ConversationStatus{domain.Assigned, domain.Pending}, Sort: domain.SortNewest, Page: page,
		}},
		{"?assignedTo=me", domain.ConversationFilter{Holder: f.agent.ID, Sort: domain.SortNewest, Page: page}},
		{"?assignedTo=" + other.String(), domain.ConversationFilter{Holder: other, Sort: domain.SortNewest, Page: page}},
		{"?channelId=" + channel.String(), domain.ConversationFilter{Channel: channel, Sort: domain.SortNewest, Page: page}},
		{"?search=+caf%C3%A9+&sort=lastMessageAt&page=3&limit=50", domain.ConversationFilter{
			Search: "café", Sort: domain.SortOldest, Page: domain.Page{Number: 3, Limit: 50},
		}},
	}
	for _, test := range tests {
		a := f.as(f.agent, http.MethodGet, "/api/conversations"+test.query, "")
		require.Equal(t, 200, a.status, "%s", a.raw)
		require.Equal(t, test.want, f.conversations.filter, test.query)
	}
	a := f.as(f.agent, http.MethodGet, "/api/conversations", "")
	require.Equal(t, map[string]any{
		"total": 1.0, "page": 1.0, "limit": 20.0, "totalPages": 1.0, "totalIsCapped": false,
	}, a.body["meta"])
	row := a.body["data"].([]any)[0].(map[string]any)
	require.Equal(t, f.conversation.String(), row["id"])
	for _, name := range []string{"assignedAgentId", "assignedAgent", "assignedAt", "lastMessage", "windowExpiresAt"} {
		value, has := row[name]
		require.True(t, has, name)
		require.Nil(t, value, name)
	}
	require.Equal(t, "[]", fmt.Sprint(f.as(f.foreigner, http.MethodGet, "/api/conversations", "").body["data"]))
}

// messages makes n messages of the fixture's conversation, newest first.
func (f *fixture) messages(n int) []domain.MessageView {
	out := make([]domain.MessageView, n)
	for i := range n {
		id, err := uuid.NewV7()
		require.NoError(f.t, err)
		out[n-1-i] = domain.MessageViewOf(f.conversation, domain.Message{ID: domain.MessageID(id), Body: fmt.Sprint(i), CreatedAt: time.Now()}, nil, nil)
	}
	return out
}

func TestConversationWithItsLatestMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	empty := f.as(f.agent, http.MethodGet, f.path("/api/conversations/{id}"), "")
	require.Equal(t, []any{}, empty.body["messages"])

	f.conversations.messages = f.messages(60)
	a := f.as(f.agent, http.MethodGet, f.path("/api/conversations/{id}"), "")
	require.Equal(t, f.conversation.String(), a.body["id"])
	messages := a.body["messages"].([]any)
	require.Len(t, messages, 50)
	require.Equal(t, "10", messages[0].(map[string]any)["body"], "oldest of the latest first")
	require.Equal(t, "59", messages[49].(map[string]any)["body"])
}

func TestMessagesPageByPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.conversations.messages = f.messages(25)
	var seen []string
	cursor := ""
	for range 3 {
		path := f.path("/api/conversations/{id}/messages?limit=10&cursor=" + cursor)
		a := f.as(f.agent, http.MethodGet, path, "")
		require.Equal(t, 200, a.status, "%s", a.raw)
		for _, m := range a.body["data"].([]any) {
			seen = append(seen, m.(map[string]any)["body"].(string))
		}
		// A message that arrives meanwhile doesn't move what comes next.
		f.conversations.messages = append(f.messages(1), f.conversations.messages...)
		next, more := a.body["nextCursor"].(string)
		if !more {
			require.Nil(t, a.body["nextCursor"])
			break
		}
		cursor = next
	}
	require.Len(t, seen, 25)
	for i, body := range seen {
		require.Equal(t, fmt.Sprint(24-i), body)
	}
}

func TestMessagesWithoutAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.conversations.messages = f.messages(10)
	a := f.as(f.agent, http.MethodGet, f.path("/api/conversations/{id}/messages?limit=10"), "")
	require.Len(t, a.body["data"], 10)
	require.Nil(t, a.body["nextCursor"])
}

// TestACursorIsOfOneConversation: another conversation's cursor would silently
// start somewhere.
func TestACursorIsOfOneConversation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	foreign := cursor(newID(f.conversation), newID(domain.MessageID{}))
	a := f.as(f.agent, http.MethodGet, f.path("/api/conversations/{id}/messages?cursor="+foreign), "")
	f.problem(a, 422, "validation_failed")
	require.Equal(t, "query.cursor", fieldOf(a))
}

func TestEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.as(f.agent, http.MethodGet, f.path("/api/conversations/{id}/events"), "")
	row := a.body["data"].([]any)[0].(map[string]any)
	require.Equal(t, "CREATED", row["eventType"])
	require.Nil(t, row["actor"])
	require.EqualValues(t, 1, a.body["meta"].(map[string]any)["total"])
}

func TestCommandsReachTheInbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	by := asCaller(f.agent)
	tests := map[string]domain.Command{
		"accept": domain.Accept{By: by}, "release": domain.Release{By: by}, "complete": domain.Complete{By: by},
		"reopen": domain.Reopen{By: by}, "read": domain.Read{By: by}, "reassign": domain.Reassign{By: by, To: f.admin},
	}
	for name, want := range tests {
		body := ""
		if name == "reassign" {
			body = `{"agentId":"` + f.admin.ID.String() + `"}`
		}
		a := f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/"+name), body)
		require.Equal(t, 200, a.status, "%s: %s", name, a.raw)
		require.Equal(t, want, f.inbox.last, name)
		require.Equal(t, f.conversation.String(), a.body["id"], name)
		require.Contains(t, a.body, "lastMessage", name)
	}
}

func TestAgents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stored := domain.Timestamp(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	live := domain.Timestamp(time.Date(2026, 1, 31, 9, 15, 2, 123e6, time.UTC))
	f.users.agents = []domain.AgentView{
		{ID: f.agent.ID, Name: "Ada", LastSeenAt: stored, AssignedCount: 2, MaxConversations: new(5)},
		{ID: f.admin.ID, Name: "Grace", Presence: domain.Online, LastSeenAt: stored},
	}
	f.presences.present = map[domain.UserID]domain.AgentPresence{f.agent.ID: {Agent: f.agent.ID, Status: domain.Away, LastSeenAt: live}}

	a := f.as(f.agent, http.MethodGet, "/api/agents", "")
	require.Equal(t, []any{
		map[string]any{
			"id": f.agent.ID.String(), "name": "Ada", "avatarUrl": nil, "presence": "AWAY",
			"lastSeenAt": "2026-01-31T09:15:02.123Z", "assignedCount": 2.0, "maxConversations": 5.0,
		},
		map[string]any{
			"id": f.admin.ID.String(), "name": "Grace", "avatarUrl": nil, "presence": "OFFLINE",
			"lastSeenAt": "2026-01-01T00:00:00.000Z", "assignedCount": 0.0, "maxConversations": nil,
		},
	}, a.body["data"])
	require.Empty(t, f.users.agents[0].Presence, "the storage's rows are not ours to change")

	f.presences.err = domain.ErrUnavailable
	require.Equal(t, 503, f.as(f.agent, http.MethodGet, "/api/agents", "").status, "who is present isn't guessed")
}
