package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// benchSchema is the version of the form of a benchReport.
const benchSchema = 1

// benchReport is what a run of bench found, as it is written to report.json.
type benchReport struct {
	Schema    int              `json:"schema"`
	Version   string           `json:"version"`
	Started   time.Time        `json:"started"`
	Seconds   float64          `json:"seconds"`
	Complete  bool             `json:"complete"`         // false: it was stopped, or something failed
	Server    string           `json:"server"`           // own, or its address
	Messages  int64            `json:"customerMessages"` // posted as webhooks, all scenarios together
	Machine   machineReport    `json:"machine"`
	Settings  settingsReport   `json:"settings"`
	Scenarios []scenarioReport `json:"scenarios"`
}

// machineReport is where it was measured: ratios say something on other machines,
// figures don't.
type machineReport struct {
	System string  `json:"system"`
	CPUs   int     `json:"cpus"`
	Load   float64 `json:"loadAverage"` // of the minute before; -1: unknown
}

type settingsReport struct {
	DurationSeconds float64 `json:"durationSeconds"`
	Repeats         int     `json:"repeats"`
	Rate            float64 `json:"rate"` // 0: each scenario's own
	Agents          int     `json:"agents"`
	Conversations   int     `json:"conversations"`
	Sockets         int     `json:"sockets"`
	Clients         int     `json:"clients"`
}

type scenarioReport struct {
	Name      string           `json:"name"`
	Summary   string           `json:"summary"`
	Figures   []figureReport   `json:"figures"`
	Latencies []latencyReport  `json:"latencies"`
	Errors    map[string]int64 `json:"errors"`           // by kind; empty: none
	RSS       float64          `json:"serverRSSBytes"`   // the most that the server held after a round; 0: unknown
	Notes     []string         `json:"notes"`            // what has to be known beside
	Failed    string           `json:"failed,omitempty"` // why it ended early
}

// figureReport is one figure: the median counts, the rounds tell how far to
// trust it.
type figureReport struct {
	Name   string       `json:"name"`
	Unit   string       `json:"unit"`
	Median float64      `json:"median"`
	Rounds []float64    `json:"rounds"`
	Goal   string       `json:"goal,omitempty"`
	Floor  *floorReport `json:"floor,omitempty"`
	// Ratio is the median of the rounds' shares of their floors.
	Ratio float64 `json:"ratio,omitempty"`
}

type floorReport struct {
	Name   string    `json:"name"`
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"`
}

// latencyReport is milliseconds, over all rounds together, counted from when
// each request was due.
type latencyReport struct {
	Name string `json:"name"`
	Goal string `json:"goal,omitempty"`
	percentiles
}

// report is what the stage found.
func (s *stage) report(err error) scenarioReport {
	r := scenarioReport{
		Name: s.scenario.name, Summary: s.scenario.summary, Errors: map[string]int64{}, RSS: s.memory,
		Figures: []figureReport{}, Latencies: []latencyReport{}, Notes: append([]string{}, s.notes...),
	}
	maps.Copy(r.Errors, s.errors.counts)
	for _, f := range s.figures {
		r.Figures = append(r.Figures, f.report())
	}
	for _, t := range s.latencies {
		r.Latencies = append(r.Latencies, latencyReport{Name: t.name, Goal: t.goal, percentiles: percentilesOf(t.total)})
	}
	switch {
	case errors.Is(err, context.Canceled):
		r.Failed = "it was stopped"
	case err != nil:
		r.Failed = err.Error()
	}
	return r
}

func (f *figure) report() figureReport {
	r := figureReport{Name: f.name, Unit: f.unit, Goal: f.goal, Rounds: f.rounds, Median: median(f.rounds)}
	if len(f.floors) == 0 {
		return r
	}
	r.Floor = &floorReport{Name: f.floorName, Median: median(f.floors), Rounds: f.floors}
	var ratios []float64
	for i, floor := range f.floors {
		if floor > 0 && i < len(f.rounds) {
			ratios = append(ratios, f.rounds[i]/floor)
		}
	}
	r.Ratio = median(ratios)
	return r
}

