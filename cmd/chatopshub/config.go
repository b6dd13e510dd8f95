package main

import (
	"cmp"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Environment says whom a server serves: its developer or the public.
type Environment string

// The environments. Development has a default for everything; production has
// none for what must be secret or must outlive the machine.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// Config is everything that can be set from outside. Each field names its
// variable; .env.example lists them all with their defaults. An empty value
// counts as not set.
type Config struct {
	Env             Environment   // APP_ENV
	DataDir         string        // DATA_DIR: embedded PostgreSQL, kept secrets, uploads
	ShutdownTimeout time.Duration // SHUTDOWN_TIMEOUT: from SIGTERM to exit

	HTTP     HTTPConfig
	Auth     AuthConfig
	Database DatabaseConfig
	Meta     MetaConfig
	Storage  StorageConfig
	Inbox    InboxConfig
	Socket   SocketConfig
	Cluster  ClusterConfig
	Log      LogConfig
	Seed     SeedConfig

	// ValkeyURL is a redis:// or rediss:// URL (VALKEY_URL); empty: the
	// in-process stand-in.
	ValkeyURL Secret
	// OTLPEndpoint is where traces go (OTEL_EXPORTER_OTLP_ENDPOINT); empty: nowhere.
	OTLPEndpoint string
}

// HTTPConfig is about the listeners and who may talk to them.
type HTTPConfig struct {
	Host string // HOST: address to listen on
	Port int    // PORT; 0 takes a free one
	// PublicURL is how clients reach the server, without a slash at the end
	// (AUTH_URL). With PORT 0 and no AUTH_URL it is empty: the port is known
	// only when the server listens.
	PublicURL string
	// TrustedProxies may tell the client's address in X-Forwarded-For
	// (TRUSTED_PROXIES).
	TrustedProxies []netip.Prefix
	// Origins may call from a browser, each scheme://host[:port] (FRONTEND_URL).
	Origins []string
	// UserRate and AddressRate are the calls a second that a user, and an address
	// without one, may make (REQUESTS_PER_USER, REQUESTS_PER_ADDRESS); 0: no limit.
	UserRate, AddressRate int
	// MetricsAddr is the operators' listener, host:port (METRICS_ADDR). Empty:
	// on the main listener in development, nowhere in production.
	MetricsAddr string
}

// AuthConfig is about tokens.
type AuthConfig struct {
	// Secret signs tokens and seals channel secrets, each through a key derived
	// from it (AUTH_SECRET). Empty only until keepSecrets has filled it in.
	Secret Secret
	// PreviousSecret opens what was sealed with it, and nothing else, until it is
	// sealed anew (AUTH_SECRET_PREVIOUS).
	PreviousSecret  Secret
	AccessTokenTTL  time.Duration // ACCESS_TOKEN_TTL
	RefreshTokenTTL time.Duration // REFRESH_TOKEN_TTL
}

// DatabaseConfig is about PostgreSQL.
type DatabaseConfig struct {
	URL         Secret // DATABASE_URL, with its password; empty: embedded
	MaxConns    int    // DATABASE_MAX_CONNS
	PostgresBin string // POSTGRES_BIN: folder of the embedded server's binaries; empty: look for it
}

// MetaConfig is about WhatsApp and Messenger.
type MetaConfig struct {
	AppID        string // META_APP_ID: tells our own echoes from other apps'
	GraphURL     string // META_GRAPH_URL, without a slash at the end
	GraphVersion string // META_GRAPH_VERSION, e.g. v25.0
	WhatsApp     WebhookConfig
	Messenger    WebhookConfig
}

// WebhookConfig is what one provider's webhooks are checked with. Empty in
// production unless set: then only channels with a secret of their own receive.
type WebhookConfig struct {
	VerifyToken Secret // WHATSAPP_VERIFY_TOKEN, MESSENGER_VERIFY_TOKEN
	AppSecret   Secret // WHATSAPP_APP_SECRET, MESSENGER_APP_SECRET
}

// StorageConfig is about uploads.
type StorageConfig struct {
	Type string // STORAGE_TYPE: local
	Path string // STORAGE_PATH
}

// InboxConfig is about conversations, messages and the agents at work.
type InboxConfig struct {
	AgentGracePeriod     time.Duration // AGENT_GRACE_PERIOD
	SendUncertainTimeout time.Duration // SEND_UNCERTAIN_TIMEOUT
	ConversationIdleTTL  time.Duration // CONVERSATION_IDLE_TTL: then its actor leaves memory
	RetentionDays        int           // RETENTION_DAYS; 0 keeps messages for ever
	DeadLettersMax       int           // DEAD_LETTERS_MAX: how many are kept
}

// SocketConfig is about Engine.IO's heartbeat and recovery.
type SocketConfig struct {
	PingInterval   time.Duration // SOCKET_PING_INTERVAL
	PingTimeout    time.Duration // SOCKET_PING_TIMEOUT
	RecoveryWindow time.Duration // SOCKET_RECOVERY_WINDOW
}

// ClusterConfig is about several nodes as one. An empty Addr is a single node.
type ClusterConfig struct {
	Name          string        // CLUSTER_NAME: nodes of another one are refused
	Addr          string        // CLUSTER_ADDR: node-to-node listener, host:port
	AdvertiseAddr string        // CLUSTER_ADVERTISE_ADDR: how other nodes reach it; empty: as Addr says
	LeaseTTL      time.Duration // CLUSTER_LEASE_TTL
	TLSCert       string        // CLUSTER_TLS_CERT: file
	TLSKey        string        // CLUSTER_TLS_KEY: file
	TLSCA         string        // CLUSTER_TLS_CA: file
}

// advertised is how other nodes reach this one, which listens at that address.
func (c ClusterConfig) advertised(at net.Addr) string { return cmp.Or(c.AdvertiseAddr, at.String()) }

// LogConfig is about the server's own log.
type LogConfig struct {
	Level  slog.Level // LOG_LEVEL
	Format string     // LOG_FORMAT: text or json
}

// SeedConfig is the first administrator. In production both are empty unless
// set: a public server has no account that a stranger can guess.
type SeedConfig struct {
	AdminEmail    string // SEED_ADMIN_EMAIL
	AdminPassword Secret // SEED_ADMIN_PASSWORD
}

// loadConfig reads the configuration from environ (as os.Environ gives it)
// and, where it says nothing, from the file dotenv, which need not exist. The
// warnings are for the log. The error is a *configError that lists everything
// that is wrong, not only the first.
func loadConfig(environ []string, dotenv string) (cfg Config, warnings []string, err error) {
	s := newSource(environ, dotenv)
	cfg = readConfig(s)
	s.checkProduction(cfg)
	s.checkCluster(cfg)
	s.checkTogether(cfg)
	if len(s.problems) > 0 {
		return Config{}, nil, &configError{problems: s.problems}
	}
	return cfg, append(s.warnings, s.unknown()...), nil
}
