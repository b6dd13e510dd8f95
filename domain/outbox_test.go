package domain

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var patience = Patience{Uncertain: time.Minute}

// claim claims the message for an attempt, at its time at the earliest.
func (th *thread) claim(id MessageID) (time.Time, bool) {
	th.t.Helper()
	if m := th.message(id); m.SendState == SendQueued && m.NextAttemptAt.After(th.now) {
		th.now = m.NextAttemptAt
	}
	change := th.must(ClaimSend{Message: id})
	if change.Message.IsZero() {
		return time.Time{}, false
	}
	require.Equal(th.t, id, change.Message)
	require.Equal(th.t, SendSending, th.message(id).SendState)
	for _, n := range change.Notices {
		require.NotEqual(th.t, EventMessageUpdated, n.Name, "agents wait for the verdict")
	}
	return th.message(id).AttemptStartedAt, true
}

func failureOf(class FailureClass) *CallError {
	return &CallError{Class: class, Code: "131000", Text: "something went wrong"}
}

func TestASendFromClaimToVerdict(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	first, second := th.send(""), th.send("")
	_, claimed := th.claim(second)
	require.False(t, claimed, "one at a time, in order")
	at, claimed := th.claim(first)
	require.True(t, claimed)
	require.Equal(t, 1, th.message(first).Attempts)
	_, claimed = th.claim(first)
	require.False(t, claimed, "one attempt at a time")

	change := th.must(FinishSend{Message: first, Claim: at, Sent: &Sent{ProviderID: "out-1", Aliases: []Alias{{AliasNumber, th.c.ContactAlias}}}, Patience: patience})
	require.Equal(t, []AuditType{AuditMessageSent}, audits(change))
	require.Contains(t, names(change), EventMessageUpdated)
	require.Empty(t, change.Claims, "known by that name already")
	m := th.message(first)
	require.Equal(t, StatusSent, m.Status)
	require.Equal(t, "out-1", m.ProviderMessageID)
	require.Equal(t, th.now, m.ProviderAt)
	_, claimed = th.claim(second)
	require.True(t, claimed)
}

// TestWhatFollowsFromAFailure has what docs/rules.md says of each class: how
// many attempts are made if it happens each time, and what they end in.
func TestWhatFollowsFromAFailure(t *testing.T) {
	t.Parallel()
	for class, want := range map[FailureClass]struct {
		attempts int // 0: it goes on
		least    time.Duration
		state    SendState
	}{
		FailurePermanent:         {attempts: 1},
		FailurePermanentOrOnce:   {attempts: 2, least: time.Second},
		FailureTransient:         {attempts: 3, least: time.Second},
		FailureThrottleQuality:   {attempts: 2, least: time.Minute},
		FailureThrottleRecipient: {least: 8 * time.Second, state: SendQueued},
		FailureThrottleApp:       {state: SendQueued},
		FailureThrottleChannel:   {state: SendQueued},
		FailureChannel:           {state: SendQueued},
		FailureUncertain:         {attempts: 1, state: SendUncertain},
	} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			th := inState(t, Assigned, alice)
			id := th.send("")
			attempts := 0
			for range 10 {
				before := th.now
				at, claimed := th.claim(id)
				if !claimed {
					break
				}
				if attempts++; attempts > 1 {
					require.GreaterOrEqual(t, at.Sub(before), want.least, "it waits before it tries again")
					require.LessOrEqual(t, at.Sub(before), 8*time.Minute)
				}
				change := th.must(FinishSend{Message: id, Claim: at, Failure: failureOf(class), Patience: patience})
				if th.message(id).SendState == SendQueued {
					require.NotContains(t, names(change), EventMessageUpdated)
				}
			}
			m := th.message(id)
			require.Equal(t, want.state, m.SendState)
			if want.state == SendUncertain {
				require.Equal(t, th.now.Add(time.Minute), m.NextAttemptAt.Add(time.Second))
			}
			if want.attempts == 0 {
				require.Equal(t, 10, attempts)
				require.Zero(t, m.Attempts, "it costs no attempt")
				return
			}
			require.Equal(t, want.attempts, attempts)
			if want.state == "" {
				require.Equal(t, StatusFailed, m.Status)
				require.Equal(t, "131000", m.ErrorCode)
				require.Equal(t, "something went wrong", m.ErrorMessage)
			}
		})
	}
}

