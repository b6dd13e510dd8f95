package domain

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// who calls. In PENDING "holder" is who gave it back, in COMPLETED who ended it.
type role string

const (
	holder      role = "holder"
	agent       role = "other agent"
	admin       role = "admin"
	adminHolder role = "admin who holds"
	foreigner   role = "admin of another organization"
)

var (
	roles  = []role{holder, agent, admin, adminHolder, foreigner}
	states = []ConversationStatus{"", Pending, Assigned, Completed}
)

// want is a cell of the table.
type want struct {
	notFound bool
	code     Code               // refused
	to       ConversationStatus // changes; neither: 200, nothing changes
	holder   string             // after: "", "caller", "target", "as before"
	audit    AuditType
}

// cell is the outcome of a command in a state for some callers.
type cell struct {
	state ConversationStatus
	roles []role
	want  want
}

func refused(c Code) want { return want{code: c} }

// agentCommand is a row of the table.
type agentCommand struct {
	name  string
	make  func(c Caller, before Conversation) Command
	cells []cell
}

// The table "Commands on a conversation" of docs/rules.md, every cell.
var agentCommands = []agentCommand{
	{
		"accept", func(c Caller, _ Conversation) Command { return Accept{By: c} },
		[]cell{
			{Pending, []role{holder, agent, admin, adminHolder}, want{to: Assigned, holder: "caller", audit: AuditAccepted}},
			{Assigned, []role{holder, adminHolder}, want{}},
			{Assigned, []role{agent, admin}, refused(CodeAlreadyAssigned)},
			{Completed, []role{holder, agent, admin, adminHolder}, refused(CodeCompleted)},
		},
	},
	{
		"release", func(c Caller, _ Conversation) Command { return Release{By: c} },
		[]cell{
			{Pending, []role{holder, agent}, refused(CodeNotHolder)},
			{Pending, []role{admin, adminHolder}, refused(CodeNotAssigned)},
			{Assigned, []role{holder, admin, adminHolder}, want{to: Pending, audit: AuditReleased}},
			{Assigned, []role{agent}, refused(CodeNotHolder)},
			{Completed, []role{holder, agent, admin, adminHolder}, refused(CodeCompleted)},
		},
	},
	{
		"complete", func(c Caller, _ Conversation) Command { return Complete{By: c} },
		[]cell{
			{Pending, []role{holder, agent}, refused(CodeNotHolder)},
			{Pending, []role{admin, adminHolder}, refused(CodeNotAssigned)},
			{Assigned, []role{holder, admin, adminHolder}, want{to: Completed, holder: "as before", audit: AuditCompleted}},
			{Assigned, []role{agent}, refused(CodeNotHolder)},
			{Completed, []role{holder, admin, adminHolder}, want{}},
			{Completed, []role{agent}, refused(CodeCompleted)},
		},
	},
	{
		"reassign", func(c Caller, _ Conversation) Command { return Reassign{By: c, To: carol} },
		[]cell{
			{Pending, []role{admin, adminHolder}, want{to: Assigned, holder: "target", audit: AuditReassigned}},
			{Pending, []role{holder, agent}, refused(CodeNotHolder)},
			{Assigned, []role{holder, admin, adminHolder}, want{to: Assigned, holder: "target", audit: AuditReassigned}},
			{Assigned, []role{agent}, refused(CodeNotHolder)},
			{Completed, []role{holder, agent, admin, adminHolder}, refused(CodeCompleted)},
		},
	},
	{
		"reassign to the holder", func(c Caller, before Conversation) Command {
			to := User{ID: before.Holder, Name: before.HolderName, Organization: testOrg, Status: UserActive}
			return Reassign{By: c, To: to}
		},
		[]cell{
			{Pending, []role{admin, adminHolder}, refused(CodeInvalidAssignee)}, // nobody has it
			{Pending, []role{holder, agent}, refused(CodeNotHolder)},
			{Assigned, []role{holder, admin, adminHolder}, want{}},
			{Assigned, []role{agent}, refused(CodeNotHolder)},
			{Completed, []role{holder, agent, admin, adminHolder}, refused(CodeCompleted)},
		},
	},
	{
		"reopen", func(c Caller, _ Conversation) Command { return Reopen{By: c} },
		[]cell{
			{Pending, []role{holder, agent, admin, adminHolder}, want{}},
			{Assigned, []role{holder, agent, admin, adminHolder}, refused(CodeAlreadyAssigned)},
			{Completed, []role{holder, agent, admin, adminHolder}, want{to: Pending, audit: AuditReopened}},
		},
	},
	{
		"read", func(c Caller, _ Conversation) Command { return Read{By: c} },
		[]cell{
			{Pending, []role{admin, adminHolder}, want{to: Pending}},
			{Pending, []role{holder, agent}, refused(CodeNotHolder)},
			{Assigned, []role{holder, adminHolder}, want{to: Assigned, holder: "as before"}},
			{Assigned, []role{agent, admin}, refused(CodeNotHolder)},
			{Completed, []role{admin, adminHolder}, want{to: Completed, holder: "as before"}},
			{Completed, []role{holder, agent}, refused(CodeNotHolder)},
		},
	},
	{
		"send", func(c Caller, _ Conversation) Command {
			return Send{By: c, Draft: Draft{Type: TypeText, Body: "hello"}}
		},
		[]cell{
			{Pending, []role{holder, agent, admin, adminHolder}, refused(CodeNotAssigned)},
			{Assigned, []role{holder, adminHolder}, want{to: Assigned, holder: "as before"}},
			{Assigned, []role{agent, admin}, refused(CodeNotHolder)},
			{Completed, []role{holder, agent, admin, adminHolder}, refused(CodeCompleted)},
		},
	},
}

