package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// traces are the places in the database where any of the texts stands: all
// columns of all tables that can hold a text, an id or bytes.
func traces(t testing.TB, db *persistencetest.Database, texts ...string) (found []string) {
	t.Helper()
	rows, err := db.SQL.Query(`SELECT c.table_name, c.column_name, c.data_type
		FROM information_schema.columns c
		JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
			AND (c.data_type IN ('text', 'character varying', 'json', 'jsonb', 'uuid', 'bytea', 'ARRAY', 'tsvector', 'name'))
		ORDER BY 1, 2`)
	require.NoError(t, err)
	defer rows.Close()
	var columns [][3]string
	for rows.Next() {
		var c [3]string
		require.NoError(t, rows.Scan(&c[0], &c[1], &c[2]))
		columns = append(columns, c)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(columns), 100)
	for _, c := range columns {
		value := fmt.Sprintf("%q::text", c[1])
		if c[2] == "bytea" {
			value = fmt.Sprintf("encode(%q, 'escape')", c[1])
		}
		for _, text := range texts {
			var n int
			require.NoError(t, db.SQL.QueryRow(fmt.Sprintf(`SELECT count(*) FROM %q WHERE position($1 in %s) > 0`, c[0], value), text).Scan(&n))
			if n > 0 {
				found = append(found, fmt.Sprintf("%s.%s: %s", c[0], c[1], text))
			}
		}
	}
	return found
}

// filesIn counts the files below a folder.
func filesIn(t testing.TB, folder string) (n int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			n++
		}
		return err
	}))
	return n
}

