package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func trip(t require.TestingT, msg any) any {
	data, err := Codec{}.Encode(msg)
	require.NoError(t, err, "%T", msg)
	back, err := Codec{}.Decode(data)
	require.NoError(t, err, "%T % x", msg, data)
	return back
}

func TestCodecBasics(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 1, 12, 30, 15, 123456789, time.FixedZone("", 7200))
	off := false
	for _, msg := range []any{
		nil, true, -7, "wörd \xff", []byte{0, 1}, wake{}, granted{}, deferred{Until: at.UTC()},
		depart{Lane: heavy, Replies: actor.NewPID("10.0.0.1:7946", "ask/1")},
		answered{Departed: departed{Lane: heavy, Slots: [lanes]domain.Slot{3, 1 << 63}}, Failure: &domain.CallError{Code: "x", RetryAfter: 3 * time.Second}},
		Results{{}, {Err: domain.ErrNoTarget}, {Err: &domain.Refusal{Code: domain.CodeNotHolder, AssignedAt: at.UTC()}}},
		Request{Commands: []domain.Command{
			domain.Accept{By: domain.Caller{Name: "Ada"}},
			domain.Receive{Event: domain.CustomerMessage{Body: "hi", At: at.UTC(), Metadata: domain.MessageMetadata{
				Content: &domain.Content{LinkPreview: &off}, Reactions: map[string]domain.Reaction{"customer": {Emoji: "x", At: at.UTC()}}}}},
			domain.FinishSend{Sent: &domain.Sent{ProviderID: "wamid"}, Patience: domain.Patience{Uncertain: time.Hour}},
		}, Replies: actor.NewPID("a", "b")},
		connected{domain.AgentConnection{ID: "x"}, at.UTC(), "10.0.0.2:7946"},
		publish{},
		domain.FeedReplay{Complete: true, Events: []domain.FeedEvent{{Seq: 4, Data: []byte("{}"), At: at.UTC()}}},
	} {
		require.Equal(t, msg, trip(t, msg), "%T", msg)
	}
}

func TestCodecErrors(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("a: %w: %w", domain.ErrOutcomeUnknown, context.DeadlineExceeded)
	back := trip(t, err).(error)
	require.Equal(t, err.Error(), back.Error())
	require.ErrorIs(t, back, domain.ErrOutcomeUnknown)
	require.ErrorIs(t, back, context.DeadlineExceeded)
	require.NotErrorIs(t, back, domain.ErrFailed)
}

// TestCodecNotices: a feed on another node makes of a notice what it would have
// made of it here.
func TestCodecNotices(t *testing.T) {
	t.Parallel()
	sent := publishOfMessage()
	body := "<b>1 & 2</b> \u2028 \xff"
	payload := sent.Notices[0].Payload.(domain.MessageCreated)
	payload.Body = &body
	sent.Notices[0].Payload = payload
	got := trip(t, sent).(publish)
	f := newFeed(&Feeds{system: newSystem(t), config: FeedConfig{Epoch: func() string { return "e" }}}, domain.OrganizationID{}, nil)
	here, err := f.encode(sent.Notices[0].Payload)
	require.NoError(t, err)
	there, err := f.encode(got.Notices[0].Payload)
	require.NoError(t, err)
	require.Equal(t, string(here), string(there))
	require.Equal(t, sent.Notices[0].Rooms, got.Notices[0].Rooms)
}

// TestCodecErrorsAreBounded: neither a long text nor many causes make a long
// message.
func TestCodecErrorsAreBounded(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("long: %s: %w", strings.Repeat("ä", 100*maxErrorText), domain.ErrOverloaded)
	for range 3 * maxCauses {
		err = errors.Join(err, domain.ErrNotFound)
	}
	data, failed := Codec{}.Encode(err)
	require.NoError(t, failed)
	require.Less(t, len(data), 2*maxErrorText)
	back, failed := Codec{}.Decode(data)
	require.NoError(t, failed)
	require.ErrorIs(t, back.(error), domain.ErrOverloaded)
	require.True(t, utf8.ValidString(back.(error).Error()))
}

// TestCodecTimes: to the nanosecond, in UTC, without the monotonic clock.
func TestCodecTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, at := range []time.Time{
		{}, now, now.In(time.FixedZone("", -5*3600)), time.Unix(0, 0), time.Unix(0, 1),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	} {
		got := trip(t, deferred{Until: at}).(deferred).Until
		require.Equal(t, at.Round(0).UTC(), got)
		require.Equal(t, at.IsZero(), got.IsZero())
	}
}

func TestCodecIsDeterministic(t *testing.T) {
	t.Parallel()
	reactions := map[string]domain.Reaction{}
	for i := range 20 {
		reactions[fmt.Sprint(i)] = domain.Reaction{Emoji: "x"}
	}
	msg := domain.CustomerMessage{Metadata: domain.MessageMetadata{Reactions: reactions}}
	first, err := Codec{}.Encode(msg)
	require.NoError(t, err)
	for range 20 {
		again, err := Codec{}.Encode(msg)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}

// BenchmarkCodecError is the answer that is sent most when there is too much to
// do.
func BenchmarkCodecError(b *testing.B) {
	err := fmt.Errorf("mailbox of the conversation is full: %w", domain.ErrOverloaded)
	b.ReportAllocs()
	for b.Loop() {
		trip(b, err)
	}
}
