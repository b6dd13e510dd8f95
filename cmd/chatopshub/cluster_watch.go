package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/persistence"
)

// url is where clients reach the cluster.
func (c *machineCluster) url() string {
	if c.cfg.HTTP.PublicURL != "" {
		return c.cfg.HTTP.PublicURL
	}
	_, port, _ := net.SplitHostPort(c.public) // we made it
	return "http://localhost:" + port
}

// welcome says where everything is.
func (c *machineCluster) welcome() {
	var b strings.Builder
	fmt.Fprintf(&b, "\nChat OPS Hub %s is ready, as a cluster of %d nodes.\n\n", buildVersion(), len(c.nodes))
	fmt.Fprintf(&b, "  All of it    %s  (HAProxy, %s)\n", c.url(), c.public)
	for _, n := range c.nodes {
		fmt.Fprintf(&b, "  %-12s http://%s  http://%s/cluster  http://%s/metrics  pid %d\n", n.name, n.http, n.operators, n.operators, n.cmd.Process.Pid)
	}
	fmt.Fprintf(&b, "  Certificates %s\n", c.certs.folder)
	if c.cfg.Database.URL == "" {
		fmt.Fprintf(&b, "  PostgreSQL   %s (a shell: make psql)\n", postgresFolder(c.cfg))
	}
	if c.cfg.ValkeyURL == "" {
		fmt.Fprintf(&b, "  Valkey       %s\n", c.valkey)
	}
	fmt.Fprintf(&b, "\n  Administrator %s\n  Agents        %s\n", c.cfg.Seed.AdminEmail, strings.Join(persistence.SeedAgents(), ", "))
	fmt.Fprintf(&b, "  Passwords     %s for the administrator, %s for the agents, unless you have changed them\n",
		showSeedPassword(c.cfg.Seed), persistence.SeedAgentPassword)
	fmt.Fprint(&b, "\n  Kill a node, freeze it (kill -STOP), end it (kill): the others take over. A node that\n"+
		"  has ended isn't started again. Ctrl-C ends one node after the other, then the rest.\n")
	fmt.Fprintln(c.env.stdout, b.String())
}

// watch tells of what ends by itself, until ctx ends or no node is left.
func (c *machineCluster) watch(ctx context.Context) error {
	watched := slices.Clone(c.others)
	for _, n := range c.nodes {
		watched = append(watched, n.child)
	}
	gone := make(chan *child, len(watched))
	for _, w := range watched {
		go func() { // as long as the child
			<-w.ended
			gone <- w
		}()
	}
	for left := len(c.nodes); left > 0; {
		select {
		case <-ctx.Done():
			c.console.say("cluster", []byte("ending one node after the other"))
			return nil
		case w := <-gone:
			c.console.say("cluster", fmt.Appendf(nil, "%s has ended (%s); the others go on, and it isn't started again", w.name, w.howItEnded()))
			if !slices.Contains(c.others, w) {
				left--
			}
		}
	}
	return errors.New("no node is left")
}

// stopNodes ends one node after the other, each within its own time, so that
// clients find another one until the last.
func (c *machineCluster) stopNodes(context.Context) error {
	var errs []error
	for _, n := range c.nodes {
		ctx, cancel := context.WithTimeout(context.Background(), c.cfg.ShutdownTimeout+killAfter)
		errs = append(errs, n.stop(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// killAfter is how much longer than SHUTDOWN_TIMEOUT a node may take.
const killAfter = 5 * time.Second

// close ends everything in reverse order.
func (c *machineCluster) close() error {
	var errs []error
	for _, part := range slices.Backward(c.closers) {
		ctx, cancel := context.WithTimeout(context.Background(), c.cfg.ShutdownTimeout)
		if err := part.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", part.name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}
