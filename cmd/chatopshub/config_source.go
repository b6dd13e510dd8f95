package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joho/godotenv"
)

// configError is everything that is wrong with a configuration, a line each.
type configError struct {
	problems []string
}

// Error is one line for each problem: variable, what it got, what it takes.
func (e *configError) Error() string { return strings.Join(e.problems, "\n") }

// source gives the values of variables as text and collects what is wrong
// with them.
type source struct {
	values   map[string]string
	declared []variable // every variable that has been asked for, in that order
	problems []string
	warnings []string
}

// variable is one that the program knows.
type variable struct {
	name, fallback string
}

// newSource reads environ and the file dotenv; environ wins. An empty value is
// none: that is how a shell or a compose file unsets one.
func newSource(environ []string, dotenv string) *source {
	s := &source{values: map[string]string{}}
	file, err := godotenv.Read(dotenv)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		var path *fs.PathError
		if errors.As(err, &path) {
			s.problem("%s: %v", dotenv, path)
		} else {
			// The parser's own error quotes the text, and with it secrets.
			s.problem("%s: can't be read, takes lines of the form NAME=value or NAME='value'", dotenv)
		}
	}
	maps.Copy(s.values, file)
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			s.values[name] = value
		}
	}
	maps.DeleteFunc(s.values, func(_, value string) bool { return value == "" })
	return s
}

func (s *source) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

func (s *source) isSet(name string) bool { return s.values[name] != "" }

// lookup declares a variable and gives its text; false where it is neither
// set nor has a fallback.
func (s *source) lookup(name, fallback string) (string, bool) {
	s.declared = append(s.declared, variable{name: name, fallback: fallback})
	if value, ok := s.values[name]; ok {
		return value, true
	}
	return fallback, fallback != ""
}

// unknown warns of variables that look like ours and are not: a misspelled
// one would otherwise be ignored in silence.
func (s *source) unknown() []string {
	known, prefixes := map[string]bool{}, map[string]bool{}
	for _, v := range s.declared {
		known[v.name] = true
		prefix, _, _ := strings.Cut(v.name, "_")
		prefixes[prefix+"_"] = true
	}
	// Other programs own these, too: postgres's own image, OpenTelemetry's
	// libraries, Python's requests, half of all build systems.
	for _, shared := range []string{"POSTGRES_", "OTEL_", "APP_", "HOST_", "PORT_", "DATA_", "REQUESTS_"} {
		delete(prefixes, shared)
	}
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		prefix, _, ok := strings.Cut(name, "_")
		if ok && prefixes[prefix+"_"] && !known[name] {
			warnings = append(warnings, name+": unknown variable, ignored")
		}
	}
	return warnings
}

// read gives the value of a variable, or of its fallback. A value that parse
// refuses becomes a problem that quotes it and says what the variable takes.
func read[T any](s *source, name, fallback, takes string, parse func(string) (T, bool)) T {
	var none T
	text, ok := s.lookup(name, fallback)
	if !ok {
		return none
	}
	value, ok := parse(text)
	if !ok {
		s.problem("%s: got %s, takes %s", name, quote(text), takes)
		return none
	}
	return value
}

// readSecret is read for what must not be shown: its problem tells the length
// alone.
func readSecret(s *source, name, fallback, takes string, parse func(string) (string, bool)) Secret {
	text, ok := s.lookup(name, fallback)
	if !ok {
		return ""
	}
	value, ok := parse(text)
	if !ok {
		s.problem("%s: got %d bytes that are not shown, takes %s", name, len(text), takes)
		return ""
	}
	return Secret(value)
}

func readInt(s *source, name, fallback string, least, most int) int {
	takes := fmt.Sprintf("a whole number from %d to %d", least, most)
	return read(s, name, fallback, takes, func(text string) (int, bool) {
		n, err := strconv.Atoi(text)
		return n, err == nil && least <= n && n <= most
	})
}

func readDuration(s *source, name, fallback string, least, most time.Duration) time.Duration {
	takes := fmt.Sprintf("a duration such as 30s or 5m, from %v to %v", least, most)
	return read(s, name, fallback, takes, func(text string) (time.Duration, bool) {
		d, err := time.ParseDuration(text)
		return d, err == nil && least <= d && d <= most
	})
}

// quote shows a value on one line, and not all of a long one.
func quote(text string) string {
	const most = 80
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}
