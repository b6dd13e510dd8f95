package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// Goal: many customers and messages both ways: each text reaches its customer
// exactly once and in the agent's order, each answer is stored once, and all
// that was sent is DELIVERED or READ in the end.
func TestManyConversationsBothWays(t *testing.T) {
	t.Parallel()
	customers, texts := 60, 5
	if fullSize() {
		customers = 1000
	}
	c := openCentre(t, graphtest.Config{Seed: 12, Habits: graphtest.Habits{
		Delivers: 1, Reads: 0.7, Disorder: true, Repeats: 1, Delay: [2]time.Duration{0, 200 * time.Millisecond},
		Answers: func(m graphtest.Taken) []string { return []string{"re: " + m.Text} },
	}})
	c.exec(`UPDATE channels SET send_rate = 1000`)
	for i := range customers {
		_, err := c.platform.Write(testNumber, customer(i), "hello")
		require.NoError(t, err)
	}
	c.platform.drain(t)
	ids := make([]domain.ConversationID, customers)
	var running sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range ids {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ids[i] = c.conversationOf(customer(i).Number)
			c.converse(ids[i], i, texts)
		})
	}
	running.Wait()
	require.NoError(t, c.platform.AwaitTaken(t.Context(), customers*texts))
	c.platform.drain(t)
	require.Eventually(t, func() bool {
		return c.count(`SELECT count(*) FROM messages WHERE direction = 'OUTBOUND' AND status IN ('DELIVERED', 'READ')`) == customers*texts
	}, 60*time.Second, 50*time.Millisecond)
	require.Len(t, c.platform.Taken(), customers*texts)
	for i := range customers {
		var got, want []string
		for _, taken := range c.platform.TakenBy(customer(i).Number) {
			got = append(got, taken.Text)
		}
		for n := range texts {
			want = append(want, fmt.Sprintf("text %d to %d", n, i))
		}
		require.Equal(t, want, got)
	}
	require.Equal(t, customers*(texts+1), c.count(`SELECT count(*) FROM messages WHERE direction = 'INBOUND'`))
	require.Equal(t, customers*texts, c.count(`SELECT count(DISTINCT body) FROM messages WHERE direction = 'INBOUND' AND body LIKE 're: text %'`))
	c.checkTrail()
}

// converse has the agent accept and write; it runs beside the test.
func (c *centre) converse(id domain.ConversationID, number, texts int) {
	path := fmt.Sprintf("%s/api/conversations/%s/", c.program.url(), id)
	if a := call(c.client, "POST", path+"accept", c.agent.token, nil); a.status != 200 {
		c.t.Errorf("accept was answered %d: %v", a.status, a.body)
	}
	for n := range texts {
		a := c.send(id, map[string]any{"body": fmt.Sprintf("text %d to %d", n, number)})
		if a.status != 201 {
			c.t.Errorf("a send was answered %d: %v", a.status, a.body)
		}
	}
}
