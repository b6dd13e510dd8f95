package main

import (
	"bufio"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// noDotenv is a file that doesn't exist, so that a developer's own .env has no
// say in the tests.
func noDotenv(t *testing.T) string { return filepath.Join(t.TempDir(), ".env") }

// production is the least that a production server needs, with more variables.
func production(more ...string) []string {
	return append([]string{
		"APP_ENV=production", "DATABASE_URL=postgres://app:hunter2@db:5432/hub", "VALKEY_URL=rediss://valkey:6379/0",
		"AUTH_SECRET=0123456789abcdef0123456789abcdef",
	}, more...)
}

func TestDevelopmentNeedsNothing(t *testing.T) {
	t.Parallel()
	got, warnings, err := loadConfig(nil, noDotenv(t))
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, Config{
		Env: Development, DataDir: "./data", ShutdownTimeout: 30 * time.Second,
		HTTP: HTTPConfig{
			Host: "127.0.0.1", Port: 3001, PublicURL: "http://localhost:3001", Origins: []string{"http://localhost:3000"},
			UserRate: 100, AddressRate: 50,
		},
		Auth:     AuthConfig{AccessTokenTTL: 15 * time.Minute, RefreshTokenTTL: 7 * 24 * time.Hour},
		Database: DatabaseConfig{MaxConns: 10},
		Meta:     MetaConfig{GraphURL: "https://graph.facebook.com", GraphVersion: "v25.0"},
		Storage:  StorageConfig{Type: "local", Path: "./data/uploads"},
		Inbox: InboxConfig{
			AgentGracePeriod: 30 * time.Second, SendUncertainTimeout: time.Minute,
			ConversationIdleTTL: 5 * time.Minute, DeadLettersMax: 100_000,
		},
		Socket:  SocketConfig{PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, RecoveryWindow: 2 * time.Minute},
		Cluster: ClusterConfig{Name: "chatopshub", LeaseTTL: 5 * time.Second},
		Log:     LogConfig{Level: slog.LevelInfo, Format: "text"},
		Seed:    SeedConfig{AdminEmail: "admin@chatopshub.local", AdminPassword: "admin123"},
	}, got)
}

func TestProductionDefaults(t *testing.T) {
	t.Parallel()
	got, warnings, err := loadConfig(production(), noDotenv(t))
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, "0.0.0.0", got.HTTP.Host)
	require.Equal(t, "json", got.Log.Format)
	require.Equal(t, SeedConfig{}, got.Seed, "no account that a stranger can guess")
	require.Equal(t, MetaConfig{GraphURL: "https://graph.facebook.com", GraphVersion: "v25.0"}, got.Meta)

	kept, err := got.keepSecrets()
	require.NoError(t, err)
	require.Empty(t, kept, "production makes nothing up")
	require.Equal(t, WebhookConfig{}, got.Meta.WhatsApp)
}

