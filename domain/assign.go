package domain

import (
	"slices"
	"time"
)

// AssignmentPolicy says how the conversations of a channel find their agents.
type AssignmentPolicy string

// The assignment policies.
const (
	AssignManually      AssignmentPolicy = "MANUAL" // agents accept what they like
	AssignAutomatically AssignmentPolicy = "AUTO"   // each is given to who has the fewest
)

// ReasonAuto is the reason, in the audit trail, of an assignment by policy.
const ReasonAuto = "auto"

// ReturnPause is how long whoever gave a conversation back isn't given the very
// same one again by policy, even if there is nobody else: to give it back meant
// something. Afterwards it may come again: it must not wait for ever for a
// colleague who isn't there.
const ReturnPause = time.Minute

// Waiting is a PENDING conversation that is to be given to somebody by policy.
type Waiting struct {
	Conversation ConversationID
	Since        time.Time
	GivenBackBy  UserID // who had it until Since and gave it back; zero: nobody
}

// Seat is an agent who is there to take conversations.
type Seat struct {
	Agent    User // with MaxConversations
	Assigned int  // ASSIGNED conversations
}

func (s *Seat) hasRoom() bool {
	return s.Agent.MaxConversations == 0 || s.Assigned < s.Agent.MaxConversations
}

// Given is a conversation that goes to an agent.
type Given struct {
	Waiting
	To User
}

// Distribute gives the waiting conversations, oldest first, each to the agent
// with the fewest, as long as there is room. It counts in seats what it gives.
// Paused is when the earliest of the pauses ends that kept a conversation from
// an agent with room; zero: none did.
func Distribute(waiting []Waiting, seats []Seat, now time.Time) (given []Given, paused time.Time) {
	for _, w := range waiting {
		best, heldBack := -1, false
		for i := range seats {
			switch {
			case !seats[i].hasRoom():
			case seats[i].Agent.ID == w.GivenBackBy && now.Before(w.Since.Add(ReturnPause)):
				heldBack = true
			case best < 0 || fitsBetter(w.Conversation, &seats[i], &seats[best]):
				best = i
			}
		}
		if best >= 0 {
			seats[best].Assigned++
			given = append(given, Given{w, seats[best].Agent})
			continue
		}
		if ends := w.Since.Add(ReturnPause); heldBack && (paused.IsZero() || ends.Before(paused)) {
			paused = ends
		}
	}
	return given, paused
}

// HasRoom reports whether any of the seats takes one more.
func HasRoom(seats []Seat) bool {
	return slices.ContainsFunc(seats, func(s Seat) bool { return s.hasRoom() })
}

// fitsBetter reports whether a is to get the conversation rather than b: who
// has fewer. Among equals the conversation's id decides, which is as good as a
// die and throws the same again, so no name is preferred for its first letter.
func fitsBetter(c ConversationID, a, b *Seat) bool {
	if a.Assigned != b.Assigned {
		return a.Assigned < b.Assigned
	}
	for i := range c {
		if x, y := c[i]^a.Agent.ID[i], c[i]^b.Agent.ID[i]; x != y {
			return x < y
		}
	}
	return false
}

// assignByPolicy takes effect only for the very wait that was meant: whoever
// was faster, agent or customer, has changed it.
func (d *decision) assignByPolicy(cmd Assign) error {
	switch {
	case d.c.Status == Completed:
		return d.refuse(CodeCompleted)
	case d.c.Status == Assigned:
		return d.refuse(CodeAlreadyAssigned)
	case !mayHold(cmd.To, d.c.Organization):
		return d.refuse(CodeInvalidAssignee)
	case d.c.PendingSince.Equal(cmd.Since):
		d.assign(cmd.To.ID, cmd.To.Name, AuditReassigned, UserID{}, ReasonAuto)
	}
	return nil
}