func TestAttemptsWaitLongerEachTime(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	at, _ := th.claim(id)
	th.must(FinishSend{Message: id, Claim: at, Failure: failureOf(FailureTransient), Patience: patience})
	first := th.message(id).NextAttemptAt.Sub(th.now)
	at, _ = th.claim(id)
	th.must(FinishSend{Message: id, Claim: at, Failure: failureOf(FailureTransient), Patience: patience})
	second := th.message(id).NextAttemptAt.Sub(th.now)
	require.GreaterOrEqual(t, first, time.Second)
	require.LessOrEqual(t, first, 1500*time.Millisecond)
	require.GreaterOrEqual(t, second, 2*time.Second)
	require.LessOrEqual(t, second, 3*time.Second)
}

func TestAnUncertainSend(t *testing.T) {
	t.Parallel()
	doubt := func(t *testing.T) (*thread, MessageID) {
		th := inState(t, Assigned, alice)
		id := th.send("")
		at, _ := th.claim(id)
		change := th.must(FinishSend{Message: id, Claim: at, Failure: Interrupted(), Patience: patience})
		require.Contains(t, names(change), EventMessageUpdated, "agents see it")
		return th, id
	}
	expire := func(th *thread, id MessageID) {
		th.must(ExpireSend{Message: id})
		require.Equal(th.t, SendUncertain, th.message(id).SendState, "not before its time")
		th.now = th.message(id).NextAttemptAt
		th.must(ExpireSend{Message: id})
		require.Equal(th.t, StatusFailed, th.message(id).Status)
		require.Equal(th.t, CodeSendUncertain, th.message(id).ErrorCode)
	}
	sent := StatusReport{ProviderID: "out-1", At: testStart, Status: StatusSent}
	for _, late := range []bool{false, true} {
		for _, status := range []MessageStatus{StatusSent, StatusDelivered, StatusRead, StatusFailed} {
			t.Run(fmt.Sprint(status, late), func(t *testing.T) {
				t.Parallel()
				th, id := doubt(t)
				_, claimed := th.claim(id)
				require.False(t, claimed, "never repeated")
				if late {
					expire(th, id)
				}
				report := sent
				report.Ours, report.Status = id, status
				if status == StatusFailed {
					report.ErrorCode, report.ErrorMessage = "131026", "undeliverable"
				}
				th.receive(report)
				m := th.message(id)
				require.Equal(t, status, m.Status)
				require.Equal(t, report.ErrorCode, m.ErrorCode)
				require.Equal(t, report.ErrorMessage, m.ErrorMessage)
				require.Equal(t, "out-1", m.ProviderMessageID)
			})
		}
	}
	t.Run("a failure that certainly was none comes late", func(t *testing.T) {
		t.Parallel()
		th, id := doubt(t)
		claim := th.message(id).AttemptStartedAt
		th.must(FinishSend{Message: id, Claim: claim, Failure: failureOf(FailureTransient), Patience: patience})
		require.Equal(t, SendQueued, th.message(id).SendState)
	})
	t.Run("successors wait for the verdict only", func(t *testing.T) {
		t.Parallel()
		th, id := doubt(t)
		next := th.send("")
		_, claimed := th.claim(next)
		require.False(t, claimed)
		expire(th, id)
		_, claimed = th.claim(next)
		require.True(t, claimed)
	})
}

