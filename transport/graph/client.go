package graph

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// The defaults of Config.
const (
	DefaultBaseURL = "https://graph.facebook.com"
	DefaultVersion = "v25.0" // supported until July 2028
)

// maxAnswer bounds what is read of an answer; those that matter have some
// hundred bytes. One that is longer counts as no answer of the platform.
const maxAnswer = 1 << 20

// Config says where the Graph API is and how patient the client is. Zero
// fields have defaults.
type Config struct {
	BaseURL         string         // scheme and host; http is for simulators
	Version         string         // such as v25.0
	Timeout         time.Duration  // of one call; 20 s: the platforms answer in less than one
	TransferTimeout time.Duration  // of an upload, and of a download from its start to its end; 2 min for 100 MB
	MaxConnections  int            // to one host; 256. More calls wait for a free one within their time
	RootCAs         *x509.CertPool // who vouches for the hosts; the system's
	Resolver        *net.Resolver  // who knows the addresses of media hosts; the system's
}

// Client calls the Graph API for any number of accounts. It is safe for
// concurrent use and starts no goroutine that outlives a call, except those of
// kept connections, which Close ends.
type Client struct {
	base            *url.URL
	version         string
	timeout         time.Duration
	transferTimeout time.Duration
	calls           *http.Client
	media           *http.Client
}

// New checks the configuration and makes a client; it connects to nothing.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(cmp.Or(cfg.BaseURL, DefaultBaseURL), "/"))
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("graph: base URL %q: takes https://host", cfg.BaseURL)
	}
	version := cmp.Or(cfg.Version, DefaultVersion)
	if !regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,2}$`).MatchString(version) {
		return nil, fmt.Errorf("graph: version %q: takes the form v25.0", cfg.Version)
	}
	if cfg.Timeout < 0 || cfg.TransferTimeout < 0 || cfg.MaxConnections < 0 {
		return nil, errors.New("graph: time-outs and connections must not be negative")
	}
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, 256)
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := newTransport(cfg, dialer.DialContext)
	transport.Proxy = http.ProxyFromEnvironment
	c := &Client{
		base: base, version: version,
		timeout: cmp.Or(cfg.Timeout, 20*time.Second), transferTimeout: cmp.Or(cfg.TransferTimeout, 2*time.Minute),
		// The API doesn't redirect; whatever does gets no token of ours.
		calls: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	c.media = newMediaClient(cfg, base, cmp.Or(cfg.Resolver, net.DefaultResolver))
	return c, nil
}

// Close closes the connections that are kept for later calls.
func (c *Client) Close() {
	c.calls.CloseIdleConnections()
	c.media.CloseIdleConnections()
}

// newTransport speaks HTTP/1.1 only: there, a connection that breaks takes one
// call along, and nothing repeats a request of which a byte was written. On
// HTTP/2 it would leave the outcome of all calls in flight uncertain.
func newTransport(cfg Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: dial, Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 60 * time.Second, ExpectContinueTimeout: time.Second,
		MaxConnsPerHost: cfg.MaxConnections, MaxIdleConnsPerHost: cfg.MaxConnections, MaxResponseHeaderBytes: 64 << 10,
	}
}

// call is one request to the API.
type call struct {
	method string
	path   string // below the version
	query  url.Values
	body   io.Reader
	mime   string        // of the body
	length int64         // of the body; 0: the reader tells
	once   bool          // doing it twice would show: sends. Without it an outcome that isn't known is transient
	byLink bool          // the platform fetches a file
	within time.Duration // 0: the client's time-out
}

// jsonBody makes v the body of the call.
func (r call) jsonBody(v any) (call, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return r, fmt.Errorf("graph: encode request: %w", err)
	}
	r.body, r.mime = bytes.NewReader(encoded), "application/json"
	return r, nil
}

// do makes the call, once, and decodes what the platform answers. Its errors
// are *domain.CallError, but for those of our own encoding.
func (c *Client) do(ctx context.Context, a Account, r call, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.within, c.timeout))
	defer cancel()
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Told before the last bytes leave our buffers: too early means
		// uncertain, which is the safe side.
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				written.Store(true)
			}
		},
	})
	req, err := c.request(ctx, a, r)
	if err != nil {
		return err
	}
	resp, err := c.calls.Do(req)
	if err != nil {
		return unanswered(err, r, written.Load())
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return unanswered(err, r, true)
	}
	if failed := judge(a, r, resp, body); failed != nil {
		return failed
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return badAnswer(r, resp)
	}
	return nil
}

// request is the HTTP request of a call, with the account's credentials.
func (c *Client) request(ctx context.Context, a Account, r call) (*http.Request, error) {
	if !a.Token.sendable() {
		return nil, &domain.CallError{
			Class: domain.FailureChannel, Code: domain.CallUnsendable,
			Text: "the channel's access token is missing or has characters that no token has",
		}
	}
	query := url.Values{}
	for name, values := range r.query {
		query[name] = values
	}
	if a.AppSecret != "" {
		query.Set("appsecret_proof", a.proof())
	}
	u := c.base.JoinPath(c.version, r.path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), r.body)
	if err != nil {
		return nil, fmt.Errorf("graph: make request: %w", withoutAddress(err))
	}
	if r.length > 0 {
		req.ContentLength = r.length
	}
	if r.mime != "" {
		req.Header.Set("Content-Type", r.mime)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+string(a.Token))
	return req, nil
}

// proof shows the platform that we know the app's secret: an app can demand it
// with every call.
func (a Account) proof() string {
	mac := hmac.New(sha256.New, []byte(a.AppSecret))
	mac.Write([]byte(a.Token))
	return hex.EncodeToString(mac.Sum(nil))
}

// withoutAddress is err without the URL that net/http puts before it: queries
// carry proofs and inspected tokens.
func withoutAddress(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
