package main

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCertificatesOfACluster(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := certificates{filepath.Join(t.TempDir(), "certs")}
	until, fresh, err := c.make("hub.example", false, now)
	require.NoError(t, err)
	require.True(t, fresh)
	require.WithinDuration(t, now.Add(certificateLife), until, time.Minute)
	authority, err := readPair(c.authority(), c.authorityKey())
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	// vouched checks that the nodes' certificate is good for both ends of a link.
	vouched := func(name string, at time.Time) error {
		node, err := readPair(c.node(), c.nodeKey())
		require.NoError(t, err)
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := node.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
			if err != nil {
				return err
			}
		}
		return nil
	}
	require.NoError(t, vouched("hub.example", now))
	require.Error(t, vouched("another.example", now))
	require.Error(t, vouched("hub.example", now.Add(certificateLife+time.Minute)))
	for file, mode := range map[string]os.FileMode{c.authorityKey(): 0o600, c.nodeKey(): 0o600, c.node(): 0o644, c.folder: 0o700} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), file)
	}

	read := func(file string) []byte {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		return content
	}
	before, root := read(c.node()), read(c.authority())
	for name, step := range map[string]struct {
		cluster string
		renew   bool
		at      time.Time
		fresh   bool
	}{
		"good ones stay":      {"hub.example", false, now.Add(time.Hour), false},
		"asked for":           {"hub.example", true, now, true},
		"about to run out":    {"hub.example", false, now.Add(certificateLife - certificateLeft + time.Hour), true},
		"for another cluster": {"hub-2.example", false, now, true},
	} {
		require.NoError(t, os.WriteFile(c.node(), before, 0o600), name)
		_, _, err := c.make("hub.example", true, now) // so that certificate and key fit
		require.NoError(t, err, name)
		kept := read(c.node())
		_, fresh, err := c.make(step.cluster, step.renew, step.at)
		require.NoError(t, err, name)
		require.Equal(t, step.fresh, fresh, name)
		require.Equal(t, step.fresh, !bytes.Equal(kept, read(c.node())), name)
		require.Equal(t, root, read(c.authority()), "%s: all other nodes know this one", name)
		require.NoError(t, vouched(step.cluster, step.at), name)
	}

	require.NoError(t, os.Remove(c.nodeKey()))
	_, fresh, err = c.make("hub.example", false, now)
	require.NoError(t, err)
	require.True(t, fresh, "one that nobody can use")
	_, _, err = c.make("hub.example", false, now.Add(authorityLife))
	require.ErrorContains(t, err, "ends on")
	require.NoError(t, os.Remove(c.authorityKey()))
	_, _, err = c.make("hub.example", false, now)
	require.ErrorContains(t, err, "is there without its key")
	require.Equal(t, root, read(c.authority()))
}

func TestWhatTheClusterCommandTakes(t *testing.T) {
	t.Parallel()
	s := &shell{t, []string{"DATA_DIR=" + t.TempDir()}}
	folder := filepath.Join(t.TempDir(), "certs")
	out := s.requireRun(exitOK, "was made", "cluster", "certs", "--name", "hub.example", folder)
	require.Contains(t, out, "CLUSTER_TLS_CA="+filepath.Join(folder, "ca.pem"))
	s.requireRun(exitOK, "is good until", "cluster", "certs", "--name", "hub.example", folder)
	s.requireRun(exitOK, "was made", "cluster", "certs", "--name", "hub.example", "--renew", folder)
	s.requireRun(exitOK, balancerConfig, "cluster", "haproxy")
	s.requireRun(exitOK, "cluster certs", "cluster", "--help")
	for wrong, args := range map[string][]string{
		"takes one folder": {"cluster", "certs"},
		`got "our hub"`:    {"cluster", "certs", "--name", "our hub", folder},
		`got "start"`:      {"cluster", "start"},
		"unknown argument": {"cluster", "haproxy", "now"},
	} {
		s.requireRun(exitUsage, wrong, args...)
	}
	s.requireRun(exitFailure, "not a directory", "cluster", "certs", filepath.Join(folder, "ca.pem", "below"))
	s.environ = append(s.environ, "PORT=65535")
	s.requireRun(exitUsage, "PORT: got 65535, takes at most 65532", "cluster")
	s.environ = production()
	s.requireRun(exitUsage, "takes APP_ENV=development", "cluster")
}
