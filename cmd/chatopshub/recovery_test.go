package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// greeting is what the server said when the socket was connected.
func (c *socketClient) greeting(t testing.TB) (g struct{ SID, PID string }) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, packet := range c.other {
		if text, ok := strings.CutPrefix(packet, "40"); ok {
			require.NoError(t, json.Unmarshal([]byte(text), &g))
		}
	}
	return g
}

// TestALostSocketComesBack: the whole program gives a socket back with what
// happened meanwhile, to its own login alone.
func TestALostSocketComesBack(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "lost", "2101")
	owner, colleague, late := n.agent("owner", domain.RoleAgent), n.agent("colleague", domain.RoleAgent), n.agent("late", domain.RoleAgent)
	p := runProgram(t, db)
	c := dialSocket(t, p, owner.token)
	dialSocket(t, p, colleague.token)
	require.Eventually(t, func() bool { return len(c.named("agent.presence")) > 0 }, 15*time.Second, 2*time.Millisecond)
	n.settle(p, c) // nothing else is on its way
	seen := c.named("agent.presence")
	first := c.greeting(t)
	require.NotEmpty(t, first.PID)
	require.NoError(t, c.conn.NetConn().Close())
	<-c.closed
	dialSocket(t, p, late.token)

	shown := map[string]string{"token": colleague.token, "pid": first.PID, "offset": seen[len(seen)-1].offset}
	stranger := dialSocketAs(t, p.url(), shown)
	require.NotEqual(t, first, stranger.greeting(t))
	shown["token"] = owner.token
	back := dialSocketAs(t, p.url(), shown)
	require.Equal(t, first, back.greeting(t))
	require.Eventually(t, func() bool {
		for _, e := range back.named("agent.presence") {
			if e.payload["agentId"] == late.id.String() {
				return true
			}
		}
		return false
	}, 15*time.Second, 2*time.Millisecond, "what was missed never came")
}
