package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// target is the server under measurement, and what the load generator needs to
// be its customers, its agents and its administrator.
type target struct {
	base    *url.URL
	http    *http.Client // for what isn't measured
	own     *ownServer   // nil: somebody else's
	run     string       // tells this run's customers and messages from those of others
	account string       // the phone number id that customers write to
	secret  Secret       // signs webhooks
	form    *webhookForm

	org       domain.OrganizationID
	channel   domain.ChannelID
	admin     string // access token
	adminMail string
	password  Secret
	agents    []*benchAgent
	customers int          // handed out so far
	sent      atomic.Int64 // messages so far
}

// benchAgent is one of the agents that the load generator plays.
type benchAgent struct {
	id      domain.UserID
	token   string
	refresh string // empty: the token outlives the run
	issued  time.Time
	socket  string // where it seems to come from
}

// remoteConfig says where somebody else's server is, and who we are there.
type remoteConfig struct {
	url       string
	account   string
	admin     string
	password  Secret
	appSecret Secret
}

// newTarget logs in at the server and finds the channel.
func newTarget(ctx context.Context, c remoteConfig) (*target, error) {
	base, err := url.Parse(strings.TrimSuffix(c.url, "/"))
	if err != nil {
		return nil, fmt.Errorf("read the server's address: %w", err)
	}
	id := entropy()
	t := &target{
		base: base, account: c.account, secret: c.appSecret, run: hex.EncodeToString(id[:4]), adminMail: c.admin, password: c.password,
		http: &http.Client{Timeout: answerTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
		form: newWebhookForm(c.account),
	}
	// Readiness is waited for: a server that has just begun still connects.
	if err := t.await(ctx, func() error { return t.call(ctx, http.MethodGet, "/readyz", "", nil, nil) }); err != nil {
		return nil, fmt.Errorf("wait for the server to be ready: %w", err)
	}
	return t, t.enter(ctx)
}

// enter logs the administrator in and finds the organization and the channel.
func (t *target) enter(ctx context.Context) error {
	in, err := t.login(ctx, t.adminMail, string(t.password))
	if err != nil {
		return fmt.Errorf("log in as %s: %w", t.adminMail, err)
	}
	t.admin, t.org = in.AccessToken, in.User.Organization
	var channels struct{ Data []domain.ChannelView }
	if err := t.call(ctx, http.MethodGet, "/api/channels", t.admin, nil, &channels); err != nil {
		return fmt.Errorf("list the channels: %w", err)
	}
	for _, c := range channels.Data {
		if c.Config != nil && c.Config.PhoneNumberID == t.account {
			t.channel = c.ID
			return nil
		}
	}
	return &usageError{fmt.Sprintf("chatopshub bench: the organization of %s has no channel with the phone number id %s: name one by --number", t.adminMail, t.account)}
}

type loggedIn struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
	User         struct {
		ID           domain.UserID         `json:"id"`
		Organization domain.OrganizationID `json:"organizationId"`
	} `json:"user"`
}

func (t *target) login(ctx context.Context, email, password string) (in loggedIn, err error) {
	return in, t.call(ctx, http.MethodPost, "/api/auth/login", "", map[string]string{"email": email, "password": password}, &in)
}

// call makes a call that isn't measured. A status that isn't 2xx is an error.
func (t *target) call(ctx context.Context, method, path, token string, body, into any) error {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, t.base.String()+path, reader)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %w", method, path, statusError(resp.StatusCode))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// await repeats what may fail for a while.
func (t *target) await(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if !wait(ctx, 20*time.Millisecond) {
			return err
		}
	}
}

// staff sees to it that there are n agents with tokens that last for a while.
func (t *target) staff(ctx context.Context, n int) error {
	missing := n - len(t.agents)
	if missing > 0 && t.own != nil {
		added, err := t.own.addAgents(ctx, t, missing)
		if err != nil {
			return fmt.Errorf("make agents: %w", err)
		}
		t.agents = append(t.agents, added...)
	} else if missing > 0 {
		if err := t.hire(ctx, missing); err != nil {
			return fmt.Errorf("make agents: %w", err)
		}
	}
	for i, a := range t.agents {
		a.socket = fmt.Sprintf("10.%d.%d.%d", 1+i>>16, i>>8&0xff, i&0xff)
		if err := t.renew(ctx, a); err != nil {
			return fmt.Errorf("renew an agent's token: %w", err)
		}
	}
	return nil
}

// tokenAge is when a token is renewed: short of any ACCESS_TOKEN_TTL that
// servers have.
const tokenAge = 5 * time.Minute

