package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func waiting(n byte, since time.Time) Waiting {
	return Waiting{Conversation: testID[conversationKind](n), Since: since}
}

func seat(u User, assigned, limit int) Seat {
	u.MaxConversations = limit
	return Seat{Agent: u, Assigned: assigned}
}

func TestDistribute(t *testing.T) {
	t.Parallel()
	now := at(600)
	returned := func(n byte, by User, since time.Time) Waiting {
		w := waiting(n, since)
		w.GivenBackBy = by.ID
		return w
	}
	for name, c := range map[string]struct {
		waiting []Waiting
		seats   []Seat
		given   map[byte]User // by conversation
		paused  time.Time
	}{
		"nothing waits":            {seats: []Seat{seat(alice, 0, 0)}},
		"nobody is there":          {waiting: []Waiting{waiting(1, at(0))}},
		"nobody has room":          {waiting: []Waiting{waiting(1, at(0))}, seats: []Seat{seat(alice, 2, 2), seat(bob, 3, 2)}},
		"to the one with fewest":   {[]Waiting{waiting(1, at(0))}, []Seat{seat(alice, 2, 9), seat(bob, 1, 9), seat(carol, 3, 0)}, map[byte]User{1: bob}, time.Time{}},
		"who is full is passed by": {[]Waiting{waiting(1, at(0))}, []Seat{seat(alice, 1, 1), seat(bob, 5, 0)}, map[byte]User{1: bob}, time.Time{}},
		"the oldest get the room there is": {
			[]Waiting{waiting(1, at(0)), waiting(2, at(1)), waiting(3, at(2))}, []Seat{seat(alice, 0, 2)},
			map[byte]User{1: alice, 2: alice}, time.Time{},
		},
		"evened out": {
			[]Waiting{waiting(1, at(0)), waiting(2, at(1)), waiting(3, at(2))}, []Seat{seat(alice, 3, 0), seat(bob, 1, 0)},
			map[byte]User{1: bob, 2: bob}, time.Time{}, // the third is a draw
		},
		"given back: to somebody else": {
			[]Waiting{returned(1, alice, at(599))}, []Seat{seat(alice, 0, 0), seat(bob, 7, 0)}, map[byte]User{1: bob}, time.Time{},
		},
		"given back, nobody else: it rests, the next one doesn't": {
			[]Waiting{returned(1, alice, at(570)), waiting(2, at(580))}, []Seat{seat(alice, 0, 1)}, map[byte]User{2: alice}, at(630),
		},
		"given back a while ago": {
			[]Waiting{returned(1, alice, at(540))}, []Seat{seat(alice, 0, 0)}, map[byte]User{1: alice}, time.Time{},
		},
		"given back by who is full": {
			[]Waiting{returned(1, alice, at(599))}, []Seat{seat(alice, 1, 1)}, nil, time.Time{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given, paused := Distribute(c.waiting, c.seats, now)
			got := map[byte]User{}
			for _, g := range given {
				got[g.Conversation[15]] = g.To
			}
			for n, to := range c.given {
				require.Equal(t, to.ID, got[n].ID, "conversation %d", n)
			}
			if name != "evened out" {
				require.Len(t, given, len(c.given))
			}
			require.Equal(t, c.paused, paused)
		})
	}
}

// Equals share evenly, whatever their ids.
func TestDistributeIsFair(t *testing.T) {
	t.Parallel()
	counts := map[UserID]int{}
	for n := range 3000 {
		id := ConversationIDFor(testChannel.ID, ContactIDFor(testOrg, WhatsApp, string(rune('a'+n%26))+time.Duration(n).String()))
		given, _ := Distribute([]Waiting{{Conversation: id}}, []Seat{seat(alice, 0, 0), seat(bob, 0, 0)}, at(0))
		counts[given[0].To.ID]++
	}
	require.InDelta(t, 1500, counts[alice.ID], 200)
}

// hall is an organization whose conversations are all given by policy.
type hall struct {
	now     time.Time
	staff   map[UserID]*Seat
	here    map[UserID]bool
	waiting []Waiting // oldest first
	held    map[ConversationID]UserID
	arrived byte
}

// settle is what the assigner does whenever anything has happened.
func (h *hall) settle(t *rapid.T) {
	var seats []Seat
	for _, u := range []User{alice, bob, carol} {
		if h.here[u.ID] {
			seats = append(seats, *h.staff[u.ID])
		}
	}
	before := slices.Clone(seats)
	given, paused := Distribute(h.waiting, seats, h.now)
	for _, g := range given {
		s := h.staff[g.To.ID]
		require.True(t, h.here[g.To.ID], "given to who isn't here")
		require.True(t, s.hasRoom(), "given over the limit")
		require.False(t, g.GivenBackBy == g.To.ID && h.now.Before(g.Since.Add(ReturnPause)), "given back at once")
		for i := range before {
			other := h.staff[before[i].Agent.ID]
			barred := g.GivenBackBy == other.Agent.ID && h.now.Before(g.Since.Add(ReturnPause))
			require.False(t, other.Assigned < s.Assigned && other.hasRoom() && !barred, "somebody has fewer")
		}
		s.Assigned++
		h.held[g.Conversation] = g.To.ID
		h.waiting = slices.DeleteFunc(h.waiting, func(w Waiting) bool { return w.Conversation == g.Conversation })
	}
	h.check(t, paused)
}

