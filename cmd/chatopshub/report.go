package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
)

// reportTimeout is how long a report's queries may take.
const reportTimeout = 5 * time.Minute

// reportCall is what was asked for.
type reportCall struct {
	organization string // slug
	agent        string // e-mail; empty: everybody
	days         domain.Days
	picture      string // file; empty: none
}

// reportFigures prints the figures of an organization or of an agent, and draws them.
func reportFigures(ctx context.Context, env environment, args []string) error {
	call, err := parseReport(env, args, time.Now())
	if err != nil {
		return helped(err)
	}
	return withDatabase(ctx, env, func(ctx context.Context, _ Config, url string, _ *slog.Logger) error {
		reads, err := persistence.OpenReads(ctx, persistence.Config{URL: url, MaxConns: 2, StatementTimeout: reportTimeout})
		if err != nil {
			return err
		}
		return errors.Join(call.run(ctx, env.stdout, reads), reads.Close())
	})
}

func parseReport(env environment, args []string, now time.Time) (reportCall, error) {
	var call reportCall
	today := domain.DayOf(now)
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.StringVar(&call.organization, "organization", "default", "the organization's `slug`")
	flags.StringVar(&call.agent, "agent", "", "the figures of the user with this `e-mail` alone")
	from := flags.String("from", today.Plus(-29).String(), "the first `day`, in UTC")
	to := flags.String("to", today.String(), "the last `day`, in UTC")
	flags.StringVar(&call.picture, "picture", "", "draw the figures, as SVG, into this `file`")
	if err := parse(env, flags, args); err != nil {
		return call, err
	}
	first, err1 := domain.ParseDay(*from)
	last, err2 := domain.ParseDay(*to)
	call.days = domain.Days{First: first, Last: last}
	switch {
	case flags.NArg() > 0:
		return call, &usageError{"chatopshub report: takes no arguments, only flags"}
	case err1 != nil || err2 != nil:
		return call, &usageError{"chatopshub report: -from and -to take days such as 2026-01-31"}
	case first.Compare(last) > 0:
		return call, &usageError{"chatopshub report: -from takes a day that isn't after -to"}
	case first.DaysUntil(last) >= 366:
		return call, &usageError{"chatopshub report: takes 366 days at most"}
	}
	return call, nil
}

func (c reportCall) run(ctx context.Context, out io.Writer, reads *persistence.Reads) error {
	users := persistence.NewUsers(reads)
	who, err := users.Subject(ctx, c.organization, c.agent)
	if errors.Is(err, domain.ErrNotFound) {
		return &usageError{fmt.Sprintf("chatopshub report: there is no organization %q with a user %q", c.organization, c.agent)}
	}
	if err != nil {
		return err
	}
	figures := persistence.NewFigures(reads, time.Now)
	var found domain.Report
	if who.ID.IsZero() {
		found, err = figures.Organization(ctx, who.Organization, c.days)
	} else {
		found, err = figures.Agent(ctx, who.Organization, who.ID, c.days)
	}
	if err != nil {
		return err
	}
	hours, err := figures.ByHour(ctx, who.Organization, who.ID, c.days)
	if err != nil {
		return err
	}
	names, err := users.Names(ctx, who.Organization)
	if err != nil {
		return err
	}
	title := fmt.Sprintf("%s, %s to %s", who.Name, c.days.First, c.days.Last)
	if err := printReport(out, title, &found, hours, names); err != nil || c.picture == "" {
		return err
	}
	if err := os.WriteFile(c.picture, drawReport(title, c.days, &found, hours), 0o644); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	_, err = fmt.Fprintf(out, "\nThe picture is in %s.\n", c.picture)
	return err
}

// printReport prints three tables: agents, days, hours.
func printReport(out io.Writer, title string, report *domain.Report, hours [24]domain.Mean, names map[domain.UserID]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	const columns = "\tconversations\taccepted\tcompleted\tsent\treceived\tfirst response\tresponse\thandle time\twait\tpeak\tonline\t\n"
	line := func(name string, f *domain.Figures) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%d\t%dh%02d\t\n", name, f.Conversations, f.Accepted, f.Completed, f.Sent, f.Received,
			average(f.FirstResponse), average(f.Response), average(f.Handle), average(f.Wait), f.Peak, f.OnlineMinutes/60, f.OnlineMinutes%60)
	}
	fmt.Fprintf(w, "%s\n\nagent%s", title, columns)
	for _, a := range report.ByAgent {
		line(names[a.Agent], &a.Figures)
	}
	line("total", &report.Total)
	fmt.Fprint(w, "\nday"+columns)
	for _, d := range report.Daily {
		line(d.Day.String(), &d.Figures)
	}
	fmt.Fprint(w, "\nhour\tresponses\tresponse\t\n")
	for hour, m := range hours {
		if m.Count > 0 {
			fmt.Fprintf(w, "%02d\t%d\t%s\t\n", hour, m.Count, average(m))
		}
	}
	return w.Flush()
}

// average is a mean duration as people read it; "-" of nothing.
func average(m domain.Mean) string {
	if m.Count == 0 {
		return "-"
	}
	took := time.Duration(m.Sum/m.Count) * time.Millisecond
	if took < 10*time.Second {
		return took.Round(100 * time.Millisecond).String()
	}
	return took.Round(time.Second).String()
}