func TestTheWindowClosesBeforeTheCall(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	template := th.must(Send{By: by(alice), Draft: Draft{Type: TypeTemplate, Metadata: MessageMetadata{Content: &Content{Template: &Template{Name: "hello", Language: "en"}}}}}).Message
	th.now = th.c.WindowExpiresAt
	_, claimed := th.claim(id)
	require.False(t, claimed)
	require.Equal(t, string(CodeReplyWindowClosed), th.message(id).ErrorCode)
	require.Equal(t, StatusFailed, th.message(id).Status)
	_, claimed = th.claim(template)
	require.True(t, claimed, "templates may go out")

	th = inState(t, Assigned, alice)
	th.c.Provider = Messenger
	id = th.send("")
	require.False(t, OutgoingOf(&th.c, new(th.message(id)), th.now).HumanAgent)
	require.True(t, OutgoingOf(&th.c, new(th.message(id)), th.c.WindowExpiresAt).HumanAgent)
}

func TestTheStatusOvertakesOurAnswer(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	at, _ := th.claim(id)
	th.receive(StatusReport{ProviderID: "out-1", Ours: id, At: testStart, Status: StatusDelivered})
	for _, late := range []FinishSend{
		{Sent: &Sent{ProviderID: "out-1"}}, {Failure: Interrupted()}, {Failure: failureOf(FailurePermanent)},
	} {
		late.Message, late.Claim, late.Patience = id, at, patience
		change := th.must(late)
		require.True(t, change.IsZero())
	}
	require.Equal(t, StatusDelivered, th.message(id).Status)
}

func TestNamesThatThePlatformTells(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	at, _ := th.claim(id)
	other := Alias{AliasNumber, "551155501234"}
	change := th.must(FinishSend{Message: id, Claim: at, Sent: &Sent{ProviderID: "out-1", Aliases: []Alias{other}}, Patience: patience})
	require.Equal(t, []AliasClaim{{Alias: other}}, change.Claims)
}

func TestAReactionStandsOnceItIsSent(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	target := th.stored[0]
	draft := Draft{Type: TypeReaction, Body: "👍", ReplyTo: target.ID, Metadata: MessageMetadata{Content: &Content{React: &React{Emoji: "👍"}}}}
	id := th.must(Send{By: by(alice), Draft: draft}).Message
	m := th.message(id)
	require.Empty(t, draft.Metadata.Content.React.ProviderID, "the draft stays as it was")
	out := OutgoingOf(&th.c, &m, th.now)
	require.Equal(t, Content{Type: TypeReaction, React: &React{ProviderID: "in-1", Emoji: "👍"}}, out.Content)
	require.Equal(t, ReferenceOf(th.c.ID, id), out.Reference)
	at, _ := th.claim(id)
	th.must(FinishSend{Message: id, Claim: at, Target: target.ID, Sent: &Sent{ProviderID: "out-1"}, Patience: patience})
	require.Equal(t, []ReactionView{{By: byBusiness, Emoji: "👍", At: Timestamp(m.CreatedAt)}}, ReactionsOf(th.message(target.ID)))
}

