package domain

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inboundRow is a row of the table "What an inbound element does" of
// docs/rules.md: what it does to a thread that exists, and what to none.
type inboundRow struct {
	name    string
	event   func(th *thread, at time.Time) InboundEvent
	message bool // a row of its own
	unread  bool
	last    bool // moves lastMessageAt
	window  bool
	reopens bool
	updated bool // message.updated
	nothing bool // no change at all

	creates ConversationStatus // of no thread; empty: ErrNoTarget
	ignored bool               // of no thread: nothing, and no error
}

// target is the outbound message of withMessages, inbound the customer's.
const (
	inboundTarget  = "in-2"
	outboundTarget = "out-1"
)

// withMessages is a thread in a state with a SENT outbound message.
func withMessages(t tb, state ConversationStatus) *thread {
	if state == "" {
		return newThread(t)
	}
	th := inState(t, Assigned, alice)
	th.send(outboundTarget)
	switch state {
	case Pending:
		th.must(Release{By: by(alice)})
	case Completed:
		th.must(Complete{By: by(alice)})
	}
	return th
}

func inboundRows() []inboundRow {
	rows := []inboundRow{}
	for _, kind := range []MessageType{
		TypeText, TypeImage, TypeVideo, TypeAudio, TypeVoice, TypeDocument, TypeSticker, TypeLocation, TypeContacts,
		TypeInteractive, TypeButton, TypeOrder, TypeUnsupported,
	} {
		rows = append(rows, inboundRow{
			name: string(kind), event: func(_ *thread, at time.Time) InboundEvent {
				return CustomerMessage{ProviderID: "new", At: at, Type: kind, Body: "b", MediaType: "m/t", ReplyTo: "in-1"}
			},
			message: true, unread: true, last: true, window: true, reopens: true, creates: Pending,
		})
	}
	return slices.Concat(rows, reactionRows(), outboundRows(), quietRows())
}

func reactionRows() []inboundRow {
	react := func(target, emoji string, standby bool) func(*thread, time.Time) InboundEvent {
		return func(_ *thread, at time.Time) InboundEvent {
			return CustomerReaction{ProviderID: "reaction", Target: target, At: at, Emoji: emoji, Standby: standby}
		}
	}
	return []inboundRow{
		{
			name: "reaction", event: react(inboundTarget, "❤", false),
			unread: true, last: true, window: true, reopens: true, updated: true, creates: Pending,
		},
		{
			name: "reaction on ours", event: react(outboundTarget, "❤", false),
			unread: true, last: true, window: true, reopens: true, updated: true, creates: Pending,
		},
		{
			name: "reaction, target unknown", event: react("?", "❤", false),
			message: true, unread: true, last: true, window: true, reopens: true, creates: Pending,
		},
		{name: "removal", event: react(inboundTarget, "", false), last: true, window: true, updated: true, ignored: true},
		{name: "removal, target unknown", event: react("?", "", false), last: true, window: true, ignored: true},
		{name: "standby reaction", event: react(inboundTarget, "❤", true), updated: true, creates: Completed},
		{name: "standby reaction, target unknown", event: react("?", "❤", true), message: true, creates: Completed},
		{name: "standby removal, target unknown", event: react("?", "", true), nothing: true, ignored: true},
	}
}