// TestErasedCustomersLeaveNoTrace has a customer who wrote by number and by user
// id, on a file's and a template's way, held by an agent, merged, named in a dead
// letter and in another's trail, and looks everywhere afterwards.
func TestErasedCustomersLeaveNoTrace(t *testing.T) {
	t.Parallel()
	c := newMediaCase(t, nil)
	id := &identityCase{t: t, n: c.rows, p: c.p, client: c.client}
	byNumber := id.writes("wamid.secret-1", c.number, "")
	byUser := id.writes("wamid.secret-2", "", "DE.777")
	require.Equal(t, byUser, id.writes("wamid.secret-3", c.number, "DE.777"), "merged")
	var conversation domain.ConversationID
	require.NoError(t, c.db.SQL.QueryRow(`SELECT id FROM conversations WHERE contact_id = $1`, byUser).Scan(&conversation))
	media := c.platform.PutMedia(c.rows.account, "image/png", "", testPicture)
	sum := sha256.Sum256(testPicture)
	c.receive("wamid.secret-4", "image", map[string]any{"id": media, "mime_type": "image/png", "sha256": base64.StdEncoding.EncodeToString(sum[:])})
	c.settled("wamid.secret-4")
	// The number moves on to somebody else, who stays.
	heir := id.writes("wamid.heir-1", c.number, "DE.888")
	require.Equal(t, byUser, id.writes("wamid.secret-5", "", "DE.777"))
	url := fmt.Sprintf("%s/api/conversations/%s", c.p.url(), conversation)
	require.Equal(t, http.StatusOK, call(c.client, http.MethodPost, url+"/accept", c.agent.token, nil).status)
	require.Equal(t, http.StatusCreated, call(c.client, http.MethodPost, url+"/messages", c.agent.token, map[string]any{"body": "a secret answer"}).status)
	for i, payload := range []string{`{"from":"DE.777"}`, `{"from":"DE.999"}`} {
		c.rows.exec(`INSERT INTO webhook_dead_letters (organization_id, provider, reason, payload) VALUES ($1, 'WHATSAPP', $2, $3)`,
			c.rows.org, fmt.Sprint(i), []byte(payload))
	}
	require.Equal(t, 1, filesIn(t, c.p.cfg.Storage.Path))
	secrets := []string{
		"DE.777", "wamid.secret", "a secret answer", byNumber.String(), byUser.String(), conversation.String(),
		domain.ConversationIDFor(c.rows.channel, byNumber).String(),
	}
	for _, secret := range secrets {
		require.NotEmpty(t, traces(t, c.db, secret), secret)
	}

	contact := c.p.url() + "/api/contacts/" + byNumber.String() // the merged one names the person, too
	response, archive := c.get(contact+"/export", c.agent.token)
	require.Equal(t, http.StatusOK, response.StatusCode)
	unpacked, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	require.NoError(t, err)
	var names []string
	var exported strings.Builder
	for _, f := range unpacked.File {
		names = append(names, strings.SplitAfter(f.Name, "/")[0])
		data, err := fs.ReadFile(unpacked, f.Name)
		require.NoError(t, err)
		exported.Write(data)
	}
	require.Equal(t, []string{
		"contacts.json", "contact_aliases.json", "conversations.json", "messages.json", "attachments.json", "conversation_events.json",
		"webhook_dead_letters.json", "files/",
	}, names)
	for _, text := range []string{"wamid.secret-1", "wamid.secret-5", "a secret answer", byNumber.String(), string(testPicture)} {
		require.Contains(t, exported.String(), text)
	}
	require.NotContains(t, exported.String(), "heir", "nobody else's")

	require.Equal(t, http.StatusOK, call(c.client, http.MethodDelete, contact, c.agent.token, nil).status)
	require.Empty(t, traces(t, c.db, secrets...))
	require.Zero(t, filesIn(t, c.p.cfg.Storage.Path))
	require.Equal(t, 1, c.rows.count(`SELECT count(*) FROM admin_audit WHERE action = 'contact.erased' AND actor_id = $1 AND metadata = '{}'`, c.agent.id))
	require.Zero(t, c.rows.count(`SELECT assigned_count FROM users WHERE id = $1`, c.agent.id))
	require.Zero(t, c.rows.count(`SELECT count(*) FROM erasures`))
	require.Equal(t, 1, c.rows.count(`SELECT count(*) FROM webhook_dead_letters`), "another customer's is left")
	require.Equal(t, http.StatusNotFound, call(c.client, http.MethodDelete, contact, c.agent.token, nil).status)
	require.Equal(t, http.StatusNotFound, call(c.client, http.MethodGet, url, c.agent.token, nil).status)
	require.Equal(t, heir, id.writes("wamid.heir-2", c.number, ""), "the heir has lost nothing")
	id.writes("wamid.again", "", "DE.777")
	require.Equal(t, 1, c.rows.count(`SELECT count(*) FROM messages m JOIN conversations v ON v.id = m.conversation_id
		JOIN contact_aliases a ON a.contact_id = v.contact_id WHERE a.alias = 'DE.777'`), "who writes again begins anew")
	c.rows.checkTrail()
}

// TestANumberOfAnErasedCustomerLeadsToNobodyElse: it had been somebody else's
// before, who is still there and whose contact is named by it.
func TestANumberOfAnErasedCustomerLeadsToNobodyElse(t *testing.T) {
	t.Parallel()
	c := newIdentityCase(t, "erased")
	const number = "4917000005"
	admin := c.n.agent("admin", domain.RoleAdmin)
	awaitAgent(t, c.p, c.n, admin)
	former := c.writes("m1", number, "")
	require.Equal(t, former, c.writes("m2", number, "DE.1"))
	erase := func(id domain.ContactID) {
		require.Equal(t, http.StatusOK, call(c.client, http.MethodDelete, c.p.url()+"/api/contacts/"+id.String(), admin.token, nil).status)
	}
	var seen []domain.ContactID
	for round := range 3 {
		heir := c.writes(fmt.Sprintf("heir %d", round), number, fmt.Sprintf("DE.2%d", round))
		require.NotEqual(t, former, heir)
		require.Equal(t, heir, c.writes(fmt.Sprintf("alone %d", round), number, ""), "remembered now")
		erase(heir)
		require.Empty(t, traces(t, c.n.db, number, fmt.Sprintf("DE.2%d", round)), "not even as the former owner's name")
		next := c.writes(fmt.Sprintf("next %d", round), number, "")
		require.NotEqual(t, former, next)
		require.NotContains(t, seen, next)
		seen = append(seen, next)
		require.Equal(t, next, c.writes(fmt.Sprintf("next %d again", round), number, ""))
		require.Equal(t, next, c.writes(fmt.Sprintf("next %d named", round), number, fmt.Sprintf("DE.3%d", round)), "and stays there")
	}
	require.Equal(t, former, c.writes("m9", "", "DE.1"))
	require.Equal(t, 3, c.n.count(`SELECT count(*) FROM messages m JOIN conversations v ON v.id = m.conversation_id WHERE v.contact_id = $1`, former))
	c.n.checkTrail()
}

