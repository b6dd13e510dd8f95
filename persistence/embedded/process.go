package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// drainDelay is how long the end of a child waits for the rest of its log,
// which its own children may hold open.
const drainDelay = 2 * time.Second

// process is a child: postgres or initdb.
type process struct {
	os     *os.Process
	log    *serverLog
	exited chan struct{}
	err    error // after exited
}

// startProcess runs cmd, whose output goes to logger.
func startProcess(cmd *exec.Cmd, logger *slog.Logger) (*process, error) {
	p := &process{log: &serverLog{logger: logger}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = drainDelay
	started := make(chan error)
	go func() {
		// The death signal comes when the thread that forked ends, not the
		// process: this goroutine keeps its thread as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(p.exited)
		p.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		if errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("%w (the user it runs as must be able to reach and execute it)", err)
		}
		return nil, err
	}
	p.os = cmd.Process
	return p, nil
}

// signal reaches the child unless it has ended already.
func (p *process) signal(signal syscall.Signal) {
	if err := p.os.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.log.logger.Error("signal PostgreSQL", "signal", signal, "error", err)
	}
}

// end stops a child that didn't come up.
func (p *process) end() {
	p.signal(syscall.SIGQUIT)
	select {
	case <-p.exited:
	case <-time.After(immediateStop):
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
}

// failure says how the child ended, with the last it said. Call it after exited.
func (p *process) failure() error {
	state := "exit status 0"
	if p.err != nil {
		state = p.err.Error()
	}
	tail := p.log.tail()
	err := fmt.Errorf("it ended (%s); its last words: %s", state, tail)
	if strings.Contains(tail, "could not create any TCP/IP sockets") {
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return err
}