// median is the middle one, the mean of the two middle ones; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// print writes what a scenario found as tables.
func (r *scenarioReport) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s: %s\n", r.Name, r.Summary)
	if len(r.Figures) > 0 {
		fmt.Fprint(w, "  what\tmedian\trounds\tfloor\tratio\tgoal\n")
	}
	for _, f := range r.Figures {
		floor, ratio := "", ""
		if f.Floor != nil {
			floor, ratio = fmt.Sprintf("%s (%s)", readable(f.Floor.Median), f.Floor.Name), fmt.Sprintf("%.2f", f.Ratio)
		}
		rounds := make([]string, len(f.Rounds))
		for i, v := range f.Rounds {
			rounds[i] = readable(v)
		}
		fmt.Fprintf(w, "  %s\t%s %s\t%s\t%s\t%s\t%s\n", f.Name, readable(f.Median), f.Unit, strings.Join(rounds, " "), floor, ratio, f.Goal)
	}
	if len(r.Latencies) > 0 {
		fmt.Fprintf(w, "  latency, ms\t%s\tcount\tgoal\n", strings.Join(percentileNames, "\t"))
	}
	for _, l := range r.Latencies {
		fmt.Fprintf(w, "  %s", l.Name)
		for _, v := range l.values() {
			fmt.Fprintf(w, "\t%.2f", v)
		}
		fmt.Fprintf(w, "\t%d\t%s\n", l.Count, l.Goal)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(w, "  errors: %s\t%d\n", kind, r.Errors[kind])
	}
	if r.RSS > 0 {
		fmt.Fprintf(w, "  server memory (RSS)\t%.0f MiB\n", r.RSS/(1<<20))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	if r.Failed != "" {
		fmt.Fprintf(w, "  FAILED: %s\n", r.Failed)
	}
	return w.Flush()
}

// readable is a number with three digits, or whole with its thousands apart.
func readable(v float64) string {
	if v < 1000 {
		return fmt.Sprintf("%.3g", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// write puts the report and its picture into a folder.
func (r *benchReport) write(folder string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"report.json": append(text, '\n'), "report.svg": drawBench(r)} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

func thisMachine() machineReport {
	m := machineReport{System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Load: -1}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil { // Linux alone has it
		if _, err := fmt.Sscan(string(text), &m.Load); err != nil {
			m.Load = -1
		}
	}
	return m
}

// drawBench draws how much of their floors the figures reach, and the latencies.
func drawBench(r *benchReport) []byte {
	title := fmt.Sprintf("chatopshub bench, %s, %d CPUs, load %.1f", r.Started.UTC().Format("2006-01-02 15:04"), r.Machine.CPUs, r.Machine.Load)
	ratios := plot{title: "Figure by floor in the same run; of idle-memory and reconnect-storm less is better, of all others more", format: func(v float64) string { return fmt.Sprintf("%.2g", v) }}
	share := curve{name: "ratio", color: "#7aa6c2", bars: true}
	plots := []plot{}
	for _, s := range r.Scenarios {
		if i := slices.IndexFunc(s.Figures, func(f figureReport) bool { return f.Floor != nil }); i >= 0 {
			ratios.labels, share.values = append(ratios.labels, s.Name), append(share.values, s.Figures[i].Ratio)
		}
		if p, drawn := drawLatencies(s); drawn {
			plots = append(plots, p)
		}
	}
	if len(ratios.labels) > 0 {
		ratios.curves = []curve{share}
		plots = append([]plot{ratios}, plots...)
	}
	return draw(title, plots)
}

// latencyColors are those of the curves; which is which stands beside the picture.
var latencyColors = []string{"#1b7837", "#d95f02", "#762a83", "#2b6cb0", "#b02a37", "#555555"}

// drawLatencies is a plot of a scenario's percentiles.
func drawLatencies(s scenarioReport) (plot, bool) {
	p := plot{title: s.Name + ": latency", labels: percentileNames, logarithmic: true, format: func(v float64) string {
		return (time.Duration(v*1000) * time.Microsecond).String()
	}}
	for i, l := range s.Latencies {
		if l.Count == 0 {
			continue
		}
		name, _, _ := strings.Cut(l.Name, ", ")
		p.curves = append(p.curves, curve{name: name, color: latencyColors[i%len(latencyColors)], values: l.values()})
	}
	slices.SortStableFunc(p.curves, func(a, b curve) int { return cmp.Compare(b.values[0], a.values[0]) })
	return p, len(p.curves) > 0
}
