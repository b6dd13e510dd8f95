package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// localNodes is how many nodes a cluster on this machine has, and the balancer's
// configuration names.
const localNodes = 3

const (
	// startPatience is how long a part may take until it answers: the first start
	// makes a database, and three nodes share its processors.
	startPatience = 90 * time.Second
	askAgain      = 50 * time.Millisecond
)

// machineCluster is a cluster on this machine: its own processes, each real.
type machineCluster struct {
	cfg      Config
	env      environment
	console  *console
	public   string // host:port of the balancer
	certs    certificates
	database string // URL
	valkey   string // URL
	nodes    []*machineNode
	others   []*child // Valkey and the balancer
	closers  []closer // in the order of starting
}

// machineNode is a node of a cluster on this machine.
type machineNode struct {
	*child
	http, operators, peers string // host:port
}

// localCluster runs a cluster until ctx ends, then ends one node after the other.
func localCluster(ctx context.Context, env environment) error {
	c, err := newMachineCluster(env)
	if err != nil {
		return err
	}
	if err := c.start(ctx); err != nil {
		return errors.Join(err, c.close())
	}
	c.welcome()
	return errors.Join(c.watch(ctx), c.close())
}

func newMachineCluster(env environment) (*machineCluster, error) {
	cfg, warnings, err := loadConfig(env.environ, ".env")
	switch {
	case err != nil:
		return nil, err
	case cfg.Env != Development:
		return nil, &usageError{"chatopshub cluster: takes APP_ENV=development; for production see docs/operations.md"}
	case cfg.Cluster.Addr != "":
		return nil, &usageError{"chatopshub cluster: takes no CLUSTER_ADDR: each of its nodes gets its own"}
	case cfg.HTTP.Port > 65535-localNodes:
		return nil, &usageError{fmt.Sprintf("chatopshub cluster: PORT: got %d, takes at most %d: the nodes take the next ones", cfg.HTTP.Port, 65535-localNodes)}
	}
	c := &machineCluster{cfg: cfg, env: env, console: &console{w: env.stderr}, certs: certificates{filepath.Join(cfg.DataDir, "cluster")}}
	for _, w := range warnings {
		c.console.say("cluster", []byte(w))
	}
	if _, err := c.cfg.keepSecrets(); err != nil {
		return nil, err
	}
	return c, nil
}

// start starts everything, in the order in which it is needed.
func (c *machineCluster) start(ctx context.Context) error {
	balancer, err := findProgram("haproxy", "haproxy", "haproxy")
	if err != nil {
		return err
	}
	c.public = net.JoinHostPort(c.cfg.HTTP.Host, strconv.Itoa(c.cfg.HTTP.Port))
	if c.cfg.HTTP.Port == 0 {
		if c.public, err = freeAddr(0); err != nil {
			return err
		}
	}
	if _, _, err := c.certs.make(c.cfg.Cluster.Name, false, time.Now()); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{c.startDatabase, c.startValkey, c.startNodes} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return c.startBalancer(ctx, balancer)
}

// findProgram is the first of the named programs that this machine has.
func findProgram(debian, homebrew string, names ...string) (string, error) {
	for _, name := range names {
		// Debian has servers in folders that an ordinary user's PATH doesn't name.
		for _, folder := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
			if path, err := exec.LookPath(folder + name); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s is needed (Debian: apt-get install %s; macOS: brew install %s)", names[0], debian, homebrew)
}

func (c *machineCluster) startDatabase(ctx context.Context) error {
	c.database = string(c.cfg.Database.URL)
	if c.database != "" {
		return nil
	}
	postgres, err := startPostgres(ctx, c.cfg, newLogger(c.console.of("postgres"), c.cfg.Log))
	if err != nil {
		return err
	}
	c.closers = append(c.closers, closer{"postgresql", postgres.Stop})
	c.database = postgres.URL()
	return nil
}

func (c *machineCluster) startValkey(ctx context.Context) error {
	c.valkey = string(c.cfg.ValkeyURL)
	if c.valkey != "" {
		return nil
	}
	program, err := findProgram("valkey-server, or redis-server", "valkey", "valkey-server", "redis-server")
	if err != nil {
		return err
	}
	addr, err := freeAddr(0)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	// Nothing that must survive lives in Valkey, so it keeps nothing.
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--loglevel", "warning")
	cmd.Dir, cmd.Stdout = c.certs.folder, c.console.of("valkey") // it logs there
	valkey, err := c.run("valkey", cmd)
	if err != nil {
		return err
	}
	c.others = append(c.others, valkey)
	c.valkey = "redis://" + addr + "/0"
	link, err := newValkeyLink(c.valkey)
	if err != nil {
		return err
	}
	return errors.Join(valkey.await(ctx, link.ping), link.close(ctx))
}

// startNodes starts all nodes at once and waits until they are ready.
func (c *machineCluster) startNodes(ctx context.Context) error {
	own, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program to start: %w", err)
	}
	c.closers = append(c.closers, closer{"nodes", c.stopNodes})
	for i := range localNodes {
		n, err := c.newNode(i)
		if err != nil {
			return err
		}
		cmd := exec.Command(own, "serve")
		cmd.Env = append(slices.Clone(c.env.environ), c.environOf(n)...)
		if n.child, err = startChild(fmt.Sprint("node", i+1), cmd, c.console.of(fmt.Sprint("node", i+1))); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := n.await(ctx, n.ready); err != nil {
			return err
		}
	}
	return nil
}

