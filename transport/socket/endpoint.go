package socket

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// refusal is an answer to a request that gets no session. The codes are those
// of Engine.IO.
type refusal struct {
	status  int
	reason  string // label of the metric
	Code    int    `json:"code"`
	Message string `json:"message"`
}

var (
	refuseTransport = refusal{http.StatusBadRequest, "transport", 0, "Transport unknown"}
	refuseSession   = refusal{http.StatusBadRequest, "session", 1, "Session ID unknown"}
	refuseMethod    = refusal{http.StatusBadRequest, "method", 2, "Bad handshake method"}
	refuseRequest   = refusal{http.StatusBadRequest, "request", 3, "Bad request"}
	refuseOrigin    = refusal{http.StatusForbidden, "origin", 4, "Forbidden"}
	refuseVersion   = refusal{http.StatusBadRequest, "version", 5, "Unsupported protocol version"}
)

// ServeHTTP answers everything under /socket.io/. It belongs in front of any
// router or middleware that redirects, buffers, compresses or times out.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.allowOrigin(w, r)
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return
	}
	if no := s.check(r); no != nil {
		s.refuse(w, *no)
		return
	}
	remote := s.config.RemoteAddr(r)
	if full := s.registry.admit(remote); full != "" {
		// Not an error of the protocol: the client comes back by itself.
		s.refuse(w, refusal{http.StatusServiceUnavailable, full, 3, "Overloaded, try again later"})
		return
	}
	if !s.accept(w, r, remote) {
		s.registry.dismiss(remote)
	}
}

// check is nil for a request that may have a new session. The order of the
// checks is the reference server's: the first failure decides.
func (s *Server) check(r *http.Request) *refusal {
	query := r.URL.Query()
	sid := query.Get("sid")
	switch {
	case query.Get("transport") != "websocket":
		return &refuseTransport
	case sid != "" && !s.registry.has(sid):
		return &refuseSession
	case sid != "":
		return &refuseRequest // the session is on its WebSocket and stays there
	case r.Method != http.MethodGet:
		return &refuseMethod
	case !isUpgrade(r):
		return &refuseRequest
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
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(no.status)
	if err := json.NewEncoder(w).Encode(no); err != nil {
		s.config.Logger.Debug("refuse handshake", slog.Any("error", err))
	}
}

// accept answers the WebSocket handshake and starts the session. It is false
// when there is none; the request is answered then.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, remote netip.Addr) bool {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2 has no WebSocket of this kind
		s.refuse(w, refuseRequest)
		return false
	}
	line := &wire{Conn: conn, unread: unread(buffered.Reader)}
	ws, err := s.upgrader.Upgrade(hijacked{w, line}, r)
	if err != nil {
		s.config.Logger.Debug("answer WebSocket handshake", slog.Any("error", err))
		return false
	}
	line.session = s.newSession(conn, r, remote)
	if !s.registry.add(line.session) { // shut down meanwhile
		line.session.cut(ReasonShutdown)
		return false
	}
	go line.session.run(ws)
	return true
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
