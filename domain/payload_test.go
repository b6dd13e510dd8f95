package domain

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// golden compares the JSON of a payload with the contract, field by field.
func golden(t *testing.T, want string, payload any) {
	t.Helper()
	encoded, err := json.Marshal(payload)
	require.NoError(t, err)
	require.JSONEq(t, want, string(encoded))
}

// notice is the one of that name in a change.
func notice(t *testing.T, change Change, name EventName) Notice {
	t.Helper()
	i := slices.Index(names(change), name)
	require.GreaterOrEqual(t, i, 0, "%s in %v", name, names(change))
	return change.Notices[i]
}

func TestConversationCreatedPayload(t *testing.T) {
	t.Parallel()
	th := newThread(t)
	change := th.receive(CustomerMessage{ProviderID: "1", At: testStart, Type: TypeText, Body: "hello"})
	n := notice(t, change, EventConversationCreated)
	require.Equal(t, []Room{OrgRoom(testOrg)}, n.Rooms)
	require.False(t, n.Activity)
	golden(t, `{
		"id": "`+th.c.ID.String()+`",
		"organizationId": "aa000000-0000-0000-0000-000000000001",
		"channelId": "aa000000-0000-0000-0000-000000000003",
		"contactId": "`+th.c.Contact.String()+`",
		"status": "PENDING",
		"lastMessageAt": "2026-11-02T10:00:01.000Z",
		"createdAt": "2026-11-02T10:00:01.000Z",
		"version": 1,
		"unreadCount": 1,
		"contact": {"id": "`+th.c.Contact.String()+`", "providerId": "15550100177", "displayName": "Dana", "provider": "WHATSAPP"},
		"channel": {"id": "aa000000-0000-0000-0000-000000000003", "name": "Sales", "provider": "WHATSAPP"}
	}`, n.Payload)
	require.Equal(t, []EventName{EventConversationCreated, EventMessageCreated}, names(change))
}

func TestConversationUpdatedPayload(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	change := th.must(Accept{By: by(alice)})
	n := notice(t, change, EventConversationUpdated)
	require.Equal(t, []Room{OrgRoom(testOrg)}, n.Rooms)
	golden(t, `{
		"id": "`+th.c.ID.String()+`",
		"status": "ASSIGNED",
		"assignedAgentId": "aa000000-0000-0000-0000-00000000000a",
		"lastMessageAt": "2026-11-02T10:00:02.000Z",
		"updatedAt": "2026-11-02T10:00:03.000Z",
		"version": 3,
		"unreadCount": 2,
		"contact": {"id": "`+th.c.Contact.String()+`", "displayName": "Dana"},
		"assignedAgent": {"id": "aa000000-0000-0000-0000-00000000000a", "name": "Alice"}
	}`, n.Payload)
	golden(t, `{
		"id": "`+th.c.ID.String()+`",
		"status": "PENDING",
		"assignedAgentId": null,
		"lastMessageAt": "2026-11-02T10:00:02.000Z",
		"updatedAt": "2026-11-02T10:00:04.000Z",
		"version": 4,
		"unreadCount": 2,
		"contact": {"id": "`+th.c.Contact.String()+`", "displayName": "Dana"}
	}`, notice(t, th.must(Release{By: by(alice)}), EventConversationUpdated).Payload)
}