// TestErasingUnderLiveTraffic erases a customer again and again who doesn't stop
// writing, and whose conversation agents accept, release and answer. What was
// acknowledged after the last erasure had ended is there, and nothing from before.
func TestErasingUnderLiveTraffic(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "live", "4009")
	admin := n.agent("admin", domain.RoleAdmin)
	p := runProgram(t, db)
	awaitAgent(t, p, n, admin)
	client := testClient(t)
	const number = "4917000009"
	customer := webhooktest.Customer{Name: "Unstoppable", Number: number, UserID: "DE.9"}
	write := func(id string) int {
		return postWebhook(client, p.url(), "whatsapp", testAppSecret, webhooktest.WhatsAppText(n.account, customer, id, "hello "+id, time.Now()))
	}
	require.Equal(t, http.StatusOK, write("first"))
	url := fmt.Sprintf("%s/api/conversations/%s", p.url(), domain.ConversationIDFor(n.channel, domain.ContactIDFor(n.org, domain.WhatsApp, "DE.9")))
	contact := fmt.Sprintf("%s/api/contacts/%s", p.url(), domain.ContactIDFor(n.org, domain.WhatsApp, "DE.9"))

	ctx, stop := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	for worker := range 4 {
		traffic.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if worker < 2 {
					if status := write(fmt.Sprintf("wamid.%d.%d", worker, i)); status != http.StatusOK && status != http.StatusServiceUnavailable {
						t.Errorf("a webhook was answered %d", status)
					}
					continue
				}
				for _, what := range []string{"accept", "release", "complete", "read"} {
					if a := call(client, http.MethodPost, url+"/"+what, admin.token, nil); a.status >= 500 && a.status != http.StatusServiceUnavailable {
						t.Errorf("%s was answered %d: %s", what, a.status, bodyText(a))
					}
				}
			}
		})
	}
	erased := 0
	for range 10 {
		switch status := call(client, http.MethodDelete, contact, admin.token, nil).status; status {
		case http.StatusOK:
			erased++
		case http.StatusNotFound, http.StatusGatewayTimeout:
		default:
			t.Errorf("the erasure was answered %d", status)
		}
		<-time.After(50 * time.Millisecond)
	}
	stop()
	traffic.Wait()
	require.Greater(t, erased, 3)
	require.Eventually(t, func() bool {
		status := call(client, http.MethodDelete, contact, admin.token, nil).status
		return status == http.StatusOK || status == http.StatusNotFound
	}, 10*time.Second, 10*time.Millisecond)
	require.Empty(t, traces(t, db, "DE.9", number, "hello", "Unstoppable", "wamid."))
	require.Equal(t, http.StatusOK, write("wamid.last"))
	require.Equal(t, 1, n.count(`SELECT count(*) FROM messages`), "nothing came back")
	require.Equal(t, 1, n.count(`SELECT count(*) FROM contacts`))
	require.Equal(t, 2, n.count(`SELECT count(*) FROM contact_aliases`))
	require.Zero(t, n.count(`SELECT assigned_count FROM users WHERE id = $1`, admin.id))
	n.checkTrail()
}
