package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"strings"
	"time"
)

//go:embed haproxy.cfg
var balancerConfig string

// clusterCommand starts a cluster on this machine, or makes what one elsewhere
// needs.
func clusterCommand(ctx context.Context, env environment, args []string) error {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "certs":
			return clusterCerts(env, args[1:])
		case "haproxy":
			return clusterBalancer(env, args[1:])
		}
		return &usageError{fmt.Sprintf("chatopshub cluster: got %q, takes nothing (a cluster on this machine), certs or haproxy", args[0])}
	}
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), `Usage: chatopshub cluster                       three nodes on this machine, until Ctrl-C
       chatopshub cluster certs [--help] FOLDER  certificates for the nodes of a cluster
       chatopshub cluster haproxy                print a configuration for HAProxy

The cluster on this machine has a private PostgreSQL (or DATABASE_URL), a Valkey or Redis
of its own (or VALKEY_URL), mutual TLS between its nodes, and HAProxy before them on PORT.
The nodes listen on PORT+1 to PORT+3 and on free ports. Everything else is configured
as for a single server: see .env.example.
`)
	}
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	return localCluster(ctx, env)
}

func clusterCerts(env environment, args []string) error {
	var name string
	var renew bool
	flags := flag.NewFlagSet("cluster certs", flag.ContinueOnError)
	flags.StringVar(&name, "name", "chatopshub", "the cluster's name, as in CLUSTER_NAME")
	flags.BoolVar(&renew, "renew", false, "make a new certificate for the nodes, even if there is a good one")
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if flags.NArg() != 1 {
		return &usageError{"chatopshub cluster certs: takes one folder, such as ./certs"}
	}
	if _, ok := clusterName(name); !ok {
		return &usageError{fmt.Sprintf("chatopshub cluster certs: --name: got %s, takes 1 to 64 letters, digits, dots and hyphens", quote(name))}
	}
	certs := certificates{flags.Arg(0)}
	until, fresh, err := certs.make(name, renew, time.Now())
	if err != nil {
		return err
	}
	did := "is good"
	if fresh {
		did = "was made; it is good"
	}
	fmt.Fprintf(env.stdout, "the certificate of the nodes of %q %s until %s\n\n", name, did, until.Format(time.DateOnly))
	for _, variable := range certs.environ() {
		fmt.Fprintln(env.stdout, variable)
	}
	fmt.Fprintf(env.stdout, "\n%s signs further ones: no node needs it, keep it elsewhere\n", certs.authorityKey())
	return nil
}

func clusterBalancer(env environment, args []string) error {
	flags := flag.NewFlagSet("cluster haproxy", flag.ContinueOnError)
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Sprintf("chatopshub cluster haproxy: unknown argument %q", flags.Arg(0))}
	}
	_, err := fmt.Fprint(env.stdout, balancerConfig)
	return err
}
