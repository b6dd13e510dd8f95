package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/persistence"
)

// This file is what the doctor looks at outside of the machine: clocks, the
// webhooks' address, the platforms.

// How far a clock may be off: tokens and reply windows are reckoned in seconds,
// and the Date header of HTTP has no finer steps.
const (
	tolerableSkew = 2 * time.Second
	wrongSkew     = 30 * time.Second
)

func (c *checkup) lookAtClocks(ctx context.Context) []finding {
	asked := time.Now()
	var theirs time.Time
	if err := c.database.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&theirs); err != nil {
		return nil // the database has been complained of
	}
	found := []finding{skewed("clock, database", between(asked, time.Now()).Sub(theirs))}
	asked = time.Now()
	date, err := dateOf(ctx, c.cfg.Meta.GraphURL)
	if err != nil {
		return append(found, wrong("graph api", "check META_GRAPH_URL, the name resolution, and that connections out of here are let through",
			"%s can't be reached: %v", c.cfg.Meta.GraphURL, err))
	}
	// A Date header tells the second that was, so it is half a second late.
	return append(found, skewed("clock, graph api", between(asked, time.Now()).Sub(date.Add(500*time.Millisecond))))
}

func between(a, b time.Time) time.Time { return a.Add(b.Sub(a) / 2) }

func skewed(part string, skew time.Duration) finding {
	const advice = "keep this machine's clock right by NTP"
	off := skew.Round(100 * time.Millisecond)
	switch {
	case skew.Abs() > wrongSkew:
		return wrong(part, advice, "ours is %s ahead", off)
	case skew.Abs() > tolerableSkew:
		return warning(part, advice, "ours is %s ahead", off)
	}
	return good(part, "within %s", tolerableSkew)
}

// dateOf is the time that a server has.
func dateOf(ctx context.Context, address string) (time.Time, error) {
	resp, err := fetch(ctx, http.MethodHead, address)
	if err != nil {
		return time.Time{}, err
	}
	resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("its answer has no date: %w", err)
	}
	return date, nil
}

func fetch(ctx context.Context, method, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: checkTime, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	return client.Do(req)
}

// lookAtWebhooks makes the call by which Meta verifies the callback URLs.
func (c *checkup) lookAtWebhooks(ctx context.Context) []finding {
	var found []finding
	if !strings.HasPrefix(c.cfg.HTTP.PublicURL, "https://") {
		found = append(found, warning("AUTH_URL", "set AUTH_URL to the public https address: Meta posts to nothing else", "is %q", c.cfg.HTTP.PublicURL))
	}
	for _, hook := range []struct {
		name, variable string
		secrets        WebhookConfig
	}{
		{"whatsapp", "WHATSAPP_VERIFY_TOKEN", c.cfg.Meta.WhatsApp},
		{"messenger", "MESSENGER_VERIFY_TOKEN", c.cfg.Meta.Messenger},
	} {
		part := "webhook, " + hook.name
		if hook.secrets.VerifyToken == "" {
			found = append(found, warning(part, "set "+hook.variable+" to register the callback URL", "can't be verified: no token"))
			continue
		}
		if err := verifyHook(ctx, c.cfg.HTTP.PublicURL+"/api/webhooks/"+hook.name, string(hook.secrets.VerifyToken)); err != nil {
			found = append(found, wrong(part, "start the server; check AUTH_URL, the proxy before it, and "+hook.variable, "%v", err))
			continue
		}
		found = append(found, good(part, "answers the verify call"))
	}
	return found
}

// verifyHook is nil when the address answers the challenge.
func verifyHook(ctx context.Context, address, token string) error {
	challenge := rand.Text()
	query := url.Values{"hub.mode": {"subscribe"}, "hub.verify_token": {token}, "hub.challenge": {challenge}}
	resp, err := fetch(ctx, http.MethodGet, address+"?"+query.Encode())
	if err != nil {
		return fmt.Errorf("%s can't be reached", address) // the cause quotes the token
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", address, err)
	case resp.StatusCode != http.StatusOK || string(body) != challenge:
		return fmt.Errorf("%s answers %d, not the challenge", address, resp.StatusCode)
	}
	return nil
}

// maxChannels is how many channels the doctor asks the platforms about.
const maxChannels = 200

func (c *checkup) lookAtChannels(ctx context.Context) []finding {
	sealer, err := newSealer(c.cfg)
	if err != nil {
		return []finding{wrong("channels", "correct AUTH_SECRET", "%v", err)}
	}
	channels, err := persistence.NewChannels(c.reads, sealer).Working(ctx, maxChannels+1)
	if err != nil {
		return []finding{wrong("channels", "see what is said of database and schema", "%v", err)}
	}
	if len(channels) == 0 {
		return []finding{warning("channels", "create one and test it", "none is to work")}
	}
	var found []finding
	for _, ch := range channels[:min(len(channels), maxChannels)] {
		found = append(found, c.lookAtChannel(ctx, ch))
	}
	if len(channels) > maxChannels {
		found = append(found, warning("channels", "look at the others by their tests", "only the first %d are looked at", maxChannels))
	}
	return found
}

func (c *checkup) lookAtChannel(ctx context.Context, ch persistence.WorkingChannel) finding {
	part := fmt.Sprintf("channel %s/%s", ch.Organization, ch.Channel.Name)
	const advice = "set another access token and test the channel"
	if ch.Unreadable != nil {
		return wrong(part, advice+"; or set AUTH_SECRET_PREVIOUS", "its secrets can't be read: they were sealed with another AUTH_SECRET")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	name, err := identifier{c.platform}.Identify(ctx, ch.ChannelProof)
	if err != nil {
		return wrong(part, advice, "%v", err)
	}
	return good(part, "%s %s is %s, status %s", ch.Channel.Provider, ch.Channel.ExternalID, name, ch.Channel.Status)
}
