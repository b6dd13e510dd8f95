package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTheNewcomersMinute does what the README tells a newcomer: starts the
// program with nothing configured, on its own PostgreSQL, lets customers write,
// and has an unmodified socket.io-client take their conversations.
func TestTheNewcomersMinute(t *testing.T) {
	t.Parallel()
	examples := filepath.Join("..", "..", "docs", "examples")
	require.DirExists(t, filepath.Join(examples, "node_modules"), "the example's packages are missing: run `npm ci` in docs/examples, or `make test`")
	s := startProcess(t)
	require.Equal(t, 0, strings.Count(s.stderr.String(), "level=ERROR"), s.stderr)

	agent := startCommand(t, examples, []string{"SERVER=" + s.url}, "node", "agent.mjs")
	agent.await(t, "connected as ")
	customers := startCommand(t, s.cmd.Dir, append(s.cmd.Env, "AUTH_URL="+s.url), s.cmd.Path,
		"simulate", "--customers", "6", "--rate", "20", "--duration", "4s")
	agent.await(t, "conversation.created {")
	agent.await(t, "took ")
	agent.await(t, "message.created {")
	agent.await(t, "assignment.changed {")
	customers.await(t, "answers: 200 × ")
	customers.exits(t, 0)
	require.NotContains(t, customers.out.String(), "503")
	require.NoError(t, agent.cmd.Process.Signal(syscall.SIGINT))
	agent.exits(t, 0)
	require.Zero(t, s.terminate(), s.stderr.String())
}

// runningCommand is a program that runs beside the server.
type runningCommand struct {
	cmd    *exec.Cmd
	out    *lockedBuffer
	exited chan struct{}
}

func startCommand(t *testing.T, dir string, environ []string, name string, args ...string) *runningCommand {
	t.Helper()
	r := &runningCommand{cmd: exec.Command(name, args...), out: &lockedBuffer{}, exited: make(chan struct{})}
	r.cmd.Dir, r.cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, environ...)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	require.NoError(t, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait() // exits reads the state
		close(r.exited)
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may be gone already
		<-r.exited
	})
	return r
}

func (r *runningCommand) await(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(r.out.String(), text) }, time.Minute, 20*time.Millisecond,
		"%q never came; what did:\n%s", text, r.out)
}

func (r *runningCommand) exits(t *testing.T, code int) {
	t.Helper()
	select {
	case <-r.exited:
	case <-time.After(time.Minute):
		require.FailNow(t, "it doesn't end", r.out.String())
	}
	require.Equal(t, code, r.cmd.ProcessState.ExitCode(), r.out.String())
}

// TestCommands: what the command line answers to what is typed.
func TestCommands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, exitOK, "simulate"},
		{[]string{"help"}, exitOK, "migrate"},
		{[]string{"version"}, exitOK, "chatopshub"},
		{[]string{"serve", "--help"}, exitOK, ""},
		{[]string{"simulate", "--help"}, exitOK, "-customers"},
		{[]string{"frobnicate"}, exitUsage, `unknown command "frobnicate"`},
		{[]string{"serve", "now"}, exitUsage, `unknown argument "now"`},
		{[]string{"simulate", "--rate", "fast"}, exitUsage, "-rate"},
		{[]string{"simulate", "--rate", "-1"}, exitUsage, "--rate takes"},
		{[]string{"simulate", "--provider", "telegram"}, exitUsage, "--provider takes"},
		{[]string{"simulate", "--duration", "0s"}, exitUsage, "--duration takes"},
		{[]string{"simulate", "--serve", "--url", "http://localhost:1"}, exitUsage, "leave it out"},
		{[]string{"simulate", "--faults", "drop=0.1"}, exitUsage, "--graph-addr"},
		{[]string{"simulate", "--serve", "--faults", "drop=2"}, exitUsage, "drop takes a share"},
		{[]string{"migrate"}, exitUsage, "up, down, status"},
		{[]string{"migrate", "sideways"}, exitUsage, "up, down, status"},
	} {
		var stdout, stderr lockedBuffer
		code := execute(t.Context(), environment{stdout: &stdout, stderr: &stderr}, c.args)
		require.Equal(t, c.code, code, c.args)
		require.Contains(t, stdout.String()+stderr.String(), c.says, c.args)
	}
}
