package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/persistence"
)

// Variables of bench. Arguments are seen by everybody on the machine, so secrets
// come by these.
const (
	benchDatabaseVariable = "BENCH_DATABASE_URL"
	benchPasswordVariable = "BENCH_ADMIN_PASSWORD"
	benchSecretVariable   = "BENCH_APP_SECRET"
)

// benchPlan is how much is measured.
type benchPlan struct {
	duration      time.Duration
	rate          float64 // 0: each scenario's own
	agents        int
	conversations int
	sockets       int
	clients       int
	repeats       int
	metrics       *url.URL // nil: the server's /metrics
}

// benchmark is what bench was asked for.
type benchmark struct {
	benchPlan
	out       string
	scenarios []scenario
	remote    remoteConfig // its url is empty: a server of our own
	database  string
}

// runBench measures a server.
func runBench(ctx context.Context, env environment, args []string) error {
	if len(args) == 1 && args[0] == "floor" {
		return serveFloor(ctx, env)
	}
	b, err := parseBench(env, args)
	if err != nil {
		return helped(err)
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: find this program: %w", err)
	}
	return b.run(ctx, env, executable)
}

func parseBench(env environment, args []string) (*benchmark, error) {
	b := &benchmark{database: lookUp(env.environ, benchDatabaseVariable)}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&b.out, "out", "", "the `folder` for report.json, report.svg and server.log (default: bench-results/ and the time)")
	flags.DurationVar(&b.duration, "duration", 10*time.Second, "how long each load is measured, after a warm-up of a quarter of that, 3s at most")
	flags.Float64Var(&b.rate, "rate", 0, "requests per second when latency is measured (default: half of the throughput just measured; in the day 200 messages)")
	flags.IntVar(&b.agents, "agents", 1000, "how many agents there are")
	flags.IntVar(&b.conversations, "conversations", 2000, "how many conversations a scenario works on")
	flags.IntVar(&b.sockets, "sockets", 10000, "how many sockets idle-memory connects")
	flags.IntVar(&b.clients, "clients", 256, "how many requests may be under way at once")
	flags.IntVar(&b.repeats, "repeats", 3, "how many rounds; medians count")
	only := flags.String("only", "", "the `scenarios` to play, with commas between; all: "+strings.Join(scenarioNames(), ","))
	flags.StringVar(&b.remote.url, "url", "", "measure the server at this address instead of one of our own: it keeps what is written. "+
		"Needs "+benchPasswordVariable+" and "+benchSecretVariable+" (the app secret that signs its webhooks)")
	flags.StringVar(&b.remote.admin, "admin", "admin@chatopshub.local", "with --url: e-mail of an administrator there")
	flags.StringVar(&b.remote.account, "number", persistence.SeedPhoneNumberID, "with --url: the `phone number id` of the WhatsApp channel that customers write to")
	metrics := flags.String("metrics", "", "with --url: the `address` of the server's metrics (default: /metrics there)")
	if err := parse(env, flags, args); err != nil {
		return nil, err
	}
	b.remote.password, b.remote.appSecret = Secret(lookUp(env.environ, benchPasswordVariable)), Secret(lookUp(env.environ, benchSecretVariable))
	if err := b.check(flags, *metrics); err != nil {
		return nil, err
	}
	var err error
	b.scenarios, err = b.choose(*only)
	return b, err
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// Bounds of what can be asked for.
const (
	maxBenchDuration = time.Hour
	maxBenchAgents   = 10_000
	maxBenchSockets  = 20_000 // as many sessions as a server has room for
	maxBenchClients  = 10_000
)

func (b *benchmark) check(flags *flag.FlagSet, metrics string) error {
	wrong := func(format string, args ...any) error {
		return &usageError{"chatopshub bench: " + fmt.Sprintf(format, args...)}
	}
	for _, n := range []struct {
		flag     string
		got, max int
	}{
		{"agents", b.agents, maxBenchAgents}, {"conversations", b.conversations, 1_000_000}, {"sockets", b.sockets, maxBenchSockets},
		{"clients", b.clients, maxBenchClients}, {"repeats", b.repeats, 100},
	} {
		if n.got < 1 || n.got > n.max {
			return wrong("--%s takes 1 to %d, got %d", n.flag, n.max, n.got)
		}
	}
	switch {
	case flags.NArg() > 0:
		return wrong("unknown argument %q", flags.Arg(0))
	case b.duration < 100*time.Millisecond || b.duration > maxBenchDuration:
		return wrong("--duration takes 100ms to %s, got %s", maxBenchDuration, b.duration)
	case b.rate < 0 || b.rate > 1_000_000 || b.rate != b.rate:
		return wrong("--rate takes 0 to 1000000 requests per second, got %g", b.rate)
	}
	return b.checkRemote(flags, metrics, wrong)
}

func (b *benchmark) checkRemote(flags *flag.FlagSet, metrics string, wrong func(string, ...any) error) error {
	if b.remote.url == "" {
		for _, name := range []string{"admin", "number", "metrics"} {
			if isGiven(flags, name) {
				return wrong("--%s goes with --url", name)
			}
		}
		return nil
	}
	if !isAddress(b.remote.url) {
		return wrong("--url takes http://host[:port] or https://host[:port], got %q", b.remote.url)
	}
	if metrics != "" {
		at, err := url.Parse(metrics)
		if err != nil || !isAddress(at.Scheme+"://"+at.Host) {
			return wrong("--metrics takes an http or https address, got %q", metrics)
		}
		b.metrics = at
	}
	switch {
	case b.remote.password == "":
		return wrong("--url needs the password of %s in %s", b.remote.admin, benchPasswordVariable)
	case b.remote.appSecret == "":
		return wrong("--url needs the app secret that signs the server's webhooks in %s", benchSecretVariable)
	}
	return nil
}

