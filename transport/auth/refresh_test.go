package auth

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
)

func newChain(secret string) RefreshChain {
	return RefreshChain{Key: DeriveKey([]byte(secret), RefreshTokenLabel)}
}

func TestRefreshTokensFollowFromEachOther(t *testing.T) {
	t.Parallel()
	chain, otherNode, otherSecret := newChain("secret"), newChain("secret"), newChain("another secret")
	first := chain.First()
	require.NotEqual(t, first, chain.First())
	second := chain.Next(first)
	third := chain.Next(second)
	for _, token := range []string{first, second, third} {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		require.Len(t, raw, 32)
	}
	require.Equal(t, second, otherNode.Next(first), "every node computes the same")
	require.NotEqual(t, second, otherSecret.Next(first), "nobody else does")
	require.NotEqual(t, first, second)
	require.NotEqual(t, second, third)

	for _, want := range []string{second, third} {
		got, ok := otherNode.Find(first, HashRefresh(want))
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok := chain.Find(first, HashRefresh(first))
	require.False(t, ok, "a token is not its own successor")
	_, ok = otherSecret.Find(first, HashRefresh(second))
	require.False(t, ok)
}

func TestFindLooksOnlyNearby(t *testing.T) {
	t.Parallel()
	chain := newChain("secret")
	token := "start"
	for range maxRepeats {
		token = chain.Next(token)
	}
	_, ok := chain.Find("start", HashRefresh(token))
	require.True(t, ok)
	_, ok = chain.Find("start", HashRefresh(chain.Next(token)))
	require.False(t, ok)
}
