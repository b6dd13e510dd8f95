package main

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// office is a running server with an organization and its administrator.
type office struct {
	*tenantRows
	p      *program
	client *http.Client
	boss   testAgent
}

func newOffice(t *testing.T, db *persistencetest.Database, slug, account string, environ ...string) *office {
	t.Helper()
	n := newTenantRows(t, db, slug, account)
	boss := n.agent("boss of "+slug, domain.RoleAdmin)
	o := &office{tenantRows: n, client: testClient(t), boss: boss, p: runProgram(t, db, environ...)}
	awaitAgent(t, o.p, n, boss)
	return o
}

func (o *office) call(who testAgent, method, path string, body any) answer {
	o.t.Helper()
	return call(o.client, method, o.p.url()+path, who.token, body)
}

// accepted makes a customer write, and the agent take the conversation.
func (o *office) accepted(who testAgent, number string) domain.ConversationID {
	o.t.Helper()
	deliver(o.t, o.client, o.p.url(), webhooktest.WhatsAppText(o.account, webhooktest.Customer{Name: "N", Number: number}, "wamid."+number, "hello", time.Now()))
	id := o.conversationOf(number)
	a := o.call(who, http.MethodPost, fmt.Sprintf("/api/conversations/%s/accept", id), nil)
	require.Equal(o.t, http.StatusOK, a.status, bodyText(a))
	return id
}

func (o *office) pending(id domain.ConversationID) bool {
	return o.count(`SELECT count(*) FROM conversations WHERE id = $1 AND status = 'PENDING'`, id) == 1
}

func TestASuspendedAgentLosesSocketsTokensAndConversations(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	o := newOffice(t, db, "suspend", "7101")
	ada := o.agent("ada", domain.RoleAgent)
	awaitAgent(t, o.p, o.tenantRows, ada)
	var held []domain.ConversationID
	for i := range 5 {
		held = append(held, o.accepted(ada, fmt.Sprint(4921000000+i)))
	}
	socket := dialSocket(t, o.p, ada.token)

	began := time.Now()
	a := o.call(o.boss, http.MethodPatch, "/api/users/"+ada.id.String(), map[string]any{"status": "SUSPENDED"})
	require.Equal(t, http.StatusOK, a.status, bodyText(a))
	require.Equal(t, "SUSPENDED", a.body["status"])
	for _, id := range held {
		require.True(t, o.pending(id), "put back when the call answers")
	}
	require.Zero(t, o.count(`SELECT assigned_count FROM users WHERE id = $1`, ada.id))
	require.Equal(t, 5, o.count(`SELECT count(*) FROM conversation_events WHERE event_type = 'RELEASED' AND metadata->>'reason' = 'suspended' AND actor_id IS NULL`))
	require.Equal(t, http.StatusUnauthorized, o.call(ada, http.MethodGet, "/api/auth/me", nil).status)
	select {
	case <-socket.closed:
	case <-time.After(5 * time.Second):
		require.FailNow(t, "the socket stays")
	}
	require.Less(t, time.Since(began), 5*time.Second)
	require.NotEmpty(t, socket.named("session.revoked"))
	require.Equal(t, 1, o.count(`SELECT count(*) FROM admin_audit WHERE action = 'user.updated' AND actor_id = $1`, o.boss.id))
	o.checkTrail()
}

// What a crash between the suspension and the releases leaves, the next start
// makes good; so it does with what was accepted at the last moment.
func TestASuspensionThatWasInterruptedIsFinished(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	o := newOffice(t, db, "interrupted", "7102")
	ada := o.agent("ada", domain.RoleAgent)
	awaitAgent(t, o.p, o.tenantRows, ada)
	id := o.accepted(ada, "4922000001")
	o.exec(`UPDATE users SET status = 'INACTIVE' WHERE id = $1`, ada.id) // and no more of the call than that
	require.False(t, o.pending(id))
	runProgram(t, db) // another node, or this one again
	require.Eventually(t, func() bool { return o.pending(id) }, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, o.count(`SELECT count(*) FROM conversation_events WHERE event_type = 'RELEASED' AND metadata->>'reason' = 'suspended'`))
	o.checkTrail()
}

func TestANewUserWorksAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, persistencetest.New(t), "users", "7103")
	body := map[string]any{"email": "kay@example.com", "password": "long enough", "name": " Kay ", "role": "AGENT", "maxConversations": 3}
	a := o.call(o.boss, http.MethodPost, "/api/users", body)
	require.Equal(t, http.StatusCreated, a.status, bodyText(a))
	require.Equal(t, "Kay", a.body["name"])
	require.NotContains(t, bodyText(a), "argon2")
	id := a.body["id"].(string)
	login := func(password string) answer {
		return call(o.client, http.MethodPost, o.p.url()+"/api/auth/login", "", map[string]any{"email": "KAY@example.com", "password": password})
	}
	session := login("long enough")
	require.Equal(t, http.StatusOK, session.status, bodyText(session))
	kay := testAgent{token: session.body["accessToken"].(string)}
	require.Equal(t, http.StatusOK, o.call(kay, http.MethodGet, "/api/auth/me", nil).status)
	require.Equal(t, http.StatusForbidden, o.call(kay, http.MethodGet, "/api/users", nil).status)

	for name, c := range map[string]struct {
		change map[string]any
		status int
		code   string
	}{
		"taken":          {map[string]any{}, http.StatusConflict, "email_taken"},
		"short":          {map[string]any{"email": "a@b", "password": "1234567"}, http.StatusUnprocessableEntity, "validation_failed"},
		"the e-mail":     {map[string]any{"email": "ann@example.com", "password": "Ann@Example.com"}, http.StatusUnprocessableEntity, "validation_failed"},
		"no such role":   {map[string]any{"email": "a@b", "role": "OWNER"}, http.StatusUnprocessableEntity, "validation_failed"},
		"no room at all": {map[string]any{"email": "a@b", "maxConversations": 0}, http.StatusUnprocessableEntity, "validation_failed"},
		"nameless":       {map[string]any{"email": "a@b", "name": "  "}, http.StatusUnprocessableEntity, "validation_failed"},
	} {
		wrong := map[string]any{}
		for k, v := range body {
			wrong[k] = v
		}
		for k, v := range c.change {
			wrong[k] = v
		}
		a := o.call(o.boss, http.MethodPost, "/api/users", wrong)
		require.Equal(t, c.status, a.status, "%s: %s", name, bodyText(a))
		require.Equal(t, c.code, a.body["code"], name)
	}

	patched := o.call(o.boss, http.MethodPatch, "/api/users/"+id, map[string]any{"password": "kay@example.com"})
	require.Equal(t, http.StatusUnprocessableEntity, patched.status, bodyText(patched))
	patched = o.call(o.boss, http.MethodPatch, "/api/users/"+id, map[string]any{"password": "another long one", "maxConversations": nil})
	require.Equal(t, http.StatusOK, patched.status, bodyText(patched))
	require.Nil(t, patched.body["maxConversations"])
	require.Eventually(t, func() bool { return o.call(kay, http.MethodGet, "/api/auth/me", nil).status == http.StatusUnauthorized },
		time.Second, 5*time.Millisecond, "logged out by the new password")
	require.Equal(t, http.StatusUnauthorized, login("long enough").status)
	require.Equal(t, http.StatusOK, login("another long one").status)
	list := o.call(o.boss, http.MethodGet, "/api/users?role=AGENT", nil)
	require.Len(t, list.body["data"], 1)
}

func TestAdminsDeposeEachOtherByTheAPI(t *testing.T) {
	t.Parallel()
	o := newOffice(t, persistencetest.New(t), "depose", "7104")
	other := o.agent("other", domain.RoleAdmin)
	awaitAgent(t, o.p, o.tenantRows, other)
	answers := make([]answer, 2)
	var both sync.WaitGroup
	for i, c := range []struct{ by, of testAgent }{{o.boss, other}, {other, o.boss}} {
		both.Go(func() {
			answers[i] = o.call(c.by, http.MethodPatch, "/api/users/"+c.of.id.String(), map[string]any{"role": "AGENT"})
		})
	}
	both.Wait()
	won, lost := answers[0], answers[1]
	if won.status != http.StatusOK {
		won, lost = lost, won
	}
	require.Equal(t, http.StatusOK, won.status, bodyText(won))
	// Deposed before the call was looked at, or while it was carried out.
	require.Contains(t, []int{http.StatusConflict, http.StatusForbidden}, lost.status, bodyText(lost))
	require.Equal(t, 1, o.count(`SELECT count(*) FROM users WHERE organization_id = $1 AND role = 'ADMIN' AND status = 'ACTIVE'`, o.org))
}

