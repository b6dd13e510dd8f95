package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	childStart = time.Minute
	childStop  = 40 * time.Second // more than a server's default SHUTDOWN_TIMEOUT
)

// listeningAt finds in a server's welcome where it listens.
var listeningAt = regexp.MustCompile(`REST API +(http://\S+)/api`)

// child is another process of this program.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	url    string
	exited chan struct{}
	err    error // of its end, after exited
}

// childConfig says what to run.
type childConfig struct {
	executable string
	args       []string
	dir        string // where it runs; empty: here
	environ    []string
	input      []byte    // the beginning of its input, which stays open
	log        io.Writer // gets what it complains of
}

// startChild runs the program and returns when it has said where it listens.
func startChild(ctx context.Context, cfg childConfig) (*child, error) {
	c := &child{cmd: exec.Command(cfg.executable, cfg.args...), exited: make(chan struct{})}
	c.cmd.Dir, c.cmd.Env, c.cmd.Stderr = cfg.dir, cfg.environ, cfg.log
	name := cfg.args[0]
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	said := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if m := listeningAt.FindStringSubmatch(lines.Text()); m != nil && len(said) == 0 {
				said <- m[1]
			}
		}
		c.err = c.cmd.Wait() // when all of its output is read
		close(c.exited)
	}()
	if _, err := c.stdin.Write(cfg.input); err != nil {
		return nil, errors.Join(fmt.Errorf("tell %s what to do: %w", name, err), c.stop())
	}
	started := time.NewTimer(childStart)
	defer started.Stop()
	select {
	case c.url = <-said:
		return c, nil
	case <-c.exited:
		return nil, fmt.Errorf("%s ended before it listened: %w", name, errors.Join(c.err, errors.New("its log tells why")))
	case <-started.C:
		err = fmt.Errorf("%s didn't listen within %s", name, childStart)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, c.stop())
}

// stop asks the process to end, and ends it where it doesn't.
func (c *child) stop() error {
	_ = c.stdin.Close() // who reads it ends by that
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.cmd.Args[1], err)
	}
	patience := time.NewTimer(childStop)
	defer patience.Stop()
	select {
	case <-c.exited:
		return c.err
	case <-patience.C:
		_ = c.cmd.Process.Kill() // it may be gone at last
		<-c.exited
		return fmt.Errorf("%s didn't stop within %s and was killed", c.cmd.Args[1], childStop)
	}
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
