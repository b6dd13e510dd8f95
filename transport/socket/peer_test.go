package socket_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lxzan/gws"
)

// transports is how a peer gets its packets.
type transports uint8

const (
	websocketOnly transports = iota
	pollingOnly
	pollingThenWebsocket
)

// peer is a Socket.IO client that does what socket.io-client does: polls or
// upgrades, answers pings, remembers pid and offset, and comes back with them.
// Its connections can be cut under it.
type peer struct {
	url, token string
	kind       transports
	hub        peerEvents

	pid, offset string
	upgrades    atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// peerEvents is what a peer tells.
type peerEvents struct {
	event     func(seq uint64) // an event of the feed
	connected func(recovered bool)
}

func newPeer(url, token string, kind transports, events peerEvents) *peer {
	return &peer{url: url, token: token, kind: kind, hub: events, conns: map[net.Conn]struct{}{}}
}

// cut breaks all its connections.
func (p *peer) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *peer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		p.mu.Lock()
		p.conns[c] = struct{}{}
		p.mu.Unlock()
	}
	return c, err
}

var errPeerClosed = errors.New("closed by the server")

// run is one session, until it ends. The error is its end.
func (p *peer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer p.cut()
	if p.kind == websocketOnly {
		return p.websocket(ctx)
	}
	return p.poll(ctx)
}

// connect is the packet that shows who the client is.
func (p *peer) connect() string {
	auth := map[string]string{"token": p.token}
	if p.pid != "" {
		auth["pid"] = p.pid
		if p.offset != "" {
			auth["offset"] = p.offset
		}
	}
	text, _ := json.Marshal(auth) // strings
	return "40" + string(text)
}

// handle takes one packet and returns what to answer.
func (p *peer) handle(packet string) (answer string, err error) {
	switch {
	case packet == "2":
		return "3", nil
	case packet == "6", packet[0] == '0':
		return "", nil
	case packet == "1":
		return "", errPeerClosed
	case strings.HasPrefix(packet, "40"):
		var reply struct{ SID, PID string }
		if err := json.Unmarshal([]byte(packet[2:]), &reply); err != nil {
			return "", err
		}
		recovered := p.pid != "" && p.pid == reply.PID
		p.pid = reply.PID
		p.hub.connected(recovered)
		return "", nil
	case strings.HasPrefix(packet, "42"):
		var event []json.RawMessage
		if err := json.Unmarshal([]byte(packet[2:]), &event); err != nil {
			return "", err
		}
		if len(event) != 3 {
			return "", nil // not numbered
		}
		if err := json.Unmarshal(event[2], &p.offset); err != nil {
			return "", err
		}
		var seq uint64
		if _, err := fmt.Sscanf(p.offset[strings.IndexByte(p.offset, ':')+1:], "%d", &seq); err != nil {
			return "", err
		}
		p.hub.event(seq)
		return "", nil
	}
	return "", fmt.Errorf("unexpected packet %q", packet)
}

// textHandler hands the texts of a WebSocket on.
type textHandler struct {
	gws.BuiltinEventHandler
	text func(string)
}

func (h *textHandler) OnMessage(_ *gws.Conn, m *gws.Message) { h.text(string(m.Bytes())) }

func (p *peer) open(query string, h *textHandler) (*gws.Conn, error) {
	ws, response, err := gws.NewClient(h, &gws.ClientOption{
		Addr: "ws" + strings.TrimPrefix(p.url, "http") + "/socket.io/?EIO=4&transport=websocket" + query, NewDialer: func() (gws.Dialer, error) { return peerDialer{p}, nil },
	})
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
	return ws, err
}

type peerDialer struct{ *peer }

func (d peerDialer) Dial(network, addr string) (net.Conn, error) {
	return d.dial(context.Background(), network, addr)
}

func (p *peer) websocket(ctx context.Context) error {
	var ws *gws.Conn
	var failed error
	h := &textHandler{}
	h.text = func(text string) {
		answer, err := p.handle(text)
		if err == nil && answer != "" {
			err = ws.WriteString(answer)
		}
		if err != nil {
			failed = err
			p.cut()
		}
	}
	ws, err := p.open("", h)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, p.cut)()
	if err := ws.WriteString(p.connect()); err != nil {
		return err
	}
	ws.ReadLoop()
	return failed
}

// pollingSession is a session that began with polling.
type pollingSession struct {
	*peer
	client *http.Client
	sid    string
	marks  atomic.Int64  // each request has one
	paused atomic.Bool   // no more polls
	idle   chan struct{} // closed when the last poll has ended
}

func (p *peer) poll(ctx context.Context) error {
	transport := &http.Transport{DialContext: p.dial}
	defer transport.CloseIdleConnections()
	s := &pollingSession{peer: p, client: &http.Client{Transport: transport}, idle: make(chan struct{})}
	open, err := s.request(ctx, http.MethodGet, "")
	if err != nil {
		return err
	}
	var handshake struct{ SID string }
	if err := json.Unmarshal([]byte(open[1:]), &handshake); err != nil {
		return err
	}
	s.sid = handshake.SID
	if p.kind == pollingOnly {
		if _, err := s.request(ctx, http.MethodPost, p.connect()); err != nil {
			return err
		}
		return s.loop(ctx)
	}
	return s.upgrade(ctx)
}

// loop polls until it is paused.
func (s *pollingSession) loop(ctx context.Context) error {
	for !s.paused.Load() {
		body, err := s.request(ctx, http.MethodGet, "")
		if err != nil {
			return err
		}
		for packet := range strings.SplitSeq(body, "\x1e") {
			answer, err := s.handle(packet)
			if err == nil && answer != "" {
				_, err = s.request(ctx, http.MethodPost, answer)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// upgrade polls and probes at the same time.
func (s *pollingSession) upgrade(ctx context.Context) error {
	polled := make(chan error, 1)
	posted := make(chan error, 1)
	var ws *gws.Conn
	var failed error
	h := &textHandler{}
	h.text = func(text string) {
		var answer string
		var err error
		if text == "3probe" {
			s.paused.Store(true)
			err = errors.Join(<-posted, <-polled)
			answer = "5"
			s.upgrades.Add(1)
		} else {
			answer, err = s.handle(text)
		}
		if err == nil && answer != "" {
			err = ws.WriteString(answer)
		}
		if err != nil {
			failed = err
			s.cut()
		}
	}
	go func() {
		_, err := s.request(ctx, http.MethodPost, s.connect())
		posted <- err
	}()
	go func() { polled <- s.loop(ctx) }()
	ws, err := s.open("&sid="+s.sid, h)
	if err != nil {
		s.cut()
		return errors.Join(err, <-polled, <-posted)
	}
	defer context.AfterFunc(ctx, s.cut)()
	if err = ws.WriteString("2probe"); err != nil {
		s.cut()
	}
	ws.ReadLoop()
	s.cut()
	if !s.paused.Load() {
		err = errors.Join(err, <-polled, <-posted)
	}
	return errors.Join(err, failed)
}

func (s *pollingSession) request(ctx context.Context, method, body string) (string, error) {
	url := s.url + "/socket.io/?EIO=4&transport=polling"
	if s.sid != "" {
		url += "&sid=" + s.sid
	}
	url += fmt.Sprintf("&t=%d", s.marks.Add(1))
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, url, response.StatusCode, text)
	}
	return string(text), err
}
