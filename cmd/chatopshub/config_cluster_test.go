package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// shared is what all nodes of a cluster have.
func shared(more ...string) []string {
	return append([]string{
		"DATABASE_URL=postgres://app@db/hub", "VALKEY_URL=redis://valkey:6379", "AUTH_SECRET=" + testAuthSecret,
	}, more...)
}

// clusterProblems is what is said about a node's configuration.
func clusterProblems(t *testing.T, environ []string) []string {
	t.Helper()
	_, _, err := loadConfig(environ, noDotenv(t))
	if err == nil {
		return nil
	}
	var bad *configError
	require.ErrorAs(t, err, &bad)
	return bad.problems
}

func TestANodeOfAClusterIsConfiguredWhole(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	pem, absent := filepath.Join(folder, "node.pem"), filepath.Join(folder, "absent.pem")
	require.NoError(t, os.WriteFile(pem, nil, 0o600))
	withTLS := func(more ...string) []string {
		return shared(append([]string{"CLUSTER_TLS_CERT=" + pem, "CLUSTER_TLS_KEY=" + pem, "CLUSTER_TLS_CA=" + pem}, more...)...)
	}
	for name, c := range map[string]struct{ environ, want []string }{
		"loopback":             {shared("CLUSTER_ADDR=127.0.0.1:7001"), nil},
		"loopback, any port":   {shared("CLUSTER_ADDR=localhost:0", "CLUSTER_NAME=hub-2.example.com"), nil},
		"TLS":                  {withTLS("CLUSTER_ADDR=10.0.0.5:7001"), nil},
		"TLS on all addresses": {withTLS("CLUSTER_ADDR=:7001", "CLUSTER_ADVERTISE_ADDR=node1:7001"), nil},
		"what nodes share is missing": {
			[]string{"CLUSTER_ADDR=localhost:7001"},
			[]string{
				`DATABASE_URL: not set, which CLUSTER_ADDR needs: all nodes have the same`,
				`VALKEY_URL: not set, which CLUSTER_ADDR needs: all nodes have the same`,
				`AUTH_SECRET: not set, which CLUSTER_ADDR needs: all nodes have the same`,
			},
		},
		"named once in production": {
			[]string{"APP_ENV=production", "CLUSTER_ADDR=localhost:7001", "VALKEY_URL=redis://valkey:6379", "AUTH_SECRET=" + testAuthSecret},
			[]string{`DATABASE_URL: not set, which production needs, takes postgres://user:password@host:port/database`},
		},
		"open to other machines": {
			shared("CLUSTER_ADDR=:7001", "CLUSTER_ADVERTISE_ADDR=10.0.0.5:7001"),
			[]string{
				`CLUSTER_ADDR: got ":7001", takes a loopback address unless CLUSTER_TLS_CERT, CLUSTER_TLS_KEY and CLUSTER_TLS_CA are set`,
				`CLUSTER_ADVERTISE_ADDR: got "10.0.0.5:7001", takes a loopback address unless CLUSTER_TLS_CERT, CLUSTER_TLS_KEY and CLUSTER_TLS_CA are set`,
			},
		},
		"half of TLS": {
			shared("CLUSTER_ADDR=[::1]:7001", "CLUSTER_TLS_CERT="+pem),
			[]string{`CLUSTER_TLS_CERT, CLUSTER_TLS_KEY, CLUSTER_TLS_CA: got 1 of them, takes all three or none`},
		},
		"files that can't be read": {
			withTLS("CLUSTER_ADDR=10.0.0.5:7001", "CLUSTER_TLS_KEY="+absent, "CLUSTER_TLS_CA="+folder),
			[]string{
				`CLUSTER_TLS_KEY: got "` + absent + `", takes a PEM file that the server can read: no such file or directory`,
				`CLUSTER_TLS_CA: got "` + folder + `", takes a PEM file that the server can read: is a directory`,
			},
		},
		"all addresses, and none for the others": {
			withTLS("CLUSTER_ADDR=0.0.0.0:7001"),
			[]string{`CLUSTER_ADVERTISE_ADDR: not set, which CLUSTER_ADDR=0.0.0.0:7001 needs: it doesn't say how other nodes reach this one`},
		},
		"all addresses for the others": {
			withTLS("CLUSTER_ADDR=:7001", "CLUSTER_ADVERTISE_ADDR=[::]:7001"),
			[]string{`CLUSTER_ADVERTISE_ADDR: got "[::]:7001", takes the address of this node alone, such as 10.0.0.5:7001`},
		},
		"no port for the others": {
			withTLS("CLUSTER_ADDR=:7001", "CLUSTER_ADVERTISE_ADDR=node1:0"),
			[]string{`CLUSTER_ADVERTISE_ADDR: got "node1:0", takes the port at which other nodes reach this one`},
		},
		"a name that no certificate has": {
			shared("CLUSTER_ADDR=localhost:7001", "CLUSTER_NAME=our hub"),
			[]string{`CLUSTER_NAME: got "our hub", takes 1 to 64 letters, digits, dots and hyphens, as certificates carry it`},
		},
		"a short lease": {
			shared("CLUSTER_ADDR=localhost:7001", "CLUSTER_LEASE_TTL=10ms"),
			[]string{`CLUSTER_LEASE_TTL: got "10ms", takes a duration such as 30s or 5m, from 1s to 1m0s`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, clusterProblems(t, c.environ))
		})
	}
}

func TestHowOtherNodesReachThisOne(t *testing.T) {
	t.Parallel()
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7001}
	require.Equal(t, "127.0.0.1:7001", ClusterConfig{Addr: "localhost:0"}.advertised(at))
	require.Equal(t, "node1:7001", ClusterConfig{Addr: ":0", AdvertiseAddr: "node1:7001"}.advertised(at))
}