func (t *target) renew(ctx context.Context, a *benchAgent) error {
	if a.refresh == "" || time.Since(a.issued) < tokenAge {
		return nil
	}
	var in loggedIn
	if err := t.call(ctx, http.MethodPost, "/api/auth/refresh", "", map[string]string{"refreshToken": a.refresh}, &in); err != nil {
		return err
	}
	a.token, a.refresh, a.issued = in.AccessToken, in.RefreshToken, time.Now()
	return nil
}

// hire makes agents by the API, each with a random password, and logs them in:
// two passwords are hashed for each.
func (t *target) hire(ctx context.Context, n int) error {
	hired := make([]*benchAgent, n)
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(8)
	first := len(t.agents)
	for i := range hired {
		running.Go(func() error {
			random := entropy()
			email, password := fmt.Sprintf("bench-%s-%d@example.invalid", t.run, first+i), hex.EncodeToString(random[:])
			body := map[string]any{"email": email, "password": password, "name": fmt.Sprint("Bench agent ", first+i+1), "role": domain.RoleAgent}
			if err := t.call(ctx, http.MethodPost, "/api/users", t.admin, body, nil); err != nil {
				return err
			}
			in, err := t.login(ctx, email, password)
			hired[i] = &benchAgent{id: in.User.ID, token: in.AccessToken, refresh: in.RefreshToken, issued: time.Now()}
			return err
		})
	}
	err := running.Wait()
	for _, a := range hired {
		if a != nil && !a.id.IsZero() {
			t.agents = append(t.agents, a)
		}
	}
	return err
}

// leave takes back what was made at somebody else's server, as far as its API
// can: the agents are deactivated, which puts what they hold back to PENDING.
func (t *target) leave(ctx context.Context) error {
	defer t.http.CloseIdleConnections()
	if t.own != nil || len(t.agents) == 0 {
		return nil
	}
	if err := t.enter(ctx); err != nil { // the token may be old
		return err
	}
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(8)
	for _, a := range t.agents {
		running.Go(func() error {
			return t.call(ctx, http.MethodPatch, "/api/users/"+a.id.String(), t.admin, map[string]any{"status": domain.UserInactive}, nil)
		})
	}
	return running.Wait()
}

// newCustomers is the number of the first of n new customers; the others follow.
func (t *target) newCustomers(n int) int {
	first := t.customers
	t.customers += n
	return first
}

// number is the telephone number of a customer: fifteen digits, as long as
// numbers get, and of no country.
func (t *target) number(customer int) string {
	var run uint32
	for _, c := range []byte(t.run) {
		run = run*31 + uint32(c)
	}
	return fmt.Sprintf("999%05d%07d", run%100_000, customer)
}

// conversation is the one that a customer of ours has with the channel.
func (t *target) conversation(customer int) domain.ConversationID {
	return domain.ConversationIDFor(t.channel, domain.ContactIDFor(t.org, domain.WhatsApp, t.number(customer)))
}

// command is a call of an agent about a customer's conversation.
func (t *target) command(a *benchAgent, customer int, name string) []byte {
	return rawRequest(fmt.Sprintf("/api/conversations/%s/%s", t.conversation(customer), name), nil, bearer(a.token))
}

// answer is a call of an agent who answers a customer.
func (t *target) answer(a *benchAgent, customer int, body []byte) []byte {
	return rawRequest(fmt.Sprintf("/api/conversations/%s/messages", t.conversation(customer)), body, "Content-Type: application/json", bearer(a.token))
}

// addAgents makes agents by one statement, with tokens signed by the server's key.
func (o *ownServer) addAgents(ctx context.Context, t *target, n int) ([]*benchAgent, error) {
	conn, err := pgx.Connect(ctx, o.database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // what was read is read
	rows, err := conn.Query(ctx, `INSERT INTO users (organization_id, email, password_hash, name)
		SELECT $1, 'bench' || g || '@example.invalid', 'none', 'Bench agent ' || g FROM generate_series($2::int, $3::int) AS g RETURNING id`,
		t.org, len(t.agents)+1, len(t.agents)+n)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.UserID])
	if err != nil {
		return nil, err
	}
	issuer := auth.Issuer{Key: auth.DeriveKey([]byte(o.authSecret), auth.AccessTokenLabel), TTL: 24 * time.Hour, Now: time.Now}
	agents := make([]*benchAgent, len(ids))
	for i, id := range ids {
		token, err := issuer.Issue(auth.Principal{User: id, Organization: t.org, Session: domain.SessionID(entropy()), Role: domain.RoleAgent})
		if err != nil {
			return nil, err
		}
		agents[i] = &benchAgent{id: id, token: token, issued: time.Now()}
	}
	return agents, t.await(ctx, func() error { // until the server has heard of the last
		return errors.Join(t.call(ctx, http.MethodGet, "/api/auth/me", agents[n-1].token, nil, nil))
	})
}
