// Command chatopshub is the realtime engine of a contact centre's shared inbox:
// the server, and the tools around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// command is a subcommand.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, env environment, args []string) error
}

// environment is what a command sees of the world.
type environment struct {
	stdin          io.Reader // nil: there is none
	stdout, stderr io.Writer
	environ        []string // NAME=value
}

func commands() []command {
	return []command{
		{"serve", "run the server (the default)", serve},
		{"migrate", "bring the database's schema up, down, or show where it is", migrate},
		{"org", "create an organization with its first administrator", organization},
		{"dead-letters", "see what webhooks brought and nothing could take, and try it again", deadLetters},
		{"doctor", "check that everything is set up, and say what to do", doctor},
		{"reseal", "seal channels' secrets with the current AUTH_SECRET", reseal},
		{"seed", "create the first organization and its administrator", seed},
		{"simulate", "play customers on WhatsApp and Messenger against a running server", simulate},
		{"cluster", "start three nodes on this machine, or make what a cluster needs", clusterCommand},
		{"bench", "measure a server under load, print, draw and write down what it can do", runBench},
		{"report", "print and draw the figures of an organization or an agent", reportFigures},
		{"version", "print the version", version},
	}
}

// usageError is a call that was made wrong: exit code 2.
type usageError struct{ problem string }

func (e *usageError) Error() string { return e.problem }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	os.Exit(execute(ctx, env, os.Args[1:]))
}

// execute runs the command that args name and returns the exit code.
func execute(ctx context.Context, env environment, args []string) int {
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	} else if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
		name = "help"
	}
	if name == "help" {
		usage(env.stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == name {
			return exitCode(env, c.run(ctx, env, args))
		}
	}
	fmt.Fprintf(env.stderr, "chatopshub: unknown command %q\n\n", name)
	usage(env.stderr)
	return exitUsage
}

func exitCode(env environment, err error) int {
	var usage *usageError
	var config *configError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.As(err, &config):
		fmt.Fprintln(env.stderr, err)
		return exitUsage
	}
	fmt.Fprintln(env.stderr, "chatopshub:", err)
	return exitFailure
}

func usage(w io.Writer) {
	fmt.Fprint(w, "chatopshub: the realtime engine of a shared inbox\n\nUsage: chatopshub [command] [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-12s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n\"chatopshub command --help\" tells more. Configuration comes from the environment and .env: see .env.example.\n")
}
