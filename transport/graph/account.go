package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// PageFields is what an inbox subscribes a page to.
func PageFields() []string {
	return []string{
		"messages", "messaging_postbacks", "message_deliveries", "message_reads", "message_echoes",
		"message_reactions", "message_edits", "messaging_referrals", "messaging_handovers", "standby",
	}
}

// Identity is what the platform says of an account that its token can read.
type Identity struct {
	Name    string // verified name of the number, or name of the page
	Number  string // WhatsApp: as displayed
	Quality string // WhatsApp: GREEN, YELLOW, RED or NA
}

// Identify proves that the account's token can read its number or page, and
// that the number is connected. It is the test of a channel's credentials.
func (c *Client) Identify(ctx context.Context, a Account) (Identity, error) {
	if a.Provider == domain.Messenger {
		return c.identifyPage(ctx, a)
	}
	var answer struct {
		ID      string `json:"id"`
		Display string `json:"display_phone_number"`
		Name    string `json:"verified_name"`
		Quality string `json:"quality_rating"`
		Status  string `json:"status"`
	}
	r := call{method: http.MethodGet, path: url.PathEscape(a.ID), query: url.Values{"fields": {
		"id,display_phone_number,verified_name,quality_rating,code_verification_status,name_status,status,throughput",
	}}}
	if err := c.do(ctx, a, r, &answer); err != nil {
		return Identity{}, err
	}
	if answer.ID != a.ID {
		return Identity{}, notTheAccount("the token reads another object than phone number id %s", a.ID)
	}
	if answer.Status != "CONNECTED" {
		return Identity{}, notTheAccount("the number is %s, not CONNECTED", readable(answer.Status))
	}
	return Identity{Name: answer.Name, Number: answer.Display, Quality: answer.Quality}, nil
}

func (c *Client) identifyPage(ctx context.Context, a Account) (Identity, error) {
	var answer struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	r := call{method: http.MethodGet, path: "me", query: url.Values{"fields": {"id,name"}}}
	if err := c.do(ctx, a, r, &answer); err != nil {
		return Identity{}, err
	}
	if answer.ID != a.ID {
		return Identity{}, notTheAccount("the token isn't page %s's: a page token is wanted, not a person's", a.ID)
	}
	return Identity{Name: answer.Name}, nil
}

func notTheAccount(reason string, args ...any) error {
	return &domain.CallError{Class: domain.FailureChannel, Code: domain.CallWrongAccount, Text: fmt.Sprintf(reason, args...)}
}

// Subscription is an app that gets the webhooks of a page, or of a WhatsApp
// business account (WABA).
type Subscription struct {
	App    string
	Fields []string // Messenger alone
}

// Subscriptions lists the apps that get the webhooks of object: the page's id,
// or the WABA's.
func (c *Client) Subscriptions(ctx context.Context, a Account, object string) ([]Subscription, error) {
	var answer struct {
		Data []struct {
			ID       string   `json:"id"`
			Fields   []string `json:"subscribed_fields"`
			WhatsApp struct {
				ID string `json:"id"`
			} `json:"whatsapp_business_api_data"`
		} `json:"data"`
	}
	r := call{method: http.MethodGet, path: url.PathEscape(object) + "/subscribed_apps"}
	if err := c.do(ctx, a, r, &answer); err != nil {
		return nil, err
	}
	subscriptions := make([]Subscription, 0, len(answer.Data))
	for _, app := range answer.Data {
		subscriptions = append(subscriptions, Subscription{App: app.ID + app.WhatsApp.ID, Fields: app.Fields}) // one of them is empty
	}
	return subscriptions, nil
}

// Covers reports whether the subscription has all of the fields.
func (s Subscription) Covers(fields []string) bool {
	return !slices.ContainsFunc(fields, func(f string) bool { return !slices.Contains(s.Fields, f) })
}

// Subscribe makes the token's app get the webhooks of object: a page's of the
// given fields, a WABA's of those that are set for the app. Doing so again
// changes nothing.
func (c *Client) Subscribe(ctx context.Context, a Account, object string, fields []string) error {
	r := call{method: http.MethodPost, path: url.PathEscape(object) + "/subscribed_apps"}
	if len(fields) > 0 {
		r.query = url.Values{"subscribed_fields": {strings.Join(fields, ",")}}
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if err := c.do(ctx, a, r, &answer); err != nil {
		return err
	}
	if !answer.Success {
		return &domain.CallError{
			Class: domain.FailureTransient, Code: domain.CallBadAnswer, Text: "the platform didn't confirm the subscription",
		}
	}
	return nil
}

// Token is what the platform says of an access token.
type Token struct {
	Valid     bool
	App       string
	ExpiresAt time.Time // zero: never
	Scopes    []string
	Problem   string // why it isn't valid
}

// InspectToken asks about the account's token in the name of the app, whose
// secret the account must have.
func (c *Client) InspectToken(ctx context.Context, a Account, appID string) (Token, error) {
	var answer struct {
		Data struct {
			App     string   `json:"app_id"`
			Valid   bool     `json:"is_valid"`
			Expires int64    `json:"expires_at"`
			Scopes  []string `json:"scopes"`
			Error   struct {
				Message string `json:"message"`
			} `json:"error"`
		} `json:"data"`
	}
	if a.AppSecret == "" {
		return Token{}, notTheAccount("the app's secret isn't known, so its tokens can't be inspected")
	}
	app := Account{Provider: a.Provider, ID: a.ID, Token: Secret(appID + "|" + string(a.AppSecret))}
	r := call{method: http.MethodGet, path: "debug_token", query: url.Values{"input_token": {string(a.Token)}}}
	if err := c.do(ctx, app, r, &answer); err != nil {
		if failed, ok := errors.AsType[*domain.CallError](err); ok {
			failed.Text = a.scrub(failed.Text) // the inspected token isn't the one that the call was made with
		}
		return Token{}, err
	}
	t := Token{
		Valid: answer.Data.Valid, App: answer.Data.App, Scopes: answer.Data.Scopes,
		Problem: a.scrub(readable(answer.Data.Error.Message)),
	}
	if answer.Data.Expires > 0 {
		t.ExpiresAt = time.Unix(answer.Data.Expires, 0).UTC()
	}
	return t, nil
}

// Person is what Messenger tells of a customer, if anything: profiles are often
// empty, or hold the name alone.
type Person struct {
	Name       string
	PictureURL string // expires
}

// maxName bounds a name, in code points: people choose their own.
const maxName = 200

// LookUpPerson asks Messenger who a customer is.
func (c *Client) LookUpPerson(ctx context.Context, a Account, psid string) (Person, error) {
	var answer struct {
		Name    string `json:"name"`
		First   string `json:"first_name"`
		Last    string `json:"last_name"`
		Picture string `json:"profile_pic"`
	}
	if _, err := strconv.ParseUint(psid, 10, 64); err != nil {
		return Person{}, unsendable(fmt.Errorf("recipient: takes a page-scoped id of digits"))
	}
	r := call{method: http.MethodGet, path: psid, query: url.Values{"fields": {"name,first_name,last_name,profile_pic"}}}
	if err := c.do(ctx, a, r, &answer); err != nil {
		return Person{}, err
	}
	if answer.Name == "" {
		answer.Name = strings.TrimSpace(answer.First + " " + answer.Last)
	}
	return Person{Name: strings.TrimSpace(cut(readable(answer.Name), maxName)), PictureURL: answer.Picture}, nil
}
