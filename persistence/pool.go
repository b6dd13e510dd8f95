package persistence

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// Config says how to reach PostgreSQL.
type Config struct {
	URL              string        // postgres://; its password appears in no error
	MaxConns         int           // of this pool; 0: 10
	StatementTimeout time.Duration // PostgreSQL ends a longer statement; 0: 5 s
}

// Reads is the pool of everything that isn't the write-behind writer: lists,
// pages, loads, look-ups, and the few small writes that belong to no
// conversation. It has its own connections, so that a heavy list never holds
// up a commit.
type Reads struct {
	pool    *pgxpool.Pool
	db      *sqlx.DB // on the same connections
	queries queries
}

// OpenReads opens the pool. It doesn't wait for the database: while that is
// away, calls fail with domain.ErrUnavailable, and work again when it is back.
func OpenReads(ctx context.Context, cfg Config) (*Reads, error) {
	queries, err := parseQueries(queryFiles)
	if err != nil {
		return nil, fmt.Errorf("read the queries: %w", err)
	}
	config, err := cfg.pool("chatopshub reads")
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the pool of reads: %w", err)
	}
	db := sqlx.NewDb(stdlib.OpenDBFromPool(pool), "pgx")
	return &Reads{pool: pool, db: db, queries: queries}, nil
}

// OpenPool opens connections for another part, whose sessions PostgreSQL's own
// views show under name. It doesn't wait for the database.
func OpenPool(ctx context.Context, cfg Config, name string) (*pgxpool.Pool, error) {
	config, err := cfg.pool(name)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the pool of %s: %w", name, err)
	}
	return pool, nil
}

// Ping reports whether PostgreSQL answers; domain.ErrUnavailable if not.
func (r *Reads) Ping(ctx context.Context) error {
	return readError("ping the database", r.pool.Ping(ctx))
}

// Close waits for the calls under way and closes the connections.
func (r *Reads) Close() error {
	err := r.db.Close()
	r.pool.Close()
	return err
}

// errURL replaces pgx's error, which quotes what it could not parse: a URL
// that is malformed enough shows its password.
var errURL = errors.New("the database URL is malformed: want postgres://user:password@host:port/database")

// pool is the configuration of a pool whose sessions PostgreSQL's own views
// show under the given name.
func (cfg Config) pool(name string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, errURL
	}
	maxConns, timeout := cfg.MaxConns, cfg.StatementTimeout
	if maxConns == 0 {
		maxConns = 10
	}
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	config.MaxConns = int32(min(maxConns, 10_000))
	config.ConnConfig.ConnectTimeout = timeout
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = name
	params["statement_timeout"] = strconv.FormatInt(timeout.Milliseconds(), 10)
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		useUTC(conn.TypeMap())
		return nil
	}
	return config, nil
}

// useUTC makes timestamps come as UTC, not as the zone of this machine.
func useUTC(types *pgtype.Map) {
	types.RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
}
