package socket

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/lxzan/gws"
)

// refusal is an answer to a request that gets no session. The codes are those
// of Engine.IO.
type refusal struct {
	status  int
	reason  string // label of the metric
	Code    int    `json:"code"`
	Message string `json:"message"` // empty: the answer has no body
}

var (
	refuseTransport = refusal{http.StatusBadRequest, "transport", 0, "Transport unknown"}
	refuseSession   = refusal{http.StatusBadRequest, "session", 1, "Session ID unknown"}
	refuseHandshake = refusal{http.StatusBadRequest, "method", 2, "Bad handshake method"}
	refuseRequest   = refusal{http.StatusBadRequest, "request", 3, "Bad request"}
	refuseOrigin    = refusal{http.StatusForbidden, "origin", 4, "Forbidden"}
	refuseVersion   = refusal{http.StatusBadRequest, "version", 5, "Unsupported protocol version"}
	refuseMethod    = refusal{http.StatusMethodNotAllowed, "method", 3, ""}
	refuseOverlap   = refusal{http.StatusBadRequest, "overlap", 3, ""}
	refuseTooLarge  = refusal{http.StatusRequestEntityTooLarge, "too_large", 3, ""}
	refuseShutdown  = overloaded("shutdown")
	refuseBearer    = refusal{http.StatusBadRequest, "bearer", 3, "Sec-WebSocket-Protocol must offer: bearer, <access token>"}
)

// overloaded is not an error of the protocol: the client comes back by itself.
func overloaded(reason string) refusal {
	return refusal{http.StatusServiceUnavailable, reason, 3, "Overloaded, try again later"}
}

// retryAfter is when a client that was refused for overload should come back,
// in seconds. Socket.IO clients have delays of their own.
const retryAfter = "2"

// ServeHTTP answers everything under /socket.io/. It belongs in front of any
// router or middleware that redirects, buffers, compresses or times out.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.allowOrigin(w, r)
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return
	}
	query := r.URL.Query()
	k := s.registry.session(query.Get("sid"))
	if no := s.check(r, query, k); no != nil {
		s.refuse(w, *no)
		return
	}
	switch {
	case k == nil && query.Get("transport") == "polling":
		s.admit(w, r, socketIO, s.acceptPolling)
	case k == nil:
		s.admit(w, r, socketIO, s.accept)
	case isUpgrade(r):
		s.acceptProbe(w, r, k)
	case r.Method == http.MethodGet:
		k.serveGet(w, r)
	case r.Method == http.MethodPost:
		k.servePost(w, r)
	default:
		s.refuse(w, refuseMethod)
	}
}

// Bare answers /ws: the same events and commands for clients without
// Socket.IO.
func (s *Server) Bare() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, shown := bareCredential(r)
		switch {
		case r.Method != http.MethodGet || !isUpgrade(r):
			s.refuse(w, refuseRequest)
		case !s.originAllowed(r):
			s.refuse(w, refuseOrigin)
		case !shown:
			s.refuse(w, refuseBearer)
		default:
			s.admit(w, r, bare, s.accept)
		}
	})
}

// check is nil for a request that has or may have a session, k being the one it
// names. The order of the checks is the reference server's: the first failure
// decides.
func (s *Server) check(r *http.Request, query url.Values, k *session) *refusal {
	transport, named := query.Get("transport"), query.Get("sid") != ""
	switch {
	case transport != "polling" && transport != "websocket":
		return &refuseTransport
	case named && k == nil:
		return &refuseSession
	case (transport == "polling") == isUpgrade(r): // a polling upgrade, or a WebSocket without one
		if named || transport == "polling" || r.Method == http.MethodGet {
			return &refuseRequest
		}
		return &refuseHandshake
	case named && query.Get("EIO") != "4":
		return &refuseRequest
	case !named && r.Method != http.MethodGet:
		return &refuseHandshake
	case !s.originAllowed(r):
		return &refuseOrigin
	case query.Get("EIO") != "4":
		return &refuseVersion
	}
	return nil
}

