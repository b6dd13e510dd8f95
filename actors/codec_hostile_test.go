package actors

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// written is a message as another release might write it.
func written(t testing.TB, kind uint64, value any) []byte {
	t.Helper()
	data, err := encoding.Marshal([]any{codecVersion, kind, value})
	require.NoError(t, err)
	return data
}

// TestCodecOtherRelease reads what the release before or after writes.
func TestCodecOtherRelease(t *testing.T) {
	t.Parallel()
	id := domain.ConversationID{1}
	back, err := Codec{}.Decode(written(t, 20, map[any]any{2: id, 3: 1, 77: []string{"new"}, "x": map[int]bool{1: true}}))
	require.NoError(t, err)
	require.Equal(t, reserve{Conversation: id, Lane: heavy}, back, "with fields that we don't know, without one that we do")

	receive := map[string]any{"Origin": map[string]any{"Customer": map[string]any{"Name": "Ada", "Mood": "good"}}}
	back, err = Codec{}.Decode(written(t, 10, map[any]any{1: []any{[]any{109, receive}}, 9: 1.5}))
	require.NoError(t, err)
	require.Equal(t, Request{Commands: []domain.Command{
		domain.Receive{Origin: domain.Origin{Customer: domain.Customer{Name: "Ada"}}},
	}}, back)

	// An error of a kind that is new is still an error, with its text and what of it is known.
	causes := []any{3, 9999, []any{7777, map[int]int{1: 1}}}
	back, err = Codec{}.Decode(written(t, 1, map[int]any{1: "too much: quota", 2: causes}))
	require.NoError(t, err)
	require.EqualError(t, back.(error), "too much: quota")
	require.ErrorIs(t, back.(error), domain.ErrOverloaded)
	back, err = Codec{}.Decode(written(t, 1, map[int]any{1: "new", 2: []any{9999}, 3: true}))
	require.NoError(t, err)
	require.EqualError(t, back.(error), "new")
	for number, sentinel := range sentinels {
		require.NotErrorIs(t, back.(error), sentinel, "%d", number)
	}
}

// TestCodecUnreadable: who waits for an answer to what can't be read is told.
func TestCodecUnreadable(t *testing.T) {
	t.Parallel()
	asker := []string{"10.0.0.1:7946", "ask/1"}
	pid := actor.NewPID(asker[0], asker[1])
	for name, test := range map[string]struct {
		data    []byte
		kind    uint64
		replies *actor.PID
	}{
		"nothing":             {data: nil},
		"version":             {data: []byte{listOf3, codecVersion + 1, 0x01, 0xa0}},
		"version alone":       {data: []byte{listOf3, codecVersion}},
		"no message":          {data: []byte{listOf2, codecVersion, 0x0f}},
		"cut":                 {data: []byte{listOf3, codecVersion, 0x0f}, kind: 15},
		"more than a message": {data: append(written(t, 15, map[int]int{}), 1), kind: 15},
		"unknown kind":        {data: written(t, 7777, 1), kind: 7777},
		"new question":        {data: written(t, 7777, map[int]any{0: asker, 1: 5}), kind: 7777, replies: pid},
		"new command":         {data: written(t, 10, map[int]any{0: asker, 1: []any{[]any{7777, 1}}}), kind: 7777, replies: pid},
		"in a letter":         {data: written(t, 60, map[int]any{1: "x", 6: []any{7777, map[int]any{0: asker}}}), kind: 7777, replies: pid},
		"field of a new type": {data: written(t, 22, map[int]any{0: asker, 2: "fast"}), kind: 22, replies: pid},
		"unknown lane":        {data: written(t, 22, map[int]any{0: asker, 2: 2}), kind: 22, replies: pid},
		"no command":          {data: written(t, 10, map[int]any{0: asker, 1: []any{[]any{15, map[int]int{}}}}), kind: 10, replies: pid},
		"a field twice":       {data: []byte{listOf3, codecVersion, 0x0d, 0xa2, 0x01, 0xf6, 0x01, 0xf6}, kind: 13},
		"a tag":               {data: []byte{listOf3, codecVersion, 0x04, 0xd8, 0x20, 0x60}, kind: 4},
		"without end":         {data: []byte{listOf3, codecVersion, 0x0b, 0x9f, 0xff}, kind: 11},
		"too many elements":   {data: written(t, 11, make([]any, maxElements+1)), kind: 11},
		"too deep":            {data: append([]byte{listOf3, codecVersion, 0x0b}, bytes.Repeat([]byte{0x81}, maxDepth+1)...), kind: 11},
		"too long":            {data: append([]byte{listOf3}, make([]byte, MaxMessage)...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Codec{}.Decode(test.data)
			unreadable, ok := errors.AsType[*UnreadableError](err)
			require.True(t, ok, "%v", err)
			require.Error(t, unreadable.Reason)
			require.Equal(t, test.kind, unreadable.Kind, "%v", err)
			require.Equal(t, test.replies, unreadable.Replies, "%v", err)
			require.Equal(t, test.kind == 7777, errors.Is(err, errUnknownKind), "%v", err)
		})
	}
}

func TestCodecUnwritable(t *testing.T) {
	t.Parallel()
	for _, msg := range []any{
		Idle{}, roundDone{}, struct{}{}, make([]byte, MaxMessage), Request{Commands: make([]domain.Command, 1+maxElements)},
		domain.Notice{Payload: func() {}}, publish{Notices: []domain.Notice{{Payload: make(chan int)}}},
	} {
		_, err := Codec{}.Encode(msg)
		require.ErrorIs(t, err, domain.ErrFailed, "%T", msg)
	}
}