// platformOf is a fake Graph API with a number.
func platformOf(t *testing.T, accounts ...graphtest.Account) *graphtest.Server {
	t.Helper()
	s, err := graphtest.Start(graphtest.Config{Accounts: accounts, AppSecret: testAppSecret})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// TestAChannelHasToProveItself: until its own token reads its number, a channel
// reserves nothing and receives nothing.
func TestAChannelHasToProveItself(t *testing.T) {
	t.Parallel()
	platform := platformOf(t, graphtest.Account{Provider: graphtest.WhatsApp, ID: "880001", Token: "the-real-token-1234", Name: "Acme", Number: "15550100"})
	db := persistencetest.New(t)
	o := newOffice(t, db, "prove", "7105", "META_GRAPH_URL="+platform.URL())
	rival, ada := newTenantRows(t, db, "rival", "7106"), o.agent("ada", domain.RoleAgent)
	squatter := rival.agent("squatter", domain.RoleAdmin)
	awaitAgent(t, o.p, rival, squatter)
	awaitAgent(t, o.p, o.tenantRows, ada)
	create := func(who testAgent, token string) string {
		a := o.call(who, http.MethodPost, "/api/channels", map[string]any{
			"provider": "WHATSAPP", "name": "Line", "config": map[string]any{"phoneNumberId": "880001", "accessToken": token},
		})
		require.Equal(t, http.StatusCreated, a.status, bodyText(a))
		require.Equal(t, "INACTIVE", a.body["status"])
		require.NotContains(t, bodyText(a), token)
		return "/api/channels/" + a.body["id"].(string)
	}
	activate := func(who testAgent, path string) answer {
		return o.call(who, http.MethodPatch, path, map[string]any{"status": "ACTIVE"})
	}
	test := func(who testAgent, path string) answer {
		a := o.call(who, http.MethodPost, path+"/test", nil)
		require.Equal(t, http.StatusOK, a.status, bodyText(a))
		return a
	}
	write := func(id string) {
		deliver(t, o.client, o.p.url(), webhooktest.WhatsAppText("880001", webhooktest.Customer{Name: "N", Number: "4930"}, id, "hello", time.Now()))
	}

	squat := create(squatter, "a-token-of-nobody-9999")
	require.Equal(t, "channel_not_proved", activate(squatter, squat).body["code"])
	refused := test(squatter, squat)
	require.Equal(t, false, refused.body["success"])
	require.NotContains(t, bodyText(refused), "a-token-of-nobody-9999")
	write("m1")
	require.Zero(t, o.count(`SELECT count(*) FROM messages`))
	require.Equal(t, 1, o.count(`SELECT count(*) FROM webhook_dead_letters WHERE organization_id IS NULL AND signed_by IS NOT NULL`))

	line := create(o.boss, "the-real-token-1234")
	proved := test(o.boss, line)
	require.Equal(t, true, proved.body["success"], bodyText(proved))
	require.Contains(t, proved.body["message"], "Acme")
	require.Equal(t, http.StatusOK, activate(o.boss, line).status)
	require.Eventually(t, func() bool { _, _, ok := o.p.store.registry.Receiving(domain.WhatsApp, "880001"); return ok }, 5*time.Second, 5*time.Millisecond)
	write("m2")
	require.Equal(t, 1, o.count(`SELECT count(*) FROM messages WHERE organization_id = $1`, o.org))

	// Whoever has a token for the number proves it, too, but one works with it.
	require.Equal(t, http.StatusOK, o.call(squatter, http.MethodPatch, squat, map[string]any{"config": map[string]any{"accessToken": "the-real-token-1234"}}).status)
	require.Equal(t, true, test(squatter, squat).body["success"])
	taken := activate(squatter, squat)
	require.Equal(t, http.StatusConflict, taken.status)
	require.Equal(t, "channel_taken", taken.body["code"])

	// Sent back as it is shown, a secret stays what it is.
	shown := o.call(o.boss, http.MethodGet, line, nil)
	config := shown.body["config"].(map[string]any)
	require.Equal(t, "••••1234", config["accessToken"])
	before := o.count(`SELECT count(*) FROM channels WHERE status = 'ACTIVE'`)
	require.Equal(t, http.StatusOK, o.call(o.boss, http.MethodPatch, line, map[string]any{"config": config}).status)
	require.Equal(t, before, o.count(`SELECT count(*) FROM channels WHERE status = 'ACTIVE'`))
	require.Equal(t, true, test(o.boss, line).body["success"])
	agents := o.call(ada, http.MethodGet, line, nil)
	require.Equal(t, map[string]any{"id": shown.body["id"], "name": "Line", "provider": "WHATSAPP", "status": "ACTIVE"}, agents.body)

	// A token that has died turns the channel red; a good one mends it.
	require.Equal(t, http.StatusOK, o.call(o.boss, http.MethodPatch, line, map[string]any{"config": map[string]any{"accessToken": "a-dead-token-0000"}}).status)
	require.Equal(t, false, test(o.boss, line).body["success"])
	red := o.call(o.boss, http.MethodGet, line, nil)
	require.Equal(t, "ERROR", red.body["status"])
	require.NotEmpty(t, red.body["lastError"])
	require.Equal(t, "channel_in_error", activate(o.boss, line).body["code"])
	require.Equal(t, http.StatusOK, o.call(o.boss, http.MethodPatch, line, map[string]any{"config": map[string]any{"accessToken": "the-real-token-1234"}}).status)
	require.Equal(t, true, test(o.boss, line).body["success"])
	require.Equal(t, "ACTIVE", o.call(o.boss, http.MethodGet, line, nil).body["status"])

	// Now that the channel is there, the first message can be taken after all.
	letters := o.call(o.boss, http.MethodGet, "/api/webhooks/dead-letters", nil)
	require.Empty(t, letters.body["data"], "it came for no organization: the command line alone sees it")
	var letter domain.DeadLetterID
	require.NoError(t, db.SQL.QueryRow(`SELECT id FROM webhook_dead_letters`).Scan(&letter))
	require.Equal(t, http.StatusNotFound, o.call(o.boss, http.MethodPost, fmt.Sprintf("/api/webhooks/dead-letters/%s/replay", letter), nil).status)
	_, err := o.p.store.deadLetters.RequestReplays(t.Context(), []domain.DeadLetterID{letter})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return o.count(`SELECT count(*) FROM webhook_dead_letters WHERE replayed_at IS NOT NULL`) == 1
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, 2, o.count(`SELECT count(*) FROM messages WHERE organization_id = $1`, o.org))
	o.checkTrail()
}