func outboundRows() []inboundRow {
	return []inboundRow{
		{name: "edit", event: func(_ *thread, at time.Time) InboundEvent {
			return MessageEdited{Target: inboundTarget, At: at, Body: "better"}
		}, updated: true},
		{name: "edit, target unknown", event: func(_ *thread, at time.Time) InboundEvent {
			return MessageEdited{Target: "?", At: at, Body: "better"}
		}},
		{name: "revoke", event: func(_ *thread, at time.Time) InboundEvent {
			return MessageRevoked{Target: inboundTarget, At: at}
		}, updated: true},
		{name: "revoke, target unknown", event: func(_ *thread, at time.Time) InboundEvent {
			return MessageRevoked{Target: "?", At: at}
		}},
		{name: "echo of ours by mid", event: func(_ *thread, at time.Time) InboundEvent {
			return BusinessEcho{ProviderID: outboundTarget, At: at, Type: TypeText, Body: "answer"}
		}, nothing: true, creates: Completed},
		{name: "echo of ours by our id", event: func(th *thread, at time.Time) InboundEvent {
			e := BusinessEcho{ProviderID: outboundTarget, At: at, Type: TypeText, Body: "answer"}
			if len(th.stored) > 0 {
				e.Ours = th.newest().ID
			}
			return e
		}, nothing: true, creates: Completed},
		{name: "echo by another app", event: func(_ *thread, at time.Time) InboundEvent {
			return BusinessEcho{ProviderID: "elsewhere", At: at, Type: TypeText, Body: "by phone"}
		}, message: true, last: true, creates: Completed},
		{name: "status", event: func(_ *thread, at time.Time) InboundEvent {
			return StatusReport{ProviderID: outboundTarget, At: at, Status: StatusDelivered}
		}, updated: true},
		{name: "status, message unknown", event: func(_ *thread, at time.Time) InboundEvent {
			return StatusReport{ProviderID: "?", At: at, Status: StatusDelivered}
		}},
		{name: "status of an inbound message", event: func(_ *thread, at time.Time) InboundEvent {
			return StatusReport{ProviderID: inboundTarget, At: at, Status: StatusRead}
		}, nothing: true},
		{name: "delivery", event: func(_ *thread, at time.Time) InboundEvent {
			return Watermark{Status: StatusDelivered, UpTo: at, Named: []string{outboundTarget}}
		}, updated: true},
		{name: "read", event: func(_ *thread, at time.Time) InboundEvent {
			return Watermark{Status: StatusRead, UpTo: at}
		}, updated: true},
	}
}

func quietRows() []inboundRow {
	return []inboundRow{
		{name: "standby message", event: func(_ *thread, at time.Time) InboundEvent {
			return CustomerMessage{ProviderID: "new", At: at, Type: TypeText, Body: "b", Metadata: MessageMetadata{Standby: true}}
		}, message: true, creates: Completed},
		{name: "system", event: func(_ *thread, at time.Time) InboundEvent {
			return SystemNotice{ProviderID: "new", At: at, Body: "changed number"}
		}, message: true},
		{name: "note", event: func(_ *thread, at time.Time) InboundEvent {
			return ThreadNote{At: at, Key: "optin", Note: json.RawMessage(`{"ref":"x"}`)}
		}},
	}
}

