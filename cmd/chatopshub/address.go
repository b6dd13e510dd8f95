package main

import (
	"fmt"
	"net"
)

// url is where the server listens, for the start message.
func (p *program) url() string { return "http://" + reachable(p.listener.Addr()) }

func (p *program) metricsURL() string {
	switch {
	case p.operator != nil:
		return "http://" + reachable(p.operator.Addr())
	case p.cfg.Env == Development:
		return p.url()
	}
	return ""
}

// reachable is a listening address that a client on this machine can use.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	if tcp.IP.IsUnspecified() || tcp.IP.IsLoopback() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return addr.String()
}
