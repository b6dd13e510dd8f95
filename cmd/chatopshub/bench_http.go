package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"
)

// answerTimeout is how long a load generator waits for an answer.
const answerTimeout = 30 * time.Second

// maxAnswer bounds an answer that a load generator reads.
const maxAnswer = 4 << 20

// rawClient is one keep-alive HTTP connection. Load generators share the machine
// with what they measure, and net/http's client takes more of it than our server
// does; so this one sends requests that are ready as bytes, and reads no more of
// an answer than where it ends and its status. It sends nothing before it has the
// answer to what it sent.
type rawClient struct {
	base   *url.URL
	conn   net.Conn // nil: to be dialled
	buffer []byte
	body   []byte // of the last answer, in buffer; chunks and all where it has no length
}

// newRawClient is a client of the server at an http or https address. It
// connects when it has something to send.
func newRawClient(base *url.URL) *rawClient {
	return &rawClient{base: base, buffer: make([]byte, 8<<10)}
}

func (c *rawClient) close() {
	if c.conn != nil {
		_ = c.conn.Close() // it has its answers
		c.conn = nil
	}
}

// dialHost opens a connection to the host of an address, with TLS where it is https.
func dialHost(ctx context.Context, base *url.URL) (net.Conn, error) {
	host, secure := base.Host, base.Scheme == "https"
	if base.Port() == "" {
		host = net.JoinHostPort(base.Hostname(), map[bool]string{false: "80", true: "443"}[secure])
	}
	var dialer net.Dialer
	if !secure {
		return dialer.DialContext(ctx, "tcp", host)
	}
	return (&tls.Dialer{NetDialer: &dialer}).DialContext(ctx, "tcp", host)
}

// do sends a request and reads the answer. After an error the connection is made
// anew with the next request.
func (c *rawClient) do(ctx context.Context, request []byte) (status int, err error) {
	if c.conn == nil {
		if c.conn, err = dialHost(ctx, c.base); err != nil {
			c.conn = nil // and no nil inside an interface
			return 0, fmt.Errorf("connect: %w", err)
		}
	}
	status, err = c.exchange(request)
	if err != nil {
		c.close()
	}
	return status, err
}

func (c *rawClient) exchange(request []byte) (int, error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, fmt.Errorf("set a deadline: %w", err)
	}
	if _, err := c.conn.Write(request); err != nil {
		return 0, fmt.Errorf("send request: %w", err)
	}
	for filled := 0; ; {
		if filled == len(c.buffer) {
			if filled >= maxAnswer {
				return 0, errors.New("an answer is too long")
			}
			c.buffer = append(c.buffer, make([]byte, filled)...)
		}
		n, err := c.conn.Read(c.buffer[filled:])
		if err != nil {
			return 0, fmt.Errorf("read answer: %w", err)
		}
		filled += n
		head, rest, whole := bytes.Cut(c.buffer[:filled], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		if whole, err = isWhole(head, rest); err != nil {
			return 0, err
		}
		if whole {
			c.body = rest
			return strconv.Atoi(string(head[len("HTTP/1.1 "):len("HTTP/1.1 200")]))
		}
	}
}

// isWhole reports whether rest is all of the body that head announces.
func isWhole(head, rest []byte) (bool, error) {
	if len(head) < len("HTTP/1.1 200") {
		return false, fmt.Errorf("no answer of HTTP: %q", head)
	}
	if bytes.Contains(head, []byte("\r\nTransfer-Encoding: chunked")) {
		// JSON has no line ends of its own: the last chunk is found by its form.
		return bytes.HasSuffix(rest, []byte("0\r\n\r\n")), nil
	}
	_, value, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok {
		if bytes.HasPrefix(head, []byte("HTTP/1.1 204")) {
			return true, nil
		}
		return false, fmt.Errorf("an answer of no declared length: %q", head)
	}
	value, _, _ = bytes.Cut(value, []byte("\r\n"))
	length, err := strconv.Atoi(string(value))
	return len(rest) >= length, err
}

// rawRequest is a POST as bytes. Headers are lines without their end.
func rawRequest(path string, body []byte, headers ...string) []byte {
	return rawCall("POST", path, body, headers...)
}

func rawCall(method, path string, body []byte, headers ...string) []byte {
	request := fmt.Appendf(make([]byte, 0, 512+len(body)), "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", method, path, len(body))
	for _, header := range headers {
		request = append(append(request, header...), "\r\n"...)
	}
	return append(append(request, "\r\n"...), body...)
}

func bearer(token string) string { return "Authorization: Bearer " + token }