func TestAnswersNameAKnownMessage(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	_, err := th.do(Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x", ReplyTo: testID[messageKind](77)}})
	require.Equal(t, th.c.Status, requireRefusal(t, err, CodeUnknownMessage).Status)
	unsent := th.send("")
	_, err = th.do(Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x", ReplyTo: unsent}})
	require.Equal(t, th.c.Status, requireRefusal(t, err, CodeUnknownMessage).Status)
}

func TestTheSameKeyMakesOneMessage(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	ask := Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x"}, Key: "k1", Hash: []byte{1}}
	first := th.must(ask)
	again := th.must(ask)
	require.True(t, again.IsZero())
	require.Equal(t, first.Message, again.Message)
	other := ask
	other.Hash = []byte{2}
	_, err := th.do(other)
	require.Equal(t, th.c.Status, requireRefusal(t, err, CodeKeyReused).Status)
	th.must(Complete{By: by(alice)})
	require.Equal(t, first.Message, th.must(ask).Message, "also when it may not be sent any more")
	th.must(Reopen{By: by(bob)})
	th.must(Accept{By: by(bob)})
	bobs := ask
	bobs.By = by(bob)
	require.NotEqual(t, first.Message, th.must(bobs).Message, "each agent has keys of one's own")

	th.must(Release{By: by(bob)})
	th.must(Accept{By: by(alice)})
	th.now = th.now.Add(IdempotencyWindow)
	th.receive(customerText("in-3", th.now))
	renewed := th.must(ask)
	require.NotEqual(t, first.Message, renewed.Message)
	require.Equal(t, []MessageID{first.Message}, renewed.Freed)
	require.Empty(t, th.message(first.Message).IdempotencyKey)
	require.Equal(t, renewed.Message, th.must(ask).Message)
}

func TestAnOutboxIsBounded(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	for range MaxUnsent {
		th.send("")
	}
	_, err := th.do(Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x"}})
	require.ErrorIs(t, err, ErrOverloaded)
}

// TestNobodyGetsAMessageTwice plays agents, platform and crashes at random: an
// attempt that may have reached the customer is never followed by another.
func TestNobodyGetsAMessageTwice(t *testing.T) {
	t.Parallel()
	classes := []FailureClass{
		FailurePermanent, FailurePermanentOrOnce, FailureTransient, FailureThrottleApp, FailureThrottleChannel,
		FailureThrottleRecipient, FailureThrottleQuality, FailureChannel, FailureUncertain,
	}
	rapid.Check(t, func(t *rapid.T) {
		th := inState(t, Assigned, alice)
		reached := map[MessageID]int{}
		var order []MessageID
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			th.now = th.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "write") || len(th.c.Outbox) == 0 {
				th.send("")
				continue
			}
			head := th.c.Outbox[0]
			switch head.State {
			case SendQueued:
				if change := th.must(ClaimSend{Message: head.Message}); change.Message.IsZero() {
					continue
				}
				class := rapid.SampledFrom(append(classes, "")).Draw(t, "class")
				at := th.message(head.Message).AttemptStartedAt
				outcome := FinishSend{Message: head.Message, Claim: at, Patience: patience}
				arrives := class == "" || class == FailureUncertain && rapid.Bool().Draw(t, "arrives")
				if arrives {
					require.Zero(t, reached[head.Message], "the customer has it already")
					reached[head.Message]++
					order = append(order, head.Message)
				}
				if outcome.Sent = (&Sent{ProviderID: "out-" + head.Message.String()}); class != "" {
					outcome.Sent, outcome.Failure = nil, failureOf(class)
				}
				if rapid.Bool().Draw(t, "crash") {
					continue // nobody stores the outcome
				}
				th.must(outcome)
			case SendSending:
				th.must(FinishSend{Message: head.Message, Claim: head.Claim, Failure: Interrupted(), Patience: patience})
			case SendUncertain:
				if rapid.Bool().Draw(t, "news") && reached[head.Message] > 0 {
					th.receive(StatusReport{ProviderID: "out-" + head.Message.String(), Ours: head.Message, At: th.now, Status: StatusSent})
				} else {
					th.must(ExpireSend{Message: head.Message})
				}
			}
		}
		require.True(t, slices.IsSortedFunc(order, compareIDs), "in the order of writing")
		for _, m := range th.stored {
			if m.Status == StatusSent {
				require.Equal(t, 1, reached[m.ID])
			}
			require.LessOrEqual(t, m.Attempts, maxAttempts)
		}
	})
}

// TestADraftIsCheckedByItsPlatform: what a file is sent as, and what of it is
// taken, differs.
func TestADraftIsCheckedByItsPlatform(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ch    Channel
		draft Draft
		want  MessageType // empty: refused
		field string
	}{
		{testChannel, Draft{MediaURL: "https://a.example/1", MediaType: "image/webp"}, TypeSticker, ""},
		{pageChannel, Draft{MediaURL: "https://a.example/1", MediaType: "image/webp"}, TypeImage, ""},
		{testChannel, Draft{MediaURL: "https://a.example/1", MediaType: "image/png", Body: "a caption"}, TypeImage, ""},
		{pageChannel, Draft{MediaURL: "https://a.example/1", MediaType: "image/png", Body: "a caption"}, "", "body"},
		{testChannel, Draft{MediaURL: "https://a.example/1", MediaType: "text/html"}, "", "mediaType"},
		{testChannel, Draft{MediaURL: "http://a.example/1", MediaType: "image/png"}, "", "mediaUrl"},
		{testChannel, Draft{Type: TypeText}, "", "body"},
	} {
		th := newThreadOn(t, c.ch)
		th.receive(customerText("in", testStart))
		th.must(Accept{By: by(alice)})
		change, err := th.do(Send{By: by(alice), Draft: c.draft})
		if c.want == "" {
			broken := new(LimitError)
			require.ErrorAs(t, err, &broken)
			require.Equal(t, c.field, broken.Field)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, change.Inserts[0].Type)
		m := change.Inserts[0]
		require.Equal(t, &File{Link: "https://a.example/1", MimeType: c.draft.MediaType}, OutgoingOf(&th.c, &m, th.now).Content.File)
	}
}

