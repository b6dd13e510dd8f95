package domain

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// FeedPosition is a place in the feed of an organization: after the event with
// this number, before the next. The zero value is no place.
type FeedPosition struct {
	Epoch string // random for each activation of the feed
	Seq   uint64 // 0: before the first event of the epoch
}

// String is the position as clients see it: "epoch:seq".
func (p FeedPosition) String() string { return p.Epoch + ":" + strconv.FormatUint(p.Seq, 10) }

// ParseFeedPosition reads what String wrote. It is false for anything else.
func ParseFeedPosition(text string) (FeedPosition, bool) {
	epoch, number, ok := strings.Cut(text, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	p := FeedPosition{Epoch: epoch, Seq: seq}
	return p, ok && err == nil && epoch != "" && p.String() == text
}

// FeedReplay answers the question what came after a place in a feed.
type FeedReplay struct {
	// Complete says that Events is everything after that place. Otherwise it
	// isn't known what was missed, and Events is empty.
	Complete bool
	Events   []FeedEvent
	Newest   FeedPosition
}

// FeedLimits bound what a feed remembers. What is past one of them is
// forgotten, oldest first; who needs it then starts afresh.
type FeedLimits struct {
	Age    time.Duration
	Events int
	Bytes  int // of the events' data
}

// FeedHistory is the numbers of a feed and its recent events. It is a value
// that can be handed over: whoever holds it goes on where it ended.
type FeedHistory struct {
	Newest FeedPosition
	Recent []FeedEvent // without gaps, up to Newest
	Bytes  int         // of their data
}

// Append numbers e as the next event, remembers it, and forgets what is past
// the limits. It returns e with its number.
func (h *FeedHistory) Append(e FeedEvent, l FeedLimits) FeedEvent {
	h.Newest.Seq++
	e.Epoch, e.Seq = h.Newest.Epoch, h.Newest.Seq
	h.Recent = append(h.Recent, e)
	h.Bytes += len(e.Data)
	h.Forget(e.At, l)
	return e
}

// Forget drops what is past the limits at now.
func (h *FeedHistory) Forget(now time.Time, l FeedLimits) {
	n := 0
	for n < len(h.Recent) && (len(h.Recent)-n > l.Events || h.Bytes > l.Bytes || now.Sub(h.Recent[n].At) > l.Age) {
		h.Bytes -= len(h.Recent[n].Data)
		n++
	}
	// Replays share the array, so what is forgotten isn't overwritten: it goes
	// when the array is outgrown.
	if h.Recent = h.Recent[n:]; len(h.Recent) == 0 {
		h.Recent = nil
	}
}

// Oldest is the place before the first event that is remembered.
func (h *FeedHistory) Oldest() FeedPosition {
	return FeedPosition{Epoch: h.Newest.Epoch, Seq: h.Newest.Seq - uint64(len(h.Recent))}
}

// Tail is the history with no more than the newest of the remembered events. L's
// Age doesn't count.
func (h *FeedHistory) Tail(l FeedLimits) FeedHistory {
	tail := FeedHistory{Newest: h.Newest}
	n := len(h.Recent)
	for n > 0 && len(h.Recent)-n < l.Events && tail.Bytes+len(h.Recent[n-1].Data) <= l.Bytes {
		n--
		tail.Bytes += len(h.Recent[n].Data)
	}
	if n < len(h.Recent) {
		tail.Recent = slices.Clip(h.Recent[n:])
	}
	return tail
}

// Since is what came after the position. The events are shared, not copied.
func (h *FeedHistory) Since(p FeedPosition) FeedReplay {
	r := FeedReplay{Newest: h.Newest}
	if p.Epoch != h.Newest.Epoch || p.Seq > h.Newest.Seq {
		return r
	}
	missed := h.Newest.Seq - p.Seq
	if r.Complete = missed <= uint64(len(h.Recent)); r.Complete {
		r.Events = slices.Clip(h.Recent[len(h.Recent)-int(missed):])
	}
	return r
}

// RecoveryKey is what a client has to show to get its socket back. PID is a
// secret of the socket; the rest is who shows it, so that a stranger's key is
// another key.
type RecoveryKey struct {
	PID          string
	Organization OrganizationID
	User         UserID
	Session      SessionID
}

// RecoveryRecord is what remains of a socket whose connection was lost.
type RecoveryRecord struct {
	SID   string      `json:"sid"`   // its public id
	Rooms []RoomSince `json:"rooms"` // that it was in
}

// RoomSince is a room and the number of the last event before a socket joined
// it: from there on the socket is to get the room's events.
type RoomSince struct {
	Room  Room   `json:"room"`
	Since uint64 `json:"since"`
}