// cellFor finds the one cell of a combination. What isn't there, and what
// belongs to another organization, is not found, whatever the command.
func (a agentCommand) cellFor(t *testing.T, state ConversationStatus, r role) want {
	t.Helper()
	if state == "" || r == foreigner {
		return want{notFound: true}
	}
	var found []want
	for _, c := range a.cells {
		for _, x := range c.roles {
			if c.state == state && x == r {
				found = append(found, c.want)
			}
		}
	}
	require.Len(t, found, 1, "the table has one cell for %s, %s, %s", a.name, state, r)
	return found[0]
}

func TestCommandsOfAgents(t *testing.T) {
	t.Parallel()
	for _, command := range agentCommands {
		for _, state := range states {
			for _, r := range roles {
				t.Run(fmt.Sprintf("%s/%s/%s", command.name, state, r), func(t *testing.T) {
					t.Parallel()
					caller := map[role]User{holder: alice, agent: bob, admin: root, adminHolder: chief, foreigner: eve}[r]
					held := alice
					if r == adminHolder {
						held = chief
					}
					th := inState(t, state, held)
					before := th.c
					cmd := command.make(by(caller), before)
					change, err := th.do(cmd)
					verify(t, command.cellFor(t, state, r), caller, before, change, err)
				})
			}
		}
	}
}

// verify compares an outcome with its cell, facts and notices included.
func verify(t *testing.T, w want, caller User, before Conversation, change Change, err error) {
	t.Helper()
	switch {
	case w.notFound:
		require.ErrorIs(t, err, ErrNotFound)
		return
	case w.code != "":
		verifyRefusal(t, requireRefusal(t, err, w.code), before)
		return
	}
	require.NoError(t, err)
	require.Equal(t, w.to == "", change.IsZero())
	if w.to == "" {
		return
	}
	after := change.After
	require.Equal(t, w.to, after.Status)
	wantHolder := map[string]UserID{"caller": caller.ID, "target": carol.ID, "as before": before.Holder}[w.holder]
	require.Equal(t, wantHolder, after.Holder)
	if w.audit != "" {
		verifyAssignment(t, w.audit, caller, before, change)
	}
}

