package cluster

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

const self = "10.0.0.1:7000"

func drawMessage(t *rapid.T) message {
	m := message{to: actor.NewPID("there", rapid.String().Draw(t, "target")), body: rapid.SliceOf(rapid.Byte()).Draw(t, "body")}
	if rapid.Bool().Draw(t, "sender") {
		addr := rapid.SampledFrom([]string{self, "10.0.0.2:7000"}).Draw(t, "address")
		m.sender = actor.NewPID(addr, rapid.StringN(1, 20, 40).Draw(t, "id"))
	}
	m.size = measure(&m, self)
	return m
}

func TestFramesArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.SliceOf(rapid.Custom(drawMessage)).Draw(t, "messages")
		ping := rapid.Uint64().Draw(t, "ping")
		packed := pack(sent, ping, self)
		var data []byte
		require.NoError(t, raw{}.Unmarshal(packed, &data))
		packed.Free()
		var f frame
		require.NoError(t, f.read(data))
		require.Nil(t, f.hello)
		require.Equal(t, ping, f.ping)
		require.Len(t, f.messages, len(sent))
		for i, m := range sent {
			got := f.messages[i]
			require.Equal(t, m.to.ID, got.target)
			require.Len(t, got.body, len(m.body))
			require.Equal(t, string(m.body), string(got.body))
			switch {
			case m.sender == nil:
				require.Empty(t, got.sender)
			case m.sender.Address == self:
				require.Empty(t, got.address)
				fallthrough
			default:
				require.Equal(t, m.sender.ID, got.sender)
			}
		}
	})
}

// TestBytesOfFrames: what a release writes, every other must read.
func TestBytesOfFrames(t *testing.T) {
	t.Parallel()
	m := message{to: actor.NewPID("there", "router"), sender: actor.NewPID(self, "ask/1"), body: []byte("body")}
	m.size = measure(&m, self)
	far := message{to: m.to, sender: actor.NewPID("b:1", "ask/2"), body: nil}
	far.size = measure(&far, self)
	for want, got := range map[string][]byte{
		"12150a06726f757465721a0561736b2f312204626f647912160a06726f757465721203623a311a0561736b2f3222001807": pack([]message{m, far}, 7, self).Materialize(),
		"0a19080110011a047465737422016e2a0831302e302e302e313009":                                             appendHello(nil, hello{1, 1, "test", "n", "10.0.0.1", 9}),
		"082a12080a01611203613a31120a0a01621203623a311801":                                                   NewView(42, []Node{{"a", "a:1", false}, {"b", "b:1", true}}).Encode(),
	} {
		require.Equal(t, want, hex.EncodeToString(got))
	}
}

// TestFieldsOfANewerRelease are skipped, those of an older one that lacks some
// are zero.
func TestFieldsOfANewerRelease(t *testing.T) {
	t.Parallel()
	add := func(b []byte) []byte {
		b = appendVarint(b, 100, 1)
		b = appendText(b, 101, "new")
		b = protowire.AppendTag(b, 102, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, 7)
		b = protowire.AppendTag(b, 103, protowire.Fixed64Type)
		return protowire.AppendFixed64(b, 7)
	}
	nested := func(num protowire.Number, in []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), add(in))
	}
	var f frame
	data := nested(frameHello, appendText(nil, helloNode, "n"))
	data = append(data, nested(frameMessage, appendText(nil, messageTarget, "router"))...)
	require.NoError(t, f.read(add(data)))
	require.Equal(t, hello{node: "n"}, *f.hello)
	require.Equal(t, []envelope{{target: "router"}}, f.messages)

	v := NewView(3, nodes("a", "b"))
	got, err := DecodeView(add(v.Encode()))
	require.NoError(t, err)
	require.Equal(t, v, got)
}

func TestViewsArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9-]{1,20}`), 0, 12, rapid.ID).Draw(t, "names")
		ns := nodes(names...)
		for i := range ns {
			ns[i].Draining = rapid.Bool().Draw(t, "draining")
		}
		v := NewView(rapid.Int64Min(0).Draw(t, "number"), ns)
		got, err := DecodeView(v.Encode())
		require.NoError(t, err)
		require.Equal(t, v, got)
	})
}

func TestWhatIsNoFrame(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"half a tag":      "\x80",
		"half a number":   "\x18\x80",
		"a length alone":  "\x12\x05",
		"half a message":  "\x12\x05\x0a\x06ro",
		"a group no end":  "\x0b",
		"field number 0":  "\x00\x01",
		"a bad inner tag": "\x12\x01\x80",
		"a bad hello":     "\x0a\x01\x80",
		"a huge length":   "\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
	} {
		var f frame
		require.ErrorIs(t, f.read([]byte(data)), errMalformed, name)
	}
	_, err := DecodeView([]byte("\x12\x01\x80"))
	require.ErrorIs(t, err, errMalformed)
	_, err = DecodeView([]byte(strings.Repeat("\x12\x00", maxNodes+1)))
	require.ErrorContains(t, err, "more than 1024 nodes")
	_, err = raw{}.Marshal("text")
	require.ErrorContains(t, err, "a string is no frame")
	require.ErrorContains(t, raw{}.Unmarshal(nil, new(string)), "a *string is no frame")
}

// FuzzFrame: whatever comes in is read or refused, and what is read is no more
// than what came.
func FuzzFrame(f *testing.F) {
	m := message{to: actor.NewPID("there", "router"), sender: actor.NewPID("b", "ask/1"), body: []byte("body")}
	m.size = measure(&m, self)
	f.Add(pack([]message{m, m}, 7, self).Materialize())
	f.Add(appendHello(nil, hello{1, 1, "test", "n", "addr", 9}))
	f.Add(NewView(42, nodes("a", "b")).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		var in frame
		if err := in.read(data); err == nil {
			size := 0
			for _, e := range in.messages {
				size += len(e.target) + len(e.address) + len(e.sender) + len(e.body)
			}
			require.LessOrEqual(t, size, len(data))
		}
		if v, err := DecodeView(data); err == nil {
			again, err := DecodeView(v.Encode())
			require.NoError(t, err)
			require.Equal(t, v, again)
		}
	})
}
