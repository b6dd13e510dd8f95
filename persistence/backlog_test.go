package persistence_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// TestTheBacklogIsOfAllOrganizations: those who wait, not those whom somebody
// has.
func TestTheBacklogIsOfAllOrganizations(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	one, two := newTenant(t, database, "one"), newTenant(t, database, "two")
	agent := one.agent("ada")
	one.assign(one.conversation("1", "held", time.Minute), agent)
	for number, n := range map[string]*tenant{"2": one, "3": two, "4": two} {
		id := n.conversation(number, "waits", time.Minute)
		n.exec(`UPDATE conversations SET pending_since = now() - make_interval(mins => $2) WHERE id = $1`, id, 10*int(number[0]-'0'))
	}
	metrics := prometheus.NewRegistry()
	backlog, err := persistence.NewBacklog(openReads(t, database), metrics, discard())
	require.NoError(t, err)
	running(t, backlog.Run)
	require.Eventually(t, func() bool { return gauge(t, metrics, "chatopshub_conversations_pending") == 3 }, 10*time.Second, 5*time.Millisecond)
	require.InDelta(t, 40*60, gauge(t, metrics, "chatopshub_conversations_oldest_pending_seconds"), 30)
}