// isUpgrade reports whether r is a WebSocket handshake that gws will accept:
// its own refusals bypass net/http.
func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade") &&
		r.Header.Get("Sec-WebSocket-Version") == "13" &&
		r.Header.Get("Sec-WebSocket-Key") != ""
}

// originAllowed reports whether the page that connects is one of ours. Clients
// that are not browsers send no Origin.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || s.origins[strings.ToLower(origin)] {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// allowOrigin lets pages of allowed origins read the answer.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && s.originAllowed(r) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true") // cookies of a balancer
	}
}

func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET,POST")
	if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" {
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Headers", wanted)
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) refuse(w http.ResponseWriter, no refusal) {
	s.metrics.refused.WithLabelValues(no.reason).Inc()
	h := w.Header()
	if no.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	if no.Message == "" {
		h.Set("Content-Length", "0")
		w.WriteHeader(no.status)
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(no.status)
	if err := json.NewEncoder(w).Encode(no); err != nil {
		s.config.Logger.Debug("refuse a request", slog.Any("error", err))
	}
}

// admit has a new session accepted, if there is room for one. A session that
// accept doesn't make gives its room back.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, d dialect, accept func(http.ResponseWriter, *http.Request, *session) bool) {
	remote := s.config.RemoteAddr(r)
	if full := s.registry.admit(remote); full != "" {
		s.refuse(w, overloaded(full))
		return
	}
	if !accept(w, r, s.newSession(d, r, remote)) {
		s.registry.dismiss(remote)
	}
}

// sidHeader of the answer that starts a polling session has what the client
// will name in each further request, for balancers that send those to the same
// server: they can read a header, and clients without cookies don't bring one.
const sidHeader = "Engine-Io-Sid"

// acceptPolling starts a session without a connection: the answer is its open
// packet.
func (s *Server) acceptPolling(w http.ResponseWriter, _ *http.Request, k *session) bool {
	k.gone = make(chan struct{})
	if !s.registry.add(k) { // shut down meanwhile
		s.refuse(w, refuseShutdown)
		return false
	}
	k.begin()
	w.Header().Set(sidHeader, k.sid)
	_ = writePayload(w, []frame{s.openPacket(k.sid, true)}) // a client that is gone shows by its polls
	return true
}

// accept answers the WebSocket handshake and starts the session. It is false
// when there is none; the request is answered then.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, k *session) bool {
	line := &wire{}
	ws := s.handshake(w, r, line, k.dialect)
	if ws == nil {
		return false
	}
	k.conn = line.Conn
	line.session, line.carries = k, true
	if k.dialect == bare {
		line.hello, _ = bareCredential(r) // it was looked at before
	}
	if !s.registry.add(k) { // shut down meanwhile
		_ = line.Conn.Close() // nothing was sent
		return false
	}
	go line.read(ws)
	return true
}

// handshake makes a WebSocket of the connection of r. Without one, the request
// is answered and the result nil.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, line *wire, d dialect) *gws.Conn {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2 has no WebSocket of this kind
		s.refuse(w, refuseRequest)
		return nil
	}
	line.take(conn, unread(buffered.Reader))
	ws, err := s.upgrader[d.index()].Upgrade(hijacked{w, line}, r)
	if err != nil {
		s.config.Logger.Debug("answer WebSocket handshake", slog.Any("error", err))
		return nil
	}
	return ws
}

// hijacked lets gws take over a connection that is already taken over.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.conn, nil, nil }

// unread is what net/http has read beyond the request.
func unread(r *bufio.Reader) []byte {
	b := make([]byte, r.Buffered())
	n, _ := r.Read(b) // from the buffer alone: as much as there is, no error
	return b[:n]
}

// userAgentMax is how much of a User-Agent is kept, in bytes.
const userAgentMax = 256

func userAgent(r *http.Request) string {
	agent := r.UserAgent()
	agent = agent[:min(len(agent), userAgentMax)]
	return strings.Clone(strings.ToValidUTF8(agent, "")) // the header's memory goes
}
