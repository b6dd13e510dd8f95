package webhook

import (
	"fmt"
	"net/http"
)

// answer is how a request is answered. Everything but a 200 makes the platform
// post again, so what is answered otherwise is worth it.
type answer struct {
	status int
	result string // for the metrics, and the code of the problem
	detail string
}

// The answers.
var (
	answerTaken        = answer{http.StatusOK, "taken", ""}
	answerUnverified   = answer{http.StatusForbidden, "verification_failed", "hub.mode must be subscribe and hub.verify_token the configured one."}
	answerMethod       = answer{http.StatusMethodNotAllowed, "method_not_allowed", "This address takes GET and POST."}
	answerUnreadable   = answer{http.StatusBadRequest, "body_unreadable", "The body didn't come whole in time."}
	answerUnauthorized = answer{http.StatusUnauthorized, "invalid_signature", "The signature of the body is missing or made with another secret."}
	answerTooLarge     = answer{http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("The body may have %d bytes.", MaxBody)}
	answerOverloaded   = answer{http.StatusServiceUnavailable, "overloaded", "Too many requests are in flight. Nothing of this one was taken."}
	answerUnavailable  = answer{http.StatusServiceUnavailable, "unavailable", "Not everything could be stored. Repeating the request is safe."}
)

// write answers: nothing but the status when all is well, else a problem (RFC
// 9457).
func (a answer) write(w http.ResponseWriter) {
	if a.status == http.StatusOK {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if a.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(a.status)
	fmt.Fprintf(w, `{"status":%d,"title":%q,"detail":%q,"code":%q}`, a.status, http.StatusText(a.status), a.detail, a.result)
}
