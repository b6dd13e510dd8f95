package persistence_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestCredentialsAreOpenedForTheirChannelAlone(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newTenant(t, database, "a"), newTenant(t, database, "b")
	setToken := func(tn *tenant, sealed string) {
		tn.exec(`UPDATE channels SET config = jsonb_build_object('accessToken', $2::text) WHERE id = $1`, tn.channel, sealed)
	}
	sealer := newSealer(t, 1)
	setToken(a, sealer.Seal(a.channel, persistence.FieldAccessToken, "EAAG-1"))
	registry := newRegistry(t, database)

	got, err := registry.Credentials(a.channel)
	require.NoError(t, err)
	require.Equal(t, domain.AccessToken("EAAG-1"), got.Token)
	require.Equal(t, a.org, got.Channel.Organization)

	_, err = registry.Credentials(newID[domain.ChannelID]())
	require.ErrorIs(t, err, domain.ErrNotFound)

	refused := func(what string, cause error) {
		t.Helper()
		soon(t, func() bool {
			_, err := registry.Credentials(b.channel)
			if cause == nil {
				return err != nil
			}
			return errors.Is(err, cause)
		}, what)
		_, err := registry.Credentials(b.channel)
		var failed *domain.CallError
		require.ErrorAs(t, err, &failed, what)
		require.Equal(t, domain.FailureChannel, failed.Class, what)
		require.NotContains(t, err.Error(), "EAAG", what)
	}
	refused("no token", nil)
	setToken(b, sealer.Seal(a.channel, persistence.FieldAccessToken, "EAAG-1"))
	refused("copied from another channel", persistence.ErrDamaged)
	setToken(b, newSealer(t, 2).Seal(b.channel, persistence.FieldAccessToken, "EAAG-2"))
	refused("AUTH_SECRET has changed", persistence.ErrOtherKey)

	// A renewed token is used within a second, without a restart.
	setToken(b, sealer.Seal(b.channel, persistence.FieldAccessToken, "EAAG-3"))
	soon(t, func() bool { got, err := registry.Credentials(b.channel); return err == nil && got.Token == "EAAG-3" }, "renewed")
}

func BenchmarkCredentials(b *testing.B) {
	database := persistencetest.New(b)
	a := newTenant(b, database, "a")
	a.exec(`UPDATE channels SET config = jsonb_build_object('accessToken', $2::text) WHERE id = $1`, a.channel,
		newSealer(b, 1).Seal(a.channel, persistence.FieldAccessToken, string(make([]byte, 200))))
	registry := newRegistry(b, database)
	for b.Loop() {
		_, err := registry.Credentials(a.channel)
		require.NoError(b, err)
	}
}
