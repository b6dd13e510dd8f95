package domain

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// This file is what the tests share: a small world, and a thread that applies
// decisions as an actor would, checking after each what must always hold.

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	require.TestingT
	Helper()
}

// testID is a fixed id, told apart by n.
func testID[K any](n byte) ID[K] {
	return ID[K](uuid.UUID{0: 0xaa, 15: n})
}

var (
	testStart   = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	testOrg     = testID[organizationKind](1)
	foreignOrg  = testID[organizationKind](2)
	testChannel = Channel{
		ID: testID[channelKind](3), Organization: testOrg, Provider: WhatsApp, Name: "Sales",
		ExternalID: "108765432109876", Status: ChannelActive,
	}
	pageChannel = Channel{
		ID: testID[channelKind](4), Organization: testOrg, Provider: Messenger, Name: "Page",
		ExternalID: "104512345678901", Status: ChannelActive,
	}

	alice = User{ID: testID[userKind](10), Organization: testOrg, Name: "Alice", Role: RoleAgent, Status: UserActive}
	bob   = User{ID: testID[userKind](11), Organization: testOrg, Name: "Bob", Role: RoleAgent, Status: UserActive}
	carol = User{ID: testID[userKind](12), Organization: testOrg, Name: "Carol", Role: RoleAgent, Status: UserActive}
	root  = User{ID: testID[userKind](13), Organization: testOrg, Name: "Root", Role: RoleAdmin, Status: UserActive}
	chief = User{ID: testID[userKind](14), Organization: testOrg, Name: "Chief", Role: RoleAdmin, Status: UserActive}
	eve   = User{ID: testID[userKind](15), Organization: foreignOrg, Name: "Eve", Role: RoleAdmin, Status: UserActive}
)

func by(u User) Caller {
	return Caller{Organization: u.Organization, User: u.ID, Name: u.Name, Role: u.Role}
}

// originOn is a customer of that channel, as routed.
func originOn(ch Channel) Origin {
	alias := Alias{Kind: AliasNumber, Value: "15550100177"}
	if ch.Provider == Messenger {
		alias = Alias{Kind: AliasPSID, Value: "7412589630147852"}
	}
	return Origin{
		Channel:  ch,
		Person:   Identify(ch.Organization, ch.Provider, []Alias{alias}, nil),
		Customer: Customer{Aliases: []Alias{alias}, Name: "Dana"},
	}
}

// thread is one conversation with all its stored messages.
type thread struct {
	t       tb
	origin  Origin
	c       Conversation
	stored  []Message
	changes []Change
	now     time.Time
	steps   int
}

func newThread(t tb) *thread { return newThreadOn(t, testChannel) }

func newThreadOn(t tb, ch Channel) *thread {
	o := originOn(ch)
	return &thread{t: t, origin: o, c: Conversation{ID: ConversationIDFor(ch.ID, o.Person.Contact)}, now: testStart}
}

// moment is now and entropy that differs from step to step.
func (th *thread) moment() Moment {
	sum := sha256.Sum256([]byte(strconv.Itoa(th.steps)))
	return Moment{Now: th.now, Entropy: [16]byte(sum[:16])}
}

// known loads what the command needs, and nothing else: a target that
// TargetsOf forgets is a target that Decide doesn't find.
func (th *thread) known(cmd Command) *MessageSet {
	var set MessageSet
	targets := TargetsOf(cmd)
	var found []Message
	for _, m := range th.stored {
		if slices.Contains(targets.IDs, m.ID) ||
			m.ProviderMessageID != "" && slices.Contains(targets.ProviderIDs, m.ProviderMessageID) ||
			m.IdempotencyKey != "" && slices.Contains(targets.Requests, RequestKey{m.Agent, m.IdempotencyKey}) ||
			m.Direction == Outbound && m.Status != StatusRead && !m.CreatedAt.After(targets.UnreadUpTo) {
			found = append(found, m)
		}
	}
	set.Learn(targets, found)
	return &set
}

// do decides a command one second later and applies what comes of it.
func (th *thread) do(cmd Command) (Change, error) {
	th.t.Helper()
	th.now = th.now.Add(time.Second)
	return th.doNow(cmd)
}

func (th *thread) doNow(cmd Command) (Change, error) {
	th.t.Helper()
	th.steps++
	known := th.known(cmd)
	inputs := th.spell(known)
	after, change, err := Decide(th.c, cmd, known, th.moment())
	require.Equal(th.t, inputs, th.spell(known), "the inputs of a decision stay as they were")
	afterAgain, changeAgain, errAgain := Decide(th.c, cmd, known, th.moment())
	require.True(th.t, reflect.DeepEqual(change, changeAgain) && reflect.DeepEqual(after, afterAgain) &&
		reflect.DeepEqual(err, errAgain), "the same inputs decide the same: %T", cmd)
	th.check(after, change, err)
	th.c = after
	th.store(change)
	th.checkOutbox()
	if !change.IsZero() {
		th.changes = append(th.changes, change)
	}
	return change, err
}

