package engineio_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket/engineio"
)

// A packet that decodes is its type and its data and nothing else.
func FuzzEnginePacket(f *testing.F) {
	for _, c := range payloadCases(f) {
		f.Add([]byte(c.Payload))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := engineio.Decode(text)
		if err != nil {
			require.ErrorIs(t, err, engineio.ErrMalformed)
			return
		}
		require.Contains(t, typeNames, p.Type)
		require.True(t, bytes.Equal(text, append([]byte{byte(p.Type)}, p.Data...)))
	})
}

// The packets of a body that decodes without error join to that body again.
func FuzzEnginePayload(f *testing.F) {
	for _, c := range payloadCases(f) {
		f.Add([]byte(c.Payload))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var parts [][]byte
		for p, err := range engineio.DecodePayload(body) {
			if err != nil {
				require.ErrorIs(t, err, engineio.ErrMalformed)
				return
			}
			parts = append(parts, append([]byte{byte(p.Type)}, p.Data...))
		}
		require.True(t, bytes.Equal(body, bytes.Join(parts, []byte{engineio.Separator})))
	})
}