// verifyRefusal wants the facts that a refusal rests on.
func verifyRefusal(t *testing.T, r *Refusal, before Conversation) {
	t.Helper()
	require.Equal(t, before.Status, r.Status)
	require.Equal(t, before.WindowExpiresAt, r.WindowExpiresAt)
	require.Equal(t, before.Holder, r.Holder)
	require.Equal(t, before.HolderName, r.HolderName)
	require.Equal(t, before.AssignedAt, r.AssignedAt)
	require.Equal(t, before.Status == Pending, r.Holder.IsZero(), "nobody has a PENDING one")
	require.Contains(t, r.Error(), string(r.Code))
}

// verifyAssignment wants one audit event and the notices that go with it.
func verifyAssignment(t *testing.T, event AuditType, caller User, before Conversation, change Change) {
	t.Helper()
	require.Equal(t, []AuditType{event}, audits(change))
	e := change.Audit[0]
	require.Equal(t, caller.ID, e.Actor)
	require.Equal(t, before.Holder, e.Facts.Previous)
	require.Equal(t, change.After.UpdatedAt, e.At)
	if change.After.Status == Assigned {
		require.Equal(t, change.After.Holder, e.Facts.Agent)
		require.Equal(t, e.Seq, change.After.Assignment)
		require.Equal(t, change.After.UpdatedAt, change.After.AssignedAt)
	}
	require.Equal(t, []EventName{EventAssignmentChanged, EventConversationUpdated}, names(change))
	told := change.Notices[0].Payload.(AssignmentChanged)
	require.Equal(t, AssignmentChanged{
		Conversation: before.ID, Status: change.After.Status, Holder: ref(change.After.Holder),
		Previous: ref(before.Holder), Event: event, Version: change.After.Version,
	}, told)
	require.False(t, change.Notices[1].Activity)
}

func TestReadClearsUnreadOnce(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	require.Equal(t, 2, th.c.Unread)
	change := th.must(Read{By: by(alice)})
	require.Zero(t, th.c.Unread)
	require.Empty(t, change.Audit)
	require.Equal(t, []EventName{EventConversationUpdated}, names(change))
	require.False(t, change.Notices[0].Activity, "unread n to 0 shows in lists")
	again := th.must(Read{By: by(alice)})
	require.True(t, again.IsZero())
}

func TestReassignTargets(t *testing.T) {
	t.Parallel()
	inactive, suspended := carol, carol
	inactive.Status, suspended.Status = UserInactive, UserSuspended
	for name, to := range map[string]User{
		"inactive": inactive, "suspended": suspended, "of another organization": eve, "nobody": {},
		"without status": {ID: carol.ID, Organization: testOrg},
	} {
		for _, state := range []ConversationStatus{Pending, Assigned} {
			t.Run(name+"/"+string(state), func(t *testing.T) {
				t.Parallel()
				th := inState(t, state, alice)
				_, err := th.do(Reassign{By: by(root), To: to})
				require.NotNil(t, requireRefusal(t, err, CodeInvalidAssignee))
			})
		}
	}
	t.Run("to an admin, and to oneself", func(t *testing.T) {
		t.Parallel()
		th := inState(t, Assigned, alice)
		th.must(Reassign{By: by(alice), To: chief})
		require.Equal(t, chief.ID, th.c.Holder)
		th.must(Reassign{By: by(root), To: root})
		require.Equal(t, root.ID, th.c.Holder)
	})
	t.Run("the holder may be suspended meanwhile: still nothing changes", func(t *testing.T) {
		t.Parallel()
		th := inState(t, Assigned, carol)
		change := th.must(Reassign{By: by(root), To: suspended})
		require.True(t, change.IsZero())
	})
}

func TestLoadDeltas(t *testing.T) {
	t.Parallel()
	take, giveBack := 1, -1
	th := inState(t, Pending, User{})
	require.Equal(t, []LoadDelta{{alice.ID, take}}, th.must(Accept{By: by(alice)}).Load)
	require.Equal(t, []LoadDelta{{alice.ID, giveBack}, {bob.ID, take}}, th.must(Reassign{By: by(alice), To: bob}).Load)
	require.Equal(t, []LoadDelta{{bob.ID, giveBack}}, th.must(Complete{By: by(bob)}).Load)
	require.Empty(t, th.must(Reopen{By: by(carol)}).Load, "a COMPLETED one counted for nobody")
	require.Equal(t, []LoadDelta{{carol.ID, take}}, th.must(Reassign{By: by(root), To: carol}).Load)
	require.Equal(t, []LoadDelta{{carol.ID, giveBack}}, th.must(Release{By: by(root)}).Load)
}

