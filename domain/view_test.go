package domain

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMessageView(t *testing.T) {
	t.Parallel()
	m := Message{
		ID: testID[messageKind](1), Direction: Inbound, Type: TypeImage, Body: "caption", MediaType: "image/png",
		ProviderMessageID: "wamid", Status: StatusDelivered, CreatedAt: testStart, UpdatedAt: testStart,
		Metadata: MessageMetadata{
			Edits: []Edit{{Body: "before", At: testStart}}, Standby: true, Media: []Media{{ID: "7"}},
			Reactions: map[string]Reaction{byCustomer: {Emoji: "❤", At: testStart}},
		},
	}
	files := []AttachmentView{{ID: testID[attachmentKind](2), State: AttachmentStored}}
	golden(t, `{
		"id": "aa000000-0000-0000-0000-000000000001", "conversationId": "aa000000-0000-0000-0000-000000000009",
		"direction": "INBOUND", "agentId": null, "body": "caption", "mediaUrl": null, "mediaType": "image/png", "type": "image",
		"status": "DELIVERED", "providerMessageId": "wamid", "replyToMessageId": null, "sendState": null,
		"attachments": [{"id": "aa000000-0000-0000-0000-000000000002", "state": "stored", "failure": null, "url": null, "fileName": null, "mimeType": null, "sizeBytes": null}],
		"metadata": {"media": [{"id": "7"}], "edits": [{"body": "before", "at": "2026-11-02T10:00:00.000Z"}], "standby": true},
		"reactions": [{"by": "customer", "emoji": "❤", "at": "2026-11-02T10:00:00.000Z"}],
		"errorCode": null, "errorMessage": null, "providerTimestamp": null, "editedAt": null, "deletedAt": null,
		"createdAt": "2026-11-02T10:00:00.000Z", "updatedAt": "2026-11-02T10:00:00.000Z"
	}`, MessageViewOf(testID[conversationKind](9), m, files, nil))

	m.DeletedAt = testStart.Add(time.Second)
	gone := MessageViewOf(testID[conversationKind](9), m, files, nil)
	require.Nil(t, gone.Body)
	require.Nil(t, gone.MediaType)
	require.Empty(t, gone.Attachments)
	require.Equal(t, MetadataView{}, gone.Metadata, "former texts are gone too")
	require.Nil(t, SummaryOf(m).Body)
}

func TestMessageViewOfASend(t *testing.T) {
	t.Parallel()
	v := MessageViewOf(ConversationID{}, Message{Direction: Outbound, SendState: SendQueued, ErrorCode: "1"}, nil, nil)
	require.Equal(t, SendQueued, *v.SendState)
	require.Equal(t, "1", *v.ErrorCode)
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	require.Contains(t, string(encoded), `"attachments":[]`)
	require.Contains(t, string(encoded), `"reactions":[]`)
	require.Equal(t, "x", *SummaryOf(Message{Body: "x"}).Body)
}

func TestPasswordHashIsHidden(t *testing.T) {
	t.Parallel()
	u := LoginUser{User: alice, PasswordHash: "$argon2id$secret"}
	encoded, err := json.Marshal(u)
	require.NoError(t, err)
	for _, shown := range []string{
		string(encoded), fmt.Sprint(u), fmt.Sprintf("%+v", u), fmt.Sprintf("%#v", u), fmt.Sprintf("%s %q", u.PasswordHash, u.PasswordHash),
	} {
		require.NotContains(t, shown, "secret")
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	require.Equal(t, 0, Page{Number: 1, Limit: 20}.Offset())
	require.Equal(t, 40, Page{Number: 3, Limit: 20}.Offset())
	for total, pages := range map[int]int{0: 0, 1: 1, 20: 1, 21: 2, MaxRows: 500} {
		meta := Page{Number: 2, Limit: 20}.Meta(total, total == MaxRows)
		require.Equal(t, PageMeta{Total: total, Page: 2, Limit: 20, TotalPages: pages, TotalIsCapped: total == MaxRows}, meta)
	}
}

func TestErrorsTellNoValues(t *testing.T) {
	t.Parallel()
	misrouted := &MisroutedError{Alias: number("15550100177"), Owner: testID[contactKind](1)}
	require.NotContains(t, misrouted.Error(), "15550100177", "a customer's number isn't for logs")
	require.Contains(t, misrouted.Error(), misrouted.Owner.String())
	refused := fmt.Errorf("store: %w", &ValueError{Reason: "22P05 untranslatable character"})
	var value *ValueError
	require.ErrorAs(t, refused, &value)
	require.Contains(t, refused.Error(), "22P05")
}

func TestLineage(t *testing.T) {
	t.Parallel()
	var l Lineage
	require.False(t, l.Broken())
	l.Break()
	l.Break()
	require.True(t, l.Broken())
}
