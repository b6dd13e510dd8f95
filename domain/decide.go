package domain

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Moment is when a decision is made, and the randomness for the ids it needs:
// decisions read no clock and throw no dice.
type Moment struct {
	Now     time.Time
	Entropy [16]byte
}

// WindowLength is how long after the customer's newest message the platforms
// let a business answer freely (WhatsApp: customer service window; Messenger:
// standard messaging window).
const WindowLength = 24 * time.Hour

// Decide says what a command makes of a conversation: the new state and the
// change to store; the zero Change where nothing changes; a *Refusal; ErrNotFound
// for what is another organization's; or ErrNoTarget. known
// holds the stored messages that Targets(cmd) named. Decide is pure, so a
// decision that couldn't be stored is made again on the newer state.
func Decide(c Conversation, cmd Command, known *MessageSet, at Moment) (Conversation, Change, error) {
	if by, ok := CallerOf(cmd); ok && (!c.Exists() || by.Organization != c.Organization) {
		return c, Change{}, ErrNotFound
	}
	d := newDecision(c, known, at)
	var err error
	switch cmd := cmd.(type) {
	case Accept:
		err = d.accept(cmd)
	case Release:
		err = d.release(cmd)
	case Complete:
		err = d.complete(cmd)
	case Reassign:
		err = d.reassign(cmd)
	case Reopen:
		err = d.reopen(cmd)
	case Read:
		err = d.read(cmd)
	case Send:
		err = d.send(cmd)
	case ReleaseIf:
		d.releaseIf(cmd)
	case Assign:
		err = d.assignByPolicy(cmd)
	case ClaimSend:
		d.claimSend(cmd)
	case FinishSend:
		d.finishSend(cmd)
	case ExpireSend:
		d.expireSend(cmd)
	case Receive:
		err = d.receive(cmd)
	case MediaSettled:
		err = d.mediaSettled(cmd)
	case NameLearned:
		d.nameLearned(cmd)
	default:
		return c, Change{}, fmt.Errorf("decide: unknown command %T", cmd)
	}
	if err != nil {
		return c, Change{}, err
	}
	if !d.changed {
		return c, Change{Message: d.change.Message}, nil
	}
	return d.finish()
}

// decision is a change in the making.
type decision struct {
	before  Conversation
	c       Conversation // becomes After
	known   *MessageSet
	at      Moment
	change  Change
	changed bool
	ids     uint64      // how many ids were derived
	untold  []MessageID // updated without telling agents
}

// newDecision returns a value, which stays on Decide's stack.
func newDecision(c Conversation, known *MessageSet, at Moment) decision {
	at.Now = at.Now.UTC().Truncate(time.Microsecond) // what the database keeps
	return decision{before: c, c: c, known: known, at: at}
}

// finish seals the change. The change id is made last: it needs no order, only
// to be unique.
func (d *decision) finish() (Conversation, Change, error) {
	d.c.Head = ChangeID(d.newID())
	d.c.Version++
	d.c.UpdatedAt = d.now()
	d.change.ID, d.change.Parent = d.c.Head, d.before.Head
	d.notices()
	d.change.After = d.c
	return d.c, d.change, nil
}

// now is the time of the decision; it never lies before the state it changes,
// even when a node's clock does.
func (d *decision) now() time.Time {
	if d.at.Now.Before(d.before.UpdatedAt) {
		return d.before.UpdatedAt
	}
	return d.at.Now
}

// newID derives the next UUIDv7 of this decision (RFC 9562, 5.7).
func (d *decision) newID() [16]byte {
	var id [16]byte
	copy(id[:], d.at.Entropy[:])
	low := binary.BigEndian.Uint64(id[8:]) + d.ids
	binary.BigEndian.PutUint64(id[8:], low)
	d.ids++
	return stampV7(id, d.now())
}

// newMessageID is the next id that is greater than every one before it in the
// conversation: max(now, last+1). So the ids order the messages strictly, over
// hand-overs and clocks that step back.
func (d *decision) newMessageID() MessageID {
	id := MessageID(d.newID())
	last := d.c.LastMessage
	if !last.IsZero() && compareIDs(id, last) <= 0 {
		id = MessageID(incrementV7(last))
	}
	d.c.LastMessage = id
	return id
}

func stampV7(id [16]byte, t time.Time) [16]byte {
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// incrementV7 is the id after id in the order of UUIDv7: the random part plus
// one, running over into the timestamp.
func incrementV7(id [16]byte) [16]byte {
	low := binary.BigEndian.Uint64(id[8:])&(1<<62-1) + 1
	high := binary.BigEndian.Uint64(id[:8])
	randA, ms := high&0xfff, high>>16
	if low == 1<<62 {
		low, randA = 0, randA+1
	}
	if randA == 1<<12 {
		randA, ms = 0, ms+1
	}
	binary.BigEndian.PutUint64(id[:8], ms<<16|0x7000|randA)
	binary.BigEndian.PutUint64(id[8:], 1<<63|low)
	return id
}

func compareIDs(a, b MessageID) int {
	for i := range a {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

// audit adds a line to the audit trail.
func (d *decision) audit(t AuditType, actor UserID, facts AuditFacts) {
	d.changed = true
	d.c.EventSeq++
	d.change.Audit = append(d.change.Audit, AuditEvent{
		ID: EventID(d.newID()), Seq: d.c.EventSeq, Type: t, Actor: actor, At: d.now(), Facts: facts,
	})
}

func (d *decision) refuse(code Code) error { return Refuse(&d.c, code) }

// Refuse is a refusal with the facts of c.
func Refuse(c *Conversation, code Code) *Refusal {
	r := &Refusal{Code: code, Status: c.Status, WindowExpiresAt: c.WindowExpiresAt}
	if c.Status != Pending {
		r.Holder, r.HolderName, r.AssignedAt = c.Holder, c.HolderName, c.AssignedAt
	}
	return r
}
