package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDeriveKey(t *testing.T) {
	t.Parallel()
	secret := []byte("a secret of thirty-two bytes or m")
	key := DeriveKey(secret, AccessTokenLabel)
	require.Len(t, key, 32)
	require.Equal(t, key, DeriveKey(secret, AccessTokenLabel), "every node derives the same key")
	require.NotEqual(t, key, DeriveKey(secret, "another label"))
	require.NotEqual(t, key, DeriveKey([]byte("another secret"), AccessTokenLabel))
	require.NotContains(t, string(key), string(secret[:8]))
}
