package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/embedded"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// ownServer is a server that was started to be measured: a process of its own,
// with a private PostgreSQL (or the empty database that was given), a private
// folder, and a Graph API that is played here.
type ownServer struct {
	process    *serving
	postgres   *embedded.Postgres // nil: the database was given
	platform   *graphtest.Server
	folder     string
	database   string
	authSecret Secret
	remote     remoteConfig
	onSend     atomic.Pointer[platformLog] // is told of what the platform gets to send
}

// ownConfig says how to start one.
type ownConfig struct {
	executable string
	environ    []string
	database   string // URL of an empty database; empty: a private one
	log        io.Writer
}

func startOwnServer(ctx context.Context, cfg ownConfig) (_ *ownServer, err error) {
	o := &ownServer{database: cfg.database, authSecret: newSecret(), remote: remoteConfig{
		account: persistence.SeedPhoneNumberID, admin: "bench@example.invalid", password: newSecret(), appSecret: newSecret(),
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.stop())
		}
	}()
	if o.folder, err = os.MkdirTemp("", "chatopshub-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for the server: %w", err)
	}
	if err = os.Chmod(o.folder, 0o755); err != nil { // PostgreSQL's user passes through
		return nil, fmt.Errorf("make a folder for the server: %w", err)
	}
	if o.database == "" {
		if o.postgres, err = embedded.Start(ctx, embedded.Config{
			DataDir: filepath.Join(o.folder, "postgres"), BinDir: lookUp(cfg.environ, "POSTGRES_BIN"), Logger: slog.New(slog.NewTextHandler(cfg.log, nil)),
		}); err != nil {
			return nil, fmt.Errorf("start a private PostgreSQL: %w", err)
		}
		o.database = o.postgres.URL()
	} else if err = requireEmpty(ctx, o.database); err != nil {
		return nil, err
	}
	if o.platform, err = graphtest.Start(graphtest.Config{ // it limits nothing and tells nothing back
		Seed: rand.Uint64(), Keep: 10_000, AppID: simulatedAppID, AppSecret: string(o.remote.appSecret),
		Accounts: []graphtest.Account{
			{Provider: graphtest.WhatsApp, ID: persistence.SeedPhoneNumberID, Token: persistence.SeedNumberToken, Name: "Measured number"},
			{Provider: graphtest.Messenger, ID: persistence.SeedPageID, Token: persistence.SeedPageToken, Name: "Unused page"},
			floorAccount,
		},
		Plan: func(c graphtest.Call) graphtest.Fault {
			if log := o.onSend.Load(); log != nil && c.Kind == graphtest.KindMessage {
				log.taken(c.Recipient)
			}
			return graphtest.Fault{}
		},
	}); err != nil {
		return nil, err
	}
	if o.process, err = startServing(ctx, servingConfig{
		executable: cfg.executable, args: []string{"serve"}, dir: o.folder, log: cfg.log, environ: append(inherited(cfg.environ), o.environ()...),
	}); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	o.remote.url = o.process.url
	return o, o.liftLimits(ctx)
}

// floorAccount is the number that the bare client of the Graph API sends from.
var floorAccount = graphtest.Account{Provider: graphtest.WhatsApp, ID: "300000000000001", Token: "bench-floor", Name: "Floor"}

func newSecret() Secret {
	one, other := entropy(), entropy()
	return Secret(hex.EncodeToString(one[:]) + hex.EncodeToString(other[:]))
}

// environ is the server's configuration. Agents aren't limited in their calls,
// seem to come from addresses of their own, and keep what they hold while they
// are away between two rounds.
func (o *ownServer) environ() []string {
	return []string{
		"APP_ENV=development", "PORT=0", "DATA_DIR=" + o.folder, "DATABASE_URL=" + o.database, "AUTH_SECRET=" + string(o.authSecret),
		"WHATSAPP_APP_SECRET=" + string(o.remote.appSecret), "MESSENGER_APP_SECRET=" + string(o.remote.appSecret),
		"SEED_ADMIN_EMAIL=" + o.remote.admin, "SEED_ADMIN_PASSWORD=" + string(o.remote.password),
		"META_GRAPH_URL=" + o.platform.URL(), "META_APP_ID=" + simulatedAppID, "LOG_LEVEL=warn", "LOG_FORMAT=json",
		"REQUESTS_PER_USER=0", "REQUESTS_PER_ADDRESS=0", "TRUSTED_PROXIES=127.0.0.1/32,::1/128", "AGENT_GRACE_PERIOD=1h",
	}
}

// liftLimits lets the channel send as fast as it can.
func (o *ownServer) liftLimits(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, o.database)
	if err != nil {
		return fmt.Errorf("lift the channel's limits: %w", err)
	}
	_, err = conn.Exec(ctx, `UPDATE channels SET send_rate = 10000 WHERE external_id = $1`, persistence.SeedPhoneNumberID)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// requireEmpty refuses a database that something is in: what is measured there
// stays there.
func requireEmpty(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", benchDatabaseVariable, err)
	}
	var there bool
	err = conn.QueryRow(ctx, `SELECT to_regclass('organizations') IS NOT NULL`).Scan(&there)
	if err == nil && there {
		err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM organizations)`).Scan(&there)
	}
	if err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("look into the database of %s: %w", benchDatabaseVariable, err)
	}
	if there {
		return &usageError{"chatopshub bench: " + benchDatabaseVariable + " takes the URL of an empty database; an organization is in this one"}
	}
	return nil
}

// stop ends what was started and removes the folder.
func (o *ownServer) stop() error {
	var errs []error
	if o.process != nil {
		if err := o.process.end(); err != nil {
			errs = append(errs, fmt.Errorf("the server's end: %w", err))
		}
	}
	if o.platform != nil {
		o.platform.Close()
	}
	if o.postgres != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		errs = append(errs, o.postgres.Stop(ctx))
	}
	if o.folder != "" {
		errs = append(errs, os.RemoveAll(o.folder))
	}
	return errors.Join(errs...)
}
