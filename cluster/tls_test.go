package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates of nodes.
type authority struct {
	testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{t, cert, key}
}

// issue writes the files of a node; change alters what it gets.
func (a authority) issue(folder string, change func(*x509.Certificate)) TLSFiles {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"test"}, Subject: pkix.Name{CommonName: "node"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(cert)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	require.NoError(a, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a, err)
	files := TLSFiles{filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"), filepath.Join(folder, "ca.pem")}
	for name, block := range map[string]pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: secret}, files.CA: {Type: "CERTIFICATE", Bytes: a.cert.Raw},
	} {
		require.NoError(a, os.WriteFile(name, pem.EncodeToMemory(&block), 0o600))
	}
	return files
}

func named(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = []string{name} }
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func (w *town) secure(name string, files *TLSFiles) *node {
	cfg := w.config(name, listen(w))
	cfg.TLS = files
	return w.start(cfg)
}

func TestNodesWithCertificates(t *testing.T) {
	t.Parallel()
	w, ca := newTown(t), newAuthority(t)
	var nodes []*node
	for _, name := range []string{"a", "b"} {
		files := ca.issue(t.TempDir(), nil)
		nodes = append(nodes, w.secure(name, &files))
	}
	converse(t, nodes[0], nodes[1])
	v, err := nodes[0].ViewOf(t.Context(), nodes[1].Address())
	require.NoError(t, err)
	require.Equal(t, w.current(), v)
}

// TestWhoHasNoRightCertificate: neither gets messages nor is heard.
func TestWhoHasNoRightCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for name, c := range map[string]struct {
		files func(t *testing.T) *TLSFiles // of the wrong node
		found string                       // what the right one finds when it dials; empty: nothing wrong
	}{
		"of another authority": {
			func(t *testing.T) *TLSFiles { f := newAuthority(t).issue(t.TempDir(), nil); return &f },
			"unknown authority",
		},
		"of another cluster": {
			func(t *testing.T) *TLSFiles { f := ca.issue(t.TempDir(), named("other")); return &f },
			"valid for other, not test",
		},
		"expired": {
			func(t *testing.T) *TLSFiles { f := ca.issue(t.TempDir(), expired); return &f },
			"expired",
		},
		"only for servers": {
			func(t *testing.T) *TLSFiles {
				f := ca.issue(t.TempDir(), func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })
				return &f
			},
			"",
		},
		"none": {func(*testing.T) *TLSFiles { return nil }, "first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			good := ca.issue(t.TempDir(), nil)
			right := w.secure("right", &good)
			wrong := w.unchecked("wrong", c.files(t))
			require.NoError(t, wrong.Post(right.sink(), "coming", nil))
			s := wrong.becomes(t, right.Address(), "refused", func(s PeerStatus) bool { return s.LastError != "" })
			require.NotEmpty(t, s.LastError)
			require.False(t, s.Connected)
			if c.found != "" {
				require.NoError(t, right.Post(wrong.sink(), "going", nil))
				s = right.becomes(t, wrong.Address(), "refused", func(s PeerStatus) bool { return s.LastError != "" })
				require.Contains(t, s.LastError, c.found)
			}
			require.Empty(t, right.got)
			require.Empty(t, wrong.got)
			require.Empty(t, right.lost)
		})
	}
}

// unchecked starts a node whose own certificate isn't looked at, as that of
// somebody who wants in.
func (w *town) unchecked(name string, files *TLSFiles) *node {
	cfg := w.config(name, listen(w))
	if files == nil {
		return w.start(cfg)
	}
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(w, err)
	pool, err := os.ReadFile(files.CA)
	require.NoError(w, err)
	k := &keys{cert: cert, ca: x509.NewCertPool()}
	require.True(w, k.ca.AppendCertsFromPEM(pool))
	stamps, err := (&identity{files: *files}).stat()
	require.NoError(w, err)
	remote, err := NewRemote(cfg)
	require.NoError(w, err)
	remote.security.id = &identity{files: *files, cluster: cfg.Cluster, now: time.Now, logger: cfg.Logger, keys: k, stamps: stamps}
	remote.server = remote.newServer()
	w.join(cfg.Self)
	return w.run(remote)
}

// TestABareClient knocks without any certificate, and in plain text.
func TestABareClient(t *testing.T) {
	t.Parallel()
	w, ca := newTown(t), newAuthority(t)
	files := ca.issue(t.TempDir(), nil)
	n := w.secure("a", &files)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	for name, c := range map[string]*tls.Config{
		"certificate required": {RootCAs: pool, ServerName: "test", NextProtos: []string{"h2"}},
		"protocol version":     {RootCAs: pool, ServerName: "test", NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12},
	} {
		conn, err := tls.Dial("tcp", n.Address(), c)
		if err == nil { // the server answers after the client's part of the handshake
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			_, err = conn.Read(make([]byte, 1))
			require.NoError(t, conn.Close())
		}
		require.ErrorContains(t, err, name)
	}
	conn, err := net.Dial("tcp", n.Address())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	for err == nil {
		_, err = conn.Read(make([]byte, 100))
	}
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

// TestNewCertificates are used without a restart, and ones that can't be read
// aren't.
func TestNewCertificates(t *testing.T) {
	t.Parallel()
	w, old, next := newTown(t), newAuthority(t), newAuthority(t)
	folders := []string{t.TempDir(), t.TempDir()}
	files := []TLSFiles{old.issue(folders[0], nil), old.issue(folders[1], nil)}
	a, b := w.secure("a", &files[0]), w.secure("b", &files[1])
	converse(t, a, b)
	require.NoError(t, os.WriteFile(files[0].Cert, []byte("half"), 0o600))
	_, err := a.ViewOf(t.Context(), b.Address())
	require.NoError(t, err)
	for _, folder := range folders {
		next.issue(folder, nil)
	}
	_, err = a.ViewOf(t.Context(), b.Address())
	require.NoError(t, err)
	converse(t, a, b)
	late := old.issue(t.TempDir(), nil)
	_, err = w.unchecked("late", &late).ViewOf(t.Context(), b.Address())
	require.ErrorContains(t, err, "unknown authority")
}

func TestFilesOfCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for want, spoil := range map[string]func(*TLSFiles){
		"no such file":              func(f *TLSFiles) { f.Key = filepath.Join(t.TempDir(), "none") },
		"no certificate in it":      func(f *TLSFiles) { f.CA = f.Key },
		"private key does not":      func(f *TLSFiles) { f.Key = ca.issue(t.TempDir(), nil).Key },
		"valid for other, not test": func(f *TLSFiles) { *f = ca.issue(t.TempDir(), named("other")) },
		"unknown authority":         func(f *TLSFiles) { f.CA = newAuthority(t).issue(t.TempDir(), nil).CA },
		"expired":                   func(f *TLSFiles) { *f = ca.issue(t.TempDir(), expired) },
		"incompatible key usage": func(f *TLSFiles) {
			*f = ca.issue(t.TempDir(), func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] })
		},
	} {
		files := ca.issue(t.TempDir(), nil)
		spoil(&files)
		_, err := newIdentity(files, "test", time.Now, nil)
		require.ErrorContains(t, err, want)
	}
}

func TestWithoutCertificatesNothingLeavesTheMachine(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.node("a")
	for _, addr := range []string{"192.0.2.1:7000", "[2001:db8::1]:7000"} {
		_, err := a.ViewOf(t.Context(), addr)
		require.ErrorContains(t, err, "without TLS only loopback addresses are taken")
	}
	for addr, ok := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "127.0.0.1": false, "": false,
	} {
		require.Equal(t, ok, loopback(addr) == nil, addr)
	}
}
