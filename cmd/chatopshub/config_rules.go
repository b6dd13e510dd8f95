package main

import (
	"net"
	"net/url"
	"strings"
)

// minAuthSecret is the least length of AUTH_SECRET in production, in bytes:
// as many as the keys that are derived from it.
const minAuthSecret = 32

// checkProduction refuses to make up in production what must be secret or must
// outlive the machine. Each missing variable is named.
func (s *source) checkProduction(c Config) {
	if c.Env != Production {
		return
	}
	for _, required := range []variable{
		{name: "DATABASE_URL", fallback: takesDatabaseURL},
		{name: "VALKEY_URL", fallback: takesValkeyURL},
		{name: "AUTH_SECRET", fallback: "at least 32 random bytes"},
	} {
		if !s.isSet(required.name) {
			s.problem("%s: not set, which production needs, takes %s", required.name, required.fallback)
		}
	}
	if n := len(c.Auth.Secret); n > 0 && n < minAuthSecret {
		s.problem("AUTH_SECRET: got %d bytes that are not shown, takes at least %d in production", n, minAuthSecret)
	}
	if n := len(c.Auth.PreviousSecret); n > 0 && n < minAuthSecret {
		s.problem("AUTH_SECRET_PREVIOUS: got %d bytes that are not shown, takes at least %d in production", n, minAuthSecret)
	}
	if graph, err := url.Parse(c.Meta.GraphURL); err == nil && graph.Scheme == "http" && !loopback(net.JoinHostPort(graph.Hostname(), "80")) {
		s.problem("META_GRAPH_URL: got an http:// URL, takes https:// in production, as access tokens go there")
	}
	if c.Seed.AdminPassword == seedPassword {
		s.problem("SEED_ADMIN_PASSWORD: got the development password, takes one of your own in production")
	}
	if s.isSet("SEED_ADMIN_EMAIL") != s.isSet("SEED_ADMIN_PASSWORD") {
		s.problem("SEED_ADMIN_EMAIL, SEED_ADMIN_PASSWORD: got one of them, takes both or neither in production")
	}
}

// checkTogether is for values that are good each and don't fit each other.
func (s *source) checkTogether(c Config) {
	if c.Auth.RefreshTokenTTL != 0 && c.Auth.RefreshTokenTTL < c.Auth.AccessTokenTTL {
		s.problem("REFRESH_TOKEN_TTL: got %v, takes at least ACCESS_TOKEN_TTL (%v)",
			c.Auth.RefreshTokenTTL, c.Auth.AccessTokenTTL)
	}
	if c.Seed.AdminPassword != "" && strings.EqualFold(string(c.Seed.AdminPassword), c.Seed.AdminEmail) {
		s.problem("SEED_ADMIN_PASSWORD: got the e-mail address, takes something else")
	}
}
