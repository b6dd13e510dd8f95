package embedded

import (
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func connectValkey(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	client := redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

func TestValkeyKeepsAndExpires(t *testing.T) {
	t.Parallel()
	valkey, err := StartValkey()
	require.NoError(t, err)
	t.Cleanup(valkey.Close)
	client := connectValkey(t, valkey.URL())
	require.NoError(t, client.Set(t.Context(), "stays", "1", 0).Err())
	require.NoError(t, client.Set(t.Context(), "goes", "1", 50*time.Millisecond).Err())
	eventually(t, func() bool { return client.Exists(t.Context(), "goes").Val() == 0 }, "it expires by itself")
	require.Equal(t, "1", client.Get(t.Context(), "stays").Val())
}

func TestValkeyRefusesStrangers(t *testing.T) {
	t.Parallel()
	valkey, err := StartValkey()
	require.NoError(t, err)
	t.Cleanup(valkey.Close)
	address, err := url.Parse(valkey.URL())
	require.NoError(t, err)
	address.User = nil
	require.ErrorContains(t, connectValkey(t, address.String()).Ping(t.Context()).Err(), "NOAUTH")
}

func TestValkeyCloses(t *testing.T) {
	t.Parallel()
	valkey, err := StartValkey()
	require.NoError(t, err)
	valkey.Close()
	valkey.Close()
	address, err := url.Parse(valkey.URL())
	require.NoError(t, err)
	_, err = net.Dial("tcp", address.Host)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}
