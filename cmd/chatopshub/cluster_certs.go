package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	// authorityLife is how long the cluster's own authority vouches for its nodes.
	authorityLife = 10 * 365 * 24 * time.Hour
	// certificateLife is how long a node's certificate is good, and
	// certificateLeft how much of that makes it worth keeping.
	certificateLife = 365 * 24 * time.Hour
	certificateLeft = 30 * 24 * time.Hour
	// backdated is by how much clocks of nodes may differ.
	backdated = time.Hour
)

// certificates is the folder with what the nodes of a cluster know each other
// by: an authority of its own, and one certificate for all nodes. That carries
// the cluster's name, which is what nodes ask for; addresses come and go.
type certificates struct{ folder string }

func (c certificates) authority() string    { return filepath.Join(c.folder, "ca.pem") }
func (c certificates) authorityKey() string { return filepath.Join(c.folder, "ca.key") }
func (c certificates) node() string         { return filepath.Join(c.folder, "node.pem") }
func (c certificates) nodeKey() string      { return filepath.Join(c.folder, "node.key") }

// environ is the variables that have a node use them.
func (c certificates) environ() []string {
	return []string{
		"CLUSTER_TLS_CERT=" + c.node(), "CLUSTER_TLS_KEY=" + c.nodeKey(), "CLUSTER_TLS_CA=" + c.authority(),
	}
}

// make fills the folder. What is there and good for some time stays, unless
// renew asks for a new certificate of the nodes; the authority always stays. It
// reports until when the certificate is good, and whether it is new.
func (c certificates) make(name string, renew bool, now time.Time) (until time.Time, fresh bool, err error) {
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		return time.Time{}, false, fmt.Errorf("make the folder of certificates: %w", err)
	}
	authority, err := c.anAuthority(name, now)
	if err != nil {
		return time.Time{}, false, err
	}
	if until, good := c.good(name, authority.Leaf, now); good && !renew {
		return until, false, nil
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, // each node is both
		NotBefore:   now.Add(-backdated), NotAfter: now.Add(certificateLife),
	}
	if err := issue(template, authority, c.node(), c.nodeKey()); err != nil {
		return time.Time{}, false, fmt.Errorf("make the nodes' certificate: %w", err)
	}
	return template.NotAfter, true, nil
}

// anAuthority reads the authority, or makes one where there is none.
func (c certificates) anAuthority(name string, now time.Time) (*tls.Certificate, error) {
	authority, err := readPair(c.authority(), c.authorityKey())
	switch {
	case err == nil && !authority.Leaf.IsCA:
		return nil, fmt.Errorf("%s is the certificate of no authority", c.authority())
	case err == nil && now.Add(certificateLeft).After(authority.Leaf.NotAfter):
		return nil, fmt.Errorf("the authority in %s ends on %s: make another in a new folder, and give the nodes both in one file while they change",
			c.authority(), authority.Leaf.NotAfter.Format(time.DateOnly))
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return authority, err
	}
	// The key may have been put elsewhere, as it should be: then a new authority
	// in the old one's place would cut off every node.
	if _, err := os.Stat(c.authority()); err == nil {
		return nil, fmt.Errorf("%s is there without its key: put %s back, or take a new folder", c.authority(), c.authorityKey())
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority of " + name}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:  x509.KeyUsageCertSign,
		NotBefore: now.Add(-backdated), NotAfter: now.Add(authorityLife),
	}
	if err := issue(template, nil, c.authority(), c.authorityKey()); err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	return readPair(c.authority(), c.authorityKey())
}

// good reports whether the nodes' certificate is there and can be used for some
// time.
func (c certificates) good(name string, authority *x509.Certificate, now time.Time) (until time.Time, good bool) {
	node, err := readPair(c.node(), c.nodeKey())
	if err != nil {
		return time.Time{}, false // absent, or what nobody could use
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	_, err = node.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now.Add(certificateLeft)})
	return node.Leaf.NotAfter, err == nil
}

func readPair(certificate, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("read %s and its key: %w", certificate, err)
	}
	return &pair, nil
}

// issue makes a key and a certificate for it by the template, signed by the
// authority; nil: by itself.
func issue(template *x509.Certificate, authority *tls.Certificate, certificate, key string) error {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return err
	}
	parent, signer := template, crypto.PrivateKey(own)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), signer)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return err
	}
	return errors.Join(writePEM(key, "PRIVATE KEY", secret, 0o600), writePEM(certificate, "CERTIFICATE", signed, 0o644))
}

// writePEM puts a file in the place of what was there: nodes that look for new
// ones never see half of one.
func writePEM(path, kind string, content []byte, mode fs.FileMode) error {
	aside := path + ".new"
	if err := os.WriteFile(aside, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), mode); err != nil {
		return err
	}
	return os.Rename(aside, path)
}
