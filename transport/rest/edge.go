package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/chatopshub/chatopshub/domain"
)

// This file is what every request passes first, those for the handlers beside
// the API too.

// request is what the log tells about a request. Its context carries it; only
// the request's own goroutine touches it.
type request struct {
	id     string
	route  string // as it was registered; empty: none was matched
	client netip.Addr
	org    domain.OrganizationID // zero until the caller is known
	user   domain.UserID
	cause  error // why the answer is a 5xx
}

type requestKey struct{}

// requestOf is the request that ctx belongs to.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{} // not below the edge: in a test of a single operation
}

// apiPolicy is for answers that no browser is to show: nothing in them may load
// or run, whatever it is. The page of the documents has a policy of its own.
const apiPolicy = "default-src 'none'; frame-ancestors 'none'"

// named tells the edge which route a request has.
func named(route string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		requestOf(ctx.Context()).route = route
		next(ctx)
	}
}

// edge gives every request an id, an end in the log, and an answer even when
// it panics.
func (s *server) edge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := s.Now()
		req := &request{id: requestID(r.Header), client: ClientAddress(r, s.TrustedProxies)}
		rec, outer := &recorder{ResponseWriter: w}, r
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
		header := rec.Header()
		header.Set("X-Request-Id", req.id)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", apiPolicy)
		header.Set("X-Frame-Options", "DENY")
		defer func() {
			aborted := s.recovered(recover(), rec, req)
			took := s.Now().Sub(begin)
			req.route = cmp.Or(req.route, unmatched)
			outer.Pattern = req.route // what is around us, such as tracing, names the request by it
			s.metrics.answered(req.route, r.Method, rec, took)
			s.logRequest(r, rec, req, took)
			if aborted {
				panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
			}
		}()
		if s.crossOrigin(rec, r) {
			return
		}
		next.ServeHTTP(rec, r)
	})
}

// recovered answers for a handler that has panicked. It reports whether the
// connection must be cut, because half an answer is out already.
func (s *server) recovered(cause any, rec *recorder, req *request) (abort bool) {
	if cause == nil {
		return false
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	req.cause = fmt.Errorf("panic: %v", cause)
	s.Log.Error("request panicked", "request", req.id, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if rec.status != 0 {
		return true
	}
	writeProblem(rec, s.internal(req))
	return false
}

// internal is a 500, which names the request so that the log can be searched.
func (s *server) internal(req *request) *Problem {
	p := *problemOf(req.cause)
	p.RequestID = req.id
	return &p
}

// logRequest writes the one line about a request: the route as it was
// registered. Path and query stay out: they can hold what a customer wrote, or
// a signature that opens a file.
func (s *server) logRequest(r *http.Request, rec *recorder, req *request, took time.Duration) {
	level := levelOf(req.route, rec.status)
	if !s.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", req.id), slog.String("method", r.Method), slog.String("route", req.route),
		slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes), slog.Duration("took", took),
		slog.String("client", req.client.String()),
	}
	if !req.user.IsZero() {
		attrs = append(attrs, slog.String("organization", req.org.String()), slog.String("user", req.user.String()))
	}
	if req.cause != nil {
		attrs = append(attrs, slog.Any("error", req.cause))
	}
	s.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// levelOf is how loudly a request is logged. Probes, which come every second,
// and webhooks, which come by the thousand, are worth a line when they fail:
// the metrics count the others. They count all of the sockets' requests: a poll
// comes for every event, and a refusal for every client that is told to wait.
func levelOf(route string, status int) slog.Level {
	switch {
	case route == "/ws", strings.HasPrefix(route, "/socket.io/"):
		return slog.LevelDebug
	case status >= http.StatusInternalServerError:
		return slog.LevelError
	case status >= http.StatusBadRequest:
		return slog.LevelInfo
	case route == healthPath, route == readyPath, strings.HasPrefix(route, webhooksPath):
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// requestID takes over the client's id of the request when it is harmless in
// headers and logs, and makes one otherwise.
func requestID(header http.Header) string {
	id := header.Get("X-Request-Id")
	strange := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.", c))
	}
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, strange) {
		return uuid.NewString()
	}
	return id
}

// ClientAddress is who made the request: the peer, or, as far as peers are
// proxies that we trust, the last one they name that is none of them.
func ClientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a listener that isn't TCP
	}
	client := peer.Addr().Unmap()
	isProxy := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	named := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, name := range slices.Backward(named) {
		if !isProxy(client) {
			break
		}
		before, err := netip.ParseAddr(strings.TrimSpace(name))
		if err != nil {
			break
		}
		client = before.Unmap()
	}
	return client
}

// crossOrigin lets browsers call from the listed origins (Fetch standard,
// CORS protocol). It reports whether that was the whole request: a preflight.
func (s *server) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	header.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	allowed := origin != "" && slices.Contains(s.Origins, origin)
	if allowed {
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Allow-Credentials", "true")
		header.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
	}
	if r.Method != http.MethodOptions || origin == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if allowed {
		header.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
		header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, X-Request-Id")
		header.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}
