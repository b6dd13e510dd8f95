package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// fate is what becomes of a message whose sends the platform refuses.
type fate struct {
	attempts int    // calls made
	status   string // in the end
	ours     string // code of the error; "": the platform's
	broken   bool   // the channel turns to ERROR
	once     bool   // only the first call is refused
	later    time.Duration
	link     bool // the message has a file that the platform fetches
}

var (
	failsAtOnce   = fate{attempts: 1, status: "FAILED"}
	triedTwice    = fate{attempts: 2, status: "FAILED", link: true}
	triedThrice   = fate{attempts: 3, status: "FAILED"}
	breaksChannel = fate{attempts: 1, status: "PENDING", broken: true}
	slowsDown     = fate{attempts: 2, status: "SENT", once: true}
	retriedLater  = fate{attempts: 1, status: "PENDING", later: time.Minute}
	staysUnknown  = fate{attempts: 1, status: "FAILED", ours: domain.CodeSendUncertain}
)

// refusals is what the platforms document: codes, with a subcode behind a
// slash, and what is to become of a message.
var refusals = map[domain.Provider][]struct {
	fate  fate
	codes string
}{
	domain.WhatsApp: {
		{breaksChannel, "0 3 10 33 100/33 190 190/458 190/460 190/463 190/467 200 210 299 368 131005 131031 131037 131042 131045 131064 " +
			"133000 133005 133006 133008 133009 133010 133015 133016 134011"},
		{triedThrice, "1 2 131000 131016 131057 133004"},
		{slowsDown, "4 17 341 80007 130429 131056"},
		{retriedLater, "131048"},
		{triedTwice, "131053"},
		{failsAtOnce, "100 130472 130497 131008 131009 131021 131026 131030 131047 131049 131050 131051 131053 131062 131063 " +
			"132000 132001 132005 132007 132008 132012 132015 132016 132018 132068 132069 135000 137000 999999"},
	},
	domain.Messenger: {
		{breaksChannel, "10 10/1893063 190 200 200/2018028 230 368"},
		{triedThrice, "1 1/99 2 1200"},
		{staysUnknown, "1/1357046"},
		{slowsDown, "4 613 80006"},
		{failsAtOnce, "10/2018278 10/2534022 10/2018065 10/2018108 100 100/2018001 100/2018109 100/1893061 551 200/1545041 1545041"},
	},
}

// refused is a message on a channel of its own whose platform refuses it.
type refused struct {
	fate
	name          string
	provider      domain.Provider
	code, subcode int
	account       string
	channel       domain.ChannelID
	to            string
	conversation  domain.ConversationID
	message       string
}