func TestALetterIsReplayedByItsOrganization(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	o := newOffice(t, db, "letters", "7107")
	rival := newTenantRows(t, db, "strangers", "7108")
	stranger := rival.agent("stranger", domain.RoleAdmin)
	awaitAgent(t, o.p, rival, stranger)
	payload := webhooktest.WhatsAppText(o.account, webhooktest.Customer{Name: "N", Number: "4931"}, "wamid.letter", "hello", time.Now())
	letter := domain.DeadLetter{Organization: o.org, Provider: domain.WhatsApp, Account: o.account, Reason: "panic", Payload: payload, ReceivedAt: time.Now()}
	letter.ID = domain.DeadLetterIDFor(letter)
	broken := domain.DeadLetter{Organization: o.org, Provider: domain.WhatsApp, Account: o.account, Reason: "malformed", Payload: []byte("{"), ReceivedAt: time.Now()}
	broken.ID = domain.DeadLetterIDFor(broken)
	require.NoError(t, o.p.store.deadLetters.Keep(t.Context(), []domain.DeadLetter{letter, broken}))
	replay := func(who testAgent, id domain.DeadLetterID) answer {
		return o.call(who, http.MethodPost, fmt.Sprintf("/api/webhooks/dead-letters/%s/replay", id), nil)
	}
	require.Len(t, o.call(o.boss, http.MethodGet, "/api/webhooks/dead-letters", nil).body["data"], 2)
	require.Empty(t, o.call(stranger, http.MethodGet, "/api/webhooks/dead-letters", nil).body["data"])
	require.Equal(t, http.StatusNotFound, replay(stranger, letter.ID).status)
	for range 2 {
		a := replay(o.boss, letter.ID)
		require.Equal(t, http.StatusOK, a.status, bodyText(a))
		require.NotNil(t, a.body["replayedAt"])
	}
	require.Equal(t, 1, o.count(`SELECT count(*) FROM messages WHERE provider_message_id = 'wamid.letter'`))
	refused := replay(o.boss, broken.ID)
	require.Equal(t, http.StatusConflict, refused.status)
	require.Equal(t, "replay_refused", refused.body["code"])
	o.checkTrail()
}
