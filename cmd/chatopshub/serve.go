package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/chatopshub/chatopshub/persistence"
)

// serve runs the server until it is told to stop.
func serve(ctx context.Context, env environment, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Sprintf("chatopshub serve: unknown argument %q", flags.Arg(0))}
	}
	cfg, warnings, err := loadConfig(env.environ, ".env")
	if err != nil {
		return err
	}
	logger := newLogger(env.stderr, cfg.Log)
	for _, w := range warnings {
		logger.Warn(w)
	}
	kept, err := cfg.keepSecrets()
	if err != nil {
		return err
	}
	p, err := start(ctx, cfg, logger)
	if err != nil {
		return err
	}
	welcome(env.stdout, p, kept)
	return p.wait(ctx)
}

// welcome says where everything is. Only a development server shows what it
// made up for itself.
func welcome(w io.Writer, p *program, kept []keptSecret) {
	url := p.url()
	var b strings.Builder
	fmt.Fprintf(&b, "\nChat OPS Hub %s is ready.\n\n", buildVersion())
	fmt.Fprintf(&b, "  REST API     %s/api\n", url)
	fmt.Fprintf(&b, "  API document %s/api/docs\n", url)
	fmt.Fprintf(&b, "  Sockets      %s/socket.io/\n", url)
	fmt.Fprintf(&b, "  Webhooks     %s/api/webhooks/whatsapp, %s/api/webhooks/messenger\n", url, url)
	if at := p.metricsURL(); at != "" {
		fmt.Fprintf(&b, "  Metrics      %s/metrics\n", at)
	}
	if p.cfg.Env == Development {
		fmt.Fprintf(&b, "\n  Administrator %s\n", p.cfg.Seed.AdminEmail)
		fmt.Fprintf(&b, "  Agents        %s\n", strings.Join(persistence.SeedAgents(), ", "))
		fmt.Fprintf(&b, "  Passwords     %s for the administrator, %s for the agents, unless you have changed them\n",
			showSeedPassword(p.cfg.Seed), persistence.SeedAgentPassword)
		for _, k := range kept {
			if strings.HasSuffix(k.Variable, "_VERIFY_TOKEN") || strings.HasSuffix(k.Variable, "_APP_SECRET") {
				fmt.Fprintf(&b, "  %-23s %s  (%s)\n", k.Variable, string(k.Value), k.File)
			}
		}
		fmt.Fprint(&b, seeItLive(p))
	}
	fmt.Fprintln(w, b.String())
}

// seeItLive is what to do next, by whether anybody can get what agents send.
func seeItLive(p *program) string {
	if !p.platform.atMeta {
		return "\n  See it live: run `node docs/examples/agent.mjs` in another shell.\n"
	}
	return "\n  See it live: run `bin/chatopshub simulate` and `node docs/examples/agent.mjs` in two more shells." +
		"\n  Customers who get answers, too: stop it, and run `bin/chatopshub simulate --serve`.\n"
}

// showSeedPassword shows the default that everybody can read in the
// documentation, never one that somebody has set.
func showSeedPassword(s SeedConfig) string {
	if string(s.AdminPassword) == seedPassword {
		return seedPassword
	}
	return "SEED_ADMIN_PASSWORD"
}

func seed(ctx context.Context, env environment, args []string) error {
	flags := flag.NewFlagSet("seed", flag.ContinueOnError)
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	return withDatabase(ctx, env, func(ctx context.Context, cfg Config, url string, _ *slog.Logger) error {
		if _, err := cfg.keepSecrets(); err != nil {
			return err
		}
		reads, err := persistence.OpenReads(ctx, persistence.Config{URL: url})
		if err != nil {
			return err
		}
		sealer, err := newSealer(cfg)
		if err == nil {
			err = seedDatabase(ctx, reads, sealer, cfg)
		}
		if closeErr := reads.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			fmt.Fprintf(env.stdout, "organization %q is there, with its administrator %s\n", persistence.SeedSlug, cfg.Seed.AdminEmail)
		}
		return err
	})
}
