package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/chatopshub/chatopshub/migrations"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/graph"
)

// finding is what the doctor says of one part.
type finding struct {
	part   string
	level  string // ok, warning or WRONG
	detail string
	advice string // what to do; empty where nothing has to be done
}

func good(part, detail string, args ...any) finding {
	return finding{part: part, level: "ok", detail: fmt.Sprintf(detail, args...)}
}

func warning(part, advice, detail string, args ...any) finding {
	return finding{part: part, level: "warning", detail: fmt.Sprintf(detail, args...), advice: advice}
}

func wrong(part, advice, detail string, args ...any) finding {
	return finding{part: part, level: "WRONG", detail: fmt.Sprintf(detail, args...), advice: advice}
}

// checkTime bounds each look at another machine.
const checkTime = 10 * time.Second

// checkup is what the doctor looks at.
type checkup struct {
	cfg      Config
	database *sql.DB
	reads    *persistence.Reads
	platform *graph.Client
	findings []finding
}

func doctor(ctx context.Context, env environment, args []string) error {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Sprintf("chatopshub doctor: unknown argument %q", flags.Arg(0))}
	}
	return withDatabase(ctx, env, func(ctx context.Context, cfg Config, url string, _ *slog.Logger) (err error) {
		if _, err := cfg.keepSecrets(); err != nil {
			return err
		}
		c := checkup{cfg: cfg}
		if c.database, err = sql.Open("pgx", url); err != nil {
			return fmt.Errorf("open the database: %w", err)
		}
		defer func() { err = errors.Join(err, c.database.Close()) }()
		if c.reads, err = persistence.OpenReads(ctx, persistence.Config{URL: url}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.reads.Close()) }()
		if c.platform, err = graph.New(graph.Config{BaseURL: cfg.Meta.GraphURL, Version: cfg.Meta.GraphVersion, Timeout: checkTime}); err != nil {
			return err
		}
		defer c.platform.Close()
		return c.run(ctx, env.stdout)
	})
}

// run looks at everything and prints what it found. It is an error when
// something is wrong.
func (c *checkup) run(ctx context.Context, out io.Writer) error {
	for _, look := range []func(context.Context) []finding{
		c.lookAtDatabase, c.lookAtValkey, c.lookAtClocks, c.lookAtWebhooks, c.lookAtChannels,
	} {
		limited, cancel := context.WithTimeout(ctx, 3*checkTime)
		c.findings = append(c.findings, look(limited)...)
		cancel()
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	ill := 0
	for _, f := range c.findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.level, f.part, f.detail)
		if f.advice != "" {
			fmt.Fprintf(table, "\t\t→ %s\n", f.advice)
		}
		if f.level == "WRONG" {
			ill++
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if ill > 0 {
		return fmt.Errorf("%d of %d checks found something wrong", ill, len(c.findings))
	}
	return nil
}

// The major versions of PostgreSQL that are known to work.
const oldestPostgres, newestPostgres = 15, 18

func (c *checkup) lookAtDatabase(ctx context.Context) []finding {
	const part = "database"
	var number int
	if err := c.database.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&number); err != nil {
		return []finding{wrong(part, "check DATABASE_URL, and that PostgreSQL runs and lets us in", "no answer: %v", err)}
	}
	found := []finding{good(part, "PostgreSQL %d", number/10000)}
	if major := number / 10000; major < oldestPostgres || major > newestPostgres {
		found[0] = wrong(part, "use PostgreSQL 15 to 18", "PostgreSQL %d", major)
	}
	all, err := migrations.Status(ctx, c.database)
	if err != nil {
		return append(found, wrong("schema", "look into the server's log", "%v", err))
	}
	pending := 0
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			pending++
		}
	}
	if pending > 0 {
		return append(found, wrong("schema", "run chatopshub migrate up, or start the server, which does", "%d of %d migrations are pending", pending, len(all)))
	}
	return append(found, good("schema", "all of %d migrations are applied", len(all)))
}

func (c *checkup) lookAtValkey(ctx context.Context) []finding {
	const part = "valkey"
	if c.cfg.ValkeyURL == "" {
		return []finding{good(part, "the server brings its own, in memory")}
	}
	link, err := newValkeyLink(string(c.cfg.ValkeyURL))
	if err != nil {
		return []finding{wrong(part, "correct VALKEY_URL", "%v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := errors.Join(link.ping(ctx), link.close(ctx)); err != nil {
		return []finding{wrong(part, "check VALKEY_URL, and that Valkey runs and lets us in", "no answer: %v", err)}
	}
	return []finding{good(part, "answers")}
}