func TestAnOutcomeCountsOnce(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	at, _ := th.claim(id)
	outcome := FinishSend{Message: id, Claim: at, Failure: failureOf(FailureThrottleChannel), Patience: patience}
	th.must(outcome)
	change := th.must(outcome)
	require.True(t, change.IsZero(), "told again after a commit of unknown outcome")
	require.Zero(t, th.message(id).Attempts)

	at, _ = th.claim(id)
	th.must(FinishSend{Message: id, Claim: at, Failure: Interrupted(), Patience: patience})
	until := th.message(id).NextAttemptAt
	th.must(FinishSend{Message: id, Claim: at, Failure: Interrupted(), Patience: patience})
	require.Equal(t, until, th.message(id).NextAttemptAt, "doubt twice isn't doubt for longer")
}

// An echo that doesn't say that it is ours becomes a row; the platform's id is
// that row's then, and what we sent is settled without.
func TestAnEchoThatDoesNotNameUsComesFirst(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	at, _ := th.claim(id)
	th.receive(BusinessEcho{ProviderID: "out-1", At: testStart, Type: TypeText, Body: "answer"})
	th.must(FinishSend{Message: id, Claim: at, Sent: &Sent{ProviderID: "out-1"}, Patience: patience})
	require.Equal(t, StatusSent, th.message(id).Status)
	require.Empty(t, th.message(id).ProviderMessageID)
}

// TestTheRecipientIsWhoTheThreadIsWith: a claim relies on the name that it goes
// to, which may have become somebody else's.
func TestTheRecipientIsWhoTheThreadIsWith(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	number := th.origin.Customer.Aliases[0]
	id := th.send("")
	change := th.must(ClaimSend{Message: id})
	require.Equal(t, []AliasClaim{{Alias: number, Stored: true}}, change.Claims)

	th = inState(t, Assigned, alice)
	th.c.Merged = true
	id = th.send("")
	require.Empty(t, th.must(ClaimSend{Message: id}).Claims, "the name is the other contact's")

	th = inState(t, Assigned, alice)
	th.c.Recipient = ""
	id = th.send("")
	th.must(ClaimSend{Message: id})
	require.Equal(t, CodeRecipientUnknown, th.message(id).ErrorCode)

	th = inState(t, Assigned, alice)
	th.origin.Person.Claims = []AliasClaim{{Alias: Alias{AliasNumber, "15550100999"}}}
	th.receive(customerText("in-3", th.now))
	require.Equal(t, "15550100999", th.c.Recipient, "the customer writes under another number now")
}
