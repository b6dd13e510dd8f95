package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// Goal: an answer goes to the person of the thread, also when the number that
// the thread began with is somebody else's by now.
func TestAnAnswerNeverFollowsANumberToItsNewOwner(t *testing.T) {
	t.Parallel()
	c := openCentre(t, graphtest.Config{Seed: 3, Habits: graphtest.Habits{Reads: 1}})
	former := customer(1)
	id := c.open(former) // known by the number alone
	write := func(who graphtest.Customer) {
		_, err := c.platform.Write(testNumber, who, "it's me")
		require.NoError(t, err)
		c.platform.drain(t)
	}
	former.UserID = "US.10000000000000000001"
	write(former)
	owner := former
	owner.Name, owner.UserID = "The new owner", "US.20000000000000000002"
	write(owner)

	sent := c.send(id, map[string]any{"body": "for the former owner"})
	require.Equal(t, http.StatusCreated, sent.status, bodyText(sent))
	c.await(id, sent.body["id"].(string), "READ")
	taken := c.platform.Taken()
	require.Len(t, taken, 1)
	require.Equal(t, former.UserID, taken[0].Recipient)

	// Once nothing is left to reach them by, it says so.
	c.exec(`DELETE FROM contact_aliases WHERE alias = $1`, former.UserID)
	sent = c.send(id, map[string]any{"body": "to nobody"})
	require.Equal(t, http.StatusCreated, sent.status, bodyText(sent))
	failed := c.await(id, sent.body["id"].(string), "FAILED")
	require.Equal(t, "recipient_unknown", failed["errorCode"])
	require.Len(t, c.platform.Taken(), 1)
}