func TestAssignmentChangedPayload(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	id := `"conversationId": "` + th.c.ID.String() + `",`
	a, b := `"aa000000-0000-0000-0000-00000000000a"`, `"aa000000-0000-0000-0000-00000000000b"`
	for _, step := range []struct {
		cmd  Command
		want string
	}{
		{Accept{By: by(alice)}, `"status":"ASSIGNED","assignedAgentId":` + a + `,"previousAgentId":null,"eventType":"ACCEPTED"`},
		{Reassign{By: by(alice), To: bob}, `"status":"ASSIGNED","assignedAgentId":` + b + `,"previousAgentId":` + a + `,"eventType":"REASSIGNED"`},
		{Release{By: by(bob)}, `"status":"PENDING","assignedAgentId":null,"previousAgentId":` + b + `,"eventType":"RELEASED"`},
		{Accept{By: by(alice)}, `"status":"ASSIGNED","assignedAgentId":` + a + `,"previousAgentId":null,"eventType":"ACCEPTED"`},
		{
			ReleaseIf{Agent: alice.ID, Event: AuditAgentDisconnected},
			`"status":"PENDING","assignedAgentId":null,"previousAgentId":` + a + `,"eventType":"AGENT_DISCONNECTED"`,
		},
		{Accept{By: by(bob)}, `"status":"ASSIGNED","assignedAgentId":` + b + `,"previousAgentId":null,"eventType":"ACCEPTED"`},
		{Complete{By: by(bob)}, `"status":"COMPLETED","assignedAgentId":` + b + `,"previousAgentId":` + b + `,"eventType":"COMPLETED"`},
		{Reopen{By: by(alice)}, `"status":"PENDING","assignedAgentId":null,"previousAgentId":` + b + `,"eventType":"REOPENED"`},
	} {
		if releaseIf, ok := step.cmd.(ReleaseIf); ok {
			releaseIf.Assignment = th.c.Assignment
			step.cmd = releaseIf
		}
		n := notice(t, th.must(step.cmd), EventAssignmentChanged)
		require.Equal(t, []Room{OrgRoom(testOrg)}, n.Rooms)
		golden(t, fmt.Sprintf(`{%s%s,"version":%d}`, id, step.want, th.c.Version), n.Payload)
	}
}

func TestMessageCreatedPayload(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	platform := time.Date(2026, 11, 2, 11, 0, 1, 234567000, time.FixedZone("", 3600))
	change := th.receive(CustomerMessage{ProviderID: "3", At: platform, Type: TypeImage, Body: "look", MediaType: "image/png"})
	n := notice(t, change, EventMessageCreated)
	require.Equal(t, []Room{
		Room("conversation:" + th.c.ID.String()), "agent:aa000000-0000-0000-0000-00000000000a",
	}, n.Rooms)
	golden(t, `{
		"id": "`+th.newest().ID.String()+`",
		"conversationId": "`+th.c.ID.String()+`",
		"direction": "INBOUND",
		"agentId": null,
		"body": "look",
		"mediaUrl": null,
		"mediaType": "image/png",
		"type": "image",
		"status": "DELIVERED",
		"providerTimestamp": "2026-11-02T10:00:01.234Z",
		"createdAt": "2026-11-02T10:00:04.000Z"
	}`, n.Payload)
	change = th.must(Send{By: by(alice), Draft: Draft{Type: TypeImage, MediaURL: "https://x.example/a", MediaType: "image/png"}})
	golden(t, `{
		"id": "`+th.newest().ID.String()+`",
		"conversationId": "`+th.c.ID.String()+`",
		"direction": "OUTBOUND",
		"agentId": "aa000000-0000-0000-0000-00000000000a",
		"body": null,
		"mediaUrl": "https://x.example/a",
		"mediaType": "image/png",
		"type": "image",
		"status": "PENDING",
		"providerTimestamp": null,
		"createdAt": "2026-11-02T10:00:05.000Z"
	}`, notice(t, change, EventMessageCreated).Payload)

	th.must(Release{By: by(alice)})
	change = th.receive(customerText("4", th.now))
	require.Equal(t, []Room{ConversationRoom(th.c.ID)}, notice(t, change, EventMessageCreated).Rooms, "nobody holds it")
}

