package actors

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// recorder is a Fanout that keeps what it gets, by organization.
type recorder struct {
	mu     sync.Mutex
	events map[domain.OrganizationID][]domain.FeedEvent
	calls  int
	before func() // called first in Deliver; nil: nothing
	deaf   atomic.Bool
}

func (r *recorder) Deliver(events []domain.FeedEvent) {
	if r.before != nil {
		r.before()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == nil {
		r.events = make(map[domain.OrganizationID][]domain.FeedEvent)
	}
	r.calls++
	id := events[0].Organization
	r.events[id] = append(r.events[id], events...)
}

func (r *recorder) Listens(domain.OrganizationID) bool { return !r.deaf.Load() }

func (r *recorder) of(id domain.OrganizationID) []domain.FeedEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.events[id])
}

func newFeeds(t *testing.T, s *System, fanout Fanout, limits DirectoryConfig) *Feeds {
	t.Helper()
	var epochs atomic.Int64
	return NewFeeds(s, FeedConfig{
		Fanout: fanout, Directory: limits,
		Epoch: func() string { return "e" + strconv.FormatInt(epochs.Add(1), 10) },
	})
}

func organization(n byte) domain.OrganizationID { return domain.OrganizationID{15: n} }

func notice(payload any) domain.Notice {
	return domain.Notice{Name: domain.EventTyping, Rooms: []domain.Room{"room"}, Payload: payload}
}

func numbers(events []domain.FeedEvent) []string {
	offsets := make([]string, len(events))
	for i, e := range events {
		offsets[i] = string(e.Name) + " " + e.Offset()
	}
	return offsets
}

func TestFeedNumbersEachOrganizationWithoutGaps(t *testing.T) {
	t.Parallel()
	const publishers, each = 8, 500
	s, r := newSystem(t), &recorder{}
	feeds := newFeeds(t, s, r, DirectoryConfig{})
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for n := range each {
				feeds.Publish(organization(byte(n%2)), []domain.Notice{notice([]int{p, n}), notice([]int{p, n})})
			}
		})
	}
	publishing.Wait()
	feeds.Publish(organization(0), nil)
	require.NoError(t, feeds.Close(t.Context()))

	require.Equal(t, publishers*each, r.calls, "one Deliver per Publish")
	for o := range byte(2) {
		events := r.of(organization(o))
		require.Len(t, events, publishers*each)
		last := make(map[int]int)
		for i, e := range events {
			require.EqualValues(t, i+1, e.Seq)
			require.Equal(t, events[0].Epoch, e.Epoch)
			require.Equal(t, organization(o), e.Organization)
			var from []int
			require.NoError(t, json.Unmarshal(e.Data, &from))
			require.GreaterOrEqual(t, from[1], last[from[0]], "order of a publisher")
			last[from[0]] = from[1]
		}
	}
	require.NotEqual(t, r.of(organization(0))[0].Epoch, r.of(organization(1))[0].Epoch)
}

func TestFeedEncodesForTheWire(t *testing.T) {
	t.Parallel()
	s, r := newSystem(t), &recorder{}
	feeds := newFeeds(t, s, r, DirectoryConfig{})
	feeds.Publish(organization(1), []domain.Notice{notice(map[string]string{"body": "<a href=\"x\">&\n\xff😀"})})
	require.NoError(t, feeds.Close(t.Context()))
	e := r.of(organization(1))[0]
	const wire = `{"body":"<a href=\"x\">&\n\ufffd😀"}`
	require.Empty(t, cmp.Compare(wire, string(e.Data)), "on the wire: %s", e.Data)
	require.True(t, utf8.Valid(e.Data))
	require.Equal(t, []domain.Room{"room"}, e.Rooms)
	require.WithinDuration(t, time.Now(), e.At, time.Minute)
}

// Clients that stay connected through a quiet time have missed nothing, and
// must not be told otherwise by a new epoch.
func TestFeedGoesOnAfterPassivation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r := newSystem(t), &recorder{}
		feeds := newFeeds(t, s, r, DirectoryConfig{IdleTTL: time.Hour})
		feeds.Publish(organization(1), []domain.Notice{notice(1), notice(2)})
		<-time.After(2 * time.Hour)
		synctest.Wait()
		require.Zero(t, feeds.directory.Len())
		feeds.Publish(organization(1), []domain.Notice{notice(3)})
		require.NoError(t, feeds.Close(t.Context()))
		require.Equal(t, []string{"typing e1:1", "typing e1:2", "typing e1:3"}, numbers(r.of(organization(1))))
	})
}

// The answer to Replay has what came after the position up to what was handed
// to the Fanout before it, whoever publishes meanwhile.
func TestFeedReplaysInTheOrderOfItsEvents(t *testing.T) {
	t.Parallel()
	const publishes = 300
	s, r := newSystem(t), &recorder{}
	feeds := newFeeds(t, s, r, DirectoryConfig{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for n := range publishes {
			feeds.Publish(organization(1), []domain.Notice{notice(n), notice(n)})
		}
	})
	answers := make(chan domain.FeedReplay, publishes)
	for n := range uint64(publishes) {
		require.NoError(t, feeds.Replay(organization(1), domain.FeedPosition{Epoch: "e1", Seq: n}, func(got domain.FeedReplay) {
			handed := r.of(organization(1))
			if got.Complete {
				require.EqualValues(t, len(handed), got.Newest.Seq)
				require.Equal(t, numbers(handed[n:]), numbers(got.Events))
			} else {
				require.Less(t, len(handed), int(n), "from the future")
			}
			answers <- got
		}))
	}
	publishing.Wait()
	require.NoError(t, feeds.Close(t.Context()))
	require.Len(t, answers, publishes)
}

func TestFeedForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r := newSystem(t), &recorder{}
		feeds := newFeeds(t, s, r, DirectoryConfig{})
		replayed := func(epoch string, after uint64) (got domain.FeedReplay) {
			require.NoError(t, feeds.Replay(organization(1), domain.FeedPosition{Epoch: epoch, Seq: after}, func(r domain.FeedReplay) { got = r }))
			synctest.Wait()
			return got
		}
		feeds.Publish(organization(1), []domain.Notice{notice(1)})
		<-time.After(time.Minute)
		feeds.Publish(organization(1), []domain.Notice{notice(2)})
		require.Len(t, replayed("e1", 0).Events, 2)
		require.Equal(t, domain.FeedReplay{Newest: domain.FeedPosition{Epoch: "e1", Seq: 2}}, replayed("e0", 1))
		<-time.After(61 * time.Second)
		require.False(t, replayed("e1", 0).Complete)
		require.Equal(t, []string{"typing e1:2"}, numbers(replayed("e1", 1).Events))
		<-time.After(time.Minute)
		require.False(t, replayed("e1", 1).Complete)
		require.True(t, replayed("e1", 2).Complete)
		require.NoError(t, feeds.Close(t.Context()))
	})
}

// Goal: what a feed has no room for is dropped, and announced as a gap, even if
// nothing else is ever published.
func TestFeedAnnouncesWhatItHadNoRoomFor(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := newSystem(t)
	r := &recorder{before: func() { once.Do(func() { close(entered); <-release }) }}
	feeds := newFeeds(t, s, r, DirectoryConfig{MaxWaiting: 2})
	feeds.Publish(organization(1), []domain.Notice{notice("in hand")})
	<-entered
	for range 100 { // two have room
		feeds.Publish(organization(1), []domain.Notice{notice("more")})
	}
	require.EqualValues(t, 3, feeds.directory.waiting.Load(), "one message tells of all that is lost")
	close(release)
	require.NoError(t, feeds.Close(t.Context()))

	events := r.of(organization(1))
	require.Equal(t, []string{"typing e1:1", "resync e1:2", "typing e1:3", "typing e1:4"}, numbers(events))
	require.Equal(t, []domain.Room{domain.OrgRoom(organization(1))}, events[1].Rooms)
	var payload struct {
		Since    time.Time
		JitterMs int
	}
	require.NoError(t, json.Unmarshal(events[1].Data, &payload))
	require.Positive(t, payload.JitterMs)
	require.WithinDuration(t, time.Now(), payload.Since, time.Minute)
}

func TestFeedAnnouncesWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	s, r := newSystem(t), &recorder{}
	feeds := newFeeds(t, s, r, DirectoryConfig{})
	feeds.Publish(organization(1), []domain.Notice{notice(1), notice(func() {}), notice(2)})
	require.NoError(t, feeds.Close(t.Context()))
	require.Equal(t, []string{"typing e1:1", "resync e1:2", "typing e1:3"}, numbers(r.of(organization(1))))
}

func TestFeedAnnouncesAPanicOnTheWay(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var deliveries int
	r := &recorder{before: func() {
		if deliveries++; deliveries == 2 {
			panic("hub")
		}
	}}
	feeds := newFeeds(t, s, r, DirectoryConfig{})
	for range 3 {
		feeds.Publish(organization(1), []domain.Notice{notice(1)})
	}
	require.NoError(t, feeds.Close(t.Context()))
	require.Equal(t, []string{"typing e1:1", "resync e2:1", "typing e2:2"}, numbers(r.of(organization(1))))
}

func BenchmarkFeedPublish(b *testing.B) {
	s := newSystem(b)
	var delivered atomic.Int64
	feeds := NewFeeds(s, FeedConfig{
		Fanout: fanoutFunc(func(events []domain.FeedEvent) { delivered.Add(int64(len(events))) }),
		Epoch:  func() string { return "epoch" },
	})
	now := domain.Timestamp(time.Now())
	body := "Good morning, I'd like to know <b>where</b> my order is; it was to come yesterday."
	org, conversation := []domain.Room{"org:o"}, []domain.Room{"conversation:c", "agent:a"}
	notices := []domain.Notice{ // what one inbound message means
		{Name: domain.EventMessageCreated, Rooms: conversation, Payload: domain.MessageCreated{
			Direction: domain.Inbound, Body: &body, Type: domain.TypeText, ProviderAt: now, CreatedAt: now,
		}},
		{Name: domain.EventConversationUpdated, Rooms: org, Payload: domain.ConversationUpdated{
			Status: domain.Pending, LastMessageAt: now, UpdatedAt: now, ContactRef: domain.ContactRef{DisplayName: "Ada"},
		}},
		{Name: domain.EventAssignmentChanged, Rooms: org, Payload: domain.AssignmentChanged{Status: domain.Pending}},
	}
	b.ReportAllocs()
	n := int64(0)
	for b.Loop() {
		feeds.Publish(organization(1), notices)
		if n++; n%1024 == 0 {
			await(&delivered, (n-1024)*int64(len(notices))) // a bounded backlog
		}
	}
	await(&delivered, n*int64(len(notices)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*int64(len(notices))), "ns/event")
	if err := feeds.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

type fanoutFunc func(events []domain.FeedEvent)

func (f fanoutFunc) Deliver(events []domain.FeedEvent)  { f(events) }
func (f fanoutFunc) Listens(domain.OrganizationID) bool { return true }
