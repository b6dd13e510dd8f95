package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

var testPicture = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR not much of a picture")

// mediaCase is a server with a platform of its own, which has a WhatsApp number
// and a page of one organization, and an agent who watches.
type mediaCase struct {
	t        *testing.T
	db       *persistencetest.Database
	rows     *tenantRows
	page     string
	platform *graphtest.Server
	around   surroundings
	p        *program
	client   *http.Client
	agent    testAgent
	socket   *socketClient
	number   string
}

const mediaToken = "EAAG-token-of-the-media-tests"

func newMediaCase(t *testing.T, plan graphtest.Plan) *mediaCase {
	t.Helper()
	c := &mediaCase{t: t, db: persistencetest.New(t), page: "7002", number: "4917000001"}
	c.rows = newTenantRows(t, c.db, "media", "7001")
	c.agent = c.rows.agent("watcher", domain.RoleAdmin)
	var roots *x509.CertPool
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	roots = x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	certificate := certified.TLS.Clone()
	certified.Close()
	var err error
	c.platform, err = graphtest.Start(graphtest.Config{TLS: certificate, Plan: plan, Accounts: []graphtest.Account{
		{Provider: graphtest.WhatsApp, ID: c.rows.account, Token: mediaToken},
		{Provider: graphtest.Messenger, ID: c.page, Token: mediaToken + "-page"},
	}})
	require.NoError(t, err)
	t.Cleanup(c.platform.Close)
	c.around = surroundings{platformCAs: roots, jobPause: 10 * time.Millisecond}
	c.tokens()
	c.p = runProgramAmid(t, c.db, c.around, "META_GRAPH_URL="+c.platform.URL())
	c.client = testClient(t)
	awaitAgent(t, c.p, c.rows, c.agent)
	c.socket = dialSocket(t, c.p, c.agent.token)
	return c
}

// tokens gives both channels their sealed access tokens.
func (c *mediaCase) tokens() {
	sealer, err := newSealer(Config{Auth: AuthConfig{Secret: testAuthSecret}})
	require.NoError(c.t, err)
	c.rows.exec(`UPDATE channels SET config = jsonb_build_object('accessToken', $2::text) WHERE id = $1`,
		c.rows.channel, sealer.Seal(c.rows.channel, persistence.FieldAccessToken, mediaToken))
	var page domain.ChannelID
	require.NoError(c.t, c.db.SQL.QueryRow(`INSERT INTO channels (organization_id, provider, name, external_id, status, proved_at, checked_at)
		VALUES ($1, 'MESSENGER', 'page', $2, 'ACTIVE', now(), `+neverDue+`) RETURNING id`, c.rows.org, c.page).Scan(&page))
	c.rows.exec(`UPDATE channels SET config = jsonb_build_object('accessToken', $2::text) WHERE id = $1`,
		page, sealer.Seal(page, persistence.FieldAccessToken, mediaToken+"-page"))
}

// file is what a WhatsApp webhook says of one.
func (c *mediaCase) receive(id, kind string, file map[string]any) {
	c.t.Helper()
	customer := webhooktest.Customer{Name: "N", Number: c.number}
	message := webhooktest.WhatsAppMessage(customer, id, "", time.Now())
	delete(message, "text")
	message["type"], message[kind] = kind, file
	deliver(c.t, c.client, c.p.url(), webhooktest.WhatsApp(c.rows.account, webhooktest.WhatsAppContact(customer), message))
}

func (c *mediaCase) receiveOnPage(mid, kind, address string) {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"object": "page", "entry": []any{map[string]any{
		"id": c.page, "time": time.Now().UnixMilli(), "messaging": []any{map[string]any{
			"sender": map[string]any{"id": "7412589630147852"}, "recipient": map[string]any{"id": c.page}, "timestamp": time.Now().UnixMilli(),
			"message": map[string]any{"mid": mid, "attachments": []any{map[string]any{"type": kind, "payload": map[string]any{"url": address}}}},
		}},
	}}})
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, postWebhook(c.client, c.p.url(), "messenger", testAppSecret, body))
}

// message is a stored message as REST shows it.
func (c *mediaCase) message(id string) map[string]any {
	c.t.Helper()
	var conversation domain.ConversationID
	require.NoError(c.t, c.db.SQL.QueryRow(`SELECT conversation_id FROM messages WHERE provider_message_id = $1`, id).Scan(&conversation))
	a := call(c.client, http.MethodGet, fmt.Sprintf("%s/api/conversations/%s/messages", c.p.url(), conversation), c.agent.token, nil)
	require.Equal(c.t, http.StatusOK, a.status, bodyText(a))
	for _, m := range a.body["data"].([]any) {
		if m := m.(map[string]any); m["providerMessageId"] == id {
			return m
		}
	}
	require.Fail(c.t, "no such message")
	return nil
}

