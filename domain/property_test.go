package domain

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var anyone = []User{alice, bob, carol, root, chief, eve}

// draw is a random command of a random caller, often about messages that exist.
func draw(t *rapid.T, th *thread) Command {
	who := by(rapid.SampledFrom(anyone).Draw(t, "caller"))
	switch rapid.IntRange(0, 9).Draw(t, "command") {
	case 0, 1:
		return Accept{By: who}
	case 2:
		return Release{By: who}
	case 3:
		return Complete{By: who}
	case 4:
		to := rapid.SampledFrom(append([]User{{}}, anyone...)).Draw(t, "to")
		to.Status = rapid.SampledFrom([]UserStatus{UserActive, UserActive, UserSuspended}).Draw(t, "status")
		return Reassign{By: who, To: to}
	case 5:
		return rapid.SampledFrom([]Command{Reopen{By: who}, Read{By: who}}).Draw(t, "reopen or read")
	case 6:
		if rapid.Bool().Draw(t, "by the holder") {
			who = Caller{Organization: testOrg, User: th.c.Holder, Role: RoleAgent}
		}
		return Send{By: who, Draft: Draft{Type: TypeText, Body: "b"}}
	case 7:
		if rapid.Bool().Draw(t, "by policy") {
			return Assign{To: rapid.SampledFrom(anyone).Draw(t, "to"), Since: th.c.PendingSince}
		}
		return ReleaseIf{
			Agent: who.User, Assignment: th.c.Assignment - int64(rapid.IntRange(0, 1).Draw(t, "stale")),
			Event: AuditAgentDisconnected,
		}
	}
	origin := th.origin
	if rapid.IntRange(0, 9).Draw(t, "misled") == 0 {
		origin = originOn(pageChannel)
	}
	return Receive{Origin: origin, Event: drawEvent(t, th)}
}

func drawEvent(t *rapid.T, th *thread) InboundEvent {
	at := th.now.Add(time.Duration(rapid.IntRange(-90000, 90000).Draw(t, "at")) * time.Second)
	id := fmt.Sprintf("p%d", rapid.IntRange(0, 12).Draw(t, "provider id"))
	target := id
	var ours MessageID
	if len(th.stored) > 0 && rapid.Bool().Draw(t, "known") {
		m := rapid.SampledFrom(th.stored).Draw(t, "message")
		target, ours = m.ProviderMessageID, m.ID
	}
	status := rapid.SampledFrom([]MessageStatus{StatusSent, StatusDelivered, StatusRead, StatusFailed}).Draw(t, "status")
	standby := rapid.IntRange(0, 5).Draw(t, "standby") == 0
	metadata := MessageMetadata{Standby: standby}
	switch rapid.IntRange(0, 9).Draw(t, "event") {
	case 0, 1:
		// The storage refuses a provider id that it has; a fresh one is new.
		fresh := fmt.Sprintf("%s-%d", id, th.steps)
		return CustomerMessage{ProviderID: fresh, At: at, Type: TypeText, Body: "b", Metadata: metadata}
	case 2:
		emoji := rapid.SampledFrom([]string{"", "❤", "😀"}).Draw(t, "emoji")
		return CustomerReaction{ProviderID: fmt.Sprintf("r%d", th.steps), Target: target, At: at, Emoji: emoji, Standby: standby}
	case 3:
		return MessageEdited{Target: target, At: at, Body: "edited", Number: rapid.IntRange(0, 3).Draw(t, "number")}
	case 4:
		return MessageRevoked{Target: target, At: at}
	case 5:
		return BusinessEcho{ProviderID: fmt.Sprintf("e%d", th.steps), Ours: ours, At: at, Type: TypeText, Metadata: metadata}
	case 6:
		return StatusReport{ProviderID: target, Ours: ours, At: at, Status: status, ErrorCode: "1"}
	case 7:
		mark := rapid.SampledFrom([]MessageStatus{StatusDelivered, StatusRead}).Draw(t, "mark")
		return Watermark{Status: mark, UpTo: at, Named: []string{target, id}}
	case 8:
		return SystemNotice{ProviderID: fmt.Sprintf("s%d", th.steps), At: at, Body: "s"}
	}
	return ThreadNote{At: at, Key: rapid.SampledFrom([]string{"referral", "optin"}).Draw(t, "key"), Note: []byte(`{"n":1}`)}
}

// Any commands of any callers keep what harness_test.go checks after each
// decision, and what only a whole history shows.
func TestAnyHistoryKeepsTheInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		th := newThread(t)
		load := map[UserID]int{}
		var events int64
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			th.now = th.now.Add(time.Duration(rapid.IntRange(-5000, 100000).Draw(t, "ms")) * time.Millisecond)
			before := th.c
			cmd := draw(t, th)
			change, err := th.doNow(cmd)
			if by, ok := CallerOf(cmd); ok && by.Organization != testOrg {
				require.ErrorIs(t, err, ErrNotFound)
			}
			if isRefusal(err) {
				require.Equal(t, before.Status, th.c.Status)
			}
			for _, l := range change.Load {
				load[l.Agent] += l.Delta
			}
			events += int64(len(change.Audit))
			for _, u := range anyone {
				holds := map[bool]int{true: 1}[th.c.Status == Assigned && th.c.Holder == u.ID]
				require.Equal(t, holds, load[u.ID], "the load of %s is what is assigned", u.Name)
			}
			require.Equal(t, events, th.c.EventSeq)
		}
	})
}

// Decide is total: no command on no state, however odd, makes it panic.
func TestDecideNeverPanics(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		th := newThread(t)
		th.c = Conversation{
			ID: th.c.ID, Organization: rapid.SampledFrom([]OrganizationID{{}, testOrg, foreignOrg}).Draw(t, "organization"),
			Channel:    rapid.SampledFrom([]ChannelID{{}, testChannel.ID}).Draw(t, "channel"),
			Status:     rapid.SampledFrom([]ConversationStatus{"", Pending, Assigned, Completed, "ODD"}).Draw(t, "state"),
			Holder:     rapid.SampledFrom([]UserID{{}, alice.ID, chief.ID}).Draw(t, "holder"),
			Head:       rapid.SampledFrom([]ChangeID{{}, testID[changeKind](1)}).Draw(t, "head"),
			Assignment: rapid.Int64Range(-1, 3).Draw(t, "assignment"),
			Unread:     rapid.IntRange(-1, 2).Draw(t, "unread"),
			Metadata:   rapid.SampledFrom([][]byte{nil, []byte("{}"), []byte("[]"), []byte("x")}).Draw(t, "metadata"),
		}
		if rapid.Bool().Draw(t, "old") {
			th.stored = []Message{
				{ID: testID[messageKind](1), ProviderMessageID: "p1", Direction: Outbound, Status: "ODD"},
				{ID: testID[messageKind](2), ProviderMessageID: "p2", Direction: Inbound},
			}
		}
		cmd := draw(t, th)
		set := th.known(cmd)
		if rapid.Bool().Draw(t, "no set") {
			set = nil
		}
		moment := Moment{Now: rapid.SampledFrom([]time.Time{{}, testStart}).Draw(t, "now")}
		require.NotPanics(t, func() {
			_, change, err := Decide(th.c, cmd, set, moment)
			require.False(t, err != nil && !change.IsZero())
		})
	})
}