func TestReleaseIf(t *testing.T) {
	t.Parallel()
	grace := func(u User, assignment int64) ReleaseIf {
		return ReleaseIf{Agent: u.ID, Assignment: assignment, Event: AuditAgentDisconnected, Reason: "grace"}
	}
	for _, state := range states {
		t.Run("any/"+string(state), func(t *testing.T) {
			t.Parallel()
			th := inState(t, state, alice)
			before := th.c
			change := th.must(grace(alice, max(before.Assignment, 1)))
			require.Equal(t, state != Assigned, change.IsZero())
			if state != Assigned {
				return
			}
			require.Equal(t, []AuditType{AuditAgentDisconnected}, audits(change))
			require.Equal(t, AuditFacts{Previous: alice.ID, Reason: "grace"}, change.Audit[0].Facts)
			require.True(t, change.Audit[0].Actor.IsZero(), "nobody did it")
			require.Equal(t, []LoadDelta{{alice.ID, -1}}, change.Load)
			require.Equal(t, []EventName{EventAssignmentChanged, EventConversationUpdated}, names(change))
			require.Equal(t, AuditAgentDisconnected, change.Notices[0].Payload.(AssignmentChanged).Event)
			require.Equal(t, Pending, th.c.Status)
		})
	}
	t.Run("another agent has it", func(t *testing.T) {
		t.Parallel()
		th := inState(t, Assigned, bob)
		change := th.must(grace(alice, th.c.Assignment))
		require.True(t, change.IsZero())
	})
	t.Run("the same agent took it again", func(t *testing.T) {
		t.Parallel()
		th := inState(t, Assigned, alice)
		late := grace(alice, th.c.Assignment)
		th.must(Release{By: by(alice)})
		th.must(Accept{By: by(alice)})
		change := th.must(late)
		require.True(t, change.IsZero(), "a late release can't hit a new assignment")
		require.Equal(t, alice.ID, th.c.Holder)
	})
	t.Run("suspended", func(t *testing.T) {
		t.Parallel()
		th := inState(t, Assigned, alice)
		change := th.must(ReleaseIf{Agent: alice.ID, Assignment: th.c.Assignment, Event: AuditReleased, Reason: "suspended"})
		require.Equal(t, []AuditType{AuditReleased}, audits(change))
		require.Equal(t, "suspended", change.Audit[0].Facts.Reason)
	})
}

func TestSendWritesAQueuedMessage(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	draft := Draft{
		Type: TypeImage, Body: "caption", MediaURL: "https://files.example/a.png", MediaType: "image/png",
		ReplyTo: th.stored[0].ID, Metadata: MessageMetadata{Platform: []byte(`{"a":1}`)},
	}
	change := th.must(Send{By: by(alice), Draft: draft})
	require.Len(t, change.Inserts, 1)
	m := change.Inserts[0]
	draft.Metadata.Quotes = "in-1"
	require.Equal(t, []Unsent{{Message: m.ID, Type: TypeImage, State: SendQueued}}, th.c.Outbox)
	require.Equal(t, m.ID, change.Message)
	require.Equal(t, Message{
		ID: m.ID, Direction: Outbound, Agent: alice.ID, Type: TypeImage, Body: "caption", MediaURL: draft.MediaURL,
		MediaType: "image/png", Status: StatusPending, SendState: SendQueued, ReplyTo: draft.ReplyTo,
		Metadata: draft.Metadata, CreatedAt: th.now, UpdatedAt: th.now,
	}, m)
	require.Empty(t, change.Audit, "MESSAGE_SENT is when the platform has it")
	require.Equal(t, []EventName{EventMessageCreated, EventConversationUpdated}, names(change))
	require.Equal(t, []Room{ConversationRoom(th.c.ID), AgentRoom(alice.ID)}, change.Notices[0].Rooms)
	require.True(t, change.Notices[1].Activity)
	require.Equal(t, th.now, th.c.LastMessageAt)
}

