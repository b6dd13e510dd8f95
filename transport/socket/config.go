package socket

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Server is made of. Zero fields take their default; those
// without one are required.
type Config struct {
	Authenticator Authenticator // required
	Application   Application   // required
	// Tracer records deliveries of single events; nil: nothing is recorded.
	Tracer     Tracer
	Registerer prometheus.Registerer // required
	Logger     *slog.Logger          // required

	// Feed and Records let lost sockets come back with all they missed, within
	// RecoveryWindow. Without one of them clients start afresh, and a gap in the
	// events is announced instead of filled.
	Feed           Feed
	Records        Records
	RecoveryWindow time.Duration

	// Origins are the sites whose pages may connect, as scheme://host[:port].
	// Pages of our own host and clients that are not browsers always may.
	Origins []string
	// RemoteAddr tells where a request comes from; trusting proxies is its
	// business. Default: the other end of the connection.
	RemoteAddr func(*http.Request) netip.Addr

	PingInterval   time.Duration // between pong and next ping; default 25 s, the protocol's
	PingTimeout    time.Duration // between ping and pong; default 20 s, the protocol's
	ConnectTimeout time.Duration // for a session without a socket; default 45 s, the protocol's
	UpgradeTimeout time.Duration // for a connection that probes; default 10 s, the protocol's
	MaxPayload     int           // bytes of one message from a client; default 1,000,000, the protocol's

	Limits Limits
}

// Limits bound what clients can make the server keep or do. Zero fields take
// their default.
type Limits struct {
	Sessions           int // at the same time; more are refused (503). Default 20,000: 320 MB when idle
	Anonymous          int // of them not yet authenticated (503). Default 2,000
	AnonymousPerRemote int // of these from one address, of IPv6 from one /64 (503). Default 100

	Connecting int // of them at the same time past the door: the others wait for their turn. Default 64

	QueuedBytes   int // for one socket that is sent more; past it the connection is closed. Default 1 MiB
	QueuedPackets int // likewise. Default 1,000

	PacketsPerSecond int // from one client, sustained; past it the session is closed. Default 50
	PacketBurst      int // that it may send at once. Default 150: clients send what they kept while they were offline
	Rooms            int // that one socket may be in (join is refused). Default 500
}

func (c Config) withDefaults() Config {
	c.PingInterval = cmp.Or(c.PingInterval, 25*time.Second)
	c.PingTimeout = cmp.Or(c.PingTimeout, 20*time.Second)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 45*time.Second)
	c.UpgradeTimeout = cmp.Or(c.UpgradeTimeout, 10*time.Second)
	c.MaxPayload = cmp.Or(c.MaxPayload, 1_000_000)
	l := &c.Limits
	l.Sessions = cmp.Or(l.Sessions, 20_000)
	l.Anonymous = cmp.Or(l.Anonymous, 2_000)
	l.AnonymousPerRemote = cmp.Or(l.AnonymousPerRemote, 100)
	l.Connecting = cmp.Or(l.Connecting, 64)
	l.QueuedBytes = cmp.Or(l.QueuedBytes, 1<<20)
	l.QueuedPackets = cmp.Or(l.QueuedPackets, 1_000)
	l.PacketsPerSecond = cmp.Or(l.PacketsPerSecond, 50)
	l.PacketBurst = cmp.Or(l.PacketBurst, 150)
	l.Rooms = cmp.Or(l.Rooms, 500)
	if c.RemoteAddr == nil {
		c.RemoteAddr = peerAddr
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Authenticator == nil:
		return errors.New("socket: Config.Authenticator is required")
	case c.Application == nil:
		return errors.New("socket: Config.Application is required")
	case c.Registerer == nil:
		return errors.New("socket: Config.Registerer is required")
	case c.Logger == nil:
		return errors.New("socket: Config.Logger is required")
	}
	for name, d := range map[string]time.Duration{
		"PingInterval": c.PingInterval, "PingTimeout": c.PingTimeout, "ConnectTimeout": c.ConnectTimeout,
		"UpgradeTimeout": c.UpgradeTimeout,
	} {
		if d < time.Millisecond {
			return fmt.Errorf("socket: Config.%s is %s, takes 1ms or more", name, d)
		}
	}
	if c.RecoveryWindow < 0 {
		return fmt.Errorf("socket: Config.RecoveryWindow is %s, takes 0 or more", c.RecoveryWindow)
	}
	l := c.Limits
	for name, n := range map[string]int{
		"MaxPayload": c.MaxPayload, "Limits.Sessions": l.Sessions, "Limits.Anonymous": l.Anonymous,
		"Limits.AnonymousPerRemote": l.AnonymousPerRemote, "Limits.Connecting": l.Connecting, "Limits.QueuedBytes": l.QueuedBytes,
		"Limits.QueuedPackets": l.QueuedPackets, "Limits.PacketsPerSecond": l.PacketsPerSecond,
		"Limits.PacketBurst": l.PacketBurst, "Limits.Rooms": l.Rooms,
	} {
		if n < 1 {
			return fmt.Errorf("socket: Config.%s is %d, takes 1 or more", name, n)
		}
	}
	return nil
}

// originSet is the configured origins as browsers spell them.
func originSet(origins []string) (map[string]bool, error) {
	set := make(map[string]bool, len(origins))
	for _, o := range origins {
		u, err := url.Parse(strings.TrimSuffix(o, "/"))
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return nil, fmt.Errorf("socket: Config.Origins has %q, takes scheme://host[:port]", o)
		}
		set[strings.ToLower(u.Scheme+"://"+u.Host)] = true
	}
	return set, nil
}

// peerAddr is the other end of the connection.
func peerAddr(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // not a TCP peer; all such share one allowance
	}
	return addr.Addr().Unmap()
}