func allRefusals(t *testing.T) []*refused {
	var all []*refused
	for provider, rows := range refusals {
		for _, row := range rows {
			for _, name := range strings.Fields(row.codes) {
				code, subcode, _ := strings.Cut(name, "/")
				r := &refused{fate: row.fate, provider: provider, account: fmt.Sprint(7_000_000 + len(all)), to: fmt.Sprint(1555_000_0000 + len(all))}
				r.name = fmt.Sprint(provider, " ", name, " ", row.fate.attempts)
				var err error
				r.code, err = strconv.Atoi(code)
				require.NoError(t, err)
				if subcode != "" {
					r.subcode, err = strconv.Atoi(subcode)
					require.NoError(t, err)
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// TestEveryErrorOfThePlatforms sends one message for each code that the
// platforms document, each on a channel of its own, and checks what comes of it.
func TestEveryErrorOfThePlatforms(t *testing.T) {
	t.Parallel()
	all := allRefusals(t)
	byAccount := map[string]*refused{}
	cfg := graphtest.Config{Seed: 3}
	for _, r := range all {
		byAccount[r.account] = r
		cfg.Accounts = append(cfg.Accounts, graphtest.Account{Provider: graphtest.Provider(r.provider), ID: r.account, Token: "EAA" + r.account})
	}
	var tried sync.Map // accounts; checks of a channel find it broken only after its message did
	cfg.Plan = func(c graphtest.Call) graphtest.Fault {
		r := byAccount[c.Account]
		if c.Kind == graphtest.KindMessage {
			tried.Store(c.Account, true)
		} else if _, was := tried.Load(c.Account); !r.broken || !was {
			return graphtest.Fault{}
		}
		if r.once && c.Nth > 1 {
			return graphtest.Fault{}
		}
		return graphtest.Refuse(r.code, r.subcode)
	}
	c := openCentre(t, cfg, "SEND_UNCERTAIN_TIMEOUT=2s")
	for _, r := range all {
		c.prepare(r)
	}
	c.platform.drain(t)
	// Whatever a check found before they had their tokens.
	c.exec(`UPDATE channels SET status = 'ACTIVE', last_error = NULL WHERE organization_id = $1`, c.org)
	for _, r := range all {
		require.Eventually(t, func() bool {
			ch, ok := c.program.store.registry.Channel(c.org, r.channel)
			return ok && ch.Status == domain.ChannelActive
		}, 10*time.Second, 5*time.Millisecond)
		c.provoke(r)
	}
	for _, r := range all {
		c.awaitFate(r)
	}
	calls := map[string]int{}
	for _, call := range c.platform.Calls() {
		if call.Kind == graphtest.KindMessage {
			calls[call.Account]++
		}
	}
	for _, r := range all {
		require.Equal(t, r.attempts, calls[r.account], r.name)
		status := "ACTIVE"
		if r.broken {
			status = "ERROR"
			require.Equal(t, 1, c.count(`SELECT count(*) FROM channels WHERE id = $1 AND last_error LIKE '%as planned%'`, r.channel), r.name)
		}
		require.Equal(t, 1, c.count(`SELECT count(*) FROM channels WHERE id = $1 AND status = $2`, r.channel, status), r.name)
	}
}

// prepare has a customer write to a channel that the message is for.
func (c *centre) prepare(r *refused) {
	c.t.Helper()
	from := graphtest.Customer{Name: r.name, Number: r.to}
	if r.provider == domain.Messenger {
		from = graphtest.Customer{Name: r.name, PSID: r.to}
		r.channel = c.page(r.account)
	} else {
		r.channel = c.number(r.account)
	}
	c.giveToken(r.channel, "EAA"+r.account)
	r.conversation = domain.ConversationIDFor(r.channel, domain.ContactIDFor(c.org, r.provider, r.to))
	require.Eventually(c.t, func() bool {
		_, err := c.program.store.registry.Credentials(r.channel)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond, "the server never heard of the channel")
	_, err := c.platform.Write(r.account, from, "hello")
	require.NoError(c.t, err)
}

// number makes a WhatsApp channel of the tenant.
func (n *tenantRows) number(account string) domain.ChannelID {
	n.t.Helper()
	id := domain.ChannelID(entropy())
	n.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status, proved_at, checked_at)
		VALUES ($1, $2, 'WHATSAPP', $3, $3, 'ACTIVE', now(), `+neverDue+`)`, id, n.org, account)
	return id
}

// provoke has the agent send the message.
func (c *centre) provoke(r *refused) {
	c.t.Helper()
	c.accept(r.conversation)
	body := map[string]any{"body": r.name}
	if r.link {
		body["mediaUrl"], body["mediaType"] = "https://files.example.com/1.jpg", "image/jpeg"
	}
	a := c.send(r.conversation, body)
	require.Equal(c.t, http.StatusCreated, a.status, bodyText(a))
	r.message = a.body["id"].(string)
}

func (c *centre) awaitFate(r *refused) {
	c.t.Helper()
	var m map[string]any
	settled := func() bool {
		m = c.message(r.conversation, r.message)
		return m["status"] == r.status
	}
	switch {
	case r.broken:
		settled = func() bool {
			return c.count(`SELECT count(*) FROM messages WHERE id = $1 AND send_state = 'queued' AND attempts = 0 AND attempt_started_at IS NOT NULL`, r.message) == 1
		}
	case r.later > 0:
		settled = func() bool {
			return c.count(`SELECT count(*) FROM messages WHERE id = $1 AND send_state = 'queued' AND attempts = 1
				AND next_attempt_at >= attempt_started_at + $2 * interval '1 second'`, r.message, r.later.Seconds()) == 1
		}
	}
	require.Eventually(c.t, settled, 40*time.Second, 50*time.Millisecond, "%s: %v", r.name, m)
	if m = c.message(r.conversation, r.message); r.status != "FAILED" {
		require.Equal(c.t, r.status, m["status"], r.name)
		require.Nil(c.t, m["errorCode"], r.name)
		return
	}
	code := r.ours
	if code == "" {
		code = strconv.Itoa(r.code)
		require.Contains(c.t, m["errorMessage"], "as planned", r.name)
	}
	require.Equal(c.t, code, m["errorCode"], r.name)
	require.NotEmpty(c.t, m["errorMessage"], r.name)
}
