package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errPortTaken says that PostgreSQL could not listen.
var errPortTaken = errors.New("port taken")

// Ports are chosen below the range that Linux and macOS take the local ends of
// connections from: else, while PostgreSQL is down, a client's own connection
// could sit on its port.
const (
	firstPort = 15432
	lastPort  = 32767
)

// connectTimeout bounds one try: something that never answers may have our port.
const connectTimeout = 5 * time.Second

// PostgreSQL's error codes, of its documentation's appendix A.
const (
	invalidPassword      = "28P01"
	databaseDoesNotExist = "3D000"
)

// settings are the arguments that configure postgres. They stand above the
// files in the data directory.
func settings(cfg Config) []string {
	args := []string{
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=",
		"-c", "cluster_name=chatopshub",
		"-c", "timezone=UTC",
		// The log is read from standard error, line by line, and never has the
		// values of a statement.
		"-c", "log_destination=stderr",
		"-c", "logging_collector=off",
		"-c", "log_line_prefix=",
		"-c", "log_error_verbosity=terse",
		"-c", "log_min_error_statement=panic",
		"-c", "shared_buffers=128MB",
		"-c", "jit=off", // our statements are short: compiling costs more than it gives
		"-c", "random_page_cost=1.1",
	}
	toDisk := "on"
	if cfg.Unsafe {
		toDisk = "off"
	}
	args = append(args, "-c", "synchronous_commit=on", "-c", "fsync="+toDisk, "-c", "full_page_writes="+toDisk)
	for _, name := range slices.Sorted(maps.Keys(cfg.Settings)) {
		args = append(args, "-c", name+"="+cfg.Settings[name])
	}
	return args
}

// spawn starts postgres on the folder and p.port. It doesn't wait.
func (p *Postgres) spawn() (*process, error) {
	args := append([]string{"-D", p.folder.reach("data"), "-c", "port=" + strconv.Itoa(p.port)}, p.settings...)
	child, err := startProcess(p.folder.command(filepath.Join(p.binaries.dir, "postgres"), args...), p.logger)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return child, nil
}

// awaitReady returns when the database takes connections. Recovery after a
// crash may take long; ctx is the bound.
func (p *Postgres) awaitReady(ctx context.Context, child *process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	alive, died := context.WithCancel(ctx)
	defer died()
	go func() { // ends a try that has reached somebody else on our port
		select {
		case <-child.exited:
			died()
		case <-alive.Done():
		}
	}()
	for {
		err := p.connect(alive, databaseName)
		var refusal *pgconn.PgError
		if errors.As(err, &refusal) && refusal.Code == databaseDoesNotExist {
			err = p.createDatabase(alive)
		}
		if err == nil {
			return nil
		}
		if errors.As(err, &refusal) && refusal.Code == invalidPassword {
			return fmt.Errorf("it doesn't take the password of %s: %w", p.folder.passwordPath(), err)
		}
		select {
		case <-child.exited:
			return child.failure()
		case <-ctx.Done():
			return fmt.Errorf("wait until it takes connections (last: %w): %w", err, ctx.Err())
		case <-tick.C:
		}
	}
}

func (p *Postgres) connect(ctx context.Context, database string, statements ...string) error {
	config, err := pgx.ParseConfig(connectionString(p.folder.password, p.port, database))
	if err != nil {
		return err
	}
	config.ConnectTimeout = connectTimeout
	connection, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := connection.Exec(ctx, statement); err != nil {
			return errors.Join(err, connection.Close(ctx))
		}
	}
	return connection.Close(ctx)
}

func (p *Postgres) createDatabase(ctx context.Context) error {
	if err := p.connect(ctx, "postgres", "CREATE DATABASE "+databaseName); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

func connectionString(password string, port int, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(roleName, password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func freePort() (int, error) {
	var err error
	for range 50 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		var listener net.Listener
		if listener, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("find a free port on 127.0.0.1: %w", err)
}
