package graph

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// mediaDomains is where the platforms keep files: what signed webhooks and
// look-ups name. Everything below them is allowed, nothing else is fetched.
var mediaDomains = []string{"fbsbx.com", "fbcdn.net"}

// tokenHost is the one host beside the API's that wants the token for a file.
const tokenHost = "lookaside.fbsbx.com"

// newMediaClient makes the client for downloads. It goes through no proxy: one
// would resolve names itself, out of reach of the check at the dial.
func newMediaClient(cfg Config, base *url.URL, resolver *net.Resolver) *http.Client {
	guarded := &net.Dialer{Timeout: 10 * time.Second, Resolver: resolver, Control: publicOnly}
	plain := &net.Dialer{Timeout: 10 * time.Second}
	transport := newTransport(cfg, func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == hostPort(base) { // configured by the operator, who may run a simulator anywhere
			return plain.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	})
	transport.ResponseHeaderTimeout = 20 * time.Second
	c := &Client{base: base}
	return &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("more than 5 redirects")
		}
		if err := c.mayFetch(req.URL); err != nil {
			return err
		}
		authorize(req)
		return nil
	}}
}

// mayFetch allows the API's own address as configured, and the platforms' media
// hosts over https.
func (c *Client) mayFetch(u *url.URL) error {
	if u.User != nil {
		return domain.ErrFileForbidden
	}
	if u.Scheme == c.base.Scheme && hostPort(u) == hostPort(c.base) {
		return nil
	}
	host := strings.ToLower(u.Hostname())
	if u.Scheme != "https" || u.Port() != "" && u.Port() != "443" {
		return domain.ErrFileForbidden
	}
	for _, d := range mediaDomains {
		if strings.HasSuffix(host, "."+d) {
			return nil
		}
	}
	return domain.ErrFileForbidden
}

// hostPort is what of an address is dialed.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// bearer is a token and where it may go.
type bearer struct {
	token Secret
	hosts []string // as hostPort gives them
}

type bearerKey struct{}

// bearer is the account's for downloads. Messenger's files need none, so none
// is sent.
func (c *Client) bearer(a Account) bearer {
	if a.Provider != domain.WhatsApp || !a.Token.sendable() {
		return bearer{}
	}
	return bearer{token: a.Token, hosts: []string{hostPort(c.base), net.JoinHostPort(tokenHost, "443")}}
}

// authorize gives a request the token of its context if it goes where the
// token may go, and takes it away otherwise: net/http takes headers along when
// it follows a redirect.
func authorize(req *http.Request) {
	req.Header.Del("Authorization")
	b, _ := req.Context().Value(bearerKey{}).(bearer)
	for _, host := range b.hosts {
		if hostPort(req.URL) == host {
			req.Header.Set("Authorization", "Bearer "+string(b.token))
		}
	}
}

// publicOnly refuses to connect to what isn't on the public internet. It sees
// the address that is really dialed, whatever a name resolved to.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !public(at.Addr()) {
		return fmt.Errorf("%w: the name leads to an address that isn't public", domain.ErrFileForbidden)
	}
	return nil
}

// special is what IANA's registries keep from the public internet, beyond what
// net/netip knows by itself.
var special = func() []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32",
		"2002::/16", "3fff::/20", "5f00::/16",
	} {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}()

func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
