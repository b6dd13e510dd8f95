package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	servingStart = time.Minute
	servingStop  = 40 * time.Second // more than a server's default SHUTDOWN_TIMEOUT
)

// listeningAt finds in a server's welcome where it listens.
var listeningAt = regexp.MustCompile(`REST API +(http://\S+)/api`)

// serving is another process of this program that listens.
type serving struct {
	*child
	stdin io.Closer
	url   string
}

// servingConfig says what to run.
type servingConfig struct {
	executable string
	args       []string
	dir        string // where it runs; empty: here
	environ    []string
	input      []byte    // the beginning of its input, which stays open
	log        io.Writer // gets what it complains of
}

// startServing runs the program and returns when it has said where it listens.
func startServing(ctx context.Context, cfg servingConfig) (*serving, error) {
	name, said := cfg.args[0], &welcomed{url: make(chan string, 1)}
	cmd := exec.Command(cfg.executable, cfg.args...)
	cmd.Dir, cmd.Env, cmd.Stdout = cfg.dir, cfg.environ, said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	s := &serving{stdin: stdin}
	if s.child, err = startChild(name, cmd, cfg.log); err != nil {
		return nil, err
	}
	if _, err := stdin.Write(cfg.input); err != nil {
		return nil, errors.Join(fmt.Errorf("tell %s what to do: %w", name, err), s.end())
	}
	started := time.NewTimer(servingStart)
	defer started.Stop()
	select {
	case s.url = <-said.url:
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("%s ended before it listened (%s): its log tells why", name, s.howItEnded())
	case <-started.C:
		err = fmt.Errorf("%s didn't listen within %s", name, servingStart)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, s.end())
}

// end asks the process to end, and kills it where it doesn't.
func (s *serving) end() error {
	_ = s.stdin.Close() // who reads it ends by that
	ctx, cancel := context.WithTimeout(context.Background(), servingStop)
	defer cancel()
	return s.stop(ctx)
}

// welcomed reads what a server says at its start.
type welcomed struct {
	once sync.Once
	text []byte
	url  chan string
}

// maxWelcome bounds what is kept of it.
const maxWelcome = 64 << 10

// Write is io.Writer for one goroutine.
func (w *welcomed) Write(output []byte) (int, error) {
	if len(w.text) < maxWelcome {
		w.text = append(w.text, output...)
	}
	if m := listeningAt.FindSubmatch(w.text); m != nil {
		w.once.Do(func() { w.url <- string(bytes.Clone(m[1])) })
	}
	return len(output), nil
}

// inherited is the part of our environment that a child needs: where programs
// and temporary files are, and how Go's runtime was tuned. Nothing of a
// configuration that isn't meant for it comes along.
func inherited(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "PATH", "HOME", "TMPDIR", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG":
			kept = append(kept, variable)
		}
	}
	return kept
}
