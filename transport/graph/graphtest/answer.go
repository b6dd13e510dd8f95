package graphtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an error of the Graph API, as it is answered.
type Error struct {
	Status     int // HTTP; 200 is possible
	Code       int
	Subcode    int
	Message    string
	Details    string // WhatsApp's error_data.details
	RetryAfter string // header, as it is
}

// statuses has the HTTP status of the codes that aren't answered with 400.
var statuses = map[int]int{
	0: 401, 190: 401, 2: 503, 3: 500, 10: 403, 200: 403, 368: 403, 131000: 500, 131005: 403, 131016: 500,
	131031: 403, 131045: 500, 131057: 500, 132001: 404, 133000: 500, 133004: 503,
}

// Failure is the error of a code, with the status that the platform documents
// for it.
func Failure(code, subcode int, message string) *Error {
	status, ok := statuses[code]
	if !ok {
		status = http.StatusBadRequest
	}
	return &Error{Status: status, Code: code, Subcode: subcode, Message: message}
}

func (e *Error) write(w http.ResponseWriter, product string) {
	body := map[string]any{
		"message": "(#" + strconv.Itoa(e.Code) + ") " + e.Message, "type": "OAuthException", "code": e.Code, "fbtrace_id": "AfakeTrace",
	}
	if e.Subcode != 0 {
		body["error_subcode"] = e.Subcode
	}
	if e.Details != "" {
		body["error_data"] = map[string]any{"messaging_product": product, "details": e.Details}
	}
	if e.RetryAfter != "" {
		w.Header().Set("Retry-After", e.RetryAfter)
	}
	answer(w, e.Status, map[string]any{"error": body})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left misses its answer: that is what fakes are for
}

// tokenOf is the access token of a request, in the header or in a parameter.
func tokenOf(r *http.Request) string {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	return r.URL.Query().Get("access_token")
}

// account wraps an endpoint that needs a token: it finds whose the token is,
// writes the call down, and lets the plan have its way with calls that aren't
// messages (those know more about themselves, and ask the plan later).
func (s *Server) account(next func(http.ResponseWriter, *http.Request, *account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := s.owner(tokenOf(r))
		switch {
		case a == nil:
			Failure(190, 0, "Invalid OAuth access token - Cannot parse access token").write(w, "")
			return
		case !s.proved(r, a.Provider):
			Failure(100, 0, "Invalid appsecret_proof provided in the API argument").write(w, "")
			return
		case !strings.HasSuffix(r.URL.Path, "/messages") && !s.counted(w, r, a):
			return
		}
		next(w, r, a)
	}
}

// counted writes a call down that isn't a message, and lets the plan have its
// way with it; false: it is answered.
func (s *Server) counted(w http.ResponseWriter, r *http.Request, a *account) bool {
	c := s.note(Call{Provider: a.Provider, Account: a.ID, Kind: kindOf(r), Object: r.PathValue("object"), At: time.Now()})
	return s.play(w, r, c, s.plan(c))
}

// kindOf names a call that isn't about a message.
func kindOf(r *http.Request) Kind {
	switch {
	case strings.HasPrefix(r.URL.Path, "/media/file/"):
		return KindDownload
	case strings.HasSuffix(r.URL.Path, "/media"), strings.HasSuffix(r.URL.Path, "/message_attachments"):
		return KindUpload
	}
	return KindOther
}

// owner is whose token it is; nil: nobody's.
func (s *Server) owner(token string) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		if token != "" && a.Token == token {
			return a
		}
	}
	return nil
}

// proved checks appsecret_proof where a call has one.
func (s *Server) proved(r *http.Request, p Provider) bool {
	proof := r.URL.Query().Get("appsecret_proof")
	secret := s.secret(p)
	if proof == "" || secret == "" {
		return true
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(tokenOf(r)))
	return proof == hex.EncodeToString(mac.Sum(nil))
}

// SetToken gives an account another token: the former one is dead.
func (s *Server) SetToken(accountID, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[accountID]; a != nil {
		a.Token = token
	}
}

// unknownObject is the answer to an id that doesn't exist or isn't the token's.
func unknownObject(w http.ResponseWriter, id string) {
	Failure(100, 33, "Unsupported request. Object with ID '"+id+"' does not exist, cannot be loaded due to missing permissions, "+
		"or does not support this operation").write(w, "")
}
