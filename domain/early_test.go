package domain

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAStatusOvertakesItsEcho(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	at := th.now
	change := th.receive(StatusReport{ProviderID: "e1", At: at, Status: StatusRead})
	require.Empty(t, change.Notices, "nobody can be told of a message that isn't there")
	require.Empty(t, change.Audit)
	th.unchanged(StatusReport{ProviderID: "e1", At: at, Status: StatusRead})
	th.receive(StatusReport{ProviderID: "e1", At: at, Status: StatusDelivered})
	require.Len(t, th.c.Early, 2)

	change = th.receive(BusinessEcho{ProviderID: "e1", At: at, Type: TypeText, Body: "by phone"})
	require.Equal(t, StatusRead, th.newest().Status)
	require.Equal(t, []AuditType{AuditMessageSent, AuditMessageRead}, audits(change))
	require.Equal(t, StatusRead, change.Notices[0].Payload.(MessageCreated).Status)
	require.Empty(t, th.c.Early, "used up")
}

func TestAFailureOvertakesTheAnswerToOurSend(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	// A report that doesn't name our message, before anything told its mid.
	th.receive(StatusReport{ProviderID: "mid", At: th.now, Status: StatusDelivered})
	th.receive(Watermark{Status: StatusDelivered, UpTo: th.now, Named: []string{"mid", "other"}})
	require.Equal(t, StatusPending, th.message(id).Status)
	require.Len(t, th.c.Early, 3)

	change := th.receive(BusinessEcho{ProviderID: "mid", Ours: id, At: th.now, Type: TypeText})
	require.Equal(t, StatusDelivered, th.message(id).Status)
	require.Equal(t, []AuditType{AuditMessageSent, AuditMessageDelivered}, audits(change))
	require.Len(t, change.Updates, 1, "one row, written once")
	require.Len(t, th.c.Early, 1, "the other message's is kept")
}

func TestAnEditOvertakesItsMessage(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	first, second := th.now.Add(time.Minute), th.now.Add(2*time.Minute)
	th.receive(MessageEdited{ProviderID: "x2", Target: "m", At: second, Body: "third"})
	th.receive(MessageEdited{ProviderID: "x1", Target: "m", At: first, Body: "second"})
	th.unchanged(MessageEdited{ProviderID: "x1", Target: "m", At: first, Body: "second"})
	th.receive(MessageEdited{ProviderID: "x0", Target: "m", At: first, Body: "the same second, another edit"})
	require.Len(t, th.c.Early, 3)
	change := th.receive(customerText("m", th.now))
	m := th.newest()
	require.Equal(t, "third", m.Body, "the newest edit, whatever the order")
	require.Equal(t, second, m.EditedAt)
	require.Equal(t, []Edit{{Body: "text of m", At: second}}, m.Metadata.Edits)
	require.Equal(t, []EventName{EventMessageCreated, EventMessageUpdated, EventConversationUpdated}, names(change))
	require.Equal(t, "third", *change.Notices[0].Payload.(MessageCreated).Body)
	require.NotNil(t, change.Notices[1].Payload.(MessageUpdated).EditedAt)
}

func TestARevocationOvertakesItsMessage(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{testStart.Add(time.Minute), {}} {
		th := inState(t, Pending, User{})
		th.receive(MessageRevoked{Target: "m", At: at})
		th.unchanged(MessageRevoked{Target: "m", At: at})
		change := th.receive(CustomerMessage{ProviderID: "m", At: th.now, Type: TypeImage, Body: "secret", MediaType: "image/png"})
		m := th.newest()
		require.False(t, m.DeletedAt.IsZero())
		require.Equal(t, "secret", m.Body, "kept for the audit")
		created := change.Notices[0].Payload.(MessageCreated)
		require.Nil(t, created.Body, "nobody sees what was taken back")
		require.Nil(t, created.MediaType)
		require.NotNil(t, change.Notices[1].Payload.(MessageUpdated).DeletedAt)
	}
}

func TestEarlyEventsAreBounded(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	for i := range MaxEarly + 5 {
		th.receive(StatusReport{ProviderID: fmt.Sprintf("e%d", i), At: th.now, Status: StatusRead})
	}
	require.Len(t, th.c.Early, MaxEarly)
	require.Equal(t, "e5", th.c.Early[0].ProviderID, "the oldest goes first")
	th.receive(BusinessEcho{ProviderID: "e4", At: th.now, Type: TypeText})
	require.Equal(t, StatusSent, th.newest().Status)
	th.receive(BusinessEcho{ProviderID: "e5", At: th.now, Type: TypeText})
	require.Equal(t, StatusRead, th.newest().Status)
}