func TestMessageUpdatedPayload(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("out")
	head := `"id": "` + id.String() + `", "conversationId": "` + th.c.ID.String() + `",`
	change := th.receive(StatusReport{ProviderID: "out", At: th.now, Status: StatusFailed, ErrorCode: "131026", ErrorMessage: "undeliverable"})
	n := notice(t, change, EventMessageUpdated)
	require.Equal(t, []Room{ConversationRoom(th.c.ID), AgentRoom(alice.ID)}, n.Rooms)
	golden(t, `{`+head+`"status": "FAILED", "errorCode": "131026", "errorMessage": "undeliverable", "body": "answer",
		"updatedAt": "2026-11-02T10:00:06.000Z"}`, n.Payload)

	change = th.receive(CustomerReaction{ProviderID: "r", Target: "out", At: th.now, Emoji: "❤"})
	golden(t, `{`+head+`"status": "FAILED", "errorCode": "131026", "errorMessage": "undeliverable", "body": "answer",
		"reactions": [{"by": "customer", "emoji": "❤", "at": "2026-11-02T10:00:06.000Z"}],
		"updatedAt": "2026-11-02T10:00:07.000Z"}`, notice(t, change, EventMessageUpdated).Payload)
	change = th.receive(CustomerReaction{ProviderID: "r2", Target: "out", At: th.now})
	golden(t, `{`+head+`"status": "FAILED", "errorCode": "131026", "errorMessage": "undeliverable", "body": "answer",
		"reactions": [], "updatedAt": "2026-11-02T10:00:08.000Z"}`, notice(t, change, EventMessageUpdated).Payload)

	head = `"id": "` + th.stored[0].ID.String() + `", "conversationId": "` + th.c.ID.String() + `",`
	change = th.receive(MessageEdited{Target: "in-1", At: th.now, Body: "better"})
	golden(t, `{`+head+`"status": "DELIVERED", "body": "better", "editedAt": "2026-11-02T10:00:08.000Z",
		"updatedAt": "2026-11-02T10:00:09.000Z"}`, notice(t, change, EventMessageUpdated).Payload)
	change = th.receive(MessageRevoked{Target: "in-1", At: th.now})
	golden(t, `{`+head+`"status": "DELIVERED", "editedAt": "2026-11-02T10:00:08.000Z", "deletedAt": "2026-11-02T10:00:09.000Z",
		"updatedAt": "2026-11-02T10:00:10.000Z"}`, notice(t, change, EventMessageUpdated).Payload)
	golden(t, `{`+head+`"status": "PENDING", "sendState": "sending", "mediaUrl": "https://x.example/a",
		"updatedAt": null}`, updatedMessage(th.c.ID, Message{
		ID: th.stored[0].ID, Status: StatusPending, SendState: SendSending, MediaURL: "https://x.example/a",
	}))
}

func TestOtherPayloads(t *testing.T) {
	t.Parallel()
	golden(t, `{"agentId":"aa000000-0000-0000-0000-00000000000a","status":"AWAY","lastSeenAt":"2026-11-02T10:00:00.000Z"}`,
		AgentPresence{Agent: alice.ID, Status: Away, LastSeenAt: Timestamp(testStart)})
	golden(t, `{"conversationId":"00000000-0000-0000-0000-000000000000","agentId":"aa000000-0000-0000-0000-00000000000a","on":true}`,
		Typing{Agent: alice.ID, On: true})
}

func TestReactionsOfBoth(t *testing.T) {
	t.Parallel()
	m := Message{Metadata: MessageMetadata{Reactions: map[string]Reaction{
		"business": {Emoji: "👍", At: testStart}, byCustomer: {Emoji: "❤", At: testStart}, "nobody": {Emoji: "x"},
	}}}
	require.Equal(t, []ReactionView{
		{By: "customer", Emoji: "❤", At: Timestamp(testStart)}, {By: "business", Emoji: "👍", At: Timestamp(testStart)},
	}, ReactionsOf(m))
}

func TestTimestamp(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		`"2026-11-02T10:00:00.000Z"`:      testStart,
		`"2026-11-02T10:00:00.123Z"`:      testStart.Add(123 * time.Millisecond),
		`"2026-11-02T12:00:00.000+02:00"`: testStart,
		`null`:                            {},
	} {
		var got Timestamp
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.True(t, want.Equal(time.Time(got)), text)
		encoded, err := json.Marshal(got)
		require.NoError(t, err)
		if want.IsZero() {
			require.Equal(t, "null", string(encoded))
			continue
		}
		require.Equal(t, want.Format(`"`+TimestampLayout+`"`), string(encoded))
	}
	var got Timestamp
	require.Error(t, json.Unmarshal([]byte(`"yesterday"`), &got))
	require.Error(t, json.Unmarshal([]byte(`7`), &got))
}

func TestRooms(t *testing.T) {
	t.Parallel()
	const suffix = "aa000000-0000-0000-0000-000000000001"
	require.Equal(t, Room("org:"+suffix), OrgRoom(testOrg))
	require.Equal(t, Room("agent:"+suffix), AgentRoom(testID[userKind](1)))
	require.Equal(t, Room("session:"+suffix), SessionRoom(testID[sessionKind](1)))
	require.Equal(t, Room("conversation:"+suffix), ConversationRoom(testID[conversationKind](1)))
	require.Equal(t, "e1:18446744073709551615", FeedEvent{Epoch: "e1", Seq: 1<<64 - 1}.Offset())
}
