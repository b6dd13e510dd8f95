package socketio_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/transport/socket/socketio"
)

var types = map[string]socketio.Type{
	"CONNECT": socketio.Connect, "DISCONNECT": socketio.Disconnect, "EVENT": socketio.Event,
	"ACK": socketio.Ack, "CONNECT_ERROR": socketio.ConnectError,
}

type packetJSON struct {
	Type string
	Nsp  string
	ID   json.Number // beyond int64 in one case that we reject
	Data json.RawMessage
}

type table struct {
	Decode []struct {
		Name      string
		Text      string
		Reference packetJSON
		Ours      string
	}
	Encode []struct {
		Packet packetJSON
		Text   string
	}
}

func codecTable(t testing.TB) table {
	t.Helper()
	file, err := os.ReadFile("testdata/codec.json")
	require.NoError(t, err)
	var tab table
	require.NoError(t, json.Unmarshal(file, &tab))
	require.NotEmpty(t, tab.Decode)
	require.NotEmpty(t, tab.Encode)
	return tab
}

// packet is the packet that the table means.
func (p packetJSON) packet(t testing.TB) socketio.Packet {
	t.Helper()
	out := socketio.Packet{Type: types[p.Type], Namespace: p.Nsp, ID: socketio.NoID}
	if p.ID != "" {
		id, err := p.ID.Int64()
		require.NoError(t, err)
		out.ID = id
	}
	switch out.Type {
	case socketio.Event, socketio.Ack:
		require.NoError(t, json.Unmarshal(p.Data, &out.Args))
		if out.Type == socketio.Event {
			require.NoError(t, json.Unmarshal(out.Args[0], &out.Name))
			out.Args = out.Args[1:]
		}
	default:
		out.Data = p.Data
	}
	return out
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range codecTable(t).Decode {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got, err := socketio.Decode([]byte(c.Text))
			if c.Ours == "reject" {
				require.ErrorIs(t, err, socketio.ErrMalformed)
				return
			}
			require.NoError(t, err)
			want := c.Reference.packet(t)
			require.Equal(t, want.Type, got.Type)
			require.Equal(t, want.Namespace, got.Namespace)
			require.Equal(t, want.ID, got.ID)
			require.Equal(t, want.Name, got.Name)
			require.Len(t, got.Args, len(want.Args))
			for i := range want.Args {
				requireSameValue(t, want.Args[i], got.Args[i])
			}
			require.Equal(t, len(want.Data) > 0, len(got.Data) > 0)
			if len(want.Data) > 0 {
				requireSameValue(t, want.Data, got.Data)
			}
		})
	}
}

func requireSameValue(t *testing.T, want, got json.RawMessage) {
	t.Helper()
	// As JavaScript reads them: numbers are floats.
	require.JSONEq(t, string(want), string(got))
}

func TestDecodeOurRules(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"blank after the JSON":         `2["a"] `,
		"namespace of 257 bytes":       "0/" + strings.Repeat("a", 256) + ",",
		"newline in the namespace":     "0/ad\nmin,",
		"delete in the namespace":      "0/ad\x7fmin,",
		"ack id of 16 digits":          `21234567890123456["a"]`,
		"connect error without object": `4`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := socketio.Decode([]byte(text))
			require.ErrorIs(t, err, socketio.ErrMalformed)
		})
	}
	p, err := socketio.Decode([]byte("0/" + strings.Repeat("a", 255) + ","))
	require.NoError(t, err)
	require.Len(t, p.Namespace, 256)
	p, err = socketio.Decode([]byte(`2999999999999999["a"]`))
	require.NoError(t, err)
	require.Equal(t, int64(999999999999999), p.ID)
}

// A packet may be kept after the buffer it was read into is used again.
func TestDecodeSharesNoMemory(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`0/admin,{"token":"abc"}`, `27["msg",{"a":1}]`} {
		buffer := []byte(text)
		p, err := socketio.Decode(buffer)
		require.NoError(t, err)
		before := string(socketio.Append(nil, p))
		clear(buffer)
		require.Equal(t, before, string(socketio.Append(nil, p)))
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, c := range codecTable(t).Encode {
		t.Run(c.Text, func(t *testing.T) {
			t.Parallel()
			p := c.Packet.packet(t)
			p.Data = compact(t, p.Data)
			for i := range p.Args {
				p.Args[i] = compact(t, p.Args[i])
			}
			require.Equal(t, c.Text, string(socketio.Append(nil, p)))
		})
	}
}

func compact(t *testing.T, text json.RawMessage) json.RawMessage {
	t.Helper()
	if len(text) == 0 {
		return nil
	}
	var out bytes.Buffer
	require.NoError(t, json.Compact(&out, text))
	return out.Bytes()
}

// What is appended decodes to the same packet.
func TestAppendThenDecode(t *testing.T) {
	t.Parallel()
	value := rapid.SampledFrom([]string{`1`, `"x\u001e"`, `null`, `{"a":[{}]}`, `[true,"é"]`})
	rapid.Check(t, func(t *rapid.T) {
		p := socketio.Packet{
			Type:      rapid.SampledFrom([]socketio.Type{socketio.Connect, socketio.Disconnect, socketio.Event, socketio.Ack}).Draw(t, "type"),
			Namespace: rapid.SampledFrom([]string{socketio.Root, "/admin"}).Draw(t, "namespace"),
			ID:        socketio.NoID,
		}
		switch p.Type {
		case socketio.Event:
			p.Name = rapid.String().Filter(func(s string) bool { return !socketio.Reserved(s) }).Draw(t, "name")
			p.ID = rapid.Int64Range(socketio.NoID, 999_999_999_999_999).Draw(t, "id")
		case socketio.Ack:
			p.ID = rapid.Int64Range(0, 999_999_999_999_999).Draw(t, "id")
		case socketio.Connect:
			p.Data = json.RawMessage(`{"token":"x"}`)
		}
		if p.Type == socketio.Event || p.Type == socketio.Ack {
			p.Args = []json.RawMessage{}
			for _, v := range rapid.SliceOfN(value, 0, 3).Draw(t, "args") {
				p.Args = append(p.Args, json.RawMessage(v))
			}
		}
		got, err := socketio.Decode(socketio.Append(nil, p))
		require.NoError(t, err)
		require.Equal(t, p, got)
	})
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		var back string
		require.NoError(t, json.Unmarshal(socketio.AppendString(nil, s), &back))
		require.Equal(t, s, back)
	})
	require.Equal(t, "\"a\ufffd<b>\"", string(socketio.AppendString(nil, "a\xff<b>")))
}
