package engineio_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/transport/socket/engineio"
)

var typeNames = map[engineio.Type]string{
	engineio.Open: "open", engineio.Close: "close", engineio.Ping: "ping", engineio.Pong: "pong",
	engineio.Message: "message", engineio.Upgrade: "upgrade", engineio.Noop: "noop",
}

type payloadCase struct {
	Name    string
	Payload string
	Packets []struct {
		Type  string
		Data  string
		Error bool
	}
	Ours string
}

func payloadCases(t testing.TB) []payloadCase {
	t.Helper()
	file, err := os.ReadFile("testdata/codec.json")
	require.NoError(t, err)
	var table struct{ Payloads []payloadCase }
	require.NoError(t, json.Unmarshal(file, &table))
	require.NotEmpty(t, table.Payloads)
	return table.Payloads
}

func TestDecodePayload(t *testing.T) {
	t.Parallel()
	for _, c := range payloadCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			i := 0
			var failed error
			for p, err := range engineio.DecodePayload([]byte(c.Payload)) {
				require.NoError(t, failed, "nothing may follow an error")
				if failed = err; err != nil {
					require.ErrorIs(t, err, engineio.ErrMalformed)
					break
				}
				require.Less(t, i, len(c.Packets))
				require.Equal(t, c.Packets[i].Type, typeNames[p.Type])
				require.Equal(t, c.Packets[i].Data, string(p.Data))
				i++
			}
			if c.Ours == "as listed" {
				require.NoError(t, failed)
				require.Len(t, c.Packets, i)
				return
			}
			require.Error(t, failed, c.Ours)
		})
	}
}

func TestDecodePayloadStopsWhenAsked(t *testing.T) {
	t.Parallel()
	n := 0
	for _, err := range engineio.DecodePayload([]byte("2\x1e3\x1e6")) {
		require.NoError(t, err)
		n++
		break
	}
	require.Equal(t, 1, n)
}

// Whatever packets a body is joined from come out again, in order.
func TestDecodePayloadFindsEveryPacket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.StringMatching(`[0-6][a-z"\[\]{}é ]{0,8}`), 1, 6).Draw(t, "parts")
		raw := make([][]byte, len(parts))
		for i, p := range parts {
			raw[i] = []byte(p)
		}
		i := 0
		for p, err := range engineio.DecodePayload(bytes.Join(raw, []byte{engineio.Separator})) {
			require.NoError(t, err)
			require.Equal(t, parts[i], string(byte(p.Type))+string(p.Data))
			i++
		}
		require.Len(t, parts, i)
	})
}

func TestHandshakeAppend(t *testing.T) {
	t.Parallel()
	h := engineio.Handshake{SID: "R51EeX3LLWhQ9T6vAAAA", PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1_000_000}
	require.Equal(t, `0{"sid":"R51EeX3LLWhQ9T6vAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, string(h.Append(nil)))
	h.CanUpgrade = true
	require.Equal(t, `0{"sid":"R51EeX3LLWhQ9T6vAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, string(h.Append(nil)))
}