// must is do for what has to succeed.
func (th *thread) must(cmd Command) Change {
	th.t.Helper()
	change, err := th.do(cmd)
	require.NoError(th.t, err)
	return change
}

// receive is must for an element of a webhook.
func (th *thread) receive(e InboundEvent) Change {
	th.t.Helper()
	return th.must(Receive{Origin: th.origin, Event: e})
}

// unchanged wants an element to change nothing.
func (th *thread) unchanged(e InboundEvent) {
	th.t.Helper()
	change := th.receive(e)
	require.True(th.t, change.IsZero(), "%T changes nothing, got %+v", e, change)
}

func (th *thread) store(change Change) {
	th.stored = append(th.stored, change.Inserts...)
	for _, m := range change.Updates {
		i := slices.IndexFunc(th.stored, func(s Message) bool { return s.ID == m.ID })
		require.GreaterOrEqual(th.t, i, 0, "an update has its row")
		th.stored[i] = m
	}
}

// spell writes down everything that Decide is given by reference.
func (th *thread) spell(known *MessageSet) string {
	state, err := json.Marshal(th.c)
	require.NoError(th.t, err)
	var messages []Message
	for _, m := range known.byID {
		messages = append(messages, *m)
	}
	slices.SortFunc(messages, func(a, b Message) int { return compareIDs(a.ID, b.ID) })
	rows, err := json.Marshal(messages)
	require.NoError(th.t, err)
	return string(state) + string(rows)
}

// check is what holds after every decision.
func (th *thread) check(after Conversation, change Change, err error) {
	th.t.Helper()
	before := th.c
	if err != nil {
		require.True(th.t, change.IsZero(), "an error comes without a change")
	}
	if change.IsZero() {
		require.True(th.t, reflect.DeepEqual(before, after), "no change, no other state")
		require.True(th.t, reflect.DeepEqual(Change{Message: change.Message}, change), "the zero change is all zero")
		return
	}
	th.checkChain(before, after, change)
	th.checkState(before, after)
	th.checkAudit(before, after, change)
	th.checkMessages(before, after, change)
	th.checkLoad(before, after, change)
	th.checkNotices(before, change)
}

func (th *thread) checkChain(before, after Conversation, change Change) {
	require.Equal(th.t, before.Head, change.Parent)
	require.Equal(th.t, after.Head, change.ID)
	require.NotEqual(th.t, before.Head, after.Head)
	require.True(th.t, reflect.DeepEqual(after, change.After), "After is the new state")
	require.Equal(th.t, before.Version+1, after.Version)
	require.False(th.t, after.UpdatedAt.Before(before.UpdatedAt), "UpdatedAt never goes back")
	require.Equal(th.t, before.ID, after.ID)
}

func (th *thread) checkState(before, after Conversation) {
	switch after.Status {
	case Pending:
		require.True(th.t, after.Holder.IsZero() && after.HolderName == "" && after.AssignedAt.IsZero() && after.Assignment == 0,
			"PENDING has no holder")
		require.False(th.t, after.PendingSince.IsZero())
	case Assigned:
		require.False(th.t, after.Holder.IsZero(), "ASSIGNED has a holder")
		require.Positive(th.t, after.Assignment)
		require.False(th.t, after.AssignedAt.IsZero())
	case Completed:
	default:
		require.Fail(th.t, "unknown status", "%q", after.Status)
	}
	require.GreaterOrEqual(th.t, after.Unread, 0)
	require.LessOrEqual(th.t, len(after.Early), MaxEarly)
	require.False(th.t, after.WindowExpiresAt.Before(before.WindowExpiresAt), "a window never shrinks")
	if !after.LastInboundAt.IsZero() {
		require.Equal(th.t, after.LastInboundAt.Add(WindowLength), after.WindowExpiresAt)
		require.False(th.t, after.LastInboundAt.After(after.UpdatedAt), "the customer never wrote in the future")
	}
}

func (th *thread) checkAudit(before, after Conversation, change Change) {
	require.Equal(th.t, before.EventSeq+int64(len(change.Audit)), after.EventSeq)
	seen := map[EventID]bool{}
	for _, past := range th.changes {
		for _, e := range past.Audit {
			seen[e.ID] = true
		}
	}
	for i, e := range change.Audit {
		require.Equal(th.t, before.EventSeq+int64(i)+1, e.Seq, "the audit has no gaps")
		require.False(th.t, seen[e.ID], "audit ids are unique")
		seen[e.ID] = true
		require.Equal(th.t, !before.Exists() && i == 0, e.Type == AuditCreated)
	}
}

