package actors

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestMetricsShowEachKind(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s, err := NewSystem(SystemConfig{Logger: slog.New(slog.DiscardHandler), Registerer: registry, Now: time.Now})
	require.NoError(t, err)
	var hosts, guests *Directory[string]
	entered, release := make(chan struct{}), make(chan struct{})
	hosts = NewDirectory(s, "host", leaver(&hosts, func(string, any, Self) {
		close(entered)
		<-release
	}), DirectoryConfig{})
	guests = NewDirectory(s, "guest", leaver(&guests, func(string, any, Self) {}), DirectoryConfig{})
	require.NoError(t, hosts.Tell("a", "hello"))
	<-entered
	require.NoError(t, hosts.insist("a", Idle{}))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP chatopshub_actors_mailbox_messages Messages that wait in mailboxes.
# TYPE chatopshub_actors_mailbox_messages gauge
chatopshub_actors_mailbox_messages{kind="guest"} 0
chatopshub_actors_mailbox_messages{kind="host"} 1
# HELP chatopshub_actors_resident Actors in memory.
# TYPE chatopshub_actors_resident gauge
chatopshub_actors_resident{kind="guest"} 0
chatopshub_actors_resident{kind="host"} 1
`), "chatopshub_actors_mailbox_messages", "chatopshub_actors_resident"))
	require.Panics(t, func() { NewDirectory(s, "host", hosts.spawn, DirectoryConfig{}) }, "a kind has one directory")

	close(release)
	require.NoError(t, hosts.Close(t.Context()))
	require.NoError(t, guests.Close(t.Context()))
	_, err = NewSystem(SystemConfig{Logger: s.log, Registerer: registry, Now: time.Now})
	require.ErrorContains(t, err, "duplicate", "two systems can't share a registry")
}

func TestNewSystemNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := NewSystem(SystemConfig{})
	require.ErrorContains(t, err, "Logger and Now")
}

func TestDeadLettersAreLoggedSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		var log bytes.Buffer
		s.log = slog.New(slog.NewTextHandler(&log, nil))
		letters := func(n int) {
			for range n {
				s.Tell(actor.NewPID(s.engine.Address(), "nobody"), "a customer's secret")
			}
			synctest.Wait()
		}
		letters(1000)
		require.Equal(t, 1, strings.Count(log.String(), "dead letters"))
		<-time.After(deadLetterLogEvery)
		letters(1)
		require.Equal(t, 2, strings.Count(log.String(), "dead letters"))
		require.Contains(t, log.String(), "count=1000")
		require.Contains(t, log.String(), "message=string")
		require.NotContains(t, log.String(), "secret")
		require.EqualValues(t, 1001, testutil.ToFloat64(s.metrics.deadLetters))
	})
}