// settled waits until the one file of a message is stored or failed.
func (c *mediaCase) settled(id string) (message, file map[string]any) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		message = c.message(id)
		file = message["attachments"].([]any)[0].(map[string]any)
		return file["state"] != "pending"
	}, 30*time.Second, 20*time.Millisecond, "the file of %s is never settled", id)
	return message, file
}

func (c *mediaCase) get(address, token string) (*http.Response, []byte) {
	c.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = c.p.url() + address
	}
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, address, nil)
	require.NoError(c.t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.client.Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return response, content
}

// TestACustomersFileIsFetchedAndShown goes all the way, on both platforms.
func TestACustomersFileIsFetchedAndShown(t *testing.T) {
	t.Parallel()
	c := newMediaCase(t, nil)
	c.socket.send(t, fmt.Sprintf(`421["join:conversation",{"conversationId":"%s"}]`, c.rows.conversationOf(c.number)))
	media := c.platform.PutMedia(c.rows.account, "image/png", "", testPicture)
	sum := sha256.Sum256(testPicture)
	c.receive("wamid.1", "image", map[string]any{"id": media, "mime_type": "text/html", "sha256": base64.StdEncoding.EncodeToString(sum[:])})
	message, file := c.settled("wamid.1")
	require.Equal(t, "stored", file["state"])
	require.Equal(t, "image/png", message["mediaType"], "by its content, not as announced")
	require.Equal(t, file["url"], message["mediaUrl"])
	require.EqualValues(t, len(testPicture), file["sizeBytes"])

	response, content := c.get(message["mediaUrl"].(string), "")
	require.Equal(t, http.StatusOK, response.StatusCode, "an <img> sends no token")
	require.Equal(t, testPicture, content)
	require.Equal(t, "sandbox; default-src 'none'", response.Header.Get("Content-Security-Policy"))
	require.Equal(t, "inline", response.Header.Get("Content-Disposition"))
	require.Equal(t, strconv.Quote(fmt.Sprintf("%x", sum)), response.Header.Get("ETag"))

	c.receiveOnPage("m_1", "file", c.platform.MediaURL(c.platform.PutMedia(c.page, "application/pdf", "", []byte("%PDF-1.7 an invoice"))))
	message, file = c.settled("m_1")
	require.Equal(t, "stored", file["state"], "%v", file)
	response, content = c.get(message["mediaUrl"].(string), "")
	require.Equal(t, "%PDF-1.7 an invoice", string(content))
	require.True(t, strings.HasPrefix(response.Header.Get("Content-Disposition"), "attachment"))

	// Nobody else's.
	other := newTenantRows(t, c.db, "other", "7009")
	stranger := other.agent("stranger", domain.RoleAdmin)
	awaitAgent(t, c.p, other, stranger)
	response, _ = c.get("/api/attachments/"+file["id"].(string), c.agent.token)
	require.Equal(t, http.StatusOK, response.StatusCode)
	response, _ = c.get("/api/attachments/"+file["id"].(string), stranger.token)
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	response, _ = c.get("/api/attachments/"+file["id"].(string), "")
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	response, _ = c.get(strings.Replace(message["mediaUrl"].(string), "signature=", "signature=A", 1), "")
	require.Equal(t, http.StatusForbidden, response.StatusCode)
}

// TestAgentsHearThatAFileIsHere watches the events of a conversation.
func TestAgentsHearThatAFileIsHere(t *testing.T) {
	t.Parallel()
	c := newMediaCase(t, nil)
	deliver(t, c.client, c.p.url(), webhooktest.WhatsAppText(c.rows.account, webhooktest.Customer{Name: "N", Number: c.number}, "wamid.0", "hello", time.Now()))
	c.socket.send(t, fmt.Sprintf(`421["join:conversation",{"conversationId":"%s"}]`, c.rows.conversationOf(c.number)))
	require.Eventually(t, func() bool { return c.socket.has(`431[{"ok":true`) }, 10*time.Second, 2*time.Millisecond)
	c.receive("wamid.1", "image", map[string]any{"id": c.platform.PutMedia(c.rows.account, "image/png", "", testPicture)})
	created := c.socket.await(t, "message.created", 1)[0]
	require.Nil(t, created.payload["mediaUrl"], "it isn't here yet")
	updated := c.socket.await(t, "message.updated", 1)[0]
	require.Equal(t, created.payload["id"], updated.payload["id"])
	_, content := c.get(updated.payload["mediaUrl"].(string), "")
	require.Equal(t, testPicture, content)
}