// isAddress reports whether text is scheme://host[:port] of http.
func isAddress(text string) bool {
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Path == "" && u.User == nil
}

// choose is the scenarios of a comma list; all of an empty one.
func (b *benchmark) choose(only string) (chosen []scenario, err error) {
	var names []string
	for name := range strings.SplitSeq(only, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	for _, s := range scenarios() {
		named := slices.Contains(names, s.name)
		if named && s.ownOnly && b.remote.url != "" {
			return nil, &usageError{fmt.Sprintf("chatopshub bench: %s needs a server of our own, whose Graph API is played: leave out --url", s.name)}
		}
		if named || len(names) == 0 && !(s.ownOnly && b.remote.url != "") {
			chosen = append(chosen, s)
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n == s.name })
		if named && len(names) == 0 {
			names = []string{""} // all that were named are found
		}
	}
	if names = slices.DeleteFunc(names, func(n string) bool { return n == "" }); len(names) > 0 {
		return nil, &usageError{fmt.Sprintf("chatopshub bench: --only takes %s, got %q", strings.Join(scenarioNames(), ", "), names[0])}
	}
	return chosen, nil
}

// lookUp is the value of a variable; empty: it isn't set.
func lookUp(environ []string, name string) string {
	for _, variable := range environ {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	return ""
}

// run starts what is needed, plays the scenarios, and writes the report, also of
// a run that was stopped or failed.
func (b *benchmark) run(ctx context.Context, env environment, executable string) (err error) {
	started := time.Now()
	if b.out == "" {
		b.out = filepath.Join("bench-results", started.UTC().Format("20060102-150405"))
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return fmt.Errorf("bench: make the folder for the results: %w", err)
	}
	log, err := os.Create(filepath.Join(b.out, "server.log"))
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	report := &benchReport{
		Schema: benchSchema, Version: buildVersion(), Started: started.UTC(), Server: "own", Machine: thisMachine(), Scenarios: []scenarioReport{},
		Settings: settingsReport{b.duration.Seconds(), b.repeats, b.rate, b.agents, b.conversations, b.sockets, b.clients},
	}
	if b.remote.url != "" {
		report.Server = b.remote.url
	}
	stage := &stage{benchPlan: b.benchPlan, progress: newProgress(env.stderr)}
	failed := b.on(ctx, env, executable, log, stage, func(ctx context.Context) error { return b.playAll(ctx, env, stage, report) })
	report.Seconds, report.Complete = time.Since(started).Seconds(), failed == nil && ctx.Err() == nil
	if stage.target != nil {
		report.Messages = stage.target.sent.Load()
	}
	if err := report.write(b.out); err != nil {
		return errors.Join(failed, err)
	}
	fmt.Fprintf(env.stdout, "\n%s, %s: report.json, report.svg and server.log are in %s\n",
		report.Machine.describe(), time.Since(started).Round(time.Second), b.out)
	if ctx.Err() != nil {
		return errors.New("bench: it was stopped before it was done")
	}
	return failed
}

func (m machineReport) describe() string {
	return fmt.Sprintf("%s with %d CPUs, load %.1f before", m.System, m.CPUs, m.Load)
}

// on has the server and the floors running while it plays.
func (b *benchmark) on(ctx context.Context, env environment, executable string, log io.Writer, s *stage, play func(context.Context) error) (err error) {
	also := func(end func() error) {
		if endErr := end(); endErr != nil {
			err = errors.Join(err, endErr)
		}
	}
	if s.floors, err = startFloor(ctx, executable, env.environ, log); err != nil {
		return err
	}
	defer also(s.floors.stop)
	remote := b.remote
	var own *ownServer
	if remote.url == "" {
		s.progress.say("starting a server of our own")
		if own, err = startOwnServer(ctx, ownConfig{executable: executable, environ: env.environ, database: b.database, log: log}); err != nil {
			return err
		}
		defer also(own.stop)
		remote = own.remote
	}
	if s.target, err = newTarget(ctx, remote); err != nil {
		return err
	}
	s.target.own = own
	defer also(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return s.target.leave(ctx)
	})
	return play(ctx)
}

// playAll plays one scenario after the other. One that fails doesn't keep the
// others from being played.
func (b *benchmark) playAll(ctx context.Context, env environment, s *stage, report *benchReport) error {
	var failed []error
	for n, scenario := range b.scenarios {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.progress.say("%d/%d %s", n+1, len(b.scenarios), scenario.name)
		here := &stage{benchPlan: s.benchPlan, target: s.target, floors: s.floors, progress: s.progress, scenario: scenario}
		err := scenario.play(ctx, here)
		found := here.report(err)
		report.Scenarios = append(report.Scenarios, found)
		if err := found.print(env.stdout); err != nil {
			return err
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("bench: %s: %w", scenario.name, err))
		}
	}
	return errors.Join(failed...)
}