func (th *thread) checkMessages(before, after Conversation, change Change) {
	last := before.LastMessage
	for _, m := range change.Inserts {
		require.Positive(th.t, compareIDs(m.ID, last), "message ids increase strictly")
		requireV7(th.t, m.ID)
		last = m.ID
		require.NotContains(th.t, change.Updates, m)
	}
	require.Equal(th.t, last, after.LastMessage)
	for _, m := range change.Updates {
		i := slices.IndexFunc(th.stored, func(s Message) bool { return s.ID == m.ID })
		require.GreaterOrEqual(th.t, i, 0)
		from := th.stored[i].Status
		if th.stored[i].ErrorCode == CodeSendUncertain {
			from = StatusPending // we guessed; the platform knows
		}
		requireForward(th.t, from, m.Status)
	}
}

// checkOutbox wants the outbox to be what the rows say.
func (th *thread) checkOutbox() {
	th.t.Helper()
	var unsent []Unsent
	for _, m := range th.stored {
		require.Equal(th.t, m.Direction == Outbound && m.Status == StatusPending, m.SendState != "", "%s %s", m.Status, m.SendState)
		if m.SendState != "" {
			unsent = append(unsent, unsentOf(m))
		}
	}
	require.Equal(th.t, unsent, th.c.Outbox)
}

// requireForward wants statuses to move as they may.
func requireForward(t tb, from, to MessageStatus) {
	order := []MessageStatus{StatusPending, StatusSent, StatusFailed, StatusDelivered, StatusRead}
	require.LessOrEqual(t, slices.Index(order, from), slices.Index(order, to), "%s never becomes %s", from, to)
}

func requireV7(t tb, id MessageID) {
	require.EqualValues(t, 7, uuid.UUID(id).Version(), id)
	require.Equal(t, uuid.RFC4122, uuid.UUID(id).Variant(), id)
}

func (th *thread) checkLoad(before, after Conversation, change Change) {
	want, got := map[UserID]int{}, map[UserID]int{}
	if before.Status == Assigned {
		want[before.Holder]--
	}
	if after.Status == Assigned {
		want[after.Holder]++
	}
	for _, l := range change.Load {
		got[l.Agent] += l.Delta
	}
	maps.DeleteFunc(want, func(_ UserID, delta int) bool { return delta == 0 })
	require.Equal(th.t, want, got, "capacity taken and given back")
}

func (th *thread) checkNotices(before Conversation, change Change) {
	for i, n := range change.Notices {
		require.Equal(th.t, !before.Exists() && i == 0, n.Name == EventConversationCreated,
			"conversation.created comes first, once")
		require.Equal(th.t, n.Name == EventConversationUpdated && n.Activity, n.Activity)
		require.NotEmpty(th.t, n.Rooms)
	}
}

// names lists the events of a change, in order.
func names(change Change) []EventName {
	var out []EventName
	for _, n := range change.Notices {
		out = append(out, n.Name)
	}
	return out
}

// audits lists the types of a change's audit events, in order.
func audits(change Change) []AuditType {
	var out []AuditType
	for _, e := range change.Audit {
		out = append(out, e.Type)
	}
	return out
}

// customerText is a plain message of the customer.
func customerText(id string, at time.Time) CustomerMessage {
	return CustomerMessage{ProviderID: id, At: at, Type: TypeText, Body: "text of " + id}
}

// inState brings a fresh thread with two unread messages into a state, with
// holder as who has it or had it last.
func inState(t tb, status ConversationStatus, holder User) *thread {
	th := newThread(t)
	if status == "" {
		return th
	}
	th.receive(customerText("in-1", testStart.Add(-time.Minute)))
	th.receive(customerText("in-2", testStart))
	if holder.ID.IsZero() {
		require.Equal(t, Pending, status)
		return th
	}
	th.must(Accept{By: by(holder)})
	switch status {
	case Pending:
		th.must(Release{By: by(holder)})
	case Completed:
		th.must(Complete{By: by(holder)})
	}
	return th
}

// send adds an outbound message of the holder; the platform's answer to it
// tells its id.
func (th *thread) send(providerID string) MessageID {
	th.t.Helper()
	m := th.must(Send{By: Caller{Organization: th.c.Organization, User: th.c.Holder}, Draft: Draft{Type: TypeText, Body: "answer"}}).Inserts[0]
	if providerID != "" {
		th.receive(StatusReport{ProviderID: providerID, Ours: m.ID, At: th.now, Status: StatusSent})
	}
	return m.ID
}

// message is a stored message as it is now.
func (th *thread) message(id MessageID) Message {
	th.t.Helper()
	i := slices.IndexFunc(th.stored, func(m Message) bool { return m.ID == id })
	require.GreaterOrEqual(th.t, i, 0)
	return th.stored[i]
}

// newest is the newest stored message.
func (th *thread) newest() Message {
	th.t.Helper()
	require.NotEmpty(th.t, th.stored)
	return th.stored[len(th.stored)-1]
}

// requireRefusal wants err to be a refusal with that code.
func requireRefusal(t *testing.T, err error, code Code) *Refusal {
	t.Helper()
	var r *Refusal
	require.ErrorAs(t, err, &r)
	require.Equal(t, code, r.Code)
	return r
}

func isRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}