// deepest nests as deep as ours do.
func deepest() Request {
	return Request{Commands: []domain.Command{domain.Receive{Event: domain.BusinessEcho{Metadata: domain.MessageMetadata{
		Content: &domain.Content{Template: &domain.Template{Header: []domain.TemplateParameter{{File: &domain.File{Link: "https://x.test"}}}}},
	}}}}}
}

// TestCodecDepth: what is sent has room to nest deeper.
func TestCodecDepth(t *testing.T) {
	t.Parallel()
	data, err := Codec{}.Encode(returned{Letter: letter{Msg: deepest()}})
	require.NoError(t, err)
	depth := 4
	for ; ; depth++ {
		mode, err := cbor.DecOptions{MaxNestedLevels: depth}.DecMode()
		require.NoError(t, err)
		if mode.Wellformed(data) == nil {
			break
		}
	}
	require.LessOrEqual(t, depth, maxDepth/2, "the deepest of ours")
}

// TestCodecKeepsNothing: what is read doesn't change with the buffer that it
// was read from.
func TestCodecKeepsNothing(t *testing.T) {
	t.Parallel()
	for _, msg := range []any{requestToReceive(), resultsOfReceive(), []byte("bytes"), domain.FeedEvent{Data: []byte("{}")}} {
		data, err := Codec{}.Encode(msg)
		require.NoError(t, err)
		back, err := Codec{}.Decode(data)
		require.NoError(t, err)
		clear(data)
		require.Equal(t, msg, back)
	}
}

// maxExpansion is how many bytes of memory a byte of a message may cost: the
// cheapest element of a list takes one byte, and the dearest is a struct.
const maxExpansion = 600

// TestCodecMemory isn't parallel: it measures.
func TestCodecMemory(t *testing.T) {
	empty := func(of any, n int) []any {
		elements := make([]any, n)
		for i := range elements {
			elements[i] = of
		}
		return elements
	}
	nothing := map[int]int{}
	for name, data := range map[string][]byte{
		"results":     written(t, 11, empty(nothing, maxElements)),
		"notices":     written(t, 54, map[int]any{4: empty(nothing, maxElements)}),
		"commands":    written(t, 10, map[int]any{1: empty([]any{109, nothing}, maxElements)}),
		"unknown":     written(t, 10, map[int]any{1: empty([]any{7777, nothing}, maxElements)}),
		"events":      written(t, 53, map[string]any{"Recent": empty(nothing, maxElements)}),
		"rooms":       written(t, 53, map[string]any{"Recent": empty(map[string]any{"Rooms": empty("", 1000)}, 1000)}),
		"media":       written(t, 130, map[string]any{"Metadata": map[string]any{"media": empty(nothing, maxElements)}}),
		"new field":   written(t, 15, map[int]any{9: empty(empty(nothing, 100), 1000)}),
		"false sizes": {listOf3, codecVersion, 0x0b, 0x9a, 0xff, 0xff, 0xff, 0xff},
		"false text":  {listOf3, codecVersion, 0x04, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Codec{}.Decode(data)
		runtime.ReadMemStats(&after)
		took := int(after.TotalAlloc - before.TotalAlloc)
		t.Logf("%s: %d bytes took %d, %d each (%v)", name, len(data), took, took/len(data), err != nil)
		require.LessOrEqual(t, took, 64<<10+maxExpansion*len(data), name)
	}
}

// FuzzDecode: whatever comes, Decode returns, and what it could read can be
// written and read again as the same.
func FuzzDecode(f *testing.F) {
	for _, msg := range golden() {
		data, err := Codec{}.Encode(msg)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte{listOf3, codecVersion, 0x01, 0xa1, 0x02, 0x82, 0x03, 0x82, 0x18, 0x96, 0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		msg, err := Codec{}.Decode(data)
		if err != nil {
			_, ok := errors.AsType[*UnreadableError](err)
			require.True(t, ok, "%v", err)
			return
		}
		once, err := Codec{}.Encode(msg)
		if err != nil {
			require.ErrorIs(t, err, domain.ErrFailed) // such as a time that has no RFC 3339, or a payload that is no JSON
			return
		}
		again, err := Codec{}.Decode(once)
		require.NoError(t, err)
		twice, err := Codec{}.Encode(again)
		require.NoError(t, err)
		require.Equal(t, once, twice)
	})
}

var update = flag.Bool("update", false, "write the golden files anew")

// golden is messages whose bytes are kept.
func golden() map[string]any {
	return map[string]any{
		"receive": requestToReceive(), "results": resultsOfReceive(), "publish": publishOfMessage(), "deep": deepest(),
		"letter":   letter{Kind: "conversation", Key: [16]byte{1}, View: 7, Mode: concluding, Msg: granted{domain.ChannelID{1}}},
		"error":    fmt.Errorf("ask: %w", domain.ErrUnavailable),
		"answered": answered{Conversation: domain.ConversationID{1}, Failure: &domain.CallError{Class: domain.FailureTransient, Code: "1"}},
	}
}

// TestCodecGolden fails when messages are written otherwise than they were: what
// a node of the release before has written is read by this one.
func TestCodecGolden(t *testing.T) {
	t.Parallel()
	for name, msg := range golden() {
		data, err := Codec{}.Encode(msg)
		require.NoError(t, err)
		file := filepath.Join("testdata", "codec", name+".cbor.hex")
		if *update {
			require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "%x\n", data), 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(string(want)), fmt.Sprintf("%x", data), "%s: %s", name, reflect.TypeOf(msg))
	}
}
