package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// composeFile is what the test reads of docker-compose.yml.
type composeFile struct {
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Image       string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	DependsOn   yaml.Node `yaml:"depends_on"`
	Healthcheck yaml.Node
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "docker-compose.yml"))
	require.NoError(t, err)
	var file composeFile
	require.NoError(t, yaml.Unmarshal(content, &file))
	return file
}

var composeVariable = regexp.MustCompile(`\$\{([A-Z_]+):\?[^}]*\}`)

// environOf is what a service is told, with the operator's .env filled in.
func (c composeService) environOf(dotenv map[string]string) (environ []string) {
	for name, value := range c.Environment {
		environ = append(environ, name+"="+composeVariable.ReplaceAllStringFunc(value, func(use string) string {
			return dotenv[composeVariable.FindStringSubmatch(use)[1]]
		}))
	}
	return environ
}

// TestComposeStartsAClusterThatWeTake: each node's configuration is one that the
// server takes, without a variable that it doesn't know, and the balancer is led
// to the nodes. What Docker itself makes of the file isn't tested here.
func TestComposeStartsAClusterThatWeTake(t *testing.T) {
	t.Parallel()
	compose := readCompose(t)
	balancer := compose.Services["haproxy"]
	certs := certificates{t.TempDir()}
	command := slices.Clone(compose.Services["certs"].Command)
	require.Equal(t, "/certs", command[len(command)-1])
	command[len(command)-1] = certs.folder
	(&shell{t, nil}).requireRun(exitOK, "was made", command...)

	seen := map[string]bool{}
	for i := range localNodes {
		name := fmt.Sprint("node", i+1)
		node, ok := compose.Services[name]
		require.True(t, ok, name)
		environ := node.environOf(map[string]string{
			"POSTGRES_PASSWORD": "secret", "AUTH_SECRET": testAuthSecret, "AUTH_URL": "http://localhost:3001",
		})
		for at := range environ {
			environ[at] = strings.ReplaceAll(environ[at], "=/certs/", "="+certs.folder+"/")
		}
		cfg, warnings, err := loadConfig(environ, noDotenv(t))
		require.NoError(t, err)
		require.Empty(t, warnings)
		require.Equal(t, Production, cfg.Env)
		require.Equal(t, compose.Services["certs"].Command[3], cfg.Cluster.Name)
		_, port, err := net.SplitHostPort(cfg.Cluster.Addr)
		require.NoError(t, err)
		require.Equal(t, name+":"+port, cfg.Cluster.AdvertiseAddr)
		require.Equal(t, fmt.Sprintf("%s:%d", name, cfg.HTTP.Port), balancer.Environment[fmt.Sprint("NODE", i+1)])
		require.True(t, strings.HasPrefix(cfg.Storage.Path, "/data/"))
		require.Contains(t, node.Volumes, "data:/data", "all nodes share it")
		require.Empty(t, node.Ports, "clients come through the balancer, whose word about their addresses is believed")
		s := newSource(environ, noDotenv(t))
		readConfig(s)
		for name := range node.Environment {
			require.True(t, slices.ContainsFunc(s.declared, func(v variable) bool { return v.name == name }), name)
		}
		seen[cfg.Cluster.AdvertiseAddr] = true
	}
	require.Len(t, seen, localNodes)

	require.Contains(t, balancer.Volumes, "./cmd/chatopshub/haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro")
	used := map[string]string{}
	for _, m := range regexp.MustCompile(`"\$\{([A-Z0-9]+)\}"`).FindAllStringSubmatch(balancerConfig, -1) {
		used[m[1]] = balancer.Environment[m[1]]
	}
	require.Equal(t, balancer.Environment, used)
	require.True(t, strings.HasPrefix(compose.Services["postgres"].Image, "postgres:18"))
	require.True(t, strings.HasPrefix(compose.Services["valkey"].Image, "valkey/valkey:9"))
}

// TestComposeNamesOnlyWhatIsThere: volumes and services that others name exist.
func TestComposeNamesOnlyWhatIsThere(t *testing.T) {
	t.Parallel()
	compose := readCompose(t)
	for name, service := range compose.Services {
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if file, ok := strings.CutPrefix(from, "./"); ok {
				require.FileExists(t, filepath.Join("..", "..", file), name)
				continue
			}
			require.Contains(t, compose.Volumes, from, name)
		}
		var list []string
		var conditions map[string]struct{ Condition string }
		if service.DependsOn.Decode(&list) != nil {
			require.NoError(t, service.DependsOn.Decode(&conditions), name)
		}
		for _, other := range list {
			require.Contains(t, compose.Services, other, name)
		}
		for other, when := range conditions {
			require.Contains(t, compose.Services, other, name)
			healthy := compose.Services[other].Healthcheck
			require.Equal(t, !healthy.IsZero() && other != "certs", when.Condition == "service_healthy", "%s waits for %s", name, other)
		}
	}
}