func TestFilesThatCannotBeHadSayWhy(t *testing.T) {
	t.Parallel()
	internal := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("fetched from inside") }))
	t.Cleanup(internal.Close)
	c := newMediaCase(t, nil)
	put := func(mimeType string, data []byte) map[string]any {
		return map[string]any{"id": c.platform.PutMedia(c.rows.account, mimeType, "", data), "mime_type": mimeType}
	}
	at := func(address string) map[string]any {
		return map[string]any{"id": "1", "url": address, "mime_type": "image/png"}
	}
	for name, file := range map[string]struct {
		kind    string
		file    map[string]any
		failure string
	}{
		"too large":  {"image", put("image/png", append(bytes.Clone(testPicture), make([]byte, 17<<20)...)), "too_large"},
		"wrong type": {"image", put("image/png", []byte("<html><script>alert(1)</script>")), "wrong_type"},
		"a program":  {"document", put("application/pdf", []byte("\x7fELF\x02\x01\x01\x00"+strings.Repeat("\x00", 64))), "wrong_type"},
		"unknown":    {"image", map[string]any{"id": "424242", "mime_type": "image/png"}, "expired"},
		"another hash": {"image", func() map[string]any {
			f := put("image/png", testPicture)
			f["sha256"] = strings.Repeat("00", 32)
			return f
		}(), "damaged"},
		"a cloud's":       {"image", at("https://169.254.169.254/latest/meta-data"), "forbidden"},
		"an internal one": {"image", at(strings.Replace(internal.URL, "http://", "https://", 1)), "forbidden"},
		"somebody's":      {"image", at("https://evil.example/x.png"), "forbidden"},
		"a disguise":      {"image", at("https://lookaside.fbsbx.com.evil.example/x.png"), "forbidden"},
	} {
		id := "wamid." + name
		c.receive(id, file.kind, file.file)
		message, attachment := c.settled(id)
		require.Equal(t, "failed", attachment["state"], name)
		require.Equal(t, file.failure, attachment["failure"], name)
		require.Nil(t, attachment["url"], name)
		require.Nil(t, message["mediaUrl"], name)
	}
	left, err := os.ReadDir(c.p.cfg.Storage.Path)
	require.NoError(t, err)
	for _, folder := range left {
		kept, err := os.ReadDir(c.p.cfg.Storage.Path + "/" + folder.Name())
		require.NoError(t, err)
		require.Empty(t, kept, "nothing is left of what was refused")
	}
}

// TestAHundredMegabytesAreNotEvenFetched looks at what the platform was asked.
func TestAHundredMegabytesAreNotEvenFetched(t *testing.T) {
	c := newMediaCase(t, func(call graphtest.Call) graphtest.Fault {
		if call.Kind == graphtest.KindDownload {
			t.Error("downloaded")
		}
		return graphtest.Fault{}
	})
	media := c.platform.PutMedia(c.rows.account, "application/pdf", "", make([]byte, domain.MaxFile+1))
	c.receive("wamid.1", "document", map[string]any{"id": media, "mime_type": "application/pdf", "filename": "../../etc/cron.d/x\u202efdp.sh"})
	_, file := c.settled("wamid.1")
	require.Equal(t, "too_large", file["failure"])
	require.Equal(t, "xfdp.sh", file["fileName"], "whatever path it claimed")
}

// TestAnExpiredAddressIsLookedUpAgain sends a webhook with an address that is
// dead already.
func TestAnExpiredAddressIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	c := newMediaCase(t, nil)
	media := c.platform.PutMedia(c.rows.account, "image/png", "", testPicture)
	dead := fmt.Sprintf("%s/media/file/%s/%d", c.platform.URL(), media, time.Now().Add(-time.Hour).UnixNano())
	c.receive("wamid.1", "image", map[string]any{"id": media, "url": dead, "mime_type": "image/png"})
	_, file := c.settled("wamid.1")
	require.Equal(t, "stored", file["state"])
	c.receiveOnPage("m_1", "image", strings.Replace(dead, media, c.platform.PutMedia(c.page, "image/png", "", testPicture), 1))
	_, file = c.settled("m_1")
	require.Equal(t, "expired", file["failure"], "Messenger's have no id to look up")
}

