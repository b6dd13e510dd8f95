package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clients are keep-alive HTTP connections to one server. They share the
// machine with what they measure, and net/http's client takes more of it than
// our server does; so they send requests that are ready as bytes, and read no
// more of an answer than where it ends and its status.
type clients []*rawClient

// rawClient is one connection. It sends nothing before it has the answer to
// what it sent.
type rawClient struct {
	conn   net.Conn
	buffer []byte
	body   []byte // of the last answer, in buffer
}

// dialClients opens n connections to a server's URL, which end with the
// benchmark.
func dialClients(b *testing.B, url string, n int) clients {
	b.Helper()
	all := make(clients, n)
	for i := range all {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, conn.Close()) })
		all[i] = &rawClient{conn: conn, buffer: make([]byte, 8<<10)}
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
				statuses[i], errs[n] = client.do(requests[i])
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

// do sends a request and reads the answer, whose length has to be declared.
func (c *rawClient) do(request []byte) (status int, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, fmt.Errorf("send request: %w", err)
	}
	filled := 0
	for {
		n, err := c.conn.Read(c.buffer[filled:])
		if err != nil {
			return 0, fmt.Errorf("read answer after %q: %w", c.buffer[:filled], err)
		}
		filled += n
		head, rest, whole := bytes.Cut(c.buffer[:filled], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		length, err := contentLength(head)
		if err != nil {
			return 0, err
		}
		if len(rest) >= length {
			c.body = rest
			return strconv.Atoi(string(head[len("HTTP/1.1 "):len("HTTP/1.1 200")]))
		}
	}
}

func contentLength(head []byte) (int, error) {
	_, value, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok {
		return 0, fmt.Errorf("an answer of no declared length: %q", head)
	}
	value, _, _ = bytes.Cut(value, []byte("\r\n"))
	return strconv.Atoi(string(value))
}

// rawRequest is a request as bytes. Headers are lines without their end.
func rawRequest(path string, body []byte, headers ...string) []byte {
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", path, len(body))
	for _, header := range headers {
		request = append(append(request, header...), "\r\n"...)
	}
	return append(append(request, "\r\n"...), body...)
}
