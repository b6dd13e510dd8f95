package main

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// identityCase is one customer's way through numbers and user ids.
type identityCase struct {
	t      *testing.T
	n      *tenantRows
	p      *program
	client *http.Client
}

func newIdentityCase(t *testing.T, slug string) *identityCase {
	t.Helper()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, slug, "4001")
	return &identityCase{t: t, n: n, p: runProgram(t, db), client: testClient(t)}
}

// writes delivers a text and returns the contact in whose thread it landed.
func (c *identityCase) writes(id, number, userID string) domain.ContactID {
	c.t.Helper()
	body := webhooktest.WhatsAppText(c.n.account, webhooktest.Customer{Name: "N", Number: number, UserID: userID}, id, id, time.Now())
	deliver(c.t, c.client, c.p.url(), body)
	var contact domain.ContactID
	require.NoError(c.t, c.n.db.SQL.QueryRowContext(c.t.Context(), `SELECT c.contact_id FROM messages m
		JOIN conversations c ON c.id = m.conversation_id WHERE m.provider_message_id = $1`, id).Scan(&contact))
	return contact
}

func (c *identityCase) owner(alias string) domain.ContactID {
	c.t.Helper()
	var contact domain.ContactID
	require.NoError(c.t, c.n.db.SQL.QueryRowContext(c.t.Context(), `SELECT contact_id FROM contact_aliases WHERE alias = $1`, alias).Scan(&contact))
	return contact
}

func TestACustomerIsFollowedFromNumberToUserID(t *testing.T) {
	t.Parallel()
	c := newIdentityCase(t, "follow")
	byNumber := c.writes("m1", "4917000001", "")
	require.Equal(t, byNumber, c.writes("m2", "4917000001", "DE.1"), "number and user id")
	require.Equal(t, byNumber, c.writes("m3", "", "DE.1"), "user id alone: the number is hidden now")
	require.Equal(t, byNumber, c.writes("m4", "4917000001", ""), "and the number alone again")
	require.Equal(t, 1, c.n.count(`SELECT count(*) FROM contacts`))
	c.n.checkTrail()
}

func TestARecycledNumberIsAnotherPerson(t *testing.T) {
	t.Parallel()
	c := newIdentityCase(t, "recycled")
	former := c.writes("m1", "4917000002", "DE.10")
	current := c.writes("m2", "4917000002", "DE.20")
	require.NotEqual(t, former, current, "a message must never land in the former owner's thread")
	require.Equal(t, current, c.writes("m3", "4917000002", ""), "the number is the new owner's")
	require.Equal(t, former, c.writes("m4", "", "DE.10"), "the former owner keeps the thread")
	require.Equal(t, current, c.owner("4917000002"))
	require.Equal(t, 1, c.n.count(`SELECT count(*) FROM conversation_events WHERE metadata->'movedAliases' IS NOT NULL`), "the move is audited")
	c.n.checkTrail()
}

func TestTwoContactsTurnOutToBeOne(t *testing.T) {
	t.Parallel()
	c := newIdentityCase(t, "merge")
	byNumber := c.writes("m1", "4917000003", "")
	byUserID := c.writes("m2", "", "DE.30")
	require.NotEqual(t, byNumber, byUserID)
	require.Equal(t, byUserID, c.writes("m3", "4917000003", "DE.30"), "the user id's contact wins")
	require.Equal(t, byUserID, c.writes("m4", "4917000003", ""), "the number came along")
	require.Equal(t, 1, c.n.count(`SELECT count(*) FROM contacts WHERE id = $1 AND merged_into = $2`, byNumber, byUserID))
	c.n.checkTrail()
}

func TestABrandNewCustomerWritesByNumberAndUserIDAtOnce(t *testing.T) {
	t.Parallel()
	c := newIdentityCase(t, "at once")
	var running sync.WaitGroup
	for i := range 40 {
		who := webhooktest.Customer{Name: "N", Number: "4917000004"}
		if i%2 == 0 {
			who.UserID = "DE.40"
		}
		body := webhooktest.WhatsAppText(c.n.account, who, entropyText(), "hello", time.Now())
		running.Go(func() { deliver(t, c.client, c.p.url(), body) })
	}
	running.Wait()
	require.Equal(t, 40, c.n.count(`SELECT count(*) FROM messages`))
	require.Equal(t, c.owner("DE.40"), c.owner("4917000004"), "one person in the end")
	require.Equal(t, c.owner("DE.40"), c.writes("last", "4917000004", ""))
	c.n.checkTrail()
}
