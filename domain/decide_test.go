package domain

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unixMilliOf(id MessageID) int64 {
	return int64(binary.BigEndian.Uint64(id[:8]) >> 16)
}

func TestMessageIDsCarryTheTime(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	requireV7(t, id)
	require.Equal(t, th.now.UnixMilli(), unixMilliOf(id))
}

func TestMessageIDsIncreaseWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	last, updated := th.c.LastMessage, th.c.UpdatedAt
	for _, step := range []time.Duration{-time.Hour, 0, -365 * 24 * time.Hour, time.Millisecond, 0, 0} {
		th.now = th.now.Add(step)
		change, err := th.doNow(Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x"}})
		require.NoError(t, err)
		id := change.Inserts[0].ID
		require.Positive(t, compareIDs(id, last))
		require.False(t, th.c.UpdatedAt.Before(updated), "time never goes back within a conversation")
		last, updated = id, th.c.UpdatedAt
	}
}

// The next owner knows nothing but the stored row, and its clock may be late.
func TestMessageIDsIncreaseAcrossAHandOver(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	th.send("")
	kept := Conversation{
		ID: th.c.ID, Organization: th.c.Organization, Channel: th.c.Channel, Contact: th.c.Contact, Provider: th.c.Provider,
		Status: th.c.Status, Holder: th.c.Holder, HolderName: th.c.HolderName, AssignedAt: th.c.AssignedAt,
		Assignment: th.c.Assignment, Head: th.c.Head, WindowExpiresAt: th.c.WindowExpiresAt, LastMessage: th.c.LastMessage,
	}
	early := Moment{Now: th.now.Add(-time.Hour), Entropy: [16]byte{}} // the smallest of an earlier millisecond
	_, change, err := Decide(kept, Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x"}}, nil, early)
	require.NoError(t, err)
	require.Equal(t, MessageID(incrementV7(th.c.LastMessage)), change.Inserts[0].ID, "last + 1")
}

func TestTheSameEntropyTwiceGivesTwoIDs(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	cmd, at := Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x"}}, th.moment()
	_, first, err := Decide(th.c, cmd, nil, at)
	require.NoError(t, err)
	again := th.c
	again.LastMessage = first.Inserts[0].ID
	_, second, err := Decide(again, cmd, nil, at)
	require.NoError(t, err)
	require.Equal(t, MessageID(incrementV7(first.Inserts[0].ID)), second.Inserts[0].ID)
}

func TestIncrementV7Carries(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string][2]string{
		"plain":              {"0192f3a4-5b6c-7000-8000-000000000000", "0192f3a4-5b6c-7000-8000-000000000001"},
		"within the bytes":   {"0192f3a4-5b6c-7000-8000-0000000000ff", "0192f3a4-5b6c-7000-8000-000000000100"},
		"over the variant":   {"0192f3a4-5b6c-7000-bfff-ffffffffffff", "0192f3a4-5b6c-7001-8000-000000000000"},
		"over the version":   {"0192f3a4-5b6c-7fff-bfff-ffffffffffff", "0192f3a4-5b6d-7000-8000-000000000000"},
		"through the time":   {"0192f3ff-ffff-7fff-bfff-ffffffffffff", "0192f400-0000-7000-8000-000000000000"},
		"top of the variant": {"0192f3a4-5b6c-7000-9fff-ffffffffffff", "0192f3a4-5b6c-7000-a000-000000000000"},
	} {
		from, err := ParseID[messageKind](tt[0])
		require.NoError(t, err)
		next := MessageID(incrementV7(from))
		require.Equal(t, tt[1], next.String(), name)
		require.Positive(t, compareIDs(next, from))
		requireV7(t, next)
	}
}

func TestIncrementV7IsTheNextInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var entropy [16]byte
		copy(entropy[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "entropy"))
		at := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "ms"))
		id := MessageID(stampV7(entropy, at))
		requireV7(t, id)
		require.Equal(t, at.UnixMilli(), unixMilliOf(id))
		next := MessageID(incrementV7(id))
		requireV7(t, next)
		require.Equal(t, 1, compareSign(next, id))
		require.Equal(t, bytes.Compare(next[:], id[:]), compareSign(next, id), "the order is PostgreSQL's order of uuid")
	})
}

func compareSign(a, b MessageID) int {
	c := compareIDs(a, b)
	return min(max(c, -1), 1)
}

// The entropy may be whatever it likes: also all ones, where counting overflows.
func TestIDsOfOneDecisionDiffer(t *testing.T) {
	t.Parallel()
	for _, b := range []byte{0x00, 0xff} {
		var entropy [16]byte
		copy(entropy[:], bytes.Repeat([]byte{b}, 16))
		o := originOn(testChannel)
		c := Conversation{ID: ConversationIDFor(testChannel.ID, o.Person.Contact)}
		at := Moment{Now: testStart, Entropy: entropy}
		_, change, err := Decide(c, Receive{Origin: o, Event: customerText("1", testStart)}, nil, at)
		require.NoError(t, err)
		ids := map[[16]byte]bool{
			change.ID: true, change.Audit[0].ID: true, change.Audit[1].ID: true, change.Inserts[0].ID: true,
		}
		require.Len(t, ids, 4)
	}
}

func TestTheChain(t *testing.T) {
	t.Parallel()
	th := inState(t, Completed, alice)
	th.must(Reopen{By: by(bob)})
	var head ChangeID
	var seq, version int64
	for _, change := range th.changes {
		require.Equal(t, head, change.Parent)
		head = change.ID
		version++
		require.Equal(t, version, change.After.Version)
		for _, e := range change.Audit {
			seq++
			require.Equal(t, seq, e.Seq)
		}
	}
	require.Equal(t, th.c.Head, head)
	require.Equal(t, th.c.EventSeq, seq)
	require.True(t, th.c.Exists())
	require.False(t, (&Conversation{ID: th.c.ID}).Exists())
}

func TestTimesAreWhatTheDatabaseKeeps(t *testing.T) {
	t.Parallel()
	th := newThread(t)
	th.now = testStart.Add(123456789 * time.Nanosecond).In(time.FixedZone("far", 5*3600))
	change, err := th.doNow(Receive{Origin: th.origin, Event: customerText("1", testStart)})
	require.NoError(t, err)
	want := testStart.Add(123456 * time.Microsecond)
	require.Equal(t, want, th.c.UpdatedAt)
	require.Equal(t, want, change.Audit[0].At)
	require.Equal(t, want, change.Inserts[0].CreatedAt)
}
