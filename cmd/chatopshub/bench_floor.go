package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lxzan/gws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chatopshub/chatopshub/transport/auth"
)

// The floors: what the machine would do for a server that had nothing else to
// do than what can't be avoided.

// bareWebhook is an endpoint that checks the signature, reads the message, and
// forgets it.
func bareWebhook(secret string) http.Handler {
	type payload struct {
		Entry []struct {
			Changes []struct {
				Value struct {
					Metadata struct {
						PhoneNumberID string `json:"phone_number_id"`
					} `json:"metadata"`
					Messages []struct {
						ID, From, Timestamp, Type string
						Text                      struct{ Body string }
					} `json:"messages"`
				} `json:"value"`
			} `json:"changes"`
		} `json:"entry"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		claimed, decodeErr := hex.DecodeString(strings.TrimPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256="))
		if err != nil || decodeErr != nil || !hmac.Equal(mac.Sum(nil), claimed) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var p payload
		if json.Unmarshal(body, &p) != nil || len(p.Entry) != 1 || len(p.Entry[0].Changes) != 1 || len(p.Entry[0].Changes[0].Value.Messages) != 1 {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
}

// bareCommand is an endpoint that checks the token and always answers the same.
func bareCommand(key []byte, answer func() (status int, body []byte)) http.Handler {
	issuer := auth.Issuer{Key: key, TTL: time.Hour, Now: time.Now}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if _, err := issuer.Authenticate(r.Context(), token); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		status, body := answer()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body) // the client finds what is missing
	})
}

// floorOrder is what a floor process is told on its input.
type floorOrder struct {
	WebhookSecret string `json:"webhookSecret"`
	TokenKey      []byte `json:"tokenKey"`
}

// floorServer is the floors as a process of their own, as the server has one. It
// ends when its input does, so it never outlives who started it.
type floorServer struct {
	gws.BuiltinEventHandler
	upgrader *gws.Upgrader

	mu     sync.Mutex
	status int
	answer []byte
	conns  map[*gws.Conn]struct{}
}

func serveFloor(ctx context.Context, env environment) error {
	if env.stdin == nil {
		return errors.New("bench floor: is started by bench alone")
	}
	input := bufio.NewReader(env.stdin)
	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("bench floor: read the order: %w", err)
	}
	var order floorOrder
	if err := json.Unmarshal(line, &order); err != nil {
		return fmt.Errorf("bench floor: read the order: %w", err)
	}
	s := &floorServer{status: http.StatusOK, answer: []byte("{}"), conns: map[*gws.Conn]struct{}{}}
	s.upgrader = gws.NewUpgrader(s, &gws.ServerOption{ReadBufferSize: 1 << 10})
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("bench floor: %w", err)
	}
	server := &http.Server{Handler: s.routes(order), ReadHeaderTimeout: readHeaderTimeout}
	go func() {
		_, _ = io.Copy(io.Discard, input) // its end, by error or not, is ours
		_ = server.Close()                // nothing to finish
	}()
	fmt.Fprintf(env.stdout, "  REST API     http://%s/api\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("bench floor: %w", err)
	}
	return nil
}

func (s *floorServer) routes(order floorOrder) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(goCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("POST /webhook", bareWebhook(order.WebhookSecret))
	mux.Handle("/command", bareCommand(order.TokenKey, s.current))
	mux.HandleFunc("PUT /answer", s.setAnswer)
	mux.HandleFunc("GET /sockets", s.connect)
	mux.HandleFunc("POST /broadcast", s.broadcast)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("POST /gc", func(http.ResponseWriter, *http.Request) { runtime.GC() })
	return mux
}

func (s *floorServer) current() (int, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.answer
}

// setAnswer sets what /command answers.
func (s *floorServer) setAnswer(w http.ResponseWriter, r *http.Request) {
	status, err := strconv.Atoi(r.FormValue("status"))
	body, readErr := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil || readErr != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.answer = status, body
}

func (s *floorServer) connect(w http.ResponseWriter, r *http.Request) {
	conn, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		return // gws has told the client
	}
	s.mu.Lock()
	s.conns[conn] = struct{}{}
	s.mu.Unlock()
	go conn.ReadLoop() // until the client leaves: it is ours, or the process ends
}

// OnClose implements gws.Event.
func (s *floorServer) OnClose(conn *gws.Conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// broadcast sends the body to all sockets, by the way of gws for that.
func (s *floorServer) broadcast(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	broadcaster := gws.NewBroadcaster(gws.OpcodeText, text)
	for conn := range s.conns {
		_ = broadcaster.Broadcast(conn) // who isn't reached is missed by the client's count
	}
	_ = broadcaster.Close() // never fails
}

// floor is the load generator's view of the floor process.
type floor struct {
	process *serving
	base    *url.URL
	http    *http.Client
	order   floorOrder
	tokens  []string // that the bare command takes
}

func startFloor(ctx context.Context, executable string, environ []string, log io.Writer) (*floor, error) {
	secret, key := entropy(), entropy()
	f := &floor{http: &http.Client{Transport: &http.Transport{}}, order: floorOrder{WebhookSecret: hex.EncodeToString(secret[:]), TokenKey: auth.DeriveKey(key[:], auth.AccessTokenLabel)}}
	order, err := json.Marshal(f.order)
	if err != nil {
		return nil, err
	}
	f.process, err = startServing(ctx, servingConfig{
		executable: executable, args: []string{"bench", "floor"}, environ: inherited(environ), input: append(order, '\n'), log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("start the floors: %w", err)
	}
	if f.base, err = url.Parse(f.process.url); err == nil {
		f.tokens, err = makeFloorTokens(f.order.TokenKey)
	}
	return f, err
}

func (f *floor) stop() error {
	f.http.CloseIdleConnections()
	return f.process.end()
}