// newNode finds the addresses of the ith node.
func (c *machineCluster) newNode(i int) (*machineNode, error) {
	fixed := 0
	if c.cfg.HTTP.Port != 0 {
		fixed = c.cfg.HTTP.Port + 1 + i
	}
	n := &machineNode{}
	for _, addr := range []struct {
		at   *string
		port int
	}{{&n.http, fixed}, {&n.operators, 0}, {&n.peers, 0}} {
		var err error
		if *addr.at, err = freeAddr(addr.port); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// freeAddr is a loopback address with that port, or with a free one where it is
// 0. Another program could take the port before ours does; then ours says so.
func freeAddr(port int) (string, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", fmt.Errorf("find an address for a node: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// environOf is what one node is told on top of what we were.
func (c *machineCluster) environOf(n *machineNode) []string {
	host, port, _ := net.SplitHostPort(n.http) // we made it
	return append(c.certs.environ(),
		"HOST="+host, "PORT="+port, "METRICS_ADDR="+n.operators, "DATA_DIR="+c.cfg.DataDir,
		"DATABASE_URL="+c.database, "VALKEY_URL="+c.valkey, "AUTH_SECRET="+string(c.cfg.Auth.Secret),
		"AUTH_URL="+c.url(), "TRUSTED_PROXIES=127.0.0.0/8",
		"CLUSTER_NAME="+c.cfg.Cluster.Name, "CLUSTER_ADDR="+n.peers, "CLUSTER_ADVERTISE_ADDR=",
	)
}

func (c *machineCluster) startBalancer(ctx context.Context, program string) error {
	path := filepath.Join(c.certs.folder, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(balancerConfig), 0o600); err != nil {
		return fmt.Errorf("write the balancer's configuration: %w", err)
	}
	cmd := exec.Command(program, "-db", "-f", path)
	cmd.Stdout = c.console.of("haproxy")
	cmd.Env = append(slices.Clone(c.env.environ), "LISTEN="+c.public)
	for i, n := range c.nodes {
		cmd.Env = append(cmd.Env, fmt.Sprintf("NODE%d=%s", i+1, n.http))
	}
	balancer, err := startChild("haproxy", cmd, c.console.of("haproxy"))
	if err != nil {
		return err
	}
	c.others = append(c.others, balancer)
	// It ends after the nodes: while they go, it leads clients to those that stay.
	c.closers = slices.Insert(c.closers, len(c.closers)-1, closer{"haproxy", balancer.stop})
	return balancer.await(ctx, func(ctx context.Context) error { return isOK(ctx, c.url()+"/readyz") })
}

// run starts a child that ends when all that was started later has ended.
func (c *machineCluster) run(name string, cmd *exec.Cmd) (*child, error) {
	started, err := startChild(name, cmd, c.console.of(name))
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, closer{name, started.stop})
	return started, nil
}

// await returns when the child does what works asks of it, or can't any more.
func (c *child) await(ctx context.Context, works func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := works(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s has ended: %s", c.name, c.howItEnded())
		case <-ctx.Done():
			return fmt.Errorf("%s isn't ready: %w", c.name, cmp.Or(err, ctx.Err()))
		case <-time.After(askAgain):
		}
	}
}

func (n *machineNode) ready(ctx context.Context) error {
	return isOK(ctx, "http://"+n.http+"/readyz")
}

// isOK is nil when the URL is answered with 200.
func isOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}
