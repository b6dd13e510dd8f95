package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// errHelp is returned when help was asked for and has been printed.
var errHelp = errors.New("help")

// parse reads flags; help goes to stdout, mistakes become a usageError.
func parse(env environment, flags *flag.FlagSet, args []string) error {
	var out bytes.Buffer
	flags.SetOutput(&out)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(env.stdout, out.String())
		return errHelp
	case err != nil:
		return &usageError{"chatopshub " + flags.Name() + ": " + out.String()}
	}
	return nil
}

// helped turns a request for help into success.
func helped(err error) error {
	if errors.Is(err, errHelp) {
		return nil
	}
	return err
}

func version(_ context.Context, env environment, args []string) error {
	flags := flag.NewFlagSet("version", flag.ContinueOnError)
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	fmt.Fprintln(env.stdout, "chatopshub", buildVersion())
	return nil
}

// buildVersion is the module's version and the commit it was built from, as
// the go command recorded them.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " " + s.Value[:12]
		}
	}
	return v + " " + info.GoVersion
}

// goCollector tells scrapes about the runtime, and of the heap also what was
// alive when garbage was last collected.
func goCollector() prometheus.Collector {
	return collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)}))
}

// buildInfo tells scrapes which version runs.
func buildInfo() prometheus.Collector {
	about := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "chatopshub_build_info", Help: "Always 1; the label tells the version.",
		ConstLabels: prometheus.Labels{"version": buildVersion()},
	})
	about.Set(1)
	return about
}
