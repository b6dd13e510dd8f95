package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/cluster"
	"github.com/chatopshub/chatopshub/transport/rest"
)

// clusterPart is this node's part in a cluster.
type clusterPart struct {
	member  *cluster.Member
	remote  *cluster.Remote
	pages   *clusterPages
	leaving atomic.Bool
	joined  chan struct{}
}

const (
	// drainLeast is how long a node that leaves goes on to serve at least: the
	// other nodes learn of it within a second, and balancers from /readyz.
	drainLeast = 2 * time.Second
	// drainMost is how long it waits for what it owned to have moved.
	drainMost = 10 * time.Second
)

// openCluster has what makes this node one of several. It doesn't join yet, and
// it leaves after everything else has ended.
func (p *program) openCluster(ctx context.Context) error {
	cfg := p.cfg.Cluster
	if cfg.Addr == "" {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("CLUSTER_ADDR: listen on %s: %w", cfg.Addr, err)
	}
	c := &clusterPart{joined: make(chan struct{})}
	self := cluster.Node{Name: p.node, Addr: cfg.advertised(listener.Addr())}
	logger := p.logger.With("part", "cluster")
	c.remote, err = cluster.NewRemote(cluster.RemoteConfig{
		Cluster: cfg.Name, Self: self, Listener: listener, TLS: cfg.files(), Codec: actors.Codec{},
		View:       func() *cluster.View { return c.member.View() },
		Refresh:    func(ctx context.Context) error { return c.member.Refresh(ctx) },
		Unreadable: func(err error) { p.actors.system.Unreadable(err) },
		Lease:      cfg.LeaseTTL, Logger: logger, Registerer: p.metrics, Now: time.Now,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	p.onClose("links to other nodes", func(context.Context) error { c.remote.Stop().Wait(); return nil })
	c.member, err = cluster.NewMember(cluster.MemberConfig{
		Cluster: cfg.Name, Self: self, Lease: cfg.LeaseTTL, Valkey: p.valkey.client, Peers: c.remote, Logger: logger, Now: time.Now,
	})
	if err != nil {
		return err
	}
	c.member.Watch(c.remote.Follow)
	if err := watchMembership(p.metrics, c.member, time.Now); err != nil {
		return err
	}
	c.pages = &clusterPages{
		member: c.member, peers: peersOf(c.remote), metrics: p.metrics, leaving: &c.leaving, logger: logger, now: time.Now,
	}
	p.cluster = c
	p.onClose("cluster", c.leave)
	p.keep("cluster membership", func(ctx context.Context) error {
		select {
		case <-c.joined:
			return c.member.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	return nil
}

func (c ClusterConfig) files() *cluster.TLSFiles {
	if c.TLSCert == "" {
		return nil
	}
	return &cluster.TLSFiles{Cert: c.TLSCert, Key: c.TLSKey, CA: c.TLSCA}
}

// place makes the actors those of one node among several.
func (c *clusterPart) place(cfg *actors.SystemConfig) {
	if c != nil {
		cfg.Remote, cfg.Placement = c.remote, cluster.Placement{Member: c.member}
	}
}

// joinCluster has other nodes count on this one, now that its actors work.
func (p *program) joinCluster(ctx context.Context) error {
	c := p.cluster
	if c == nil {
		return nil
	}
	if err := c.remote.Serve(); err != nil {
		return err
	}
	if err := c.member.Join(ctx); err != nil {
		return err
	}
	close(c.joined)
	return nil
}

// openDrain makes it the first thing at the end that other nodes take over.
func (p *program) openDrain(context.Context) error {
	if p.cluster != nil {
		p.onClose("drain", p.drain)
	}
	return nil
}

// drain has the other nodes take over what this one owns, while it still
// answers, and balancers send what is new to them.
func (p *program) drain(ctx context.Context) error {
	p.cluster.leaving.Store(true)
	ctx, cancel := context.WithTimeout(ctx, drainMost)
	defer cancel()
	noticed := time.After(drainLeast)
	if err := p.cluster.member.Drain(ctx); err != nil {
		p.logger.Warn("the cluster isn't told that this node leaves: it will notice", "error", err)
	} else if err := p.actors.system.Vacated(ctx); err != nil {
		p.logger.Warn("not everything has moved to other nodes", "error", err)
	}
	select {
	case <-noticed:
	case <-ctx.Done():
	}
	return nil
}

func (c *clusterPart) leave(ctx context.Context) error {
	select {
	case <-c.joined:
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := c.member.Leave(ctx); err != nil {
		c.pages.logger.Warn("the cluster isn't told that this node has left: its lease will run out", "error", err)
	}
	return nil
}

// checks is what a node that takes requests needs beside its database.
func (p *program) checks() []rest.Check {
	checks := []rest.Check{{Name: "postgresql", Ping: p.checkDatabase}, {Name: "valkey", Ping: p.valkey.ping}}
	if p.cluster != nil {
		checks = append(checks, rest.Check{Name: "cluster", Ping: p.cluster.pages.check})
	}
	return checks
}
