package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// child is a process that we run beside others.
type child struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // after ended
}

// startChild starts a process whose errors and log go to lines.
func startChild(name string, cmd *exec.Cmd, lines io.Writer) (*child, error) {
	c := &child{name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr, cmd.SysProcAttr, cmd.WaitDelay = lines, childAttributes(), 2*time.Second
	started := make(chan error)
	go func() {
		// The kernel's signal at our death comes when the thread ends that forked:
		// this goroutine keeps its thread as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

// stop asks the process to end and waits for it; when ctx ends, it is killed.
func (c *child) stop(ctx context.Context) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", c.name, err)
	}
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.ended
	return fmt.Errorf("%s didn't end and was killed", c.name)
}

// howItEnded is for people. Call it after ended.
func (c *child) howItEnded() string {
	if c.err == nil {
		return "exit status 0"
	}
	return c.err.Error()
}

// console is where several processes talk, line by line, each with its name.
type console struct {
	mu sync.Mutex
	w  io.Writer
}

// of is the console for one that talks under that name.
func (c *console) of(name string) io.Writer { return &speaker{console: c, name: name} }

// lineMax bounds a line that never ends, in bytes; the rest is another line.
const lineMax = 64 << 10

type speaker struct {
	console *console
	name    string
	partial []byte
}

// Write is io.Writer for one goroutine.
func (s *speaker) Write(output []byte) (int, error) {
	s.partial = append(s.partial, output...)
	for {
		line, rest, whole := bytes.Cut(s.partial, []byte("\n"))
		if !whole {
			if len(line) < lineMax {
				return len(output), nil
			}
			rest = nil
		}
		s.console.say(s.name, line)
		s.partial = rest
	}
}

func (c *console) say(name string, line []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.w, "%-8s | %s\n", name, line)
}
