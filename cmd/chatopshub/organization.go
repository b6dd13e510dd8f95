package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// adminPasswordVariable may hold the password of a new organization's first
// administrator. Arguments are seen by everybody on the machine.
const adminPasswordVariable = "ORG_ADMIN_PASSWORD"

var (
	slugPattern  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	emailPattern = regexp.MustCompile(`^[^\s\x00]+@[^\s\x00]+$`)
)

// newOrganization is what "org create" was asked for.
type newOrganization struct {
	name, slug, email, admin string
}

func organization(ctx context.Context, env environment, args []string) error {
	var o newOrganization
	flags := flag.NewFlagSet("org create", flag.ContinueOnError)
	flags.StringVar(&o.name, "name", "", "what the organization is called")
	flags.StringVar(&o.slug, "slug", "", "its short name: small letters, digits and hyphens")
	flags.StringVar(&o.email, "email", "", "e-mail of its first administrator, whose password comes from "+adminPasswordVariable+" or the first line of the input")
	flags.StringVar(&o.admin, "admin", "Administrator", "name of the administrator")
	if len(args) > 0 && args[0] == "create" {
		args = args[1:]
	} else if len(args) == 0 || !strings.HasPrefix(args[0], "-") {
		return &usageError{"chatopshub org: takes create, with its flags: see chatopshub org create --help"}
	}
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if err := o.check(flags.Args()); err != nil {
		return err
	}
	password, err := adminPassword(env)
	if err != nil {
		return err
	}
	if err := domain.CheckPassword(o.email, password); err != nil {
		return &usageError{"chatopshub org create: the password " + err.Error()}
	}
	return withReads(ctx, env, func(ctx context.Context, _ Config, reads *persistence.Reads) error {
		return o.create(ctx, env, reads, password)
	})
}

func (o *newOrganization) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return &usageError{fmt.Sprintf("chatopshub org create: unknown argument %q", rest[0])}
	case strings.TrimSpace(o.name) == "" || len(o.name) > 200:
		return &usageError{"chatopshub org create: --name takes 1 to 200 characters"}
	case !slugPattern.MatchString(o.slug):
		return &usageError{"chatopshub org create: --slug takes small letters, digits and hyphens, at most 63"}
	case !emailPattern.MatchString(o.email) || len(o.email) > 254:
		return &usageError{"chatopshub org create: --email takes an e-mail address"}
	case strings.TrimSpace(o.admin) == "" || len(o.admin) > 200:
		return &usageError{"chatopshub org create: --admin takes 1 to 200 characters"}
	}
	return nil
}

// adminPassword is the variable's, or else the first line of the input.
func adminPassword(env environment) (string, error) {
	for _, variable := range env.environ {
		if value, found := strings.CutPrefix(variable, adminPasswordVariable+"="); found && value != "" {
			return value, nil
		}
	}
	if env.stdin == nil {
		return "", &usageError{"chatopshub org create: " + adminPasswordVariable + " is not set and there is no input"}
	}
	line, err := bufio.NewReader(io.LimitReader(env.stdin, 2*domain.MaxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (o *newOrganization) create(ctx context.Context, env environment, reads *persistence.Reads, password string) error {
	hash, err := auth.NewHasher(1).Hash(ctx, password)
	if err != nil {
		return err
	}
	id, err := persistence.CreateOrganization(ctx, reads, strings.TrimSpace(o.name), o.slug, domain.NewUser{
		Email: o.email, Name: strings.TrimSpace(o.admin), Role: domain.RoleAdmin, Password: domain.PasswordHash(hash),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "organization %s (%s) is there, with its administrator %s\n", o.slug, id, o.email)
	return nil
}

// withReads runs a command on the configured database.
func withReads(ctx context.Context, env environment, do func(context.Context, Config, *persistence.Reads) error) error {
	return withDatabase(ctx, env, func(ctx context.Context, cfg Config, url string, _ *slog.Logger) (err error) {
		if _, err := cfg.keepSecrets(); err != nil {
			return err
		}
		reads, err := persistence.OpenReads(ctx, persistence.Config{URL: url})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, reads.Close()) }()
		return do(ctx, cfg, reads)
	})
}

// reseal ends a change of AUTH_SECRET.
func reseal(ctx context.Context, env environment, args []string) error {
	flags := flag.NewFlagSet("reseal", flag.ContinueOnError)
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Sprintf("chatopshub reseal: unknown argument %q", flags.Arg(0))}
	}
	return withReads(ctx, env, func(ctx context.Context, cfg Config, reads *persistence.Reads) error {
		sealer, err := newSealer(cfg)
		if err != nil {
			return err
		}
		resealed, err := persistence.NewChannels(reads, sealer).Reseal(ctx)
		fmt.Fprintf(env.stdout, "%d channels are sealed anew with AUTH_SECRET\n", resealed)
		return err
	})
}
