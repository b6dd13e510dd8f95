package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// TLSFiles names PEM files: who this node is, and who says who the others are.
// The certificate is for servers and clients alike and carries the cluster's
// name as a DNS name; so must those of the others.
type TLSFiles struct {
	Cert, Key, CA string
}

func (f TLSFiles) all() [3]string { return [3]string{f.Cert, f.Key, f.CA} }

// identity is the node's side of mutual TLS. It reads the files again when they
// have changed: connections made from then on use the new ones.
type identity struct {
	files   TLSFiles
	cluster string
	now     func() time.Time
	logger  *slog.Logger

	mu     sync.Mutex
	stamps [3]stamp
	keys   *keys
}

// keys is the content of the files; it doesn't change.
type keys struct {
	cert tls.Certificate
	ca   *x509.CertPool
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

func newIdentity(files TLSFiles, cluster string, now func() time.Time, logger *slog.Logger) (*identity, error) {
	id := &identity{files: files, cluster: cluster, now: now, logger: logger}
	var err error
	if id.stamps, err = id.stat(); err == nil {
		id.keys, err = id.load()
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: TLS between nodes: %w", err)
	}
	return id, nil
}

func (id *identity) stat() (stamps [3]stamp, err error) {
	for i, name := range id.files.all() {
		info, err := os.Stat(name)
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

func (id *identity) load() (*keys, error) {
	cert, err := tls.LoadX509KeyPair(id.files.Cert, id.files.Key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", id.files.Cert, id.files.Key, err)
	}
	authorities, err := os.ReadFile(id.files.CA)
	if err != nil {
		return nil, err
	}
	k := &keys{cert: cert, ca: x509.NewCertPool()}
	if !k.ca.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s: no certificate in it", id.files.CA)
	}
	// What the others would refuse is refused here, where it is seen.
	if err := id.verify(k); err != nil {
		return nil, fmt.Errorf("%s: %w", id.files.Cert, err)
	}
	return k, nil
}

func (id *identity) verify(k *keys) error {
	between := x509.NewCertPool()
	for _, der := range k.cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := k.cert.Leaf.Verify(x509.VerifyOptions{
			DNSName: id.cluster, Roots: k.ca, Intermediates: between, CurrentTime: id.now(), KeyUsages: []x509.ExtKeyUsage{use},
		}); err != nil {
			return err
		}
	}
	return nil
}

// current is what the files say now, or said when they could last be read.
func (id *identity) current() *keys {
	id.mu.Lock()
	defer id.mu.Unlock()
	stamps, err := id.stat()
	if err == nil && stamps != id.stamps {
		var fresh *keys
		if fresh, err = id.load(); err == nil {
			id.keys, id.stamps = fresh, stamps
			id.logger.Info("certificates between nodes read again", "expires", fresh.cert.Leaf.NotAfter)
		}
	}
	if err != nil {
		id.logger.Error("certificates between nodes can't be read again, the former ones are used", "error", err)
	}
	return id.keys
}

func (id *identity) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			k := id.current()
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				Certificates: []tls.Certificate{k.cert},
				ClientCAs:    k.ca,
				ClientAuth:   tls.RequireAndVerifyClientCert,
				// A ticket would outlive the certificates it was given for.
				SessionTicketsDisabled: true,
				Time:                   id.now,
				VerifyConnection: func(s tls.ConnectionState) error {
					if len(s.PeerCertificates) == 0 {
						return errors.New("no certificate")
					}
					return s.PeerCertificates[0].VerifyHostname(id.cluster)
				},
			}, nil
		},
	}
}

func (id *identity) client() *tls.Config {
	k := id.current()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: id.cluster, Certificates: []tls.Certificate{k.cert}, RootCAs: k.ca, Time: id.now,
	}
}

// security is how this node's connections are protected: by TLS, or, without
// an identity, by not leaving the machine.
type security struct{ id *identity }

func (s security) server() credentials.TransportCredentials {
	if s.id == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(s.id.server())
}

func (s security) client() credentials.TransportCredentials {
	if s.id == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(s.id.client())
}

func (s security) dialer() *net.Dialer {
	d := new(net.Dialer)
	if s.id == nil {
		d.ControlContext = func(_ context.Context, _, addr string, _ syscall.RawConn) error { return loopback(addr) }
	}
	return d
}

// loopback refuses an address of another machine.
func loopback(addr string) error {
	if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr().Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s: without TLS only loopback addresses are taken", addr)
}