// check: nothing waits while somebody who may have it has room.
func (h *hall) check(t *rapid.T, paused time.Time) {
	for _, w := range h.waiting {
		for id, s := range h.staff {
			if !h.here[id] || !s.hasRoom() {
				continue
			}
			ends := w.Since.Add(ReturnPause)
			require.True(t, w.GivenBackBy == id && h.now.Before(ends), "a conversation waits while %s has room", s.Agent.Name)
			require.False(t, paused.IsZero() || paused.After(ends), "nobody will look again when the pause is over")
		}
	}
}

// Whatever comes, arrivals, log-ins, completions, releases, limits: nobody is
// ever given more than the limit, and nothing waits while somebody has room.
func TestNothingWaitsWhileSomebodyHasRoom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := &hall{now: testStart, staff: map[UserID]*Seat{}, here: map[UserID]bool{}, held: map[ConversationID]UserID{}}
		for _, u := range []User{alice, bob, carol} {
			u.MaxConversations = rapid.IntRange(0, 3).Draw(t, "limit")
			h.staff[u.ID] = &Seat{Agent: u}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			h.now = h.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			h.step(t, rapid.SampledFrom([]User{alice, bob, carol}).Draw(t, "who").ID)
			h.settle(t)
		}
	})
}

func (h *hall) step(t *rapid.T, who UserID) {
	s := h.staff[who]
	switch rapid.SampledFrom([]string{"arrival", "arrival", "log-in or out", "completion", "release", "limit", "nothing"}).Draw(t, "what") {
	case "arrival":
		h.arrived++
		h.waiting = append(h.waiting, waiting(h.arrived, h.now))
	case "log-in or out":
		h.here[who] = !h.here[who]
	case "limit":
		s.Agent.MaxConversations = rapid.IntRange(0, 4).Draw(t, "limit")
	case "completion", "release":
		for n := range h.arrived {
			id := testID[conversationKind](n + 1)
			if h.held[id] != who {
				continue
			}
			delete(h.held, id)
			s.Assigned--
			if rapid.Bool().Draw(t, "back") {
				h.waiting = append(h.waiting, Waiting{Conversation: id, Since: h.now, GivenBackBy: who})
			}
			break
		}
	}
}

func TestAssignByPolicy(t *testing.T) {
	t.Parallel()
	th := newThread(t)
	th.receive(CustomerMessage{ProviderID: "m1", At: th.now, Type: TypeText, Body: "hello"})
	meant := th.c.PendingSince
	suspended := alice
	suspended.Status = UserSuspended
	for _, nobody := range []User{{}, suspended, eve} {
		_, err := th.do(Assign{To: nobody, Since: meant})
		require.Equal(t, CodeInvalidAssignee, requireRefusal(t, err, CodeInvalidAssignee).Code)
	}
	require.Zero(t, th.must(Assign{To: alice, Since: meant.Add(-time.Second)}), "another wait was meant")

	change := th.must(Assign{To: alice, Since: meant})
	require.Equal(t, Assigned, th.c.Status)
	require.True(t, th.c.HeldBy(alice.ID))
	require.Equal(t, []LoadDelta{{alice.ID, 1}}, change.Load, "capacity is enforced where it can't race")
	last := change.Audit[len(change.Audit)-1]
	require.Equal(t, AuditReassigned, last.Type)
	require.True(t, last.Actor.IsZero())
	require.Equal(t, AuditFacts{Agent: alice.ID, Reason: ReasonAuto}, last.Facts)
	require.Equal(t, last.Seq, th.c.Assignment)

	_, err := th.do(Assign{To: bob, Since: meant})
	require.Equal(t, CodeAlreadyAssigned, requireRefusal(t, err, CodeAlreadyAssigned).Code)
	th.must(Release{By: by(alice)})
	require.Zero(t, th.must(Assign{To: alice, Since: meant}), "that wait is over")
	th.must(Accept{By: by(bob)})
	th.must(Complete{By: by(bob)})
	_, err = th.do(Assign{To: alice, Since: meant})
	require.Equal(t, CodeCompleted, requireRefusal(t, err, CodeCompleted).Code)
}

func TestReleaseForNamesTheReason(t *testing.T) {
	t.Parallel()
	lost := PresenceEffect{Release: at(5)}
	require.Equal(t, AgentRelease{TakenBy: at(5), Event: AuditAgentDisconnected, Reason: ReasonGraceOver}, ReleaseFor(PresenceTick{}, lost))
	require.Equal(t, AgentRelease{TakenBy: at(5), Event: AuditAgentDisconnected, Reason: ReasonGraceOver}, ReleaseFor(SocketOpened{}, lost))
	require.Equal(t, AgentRelease{TakenBy: at(5), Event: AuditAgentDisconnected, Reason: ReasonSessionRevoked}, ReleaseFor(SessionsRevoked{}, lost))
	require.Equal(t, AgentRelease{Event: AuditReleased, Reason: ReasonSuspended}, ReleaseFor(AgentSuspended{}, lost), "everything")
}
