package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"

	"github.com/chatopshub/chatopshub/migrations"
	"github.com/chatopshub/chatopshub/persistence/embedded"
)

func migrate(ctx context.Context, env environment, args []string) error {
	flags := flag.NewFlagSet("migrate up|down|status", flag.ContinueOnError)
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	what := flags.Arg(0)
	if flags.NArg() != 1 || what != "up" && what != "down" && what != "status" {
		return &usageError{"chatopshub migrate: takes one of up, down, status"}
	}
	return withDatabase(ctx, env, func(ctx context.Context, _ Config, url string, logger *slog.Logger) error {
		db, err := sql.Open("pgx", url)
		if err != nil {
			return fmt.Errorf("open the database: %w", err)
		}
		defer db.Close()
		switch what {
		case "up":
			return migrations.Up(ctx, db, logger)
		case "down":
			return migrations.Down(ctx, db, logger)
		}
		return printStatus(ctx, env, db)
	})
}

func printStatus(ctx context.Context, env environment, db *sql.DB) error {
	all, err := migrations.Status(ctx, db)
	if err != nil {
		return err
	}
	for _, m := range all {
		applied := "pending"
		if !m.AppliedAt.IsZero() {
			applied = m.AppliedAt.UTC().Format("2006-01-02 15:04:05")
		}
		fmt.Fprintf(env.stdout, "%-20s %s\n", applied, m.Name)
	}
	return nil
}

// withDatabase runs a command on the configured database. Where that is the
// private one, it is started for the command, unless a server is running it.
func withDatabase(ctx context.Context, env environment, do func(context.Context, Config, string, *slog.Logger) error) (err error) {
	cfg, warnings, err := loadConfig(env.environ, ".env")
	if err != nil {
		return err
	}
	logger := newLogger(env.stderr, cfg.Log)
	for _, w := range warnings {
		logger.Warn(w)
	}
	if cfg.Database.URL != "" {
		return do(ctx, cfg, string(cfg.Database.URL), logger)
	}
	postgres, err := startPostgres(ctx, cfg, logger)
	if errors.Is(err, embedded.ErrInUse) {
		url, err := embedded.RunningURL(postgresFolder(cfg))
		if err != nil {
			return err
		}
		return do(ctx, cfg, url, logger)
	}
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := postgres.Stop(context.WithoutCancel(ctx)); err == nil {
			err = stopErr
		}
	}()
	return do(ctx, cfg, postgres.URL(), logger)
}

// postgresFolder is where the private PostgreSQL lives.
func postgresFolder(cfg Config) string { return filepath.Join(cfg.DataDir, "postgres") }

func startPostgres(ctx context.Context, cfg Config, logger *slog.Logger) (*embedded.Postgres, error) {
	p, err := embedded.Start(ctx, embedded.Config{
		DataDir: postgresFolder(cfg), BinDir: cfg.Database.PostgresBin, Logger: logger.With("part", "postgresql"),
	})
	if err != nil {
		return nil, fmt.Errorf("start the private PostgreSQL: %w", err)
	}
	return p, nil
}