// A decision that is thrown away leaves no trace in another on the same state.
func TestDecisionsOnOneStateShareNoMemory(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	for i := range 5 { // append leaves room behind these
		th.receive(StatusReport{ProviderID: fmt.Sprint("e", i), At: th.now, Status: StatusRead})
	}
	decide := func(id string) Conversation {
		e := StatusReport{ProviderID: id, At: th.now, Status: StatusRead}
		after, _, err := Decide(th.c, Receive{Origin: th.origin, Event: e}, nil, th.moment())
		require.NoError(t, err)
		return after
	}
	one, two := decide("one"), decide("two")
	require.Equal(t, "one", one.Early[5].ProviderID)
	require.Equal(t, "two", two.Early[5].ProviderID)
}

func TestEarlyEventsSurviveTheirJSON(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	th.receive(MessageEdited{ProviderID: "x", Target: "m", At: th.now, Body: "", Number: 2})
	th.receive(MessageRevoked{Target: "m", At: th.now})
	th.receive(StatusReport{ProviderID: "m", At: th.now, Status: StatusFailed, ErrorCode: "1", ErrorMessage: "e"})
	encoded, err := json.Marshal(th.c.Early)
	require.NoError(t, err)
	var decoded []EarlyEvent
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	require.Equal(t, th.c.Early, decoded)
	th.c.Early = decoded
	th.unchanged(MessageEdited{ProviderID: "x", Target: "m", At: decoded[0].At, Number: 2})
}

func TestEdits(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	id, base := th.stored[1].ID, th.now
	edit := func(providerID string, number, seconds int, body string) MessageEdited {
		at := base.Add(time.Duration(seconds) * time.Second)
		return MessageEdited{ProviderID: providerID, Target: "in-2", At: at, Number: number, Body: body}
	}
	change := th.receive(edit("x1", 0, 10, "one"))
	require.Equal(t, "one", th.message(id).Body)
	require.Equal(t, base.Add(10*time.Second), th.message(id).EditedAt)
	require.Empty(t, change.Audit)
	require.Equal(t, []EventName{EventMessageUpdated}, names(change))
	require.Equal(t, "one", *change.Notices[0].Payload.(MessageUpdated).Body)

	th.unchanged(edit("x1", 0, 10, "one"))
	th.unchanged(edit("x1", 0, 99, "one")) // a repeat by its id
	th.unchanged(edit("x0", 0, 5, "zero")) // older
	th.unchanged(edit("", 0, 10, "zero"))  // same time, no number: a repeat
	th.receive(edit("", 2, 20, "two"))
	th.unchanged(edit("", 2, 20, "two"))
	th.unchanged(edit("", 2, 25, "two")) // a repeat by its number
	th.unchanged(edit("", 1, 30, "one")) // the number counts, not the time
	change = th.receive(edit("", 3, 20, ""))
	require.NotNil(t, change.Notices[0].Payload.(MessageUpdated).Body, "an empty text is a text")
	require.Equal(t, []Edit{
		{Body: "text of in-2", At: base.Add(10 * time.Second)},
		{Body: "one", At: base.Add(20 * time.Second)},
		{Body: "two", At: base.Add(20 * time.Second)},
	}, th.message(id).Metadata.Edits)

	for n := range MaxEdits + 3 {
		th.receive(edit("", 4+n, 40+n, fmt.Sprint(n)))
	}
	edits := th.message(id).Metadata.Edits
	require.Len(t, edits, MaxEdits)
	require.Equal(t, fmt.Sprint(MaxEdits+1), edits[MaxEdits-1].Body, "the oldest goes first")
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	th := inState(t, Pending, User{})
	at := th.now.Add(time.Minute)
	change := th.receive(MessageRevoked{Target: "in-2", At: at})
	m := th.message(th.stored[1].ID)
	require.Equal(t, at, m.DeletedAt)
	require.Equal(t, "text of in-2", m.Body, "kept for the audit")
	told := change.Notices[0].Payload.(MessageUpdated)
	require.Nil(t, told.Body)
	require.NotNil(t, told.DeletedAt)
	th.unchanged(MessageRevoked{Target: "in-2", At: at.Add(time.Hour)})
	change = th.receive(MessageEdited{Target: "in-2", At: at.Add(time.Hour), Body: "edited after all"})
	require.Nil(t, change.Notices[0].Payload.(MessageUpdated).Body, "an edit doesn't bring it back")

	th.receive(MessageRevoked{Target: "in-1"})
	require.Equal(t, th.now, th.message(th.stored[0].ID).DeletedAt, "no time told: now")
}