func TestFirstResponse(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	th.send("")
	first := th.c.FirstResponseAt
	require.Equal(t, th.now, first)
	th.send("")
	require.Equal(t, first, th.c.FirstResponseAt, "only the first counts")
	th.must(Release{By: by(alice)})
	th.must(Accept{By: by(bob)})
	th.send("")
	require.Equal(t, first, th.c.FirstResponseAt, "a hand-over begins nothing new")
	th.must(Complete{By: by(bob)})
	th.receive(customerText("again", th.now))
	require.True(t, th.c.FirstResponseAt.IsZero(), "COMPLETED to PENDING begins anew")
	th.must(Accept{By: by(bob)})
	th.send("")
	require.Equal(t, th.now, th.c.FirstResponseAt)
}

func TestReplyWindow(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for _, tt := range []struct {
		name  string
		ch    Channel
		draft MessageType
		after time.Duration // since the customer's newest message
		ok    bool
	}{
		{"WhatsApp within", testChannel, TypeText, day - time.Microsecond, true},
		{"WhatsApp at the end", testChannel, TypeText, day, false},
		{"WhatsApp template after", testChannel, TypeTemplate, 90 * day, true},
		{"WhatsApp image after", testChannel, TypeImage, day + time.Hour, false},
		{"Messenger within", pageChannel, TypeText, day - time.Second, true},
		{"Messenger human agent", pageChannel, TypeText, 7*day - time.Second, true},
		{"Messenger after seven days", pageChannel, TypeText, 7 * day, false},
		{"Messenger has no templates of ours", pageChannel, TypeTemplate, 7 * day, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			th := newThreadOn(t, tt.ch)
			th.receive(customerText("in", testStart))
			th.must(Accept{By: by(alice)})
			th.now = testStart.Add(tt.after)
			require.Equal(t, tt.after < day, th.c.WindowOpen(th.now))
			_, err := th.doNow(Send{By: by(alice), Draft: Draft{Type: tt.draft, Body: "x", Metadata: MessageMetadata{Content: &Content{Template: &Template{Name: "hello", Language: "en"}}}}})
			if tt.ok {
				require.NoError(t, err)
				return
			}
			r := requireRefusal(t, err, CodeReplyWindowClosed)
			require.Equal(t, testStart.Add(day), r.WindowExpiresAt)
		})
	}
	t.Run("a customer who never wrote", func(t *testing.T) {
		t.Parallel()
		th := newThreadOn(t, pageChannel)
		th.receive(BusinessEcho{ProviderID: "echo", At: testStart, Type: TypeText, Body: "hi"})
		th.must(Reopen{By: by(alice)})
		th.must(Accept{By: by(alice)})
		_, err := th.do(Send{By: by(alice), Draft: Draft{Type: TypeText, Body: "x"}})
		require.NotNil(t, requireRefusal(t, err, CodeReplyWindowClosed))
	})
}

// unknown commands are a mistake of ours, never a panic.
type unknownCommand struct{}

func (unknownCommand) command() {}

type unknownEvent struct{}

func (unknownEvent) inbound() {}

func TestUnknownCommands(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	_, err := th.do(unknownCommand{})
	require.ErrorContains(t, err, "unknownCommand")
	_, err = th.do(Receive{Origin: th.origin, Event: unknownEvent{}})
	require.ErrorContains(t, err, "unknownEvent")
	_, err = th.do(Receive{Origin: th.origin})
	require.Error(t, err)
	_, err = th.do(nil)
	require.Error(t, err)
	require.False(t, isRefusal(err))
}

func TestCallerOf(t *testing.T) {
	t.Parallel()
	for _, command := range agentCommands {
		caller, ok := CallerOf(command.make(by(bob), Conversation{}))
		require.True(t, ok, command.name)
		require.Equal(t, by(bob), caller, command.name)
	}
	for _, cmd := range []Command{ReleaseIf{}, Receive{}, unknownCommand{}} {
		_, ok := CallerOf(cmd)
		require.False(t, ok)
	}
}
