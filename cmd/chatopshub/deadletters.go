package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
)

// letterDesk is the dead letters on the command line: those of all
// organizations, and of none.
type letterDesk struct {
	letters *persistence.DeadLetters
	out     io.Writer
	limit   int
	wait    time.Duration
}

func deadLetters(ctx context.Context, env environment, args []string) error {
	d := letterDesk{out: env.stdout}
	flags := flag.NewFlagSet("dead-letters list|show|replay|prune", flag.ContinueOnError)
	flags.IntVar(&d.limit, "limit", 50, "list: how many of the newest, 1 to 10000")
	flags.DurationVar(&d.wait, "wait", 10*time.Second, "replay: how long to wait for a running server")
	what := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		what, args = args[0], args[1:]
	}
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	do, err := d.command(what, flags.Args())
	if err != nil {
		return err
	}
	return withReads(ctx, env, func(ctx context.Context, cfg Config, reads *persistence.Reads) error {
		d.letters = persistence.NewDeadLetters(reads, cfg.Inbox.DeadLettersMax, slog.New(slog.DiscardHandler))
		return do(ctx)
	})
}

// command is what was asked for, checked before a database is looked for.
func (d *letterDesk) command(what string, args []string) (func(context.Context) error, error) {
	ids := make([]domain.DeadLetterID, len(args))
	for i, arg := range args {
		if err := ids[i].UnmarshalText([]byte(arg)); err != nil {
			return nil, &usageError{fmt.Sprintf("chatopshub dead-letters %s: %q is not the id of a letter", what, arg)}
		}
	}
	switch {
	case d.limit < 1 || d.limit > domain.MaxRows:
		return nil, &usageError{"chatopshub dead-letters: --limit takes 1 to 10000"}
	case what == "list" && len(ids) == 0:
		return d.list, nil
	case what == "show" && len(ids) == 1:
		return func(ctx context.Context) error { return d.show(ctx, ids[0]) }, nil
	case what == "replay" && len(ids) > 0:
		return func(ctx context.Context) error { return d.replay(ctx, ids) }, nil
	case what == "prune" && len(ids) == 0:
		return func(ctx context.Context) error { return d.letters.Prune(ctx) }, nil
	}
	return nil, &usageError{"chatopshub dead-letters: takes list, show <id>, replay <id>…, or prune"}
}

func (d *letterDesk) list(ctx context.Context) error {
	letters, meta, err := d.letters.List(ctx, domain.OrganizationID{}, domain.Page{Number: 1, Limit: d.limit})
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tRECEIVED\tPROVIDER\tACCOUNT\tREASON\tBYTES\tTRIES\tREPLAYED")
	for _, l := range letters {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", l.ID, shown(l.ReceivedAt), l.Provider, value(l.Account), l.Reason,
			l.PayloadSize, l.Attempts, shown(l.ReplayedAt))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	more := ""
	if meta.TotalIsCapped {
		more = " or more"
	}
	fmt.Fprintf(d.out, "%d of %d%s\n", len(letters), meta.Total, more)
	return nil
}

func (d *letterDesk) show(ctx context.Context, id domain.DeadLetterID) error {
	l, err := d.letters.Get(ctx, domain.OrganizationID{}, id)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "id        %s\nreceived  %s\nprovider  %s\naccount   %s\nreason    %s\ndetail    %s\ntries     %d\nreplayed  %s\n\n%s\n",
		l.ID, shown(l.ReceivedAt), l.Provider, value(l.Account), l.Reason, value(l.Detail), l.Attempts, shown(l.ReplayedAt), l.Payload)
	return nil
}

// replay has a running server take the letters: what comes of them has to reach
// the agents who are connected there.
func (d *letterDesk) replay(ctx context.Context, ids []domain.DeadLetterID) error {
	n, err := d.letters.RequestReplays(ctx, ids)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d of %d letters are to be replayed\n", n, len(ids))
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	failed := 0
	for _, id := range ids {
		outcome, taken, err := d.outcome(ctx, id)
		if err != nil {
			return err
		}
		if !taken {
			failed++
		}
		fmt.Fprintf(d.out, "%s  %s\n", id, outcome)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d letters were not taken", failed, len(ids))
	}
	return nil
}

// outcome waits until a server has tried the letter.
func (d *letterDesk) outcome(ctx context.Context, id domain.DeadLetterID) (outcome string, taken bool, err error) {
	for {
		l, err := d.letters.Get(context.WithoutCancel(ctx), domain.OrganizationID{}, id)
		switch {
		case err != nil:
			return "", false, err
		case !time.Time(l.ReplayedAt).IsZero():
			return "taken " + shown(l.ReplayedAt), true, nil
		case !l.Requested:
			return "refused: " + value(l.Detail), false, nil
		}
		select {
		case <-ctx.Done():
			return "no server has tried it yet; one that runs will", false, nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func shown(t domain.Timestamp) string {
	if time.Time(t).IsZero() {
		return "-"
	}
	return time.Time(t).UTC().Format("2006-01-02 15:04:05")
}

func value(text *string) string {
	if text == nil || *text == "" {
		return "-"
	}
	return *text
}
