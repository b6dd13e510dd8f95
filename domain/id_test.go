package domain

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const plainID = "0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506"

func TestParseID(t *testing.T) {
	t.Parallel()
	id, err := ParseID[userKind](plainID)
	require.NoError(t, err)
	require.Equal(t, plainID, id.String())
	upper, err := ParseID[userKind](strings.ToUpper(plainID))
	require.NoError(t, err)
	require.Equal(t, id, upper)
	for _, s := range []string{
		"", " ", plainID[:35], plainID + "0", "{" + plainID + "}", "urn:uuid:" + plainID,
		strings.ReplaceAll(plainID, "-", ""), strings.Replace(plainID, "-", "_", 1),
		strings.Replace(plainID, "0", "g", 1), " " + plainID[1:], plainID[:35] + "\x00", "é" + plainID[2:],
	} {
		_, err := ParseID[userKind](s)
		require.Error(t, err, "%q", s)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(plainID)
	f.Add(strings.ToUpper(plainID))
	f.Add("{" + plainID + "}")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID[userKind](s)
		if err != nil {
			require.True(t, id.IsZero())
			return
		}
		require.Equal(t, strings.ToLower(s), id.String(), "one thing has one name")
	})
}

func TestIDAsText(t *testing.T) {
	t.Parallel()
	id, err := ParseID[messageKind](plainID)
	require.NoError(t, err)
	encoded, err := json.Marshal(map[MessageID]MessageID{id: id})
	require.NoError(t, err)
	require.JSONEq(t, `{"`+plainID+`":"`+plainID+`"}`, string(encoded))
	var decoded map[MessageID]MessageID
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	require.Equal(t, id, decoded[id])
	require.Equal(t, plainID, fmt.Sprint(id))
	require.Error(t, json.Unmarshal([]byte(`"{`+plainID+`}"`), &id))
	require.Equal(t, plainID, id.String(), "what can't be read changes nothing")
	require.Equal(t, "00000000-0000-0000-0000-000000000000", MessageID{}.String())
}

func TestIDInSQL(t *testing.T) {
	t.Parallel()
	id, err := ParseID[userKind](plainID)
	require.NoError(t, err)
	value, err := id.Value()
	require.NoError(t, err)
	require.Equal(t, plainID, value)
	value, err = UserID{}.Value()
	require.NoError(t, err)
	require.Nil(t, value, "none is NULL")

	for name, src := range map[string]any{"text": plainID, "bytes": []byte(plainID), "binary": id[:]} {
		var scanned UserID
		require.NoError(t, scanned.Scan(src), name)
		require.Equal(t, id, scanned, name)
	}
	scanned := id
	require.NoError(t, scanned.Scan(nil))
	require.True(t, scanned.IsZero(), "NULL is none, also where an id was before")
	for _, src := range []any{"x", 7, []byte("short")} {
		require.Error(t, scanned.Scan(src), "%v", src)
	}
}

// The computed ids decide which rows belong together, for ever: whoever changes
// one of these values orphans every stored conversation.
func TestComputedIDsArePinned(t *testing.T) {
	t.Parallel()
	organization := OrganizationID(uuid.MustParse("11111111-2222-4333-8444-555555555555"))
	channel := ChannelID(uuid.MustParse("66666666-7777-4888-9999-aaaaaaaaaaaa"))
	for _, tt := range []struct {
		provider     Provider
		alias        string
		contact      string
		conversation string
	}{
		{WhatsApp, "15550100177", "65189f77-9284-5297-ab4e-8070db9fe2aa", "5052f8ce-2e44-5add-8258-f6bef469ca99"},
		{WhatsApp, "US.13491208655302741918", "fcb26cb5-2d9b-5644-8715-28408001aaee", "9e9c01ab-1576-5836-b644-ab7de8ac46d1"},
		{Messenger, "7412589630147852", "9090cb86-4361-5361-9a7d-e5674ef2fb72", "b0818aa3-639e-5758-8bbc-cf574523e4a1"},
	} {
		contact := ContactIDFor(organization, tt.provider, tt.alias)
		require.Equal(t, tt.contact, contact.String())
		require.Equal(t, tt.conversation, ConversationIDFor(channel, contact).String())
	}
}

func TestComputedIDsTellApart(t *testing.T) {
	t.Parallel()
	other := testID[organizationKind](200)
	ids := map[ContactID]string{}
	for _, org := range []OrganizationID{testOrg, other} {
		for _, p := range []Provider{WhatsApp, Messenger} {
			for _, alias := range []string{"", "1", "11", "1\x00", "\x001"} {
				id := ContactIDFor(org, p, alias)
				require.Equal(t, id, ContactIDFor(org, p, alias))
				require.Empty(t, ids[id])
				ids[id] = fmt.Sprint(org, p, alias)
			}
		}
	}
	a, b := testID[contactKind](1), testID[contactKind](2)
	require.NotEqual(t, ConversationIDFor(testChannel.ID, a), ConversationIDFor(testChannel.ID, b))
	require.NotEqual(t, ConversationIDFor(testChannel.ID, a), ConversationIDFor(pageChannel.ID, a))
}

// A letter that is posted again is the same letter; another is another.
func TestDeadLetterIDs(t *testing.T) {
	t.Parallel()
	letter := DeadLetter{
		Organization: OrganizationID(uuid.MustParse("11111111-2222-4333-8444-555555555555")), Provider: WhatsApp,
		Account: "108765432109876", Reason: "unknown_channel", Payload: []byte(`{"object":"x"}`),
	}
	id := DeadLetterIDFor(letter)
	require.Equal(t, "b36d13d5-bf3f-51cf-8b55-505c99b20279", id.String())
	again := letter
	again.Detail, again.Headers, again.ReceivedAt = "d", map[string]string{"a": "b"}, testStart
	require.Equal(t, id, DeadLetterIDFor(again), "when and how it came doesn't matter")
	for _, change := range []func(*DeadLetter){
		func(l *DeadLetter) { l.Organization = OrganizationID{} },
		func(l *DeadLetter) { l.Provider = Messenger },
		func(l *DeadLetter) { l.Account = "2" },
		func(l *DeadLetter) { l.Reason = "refused" },
		func(l *DeadLetter) { l.Payload = []byte(`{}`) },
	} {
		other := letter
		change(&other)
		require.NotEqual(t, id, DeadLetterIDFor(other))
	}
}

func TestShard(t *testing.T) {
	t.Parallel()
	pinned := ConversationID(uuid.MustParse(plainID))
	require.Equal(t, 0xf506%Shards, Shard(pinned))

	const perShard = 40
	counts := [Shards]int{}
	for i := range Shards * perShard {
		contact := ContactIDFor(testOrg, WhatsApp, fmt.Sprint(15550100000+i))
		counts[Shard(ConversationIDFor(testChannel.ID, contact))]++
	}
	for shard, n := range counts {
		// Six standard deviations of a fair choice.
		require.InDelta(t, perShard, n, 38, "shard %d", shard)
	}
}