func TestInboundElements(t *testing.T) {
	t.Parallel()
	for _, row := range inboundRows() {
		for _, state := range states {
			t.Run(fmt.Sprintf("%s/%s", row.name, state), func(t *testing.T) {
				t.Parallel()
				th := withMessages(t, state)
				before := th.c
				at := th.now.Add(500 * time.Millisecond)
				change, err := th.do(Receive{Origin: th.origin, Event: row.event(th, at)})
				if state == "" {
					verifyNew(t, row, th, change, err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, row.nothing, change.IsZero())
				if !row.nothing {
					verifyInbound(t, row, th, before, change, at)
				}
			})
		}
	}
}

// verifyNew compares what an element does where there is no thread.
func verifyNew(t *testing.T, row inboundRow, th *thread, change Change, err error) {
	t.Helper()
	switch {
	case row.ignored:
		require.NoError(t, err)
		require.True(t, change.IsZero())
		return
	case row.creates == "":
		require.ErrorIs(t, err, ErrNoTarget)
		return
	}
	require.NoError(t, err)
	require.Equal(t, row.creates, th.c.Status)
	require.Equal(t, []EventName{EventConversationCreated, EventMessageCreated}, names(change))
	require.Equal(t, AuditCreated, change.Audit[0].Type)
	require.Len(t, change.Audit, 2)
	require.Equal(t, &Contact{
		ID: th.origin.Person.Contact, Organization: testOrg, Provider: WhatsApp, ProviderID: "15550100177",
		Name: "Dana", SeenAt: th.now,
	}, change.Contact)
	require.Equal(t, th.origin.Person.Claims, change.Claims)
	require.Equal(t, th.now, th.c.LastMessageAt)
	require.Equal(t, th.now, th.c.CreatedAt)
	require.Equal(t, row.creates == Pending, th.c.Unread == 1)
	require.Equal(t, row.creates == Pending, th.c.PendingSince.Equal(th.now))
	require.Equal(t, row.creates == Pending, th.c.WindowOpen(th.now))
}

func verifyInbound(t *testing.T, row inboundRow, th *thread, before Conversation, change Change, at time.Time) {
	t.Helper()
	after := th.c
	require.Equal(t, row.message, len(change.Inserts) == 1)
	require.Equal(t, row.updated, len(change.Updates) > 0)
	require.Equal(t, before.Unread+map[bool]int{true: 1}[row.unread], after.Unread)
	require.Equal(t, row.last, after.LastMessageAt.Equal(th.now))
	require.Equal(t, row.last, !after.LastMessageAt.Equal(before.LastMessageAt))
	require.Equal(t, row.window, after.WindowExpiresAt.Equal(at.Add(WindowLength)))
	require.Equal(t, row.window, !after.WindowExpiresAt.Equal(before.WindowExpiresAt))

	reopens := row.reopens && before.Status == Completed
	require.Equal(t, reopens, slices.Contains(audits(change), AuditReopened))
	if reopens {
		require.Equal(t, Pending, after.Status)
		require.True(t, after.Holder.IsZero())
		reopened := change.Audit[0]
		require.Equal(t, AuditReopened, reopened.Type)
		require.True(t, reopened.Actor.IsZero(), "the customer did it")
		require.Equal(t, before.Holder, reopened.Facts.Previous)
		require.Contains(t, names(change), EventAssignmentChanged)
	} else {
		require.Equal(t, before.Status, after.Status)
		require.Equal(t, before.Holder, after.Holder)
		require.NotContains(t, names(change), EventAssignmentChanged)
	}
	verifyInboundNotices(t, row, change, reopens)
}

func verifyInboundNotices(t *testing.T, row inboundRow, change Change, reopens bool) {
	t.Helper()
	require.Equal(t, row.message, slices.Contains(names(change), EventMessageCreated))
	require.Equal(t, row.updated, slices.Contains(names(change), EventMessageUpdated))
	i := slices.Index(names(change), EventConversationUpdated)
	require.Equal(t, row.last, i >= 0, "conversation.updated")
	if i >= 0 {
		require.Equal(t, !reopens, change.Notices[i].Activity, "mere activity is coalesced")
	}
	for _, n := range change.Notices {
		if n.Name != EventMessageCreated && n.Name != EventMessageUpdated {
			require.Equal(t, []Room{OrgRoom(testOrg)}, n.Rooms)
			continue
		}
		rooms := []Room{ConversationRoom(change.After.ID)}
		if change.After.Status == Assigned {
			rooms = append(rooms, AgentRoom(change.After.Holder))
		}
		require.Equal(t, rooms, n.Rooms)
	}
}

func TestCustomerMessageRow(t *testing.T) {
	t.Parallel()
	th := newThread(t)
	metadata := MessageMetadata{Platform: json.RawMessage(`{"a":1}`), Media: []Media{{ID: "77", MimeType: "image/png"}}}
	at := testStart.Add(-time.Hour)
	change := th.receive(CustomerMessage{
		ProviderID: "wamid.1", At: at, Type: TypeImage, Body: "caption", MediaType: "image/png", ReplyTo: "wamid.0",
		Metadata: metadata, Note: json.RawMessage(`{"source_id":"ad"}`),
	})
	m := th.newest()
	metadata.Media = []Media{{ID: "77", MimeType: "image/png", Attachment: m.Metadata.Media[0].Attachment}}
	require.Equal(t, Message{
		ID: m.ID, Direction: Inbound, Type: TypeImage, Body: "caption", MediaType: "image/png",
		ProviderMessageID: "wamid.1", ReplyToProvider: "wamid.0", Status: StatusDelivered, Metadata: metadata,
		ProviderAt: at, CreatedAt: th.now, UpdatedAt: th.now,
	}, m)
	require.Equal(t, []AuditType{AuditCreated, AuditMessageReceived}, audits(change))
	require.Equal(t, AuditFacts{Message: m.ID}, change.Audit[1].Facts)
	require.JSONEq(t, `{"referral":{"source_id":"ad"}}`, string(th.c.Metadata))
}

func TestOutboundEchoRow(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	window := th.c.WindowExpiresAt
	change := th.receive(BusinessEcho{ProviderID: "e1", At: th.now, Type: TypeText, Body: "by phone", ReplyTo: "in-1"})
	m := th.newest()
	require.Equal(t, Message{
		ID: m.ID, Direction: Outbound, Type: TypeText, Body: "by phone", ProviderMessageID: "e1", ReplyToProvider: "in-1",
		Status: StatusSent, ProviderAt: th.now.Add(-time.Second), CreatedAt: th.now, UpdatedAt: th.now,
	}, m)
	require.True(t, m.Agent.IsZero())
	require.Equal(t, []AuditType{AuditMessageSent}, audits(change))
	require.Equal(t, th.origin.Person.Claims, change.Claims, "whose thread it is rests on the alias")
	require.Equal(t, window, th.c.WindowExpiresAt, "the business's own messages open nothing")
	require.True(t, th.c.FirstResponseAt.IsZero(), "no agent of ours answered")
	th.unchanged(BusinessEcho{ProviderID: "e1", At: m.ProviderAt, Type: TypeText, Body: "by phone", ReplyTo: "in-1"})
}

func TestWindow(t *testing.T) {
	t.Parallel()
	th := newThread(t)
	at := testStart.Add(-2 * time.Hour)
	th.receive(customerText("1", at))
	require.Equal(t, at.Add(WindowLength), th.c.WindowExpiresAt, "from the platform's timestamp, not from arrival")
	th.receive(customerText("2", at.Add(-time.Hour)))
	require.Equal(t, at.Add(WindowLength), th.c.WindowExpiresAt, "an older message doesn't shrink it")
	th.receive(customerText("3", th.now.Add(48*time.Hour)))
	require.Equal(t, th.now.Add(WindowLength), th.c.WindowExpiresAt, "a time in the future counts as now")
	require.Equal(t, th.now, th.c.LastInboundAt)
	th.receive(customerText("4", time.Time{}))
	require.Equal(t, th.now.Add(WindowLength), th.c.WindowExpiresAt, "no time counts as now")
}

func TestContactIsRefreshed(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	require.Nil(t, th.receive(customerText("3", th.now)).Contact, "last seen may be an hour old")
	th.now = th.now.Add(contactRefresh)
	change := th.receive(customerText("4", th.now))
	require.Equal(t, th.now, change.Contact.SeenAt)
	require.Equal(t, "Dana", change.Contact.Name)
	require.True(t, change.Notices[len(change.Notices)-1].Activity)

	th.origin.Customer.Name = "Dana O."
	th.origin.Customer.Profile.Username = "dana"
	change = th.receive(customerText("5", th.now))
	require.Equal(t, "Dana O.", th.c.ContactName)
	require.Equal(t, "Dana O.", change.Contact.Name)
	require.Equal(t, "dana", change.Contact.Profile.Username)
	require.Equal(t, th.c.ContactAlias, change.Contact.ProviderID)
	require.False(t, change.Notices[len(change.Notices)-1].Activity, "a name shows in lists")

	th.origin.Customer.Name = ""
	require.Nil(t, th.receive(customerText("6", th.now)).Contact)
	require.Equal(t, "Dana O.", th.c.ContactName, "no name told is no new name")
}

func TestAnotherChannelsElementsFindNothing(t *testing.T) {
	t.Parallel()
	th := withMessages(t, Assigned)
	ours := th.newest().ID
	foreign := originOn(pageChannel)
	for _, e := range []InboundEvent{
		StatusReport{ProviderID: outboundTarget, Ours: ours, At: th.now, Status: StatusFailed, ErrorCode: "1"},
		BusinessEcho{ProviderID: "x", Ours: ours, At: th.now, Type: TypeText},
		customerText("x", th.now),
		MessageRevoked{Target: inboundTarget, At: th.now},
		Watermark{Status: StatusRead, UpTo: th.now.Add(time.Hour)},
	} {
		_, err := th.do(Receive{Origin: foreign, Event: e})
		require.ErrorIs(t, err, ErrNoTarget, "%T", e)
	}
}

// Data that comes back can name a conversation that isn't there. Nobody's
// thread must not begin by it.
func TestNobodysThreadDoesNotBegin(t *testing.T) {
	t.Parallel()
	for _, e := range []InboundEvent{
		BusinessEcho{ProviderID: "x", Ours: testID[messageKind](1), At: testStart, Type: TypeText},
		customerText("x", testStart),
		CustomerReaction{Target: "?", At: testStart, Emoji: "❤"},
	} {
		th := newThread(t)
		_, err := th.do(Receive{Origin: Origin{Channel: testChannel}, Event: e})
		require.ErrorIs(t, err, ErrNoTarget, "%T", e)
	}
}

func TestSystemNoticeUpdatesAliases(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	former := testID[contactKind](99)
	moved := AliasClaim{Alias: Alias{AliasNumber, "15550100188"}, MoveFrom: former}
	th.origin.Person.Claims = append(th.origin.Person.Claims, moved)
	th.origin.Person.Merged = []ContactID{former}
	change := th.receive(SystemNotice{ProviderID: "s", At: th.now, Body: "changed number"})
	require.Equal(t, TypeSystem, th.newest().Type)
	require.Equal(t, th.origin.Person.Claims, change.Claims)
	require.Equal(t, []ContactID{former}, change.Merged)
	require.Equal(t, AuditFacts{
		Message: th.newest().ID, Reason: "system", Moved: []AliasMove{{moved.Alias, former}}, Merged: []ContactID{former},
	}, change.Audit[0].Facts)
	require.Equal(t, []EventName{EventMessageCreated}, names(change))
}

func TestThreadNotes(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	change := th.receive(ThreadNote{Key: "referral", Note: json.RawMessage(`{"url":"https://a.example/?x=1&y=2","n":1}`)})
	require.Empty(t, change.Audit)
	require.Empty(t, change.Notices)
	th.unchanged(ThreadNote{Key: "referral", Note: json.RawMessage(`{ "n": 1, "url": "https://a.example/?x=1&y=2" }`)})
	th.receive(ThreadNote{Key: "optin", Note: json.RawMessage(`true`)})
	require.JSONEq(t, `{"referral":{"url":"https://a.example/?x=1&y=2","n":1},"optin":true}`, string(th.c.Metadata))
	th.receive(ThreadNote{Key: "optin", Note: json.RawMessage(`false`)})
	require.JSONEq(t, `{"referral":{"url":"https://a.example/?x=1&y=2","n":1},"optin":false}`, string(th.c.Metadata))
	th.unchanged(ThreadNote{Key: "optin", Note: json.RawMessage(`broken`)})

	th.c.Metadata = json.RawMessage(`[]`)
	th.receive(ThreadNote{Key: "optin", Note: json.RawMessage(`1`)})
	require.JSONEq(t, `{"optin":1}`, string(th.c.Metadata), "what isn't an object isn't ours")
}

func TestReactions(t *testing.T) {
	t.Parallel()
	th := withMessages(t, Assigned)
	base := th.now
	react := func(id, emoji string, seconds int) CustomerReaction {
		return CustomerReaction{ProviderID: id, Target: inboundTarget, At: base.Add(time.Duration(seconds) * time.Second), Emoji: emoji}
	}
	on := func() []ReactionView { return ReactionsOf(th.message(th.stored[1].ID)) }
	unread := th.c.Unread
	require.Nil(t, on())

	change := th.receive(react("r1", "❤", 10))
	require.Equal(t, []ReactionView{{By: "customer", Emoji: "❤", At: Timestamp(base.Add(10 * time.Second))}}, on())
	require.Equal(t, []AuditType{AuditMessageReceived}, audits(change))
	require.Equal(t, AuditFacts{Message: th.stored[1].ID, Reason: "reaction"}, change.Audit[0].Facts)
	th.unchanged(react("r1", "❤", 10))
	th.unchanged(react("r0", "😀", 5)) // older, late
	require.Equal(t, "❤", on()[0].Emoji)

	th.receive(react("r2", "😀", 20))
	require.Equal(t, "😀", on()[0].Emoji)
	require.Equal(t, unread+2, th.c.Unread)

	change = th.receive(react("r3", "", 30))
	require.Equal(t, []ReactionView{}, on())
	require.Equal(t, unread+2, th.c.Unread, "a removal isn't news")
	told := change.Notices[0].Payload.(MessageUpdated)
	require.NotNil(t, told.Reactions, "clients must learn that the last is gone")
	th.unchanged(react("r3", "", 30))
	th.unchanged(react("r2", "😀", 20)) // a late repeat can't bring it back
	require.Empty(t, on())
}

func TestReactionsWithoutId(t *testing.T) {
	t.Parallel()
	th := newThreadOn(t, pageChannel)
	th.receive(customerText("m1", testStart))
	e := CustomerReaction{Target: "m1", At: th.now, Emoji: "❤"}
	th.receive(e)
	th.unchanged(e)
	e.Emoji = "" // Messenger gives the removal the same millisecond at times
	th.receive(e)
	th.unchanged(e)

	stray := CustomerReaction{Target: "?", At: th.now, Emoji: "❤"}
	first := th.receive(stray).Inserts[0].ProviderMessageID
	require.NotEmpty(t, first)
	require.Equal(t, first, th.receive(stray).Inserts[0].ProviderMessageID, "the same row, so that the storage finds the repeat")
	stray.Target = "!"
	require.NotEqual(t, first, th.receive(stray).Inserts[0].ProviderMessageID)
}

func TestRemovalOfWhatNobodyKnows(t *testing.T) {
	t.Parallel()
	th := inState(t, Completed, alice)
	e := CustomerReaction{Target: "?", At: th.now}
	th.receive(e)
	require.Equal(t, Completed, th.c.Status)
	require.Equal(t, e.At, th.c.LastInboundAt)
	th.unchanged(e)
}