func TestValuesAreRead(t *testing.T) {
	t.Parallel()
	got, _, err := loadConfig([]string{
		"PORT=0", "HOST=::1", "DATA_DIR=/var/lib/hub", "TRUSTED_PROXIES=10.1.2.3/8, fd00::/8",
		"FRONTEND_URL=https://Inbox.example.com/,http://localhost:5173", "METRICS_ADDR=:9091",
		"LOG_LEVEL=debug", "DATABASE_URL=postgres:///hub?host=/run/postgresql/", "META_APP_ID=123456789012345",
		"SOCKET_PING_INTERVAL=300ms", "SEED_ADMIN_EMAIL=root@example.com", "POSTGRES_BIN=/opt/pg/bin",
	}, noDotenv(t))
	require.NoError(t, err)
	require.Equal(t, HTTPConfig{
		Host: "::1", MetricsAddr: ":9091", UserRate: 100, AddressRate: 50,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Origins:        []string{"https://inbox.example.com", "http://localhost:5173"},
	}, got.HTTP, "with PORT=0 the public URL is known only when the server listens")
	require.Equal(t, "/var/lib/hub/uploads", got.Storage.Path)
	require.Equal(t, slog.LevelDebug, got.Log.Level)
	require.Equal(t, DatabaseConfig{
		URL: "postgres:///hub?host=/run/postgresql/", MaxConns: 10, PostgresBin: "/opt/pg/bin",
	}, got.Database)
	require.Equal(t, "123456789012345", got.Meta.AppID)
	require.Equal(t, 300*time.Millisecond, got.Socket.PingInterval)
	require.Equal(t, "root@example.com", got.Seed.AdminEmail)

	got, _, err = loadConfig([]string{"AUTH_URL=https://hub.example.com/base/"}, noDotenv(t))
	require.NoError(t, err)
	require.Equal(t, "https://hub.example.com/base", got.HTTP.PublicURL)
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ []string
		want    []string // the lines of the error, all of them
	}{
		"port is no number": {
			[]string{"PORT=http"}, []string{`PORT: got "http", takes a whole number from 0 to 65535`},
		},
		"port too high": {
			[]string{"PORT=65536"}, []string{`PORT: got "65536", takes a whole number from 0 to 65535`},
		},
		"every problem is told": {
			[]string{"APP_ENV=staging", "LOG_LEVEL=loud", "DATABASE_MAX_CONNS=0"},
			[]string{
				`APP_ENV: got "staging", takes development or production`,
				`DATABASE_MAX_CONNS: got "0", takes a whole number from 4 to 1000`,
				`LOG_LEVEL: got "loud", takes debug, info, warn or error`,
			},
		},
		"duration without unit": {
			[]string{"ACCESS_TOKEN_TTL=15"},
			[]string{`ACCESS_TOKEN_TTL: got "15", takes a duration such as 30s or 5m, from 1s to 24h0m0s`},
		},
		"duration too short": {
			[]string{"SHUTDOWN_TIMEOUT=-5s"},
			[]string{`SHUTDOWN_TIMEOUT: got "-5s", takes a duration such as 30s or 5m, from 1s to 10m0s`},
		},
		"line breaks stay on one line": {
			[]string{"HOST=a\nb"}, []string{`HOST: got "a\nb", takes an address or host name without port`},
		},
		"long values are cut": {
			[]string{"HOST=" + strings.Repeat("/", 200)},
			[]string{`HOST: got "` + strings.Repeat("/", 80) + `"…, takes an address or host name without port`},
		},
		"proxy is no CIDR": {
			[]string{"TRUSTED_PROXIES=10.0.0.0/8,proxy"},
			[]string{`TRUSTED_PROXIES: got "10.0.0.0/8,proxy", takes a comma list of CIDRs such as 10.0.0.0/8`},
		},
		"origin with path": {
			[]string{"FRONTEND_URL=https://a.example/inbox"},
			[]string{`FRONTEND_URL: got "https://a.example/inbox", takes a comma list of origins such as https://inbox.example.com, without path`},
		},
		"any origin": {
			[]string{"FRONTEND_URL=*"},
			[]string{`FRONTEND_URL: got "*", takes a comma list of origins such as https://inbox.example.com, without path`},
		},
		"public URL without scheme": {
			[]string{"AUTH_URL=hub.example.com"},
			[]string{`AUTH_URL: got "hub.example.com", takes an http:// or https:// URL`},
		},
		"metrics without port": {
			[]string{"METRICS_ADDR=127.0.0.1"},
			[]string{`METRICS_ADDR: got "127.0.0.1", takes host:port such as 127.0.0.1:9091`},
		},
		"a database's password is not shown": {
			[]string{"DATABASE_URL=mysql://app:hunter2@db/hub"},
			[]string{`DATABASE_URL: got 26 bytes that are not shown, takes postgres://user:password@host:port/database`},
		},
		"valkey without host": {
			[]string{"VALKEY_URL=redis:///0"},
			[]string{`VALKEY_URL: got 10 bytes that are not shown, takes redis:// or rediss://user:password@host:port/number`},
		},
		"app id": {
			[]string{"META_APP_ID=my app"}, []string{`META_APP_ID: got "my app", takes the digits of an app's id`},
		},
		"graph version": {
			[]string{"META_GRAPH_VERSION=25"}, []string{`META_GRAPH_VERSION: got "25", takes a version such as v25.0`},
		},
		"storage": {
			[]string{"STORAGE_TYPE=s3"}, []string{`STORAGE_TYPE: got "s3", takes local`},
		},
		"short password": {
			[]string{"SEED_ADMIN_PASSWORD=short"},
			[]string{`SEED_ADMIN_PASSWORD: got 5 bytes that are not shown, takes at least 8 characters`},
		},
		"password is the e-mail": {
			[]string{"SEED_ADMIN_EMAIL=root@example.com", "SEED_ADMIN_PASSWORD=Root@example.com"},
			[]string{`SEED_ADMIN_PASSWORD: got the e-mail address, takes something else`},
		},
		"e-mail with a name": {
			[]string{"SEED_ADMIN_EMAIL=Root <root@example.com>"},
			[]string{`SEED_ADMIN_EMAIL: got "Root <root@example.com>", takes an e-mail address`},
		},
		"refresh shorter than access": {
			[]string{"ACCESS_TOKEN_TTL=1h", "REFRESH_TOKEN_TTL=30m"},
			[]string{`REFRESH_TOKEN_TTL: got 30m0s, takes at least ACCESS_TOKEN_TTL (1h0m0s)`},
		},
		"production without anything": {
			[]string{"APP_ENV=production"},
			[]string{
				`DATABASE_URL: not set, which production needs, takes postgres://user:password@host:port/database`,
				`VALKEY_URL: not set, which production needs, takes redis:// or rediss://user:password@host:port/number`,
				`AUTH_SECRET: not set, which production needs, takes at least 32 random bytes`,
			},
		},
		"empty is not set": {
			production("VALKEY_URL="),
			[]string{`VALKEY_URL: not set, which production needs, takes redis:// or rediss://user:password@host:port/number`},
		},
		"short secret in production": {
			production("AUTH_SECRET=hunter2"),
			[]string{`AUTH_SECRET: got 7 bytes that are not shown, takes at least 32 in production`},
		},
		"the development's password in production": {
			production("SEED_ADMIN_EMAIL=root@example.com", "SEED_ADMIN_PASSWORD=admin123"),
			[]string{`SEED_ADMIN_PASSWORD: got the development password, takes one of your own in production`},
		},
		"tokens over an open line": {
			production("META_GRAPH_URL=http://graph.example.com"),
			[]string{`META_GRAPH_URL: got an http:// URL, takes https:// in production, as access tokens go there`},
		},
		"half a seed in production": {
			production("SEED_ADMIN_EMAIL=root@example.com"),
			[]string{`SEED_ADMIN_EMAIL, SEED_ADMIN_PASSWORD: got one of them, takes both or neither in production`},
		},
		"parts of a cluster": {
			[]string{"CLUSTER_NAME=hub"}, []string{`CLUSTER_NAME: set without CLUSTER_ADDR, takes effect only with it`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := loadConfig(c.environ, noDotenv(t))
			var bad *configError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, c.want, bad.problems)
			require.Equal(t, strings.Join(c.want, "\n"), err.Error())
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestDotenvFillsInWhatTheEnvironmentLeavesOut(t *testing.T) {
	t.Parallel()
	dotenv := noDotenv(t)
	require.NoError(t, os.WriteFile(dotenv, []byte("PORT=4000\nLOG_LEVEL=warn # quiet\nAUTH_SECRET='pa$$word'\n"), 0o600))
	got, _, err := loadConfig([]string{"PORT=5000", "LOG_LEVEL="}, dotenv)
	require.NoError(t, err)
	require.Equal(t, 5000, got.HTTP.Port, "the environment wins")
	require.Equal(t, slog.LevelInfo, got.Log.Level, "an empty variable unsets what the file says")
	require.Equal(t, "pa$$word", string(got.Auth.Secret))
}

func TestUnreadableDotenv(t *testing.T) {
	t.Parallel()
	dotenv := noDotenv(t)
	require.NoError(t, os.WriteFile(dotenv, []byte("AUTH_SECRET='hunter2\n"), 0o600))
	_, _, err := loadConfig(nil, dotenv)
	require.EqualError(t, err, dotenv+": can't be read, takes lines of the form NAME=value or NAME='value'")

	_, _, err = loadConfig(nil, t.TempDir())
	require.ErrorContains(t, err, "is a directory")
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	_, warnings, err := loadConfig([]string{
		"SOCKET_PING_INTERVALL=1s", "WHATSAPP_TOKEN=hunter2", "POSTGRES_PASSWORD=x", "PATH=/bin", "SEND=x",
		"OTEL_SERVICE_NAME=hub", "AGENT_GRACE_PERIOD=1m",
	}, noDotenv(t))
	require.NoError(t, err)
	require.Equal(t, []string{
		"SOCKET_PING_INTERVALL: unknown variable, ignored",
		"WHATSAPP_TOKEN: unknown variable, ignored",
	}, warnings)
}

// .env.example is the documentation of the configuration: it can't miss a
// variable, keep one that is gone, or tell another default.
func TestEnvExampleListsEveryVariable(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join("..", "..", ".env.example"))
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	assignment := regexp.MustCompile(`^# ([A-Z_]+)=(.*)$`)
	documented := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if m := assignment.FindStringSubmatch(lines.Text()); m != nil {
			require.NotContains(t, documented, m[1], "once is enough")
			documented[m[1]] = m[2]
			continue
		}
		require.Regexp(t, `^(#.*)?$`, lines.Text(), "copied unchanged, the file changes nothing")
	}
	require.NoError(t, lines.Err())

	s := newSource(nil, noDotenv(t))
	readConfig(s)
	read := map[string]string{}
	for _, v := range s.declared {
		require.NotContains(t, read, v.name, "each variable is read once")
		read[v.name] = v.fallback
	}
	require.Equal(t, read, documented)
	require.Len(t, s.declared, leaves(reflect.TypeFor[Config]()), "each field has its variable")
}

// leaves counts the fields of a struct and of the structs of ours in it.
func leaves(of reflect.Type) int {
	if of.Kind() != reflect.Struct {
		return 1
	}
	n := 0
	for i := range of.NumField() {
		n += leaves(of.Field(i).Type)
	}
	return n
}
