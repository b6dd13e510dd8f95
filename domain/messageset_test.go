package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTargetsOf(t *testing.T) {
	t.Parallel()
	id := testID[messageKind](1)
	for _, tt := range []struct {
		event InboundEvent
		want  Targets
	}{
		{customerText("m", testStart), Targets{}},
		{CustomerReaction{ProviderID: "r", Target: "m"}, Targets{ProviderIDs: []string{"m"}}},
		{MessageEdited{ProviderID: "e", Target: "m"}, Targets{ProviderIDs: []string{"m"}}},
		{MessageRevoked{Target: "m"}, Targets{ProviderIDs: []string{"m"}}},
		{BusinessEcho{ProviderID: "m", Ours: id}, Targets{ProviderIDs: []string{"m"}, IDs: []MessageID{id}}},
		{BusinessEcho{ProviderID: "m"}, Targets{ProviderIDs: []string{"m"}}},
		{StatusReport{ProviderID: "m", Ours: id}, Targets{ProviderIDs: []string{"m"}, IDs: []MessageID{id}}},
		{StatusReport{Ours: id}, Targets{IDs: []MessageID{id}}},
		{Watermark{UpTo: testStart, Named: []string{"a", "b"}}, Targets{ProviderIDs: []string{"a", "b"}, UnreadUpTo: testStart}},
		{SystemNotice{ProviderID: "m"}, Targets{}},
		{ThreadNote{Key: "k"}, Targets{}},
	} {
		got := TargetsOf(Receive{Event: tt.event})
		require.Equal(t, tt.want, got, "%T", tt.event)
		require.Equal(t, got.IsZero(), len(tt.want.IDs)+len(tt.want.ProviderIDs) == 0 && tt.want.UnreadUpTo.IsZero())
	}
	for _, command := range agentCommands {
		require.True(t, TargetsOf(command.make(by(alice), Conversation{})).IsZero(), command.name)
	}
}

func TestMessageSetLearns(t *testing.T) {
	t.Parallel()
	m := Message{ID: testID[messageKind](1), ProviderMessageID: "a", Direction: Outbound, Status: StatusSent}
	other := testID[messageKind](2)
	targets := Targets{ProviderIDs: []string{"a", "b"}, IDs: []MessageID{m.ID, other}, UnreadUpTo: testStart}

	var set MessageSet
	require.Equal(t, targets, set.Lacks(targets), "the zero value knows nothing")
	require.Zero(t, set.Len())
	set.Learn(targets, []Message{m})
	require.True(t, set.Lacks(targets).IsZero(), "also what wasn't found is known")
	require.Equal(t, 1, set.Len())
	later := Targets{ProviderIDs: []string{"c"}, UnreadUpTo: testStart.Add(time.Second)}
	require.Equal(t, later, set.Lacks(later))
	set.Learn(Targets{UnreadUpTo: testStart.Add(-time.Hour)}, nil)
	require.True(t, set.Lacks(targets).IsZero(), "knowing less takes nothing away")

	got, ok := set.provider("a")
	require.True(t, ok)
	require.Equal(t, m, got)
	got, ok = set.message(m.ID)
	require.True(t, ok)
	require.Equal(t, m, got)
	for _, id := range []string{"b", "c", ""} {
		_, ok = set.provider(id)
		require.False(t, ok, id)
	}
	_, ok = set.message(other)
	require.False(t, ok)
}

func TestMessageSetFollowsChanges(t *testing.T) {
	t.Parallel()
	var set MessageSet
	id := testID[messageKind](1)
	set.Learn(Targets{IDs: []MessageID{id}, ProviderIDs: []string{"a"}}, nil)
	set.Apply(Change{Inserts: []Message{{ID: id, Direction: Outbound, Status: StatusPending}}})
	m, ok := set.message(id)
	require.True(t, ok, "what didn't exist does now")
	m.ProviderMessageID, m.Status = "a", StatusRead
	set.Apply(Change{Updates: []Message{m}})
	byProvider, ok := set.provider("a")
	require.True(t, ok)
	require.Equal(t, StatusRead, byProvider.Status)

	// A load that read before the change was stored mustn't set it back.
	stale := m
	stale.Status = StatusSent
	set.Learn(Targets{ProviderIDs: []string{"a"}}, []Message{stale})
	m, _ = set.message(id)
	require.Equal(t, StatusRead, m.Status)
}

func TestDecideKnowsNothingOfNoSet(t *testing.T) {
	t.Parallel()
	var none *MessageSet
	_, ok := none.message(testID[messageKind](1))
	require.False(t, ok)
	_, ok = none.provider("a")
	require.False(t, ok)
	require.Empty(t, none.unread())
}
