package main

import (
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// clients are connections to one server.
type clients []*rawClient

// dialClients makes n clients of a server's URL, which end with the benchmark.
func dialClients(b *testing.B, address string, n int) clients {
	b.Helper()
	base, err := url.Parse(address)
	require.NoError(b, err)
	all := make(clients, n)
	for i := range all {
		all[i] = newRawClient(base)
		all[i].conn, err = dialHost(b.Context(), base)
		require.NoError(b, err)
		b.Cleanup(all[i].close)
	}
	return all
}

// drive sends the requests, each as soon as a client is free, and returns the
// status of each answer and how long all of them took.
func (c clients) drive(b *testing.B, requests [][]byte) ([]int, time.Duration) {
	b.Helper()
	statuses := make([]int, len(requests))
	errs := make([]error, len(c))
	var next atomic.Int64
	var running sync.WaitGroup
	begun := time.Now()
	for n, client := range c {
		running.Go(func() {
			for errs[n] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				statuses[i], errs[n] = client.do(b.Context(), requests[i])
			}
		})
	}
	running.Wait()
	took := time.Since(begun)
	require.NoError(b, errors.Join(errs...))
	return statuses, took
}

// expect drives the requests and fails unless all are answered with status.
func (c clients) expect(b *testing.B, status int, requests [][]byte) time.Duration {
	b.Helper()
	statuses, took := c.drive(b, requests)
	for _, s := range statuses {
		require.Equal(b, status, s)
	}
	return took
}

// newBareDatabase is a bare database that ends with the benchmark.
func newBareDatabase(b *testing.B, db *persistencetest.Database) *bareDatabase {
	b.Helper()
	d, err := openBareDatabase(b.Context(), db.URL)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.close()) })
	return d
}

// storeRows is how long the bare database takes for so many rows.
func storeRows(b *testing.B, d *bareDatabase, rows int, of transaction) time.Duration {
	b.Helper()
	stored, took, err := d.store(b.Context(), rows, of)
	require.NoError(b, err)
	require.Equal(b, rows, stored)
	return took
}
