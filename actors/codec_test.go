package actors

import (
	"context"
	"fmt"
	"testing"
	"time"

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
		connected{domain.AgentConnection{ID: "x"}, at.UTC()},
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
