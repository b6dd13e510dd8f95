package main

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// readConfig reads every variable, each once: what is read here is the whole
// configuration.
func readConfig(s *source) Config {
	env := read(s, "APP_ENV", "development", "development or production", oneOf(Development, Production))
	dataDir := read(s, "DATA_DIR", "./data", "a folder", anyText)
	return Config{
		Env:             env,
		DataDir:         dataDir,
		ShutdownTimeout: readDuration(s, "SHUTDOWN_TIMEOUT", "30s", time.Second, 10*time.Minute),
		HTTP:            readHTTP(s, env),
		Auth: AuthConfig{
			Secret:          readSecret(s, "AUTH_SECRET", "", "some text", anyText),
			PreviousSecret:  readSecret(s, "AUTH_SECRET_PREVIOUS", "", "some text", anyText),
			AccessTokenTTL:  readDuration(s, "ACCESS_TOKEN_TTL", "15m", time.Second, 24*time.Hour),
			RefreshTokenTTL: readDuration(s, "REFRESH_TOKEN_TTL", "168h", time.Second, 8760*time.Hour),
		},
		Database: DatabaseConfig{
			URL:         readSecret(s, "DATABASE_URL", "", takesDatabaseURL, databaseURL),
			MaxConns:    readInt(s, "DATABASE_MAX_CONNS", "10", 4, 1000),
			PostgresBin: read(s, "POSTGRES_BIN", "", "a folder", anyText),
		},
		ValkeyURL: readSecret(s, "VALKEY_URL", "", takesValkeyURL, valkeyURL),
		Meta:      readMeta(s),
		Storage: StorageConfig{
			Type: read(s, "STORAGE_TYPE", "local", "local", oneOf("local")),
			Path: read(s, "STORAGE_PATH", dataDir+"/uploads", "a folder", anyText),
		},
		Inbox: InboxConfig{
			AgentGracePeriod:     readDuration(s, "AGENT_GRACE_PERIOD", "30s", 0, time.Hour),
			SendUncertainTimeout: readDuration(s, "SEND_UNCERTAIN_TIMEOUT", "60s", time.Second, time.Hour),
			RetentionDays:        readInt(s, "RETENTION_DAYS", "0", 0, 36500),
			DeadLettersMax:       readInt(s, "DEAD_LETTERS_MAX", "100000", 1, 10_000_000),
			ConversationIdleTTL:  readDuration(s, "CONVERSATION_IDLE_TTL", "5m", time.Millisecond, 24*time.Hour),
		},
		Socket: SocketConfig{
			PingInterval:   readDuration(s, "SOCKET_PING_INTERVAL", "25s", 10*time.Millisecond, 5*time.Minute),
			PingTimeout:    readDuration(s, "SOCKET_PING_TIMEOUT", "20s", 10*time.Millisecond, 5*time.Minute),
			RecoveryWindow: readDuration(s, "SOCKET_RECOVERY_WINDOW", "2m", 0, time.Hour),
		},
		Cluster:      readCluster(s),
		Log:          readLog(s, env),
		OTLPEndpoint: read(s, "OTEL_EXPORTER_OTLP_ENDPOINT", "", "an http:// or https:// URL", webURL),
		Seed:         readSeed(s, env),
	}
}

// What a URL that hides a password takes; said where one is missing, too.
const (
	takesDatabaseURL = "postgres://user:password@host:port/database"
	takesValkeyURL   = "redis:// or rediss://user:password@host:port/number"
)

func readHTTP(s *source, env Environment) HTTPConfig {
	host := "127.0.0.1"
	if env == Production {
		host = "0.0.0.0"
	}
	c := HTTPConfig{Port: readInt(s, "PORT", "3001", 0, 65535)}
	c.Host = read(s, "HOST", host, "an address or host name without port", hostName)
	c.TrustedProxies = read(s, "TRUSTED_PROXIES", "", "a comma list of CIDRs such as 10.0.0.0/8", listOf(prefix))
	c.MetricsAddr = read(s, "METRICS_ADDR", "", "host:port such as 127.0.0.1:9091", hostPort)
	c.UserRate = readInt(s, "REQUESTS_PER_USER", "100", 0, 1_000_000)
	c.AddressRate = readInt(s, "REQUESTS_PER_ADDRESS", "50", 0, 1_000_000)
	public := ""
	if c.Port != 0 {
		public = "http://localhost:" + strconv.Itoa(c.Port)
	}
	c.PublicURL = read(s, "AUTH_URL", public, "an http:// or https:// URL", webURL)
	c.Origins = read(s, "FRONTEND_URL", "http://localhost:3000",
		"a comma list of origins such as https://inbox.example.com, without path", listOf(origin))
	return c
}

func readMeta(s *source) MetaConfig {
	return MetaConfig{
		WhatsApp: WebhookConfig{
			VerifyToken: readSecret(s, "WHATSAPP_VERIFY_TOKEN", "", "some text", anyText),
			AppSecret:   readSecret(s, "WHATSAPP_APP_SECRET", "", "some text", anyText),
		},
		Messenger: WebhookConfig{
			VerifyToken: readSecret(s, "MESSENGER_VERIFY_TOKEN", "", "some text", anyText),
			AppSecret:   readSecret(s, "MESSENGER_APP_SECRET", "", "some text", anyText),
		},
		AppID: read(s, "META_APP_ID", "", "the digits of an app's id", digits),
		GraphURL: read(s, "META_GRAPH_URL", "https://graph.facebook.com",
			"an http:// or https:// URL", webURL),
		GraphVersion: read(s, "META_GRAPH_VERSION", "v25.0", "a version such as v25.0", graphVersion),
	}
}

func readCluster(s *source) ClusterConfig {
	return ClusterConfig{
		Name:          read(s, "CLUSTER_NAME", "chatopshub", "1 to 64 letters, digits, dots and hyphens, as certificates carry it", clusterName),
		Addr:          read(s, "CLUSTER_ADDR", "", "host:port to listen on, such as 127.0.0.1:7001", hostPort),
		AdvertiseAddr: read(s, "CLUSTER_ADVERTISE_ADDR", "", "host:port that other nodes reach", hostPort),
		LeaseTTL:      readDuration(s, "CLUSTER_LEASE_TTL", "5s", time.Second, time.Minute),
		TLSCert:       read(s, "CLUSTER_TLS_CERT", "", "a PEM file", anyText),
		TLSKey:        read(s, "CLUSTER_TLS_KEY", "", "a PEM file", anyText),
		TLSCA:         read(s, "CLUSTER_TLS_CA", "", "a PEM file", anyText),
	}
}

func readLog(s *source, env Environment) LogConfig {
	format := "text"
	if env == Production {
		format = "json"
	}
	return LogConfig{
		Level:  read(s, "LOG_LEVEL", "info", "debug, info, warn or error", logLevel),
		Format: read(s, "LOG_FORMAT", format, "text or json", oneOf("text", "json")),
	}
}

// The first administrator of a development server. Production refuses this
// password even when it is given: it stands in the documentation.
const (
	seedEmail    = "admin@chatopshub.local"
	seedPassword = "admin123"
)

func readSeed(s *source, env Environment) SeedConfig {
	address, password := seedEmail, seedPassword
	if env == Production {
		address, password = "", ""
	}
	return SeedConfig{
		AdminEmail:    read(s, "SEED_ADMIN_EMAIL", address, "an e-mail address", email),
		AdminPassword: readSecret(s, "SEED_ADMIN_PASSWORD", password, "at least 8 characters", atLeast(8)),
	}
}

// loopback reports whether only this machine reaches the address host:port.
func loopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
