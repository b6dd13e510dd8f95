package main

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
)

// checkCluster holds the node-to-node listener to what makes a cluster safe:
// what all nodes share is named, an address that the others reach, and mutual
// TLS wherever another machine could reach it.
func (s *source) checkCluster(c Config) {
	if !s.isSet("CLUSTER_ADDR") {
		for _, name := range []string{
			"CLUSTER_NAME", "CLUSTER_ADVERTISE_ADDR", "CLUSTER_TLS_CERT", "CLUSTER_TLS_KEY", "CLUSTER_TLS_CA",
		} {
			if s.isSet(name) {
				s.problem("%s: set without CLUSTER_ADDR, takes effect only with it", name)
			}
		}
		return
	}
	for _, name := range []string{"DATABASE_URL", "VALKEY_URL", "AUTH_SECRET"} {
		// Production asks for them anyway.
		if !s.isSet(name) && c.Env != Production {
			s.problem("%s: not set, which CLUSTER_ADDR needs: all nodes have the same", name)
		}
	}
	s.checkAdvertised(c.Cluster)
	s.checkClusterTLS(c.Cluster)
}

// checkAdvertised refuses what no other node could dial.
func (s *source) checkAdvertised(c ClusterConfig) {
	switch {
	case c.AdvertiseAddr != "" && everywhere(c.AdvertiseAddr):
		s.problem("CLUSTER_ADVERTISE_ADDR: got %s, takes the address of this node alone, such as 10.0.0.5:7001", quote(c.AdvertiseAddr))
	case c.AdvertiseAddr != "" && anyPort(c.AdvertiseAddr):
		s.problem("CLUSTER_ADVERTISE_ADDR: got %s, takes the port at which other nodes reach this one", quote(c.AdvertiseAddr))
	case c.AdvertiseAddr == "" && c.Addr != "" && everywhere(c.Addr):
		s.problem("CLUSTER_ADVERTISE_ADDR: not set, which CLUSTER_ADDR=%s needs: it doesn't say how other nodes reach this one", c.Addr)
	}
}

// everywhere reports whether host:port stands for all addresses of a machine.
func everywhere(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	addr, parseErr := netip.ParseAddr(host)
	return err == nil && (host == "" || parseErr == nil && addr.IsUnspecified())
}

func anyPort(hostPort string) bool {
	_, port, err := net.SplitHostPort(hostPort)
	return err == nil && port == "0"
}

func (s *source) checkClusterTLS(c ClusterConfig) {
	set := 0
	for _, file := range []struct{ variable, path string }{
		{"CLUSTER_TLS_CERT", c.TLSCert}, {"CLUSTER_TLS_KEY", c.TLSKey}, {"CLUSTER_TLS_CA", c.TLSCA},
	} {
		if file.path == "" {
			continue
		}
		set++
		s.checkReadable(file.variable, file.path)
	}
	switch set {
	case 0:
		s.checkLoopback("CLUSTER_ADDR", c.Addr)
		s.checkLoopback("CLUSTER_ADVERTISE_ADDR", c.AdvertiseAddr)
	case 1, 2:
		s.problem("CLUSTER_TLS_CERT, CLUSTER_TLS_KEY, CLUSTER_TLS_CA: got %d of them, takes all three or none", set)
	}
}

func (s *source) checkReadable(variable, path string) {
	_, err := os.ReadFile(path)
	if err == nil {
		return
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err // without the path, which is quoted
	}
	s.problem("%s: got %s, takes a PEM file that the server can read: %v", variable, quote(path), err)
}

// checkLoopback refuses an address that other machines reach, as long as
// nothing proves who calls there.
func (s *source) checkLoopback(name, addr string) {
	if addr != "" && !loopback(addr) {
		s.problem("%s: got %s, takes a loopback address unless CLUSTER_TLS_CERT, CLUSTER_TLS_KEY and CLUSTER_TLS_CA are set",
			name, quote(addr))
	}
}