// TestACrashBetweenMessageAndFileLosesNone kills the process that took the
// message while the platform can't be reached.
func TestACrashBetweenMessageAndFileLosesNone(t *testing.T) {
	t.Parallel()
	c := &mediaCase{t: t, db: persistencetest.New(t), page: "7002", number: "4917000001", client: testClient(t)}
	c.rows = newTenantRows(t, c.db, "media", "7001")
	c.agent = c.rows.agent("watcher", domain.RoleAdmin)
	c.tokens()
	platform, err := graphtest.Start(graphtest.Config{Accounts: []graphtest.Account{{Provider: graphtest.WhatsApp, ID: c.rows.account, Token: mediaToken}}})
	require.NoError(t, err)
	t.Cleanup(platform.Close)
	media := platform.PutMedia(c.rows.account, "image/png", "", testPicture)
	environ := []string{"DATABASE_URL=" + c.db.URL, "STORAGE_PATH=" + t.TempDir()}
	first := startProcess(t, append(environ, "META_GRAPH_URL=http://127.0.0.1:1")...)
	customer := webhooktest.Customer{Name: "N", Number: c.number}
	message := webhooktest.WhatsAppMessage(customer, "wamid.1", "", time.Now())
	delete(message, "text")
	message["type"], message["image"] = "image", map[string]any{"id": media, "mime_type": "image/png"}
	deliver(t, c.client, first.url, webhooktest.WhatsApp(c.rows.account, webhooktest.WhatsAppContact(customer), message))
	// Not in the middle of an attempt, which River gives to somebody else only
	// after minutes.
	require.Eventually(t, func() bool {
		return c.rows.count(`SELECT count(*) FROM river_job WHERE state = 'retryable'`) == 1
	}, 30*time.Second, 20*time.Millisecond, "it never was tried")
	first.kill()
	require.Equal(t, 1, c.rows.count(`SELECT count(*) FROM attachments WHERE state = 'pending'`))

	startProcess(t, append(environ, "META_GRAPH_URL="+platform.URL())...)
	require.Eventually(t, func() bool {
		return c.rows.count(`SELECT count(*) FROM attachments WHERE state = 'stored'`) == 1
	}, 60*time.Second, 50*time.Millisecond)
	require.Equal(t, 1, c.rows.count(`SELECT count(*) FROM messages WHERE attachment_id IS NOT NULL`))
}

// upload stores a file through REST.
func (c *mediaCase) upload(name string, data []byte) map[string]any {
	c.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	require.NoError(c.t, err)
	_, err = part.Write(data)
	require.NoError(c.t, err)
	require.NoError(c.t, form.Close())
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.p.url()+"/api/attachments", &body)
	require.NoError(c.t, err)
	request.Header.Set("Content-Type", form.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+c.agent.token)
	response, err := c.client.Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	require.Equal(c.t, http.StatusCreated, response.StatusCode)
	var file map[string]any
	require.NoError(c.t, json.NewDecoder(response.Body).Decode(&file))
	return file
}

// TestAnUploadGoesToTheCustomer goes through the real store and the platform.
func TestAnUploadGoesToTheCustomer(t *testing.T) {
	t.Parallel()
	c := newMediaCase(t, nil)
	file := c.upload("../../résumé \u202e.png", testPicture)
	require.Equal(t, "résumé .png", file["fileName"])
	require.Equal(t, "image/png", file["mimeType"])
	_, content := c.get(file["url"].(string), "")
	require.Equal(t, testPicture, content)

	deliver(t, c.client, c.p.url(), webhooktest.WhatsAppText(c.rows.account, webhooktest.Customer{Name: "N", Number: c.number}, "wamid.0", "hello", time.Now()))
	conversation := fmt.Sprintf("%s/api/conversations/%s", c.p.url(), c.rows.conversationOf(c.number))
	require.Equal(t, http.StatusOK, call(c.client, http.MethodPost, conversation+"/accept", c.agent.token, nil).status)
	other := newTenantRows(t, c.db, "other", "7009")
	foreign := other.agent("stranger", domain.RoleAdmin)
	awaitAgent(t, c.p, other, foreign)
	theirs := c.agent
	c.agent = foreign
	strange := c.upload("x.png", testPicture)["id"]
	c.agent = theirs
	refused := call(c.client, http.MethodPost, conversation+"/messages", c.agent.token, map[string]any{"attachmentId": strange})
	require.Equal(t, http.StatusUnprocessableEntity, refused.status, "another organization's file")

	sent := call(c.client, http.MethodPost, conversation+"/messages", c.agent.token, map[string]any{"attachmentId": file["id"], "body": "look"})
	require.Equal(t, http.StatusCreated, sent.status, bodyText(sent))
	require.Equal(t, "image", sent.body["type"])
	require.Equal(t, file["url"], sent.body["mediaUrl"])
	var taken []graphtest.Taken
	require.Eventually(t, func() bool { taken = c.platform.Taken(); return len(taken) == 1 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, c.rows.count(`SELECT count(*) FROM attachments WHERE id = $1 AND message_id = $2`, file["id"], sent.body["id"]))
	data, mimeType, ok := c.platform.Media(mediaOf(t, taken[0]))
	require.True(t, ok)
	require.Equal(t, testPicture, data)
	require.Equal(t, "image/png", mimeType)
}

// mediaOf is the id of the uploaded image in a message that the platform took.
func mediaOf(t *testing.T, taken graphtest.Taken) string {
	t.Helper()
	var body struct {
		Image struct {
			ID      string `json:"id"`
			Caption string `json:"caption"`
		} `json:"image"`
	}
	require.NoError(t, json.Unmarshal(taken.Body, &body))
	require.Equal(t, "look", body.Image.Caption)
	return body.Image.ID
}
