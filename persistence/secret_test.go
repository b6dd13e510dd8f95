package persistence_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
)

func newSealer(t testing.TB, first byte) *persistence.Sealer {
	t.Helper()
	sealer, err := persistence.NewSealer(append([]byte{first}, bytes.Repeat([]byte{7}, 31)...))
	require.NoError(t, err)
	return sealer
}

func TestSealedSecretsOpenForTheirChannelAndField(t *testing.T) {
	t.Parallel()
	sealer := newSealer(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.String().Draw(t, "secret")
		channel := domain.ChannelID(uuid.New())
		sealed := sealer.Seal(channel, persistence.FieldAccessToken, secret)
		opened, err := sealer.Open(channel, persistence.FieldAccessToken, sealed)
		require.NoError(t, err)
		require.Equal(t, secret, opened)
		require.NotEqual(t, sealed, sealer.Seal(channel, persistence.FieldAccessToken, secret), "a nonce of its own")
	})
}

func TestSealedSecretsOpenForNothingElse(t *testing.T) {
	t.Parallel()
	const secret = "EAAG-secret-token"
	sealer, channel := newSealer(t, 1), domain.ChannelID(uuid.New())
	sealed := sealer.Seal(channel, persistence.FieldAccessToken, secret)
	last := sealed[len(sealed)-2:]
	flipped := sealed[:len(sealed)-2] + map[bool]string{true: "BA", false: "AA"}[last == "AA"]
	cases := map[string]struct {
		sealer  *persistence.Sealer
		channel domain.ChannelID
		field   string
		sealed  string
		want    error
	}{
		"another channel": {sealer, domain.ChannelID(uuid.New()), persistence.FieldAccessToken, sealed, persistence.ErrDamaged},
		"another field":   {sealer, channel, persistence.FieldWebhookSecret, sealed, persistence.ErrDamaged},
		"another key":     {newSealer(t, 2), channel, persistence.FieldAccessToken, sealed, persistence.ErrOtherKey},
		"changed":         {sealer, channel, persistence.FieldAccessToken, flipped, persistence.ErrDamaged},
		"cut":             {sealer, channel, persistence.FieldAccessToken, sealed[:len(sealed)-8], persistence.ErrDamaged},
		"not base64":      {sealer, channel, persistence.FieldAccessToken, sealed + "!", persistence.ErrDamaged},
		"no ciphertext":   {sealer, channel, persistence.FieldAccessToken, sealed[:strings.LastIndex(sealed, ".")+1], persistence.ErrDamaged},
		"never sealed":    {sealer, channel, persistence.FieldAccessToken, secret, persistence.ErrDamaged},
		"empty":           {sealer, channel, persistence.FieldAccessToken, "", persistence.ErrDamaged},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened, err := c.sealer.Open(c.channel, c.field, c.sealed)
			require.ErrorIs(t, err, c.want)
			require.Empty(t, opened)
			require.NotContains(t, err.Error(), secret)
			require.Contains(t, err.Error(), c.channel.String())
		})
	}
}

func TestASealingKeyHas32Bytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16, 31, 33} {
		_, err := persistence.NewSealer(make([]byte, size))
		require.ErrorContains(t, err, "want 32")
	}
}
