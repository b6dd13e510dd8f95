package socketio_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket/socketio"
)

// Whatever decodes is encoded to text that decodes to the same packet, and
// stays valid UTF-8.
func FuzzSocketPacket(f *testing.F) {
	for _, c := range codecTable(f).Decode {
		f.Add([]byte(c.Text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := socketio.Decode(text)
		if err != nil {
			require.ErrorIs(t, err, socketio.ErrMalformed)
			return
		}
		if p.Type == socketio.Event {
			require.False(t, socketio.Reserved(p.Name))
		}
		if p.Type == socketio.Connect || p.Type == socketio.Disconnect || p.Type == socketio.ConnectError {
			p.ID = socketio.NoID // tolerated there, never written
		}
		again := socketio.Append(nil, p)
		if utf8.Valid(text) {
			require.True(t, utf8.Valid(again))
		}
		q, err := socketio.Decode(again)
		require.NoError(t, err)
		require.Equal(t, p, q)
	})
}
