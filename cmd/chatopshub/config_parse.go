package main

import (
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The parsers of single values. Each gives false for what it doesn't take.

func anyText(text string) (string, bool) { return text, true }

func atLeast(characters int) func(string) (string, bool) {
	return func(text string) (string, bool) {
		return text, utf8.RuneCountInString(text) >= characters
	}
}

func oneOf[T ~string](allowed ...T) func(string) (T, bool) {
	return func(text string) (T, bool) { return T(text), slices.Contains(allowed, T(text)) }
}

// listOf parses a comma list; spaces around an element don't count.
func listOf[T any](parse func(string) (T, bool)) func(string) ([]T, bool) {
	return func(text string) ([]T, bool) {
		var list []T
		for element := range strings.SplitSeq(text, ",") {
			value, ok := parse(strings.TrimSpace(element))
			if !ok {
				return nil, false
			}
			list = append(list, value)
		}
		return list, true
	}
}

func parseURL(text string, schemes ...string) (*url.URL, bool) {
	u, err := url.Parse(text)
	return u, err == nil && u.Opaque == "" && slices.Contains(schemes, u.Scheme)
}

// webURL takes the start of a URL to which paths are appended, and so drops
// slashes at its end.
func webURL(text string) (string, bool) {
	u, ok := parseURL(text, "http", "https")
	if !ok || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	return strings.TrimRight(text, "/"), true
}

// databaseURL needs no host: PostgreSQL's URLs may name a socket's folder in a
// parameter instead.
func databaseURL(text string) (string, bool) {
	_, ok := parseURL(text, "postgres", "postgresql")
	return text, ok
}

func valkeyURL(text string) (string, bool) {
	u, ok := parseURL(text, "redis", "rediss")
	return text, ok && u.Hostname() != ""
}

// origin takes what a browser sends as Origin (RFC 6454): scheme, host, port.
func origin(text string) (string, bool) {
	u, ok := parseURL(strings.TrimSuffix(text, "/"), "http", "https")
	if !ok || u.Hostname() == "" {
		return "", false
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host}
	return strings.ToLower(bare.String()), u.String() == bare.String()
}

func prefix(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil
}

var hostNamePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

func hostName(text string) (string, bool) {
	_, err := netip.ParseAddr(text)
	return text, err == nil || hostNamePattern.MatchString(text)
}

var clusterNamePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$`)

func clusterName(text string) (string, bool) { return text, clusterNamePattern.MatchString(text) }

func hostPort(text string) (string, bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	_, ok := hostName(host)
	return text, err == nil && (ok || host == "")
}

var digitsPattern = regexp.MustCompile(`^[0-9]{1,32}$`)

func digits(text string) (string, bool) { return text, digitsPattern.MatchString(text) }

var graphVersionPattern = regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,2}$`)

func graphVersion(text string) (string, bool) { return text, graphVersionPattern.MatchString(text) }

func logLevel(text string) (slog.Level, bool) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[text]
	return level, ok
}

// email takes a bare address: it is what the administrator types at the login.
func email(text string) (string, bool) {
	address, err := mail.ParseAddress(text)
	return text, err == nil && address.Address == text
}
