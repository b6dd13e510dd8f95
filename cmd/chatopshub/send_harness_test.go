package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// relay passes the fake platform's webhooks on to the server, wherever it is
// at the moment: it may be killed and started again under another port. While
// there is none the platform gets 503.
type relay struct {
	*httptest.Server
	to atomic.Pointer[url.URL]
}

func newRelay(t testing.TB) *relay {
	r := &relay{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(r.to.Load()) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.to.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *relay) lead(t testing.TB, address string) {
	u, err := url.Parse(address)
	require.NoError(t, err)
	r.to.Store(u)
}

// fakePlatform is a fake Graph API whose webhooks reach the server.
type fakePlatform struct {
	*graphtest.Server
	relay *relay
}

// testGraphToken is the access token of the tests' channels.
const testGraphToken = "EAAtesttoken"

func newPlatform(t testing.TB, cfg graphtest.Config) *fakePlatform {
	t.Helper()
	f := &fakePlatform{relay: newRelay(t)}
	cfg.AppSecret = testAppSecret
	cfg.Webhooks = map[graphtest.Provider]string{
		graphtest.WhatsApp:  f.relay.URL + "/api/webhooks/whatsapp",
		graphtest.Messenger: f.relay.URL + "/api/webhooks/messenger",
	}
	var err error
	f.Server, err = graphtest.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

// environ makes a server use the platform.
func (f *fakePlatform) environ() string { return "META_GRAPH_URL=" + f.URL() }

// drain waits until the server has taken every webhook.
func (f *fakePlatform) drain(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	require.NoError(t, f.Drain(ctx))
}

// giveToken gives the tenant's channels the token that they call the platform with.
func (n *tenantRows) giveToken(channel domain.ChannelID, token string) {
	n.t.Helper()
	sealer, err := persistence.NewSealer(auth.DeriveKey([]byte(testAuthSecret), sealLabel))
	require.NoError(n.t, err)
	n.exec(`UPDATE channels SET config = config || jsonb_build_object('accessToken', $2::text) WHERE id = $1`,
		channel, sealer.Seal(channel, persistence.FieldAccessToken, token))
}

// page makes a Messenger channel of the tenant.
func (n *tenantRows) page(account string) domain.ChannelID {
	n.t.Helper()
	id := domain.ChannelID(entropy())
	n.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status, proved_at, checked_at)
		VALUES ($1, $2, 'MESSENGER', $3, $3, 'ACTIVE', now(), `+neverDue+`)`, id, n.org, account)
	return id
}

// centre is a server with one number at a fake platform, and one agent.
type centre struct {
	*tenantRows
	platform *fakePlatform
	program  *program
	client   *http.Client
	agent    testAgent
}

const testNumber = "108765432109876"

func openCentre(t testing.TB, cfg graphtest.Config, environ ...string) *centre {
	t.Helper()
	account := graphtest.Account{Provider: graphtest.WhatsApp, ID: testNumber, Token: testGraphToken}
	if len(cfg.Accounts) == 0 {
		cfg.Accounts = []graphtest.Account{account}
	}
	c := &centre{platform: newPlatform(t, cfg), client: testClient(t)}
	db := persistencetest.New(t)
	c.tenantRows = newTenantRows(t, db, "acme", testNumber)
	c.giveToken(c.channel, testGraphToken)
	c.agent = c.tenantRows.agent("Ada", domain.RoleAgent)
	c.program = runProgram(t, db, append([]string{c.platform.environ()}, environ...)...)
	c.platform.relay.lead(t, c.program.url())
	return c
}

// customer is somebody with a number.
func customer(n int) graphtest.Customer {
	return graphtest.Customer{Name: fmt.Sprint("Customer ", n), Number: fmt.Sprintf("1555%07d", n)}
}

// open has the customer write and the agent accept.
func (c *centre) open(who graphtest.Customer) domain.ConversationID {
	c.t.Helper()
	_, err := c.platform.Write(testNumber, who, "hello")
	require.NoError(c.t, err)
	c.platform.drain(c.t)
	id := c.conversationOf(who.Number)
	c.accept(id)
	return id
}

func (c *centre) accept(id domain.ConversationID) {
	c.t.Helper()
	a := call(c.client, http.MethodPost, c.program.url()+"/api/conversations/"+id.String()+"/accept", c.agent.token, nil)
	require.Equal(c.t, http.StatusOK, a.status, bodyText(a))
}

// send has the agent write; the answer is the message.
func (c *centre) send(id domain.ConversationID, body map[string]any) answer {
	return call(c.client, http.MethodPost, c.program.url()+"/api/conversations/"+id.String()+"/messages", c.agent.token, body)
}

// message is the message as the API shows it now.
func (c *centre) message(id domain.ConversationID, message string) map[string]any {
	a := call(c.client, http.MethodGet, c.program.url()+"/api/conversations/"+id.String()+"/messages?limit=100", c.agent.token, nil)
	rows, _ := a.body["data"].([]any)
	for _, row := range rows {
		if m, _ := row.(map[string]any); m["id"] == message {
			return m
		}
	}
	return nil
}

// await waits until the message has that status.
func (c *centre) await(id domain.ConversationID, message, status string) map[string]any {
	c.t.Helper()
	var m map[string]any
	require.Eventually(c.t, func() bool {
		m = c.message(id, message)
		return m["status"] == status
	}, 20*time.Second, 20*time.Millisecond, "message %s never was %s: %v", message, status, m)
	return m
}
