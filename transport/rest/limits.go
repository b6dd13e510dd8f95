package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humahttprouter"
)

const (
	maxBody = 1 << 20 // bytes; uploads have an operation of their own
	// bodyTimeout is how long a body of that size may take to come: 100 KB/s.
	bodyTimeout = 10 * time.Second
)

// admit lets only so many calls of the API be at work at a time. Probes are
// not counted: a busy server lives.
func (s *server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, apiPath) {
			next.ServeHTTP(w, r)
			return
		}
		defer s.inFlight.Add(-1)
		if s.inFlight.Add(1) > int64(s.MaxInFlight) {
			s.metrics.limited.WithLabelValues(limitedOverload).Inc()
			writeProblem(w, busy("overloaded", "Too many calls are at work. This one was not executed; try again.", 1))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkQuery refuses a query that can't be read: the typed layer would take
// what is broken for absent, and list more than was asked for.
func checkQuery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
			writeProblem(w, problem(http.StatusBadRequest, codeOf(http.StatusBadRequest), "The query of the URL is not percent-encoded as it should be."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// deadline ends the call in time.
func (s *server) deadline(ctx huma.Context, next func(huma.Context)) {
	limited, cancel := context.WithTimeout(ctx.Context(), s.Timeout)
	defer cancel()
	next(huma.WithContext(ctx, limited))
}

// readBody reads the body before the typed layer does, which would take a
// connection that broke for a fault of ours, and would leave its read deadline
// on the connection, where it cancels the request's context later.
func readBody(limit int64) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w, _ := humahttprouter.Unwrap(ctx)
		body, p := bodyOf(w, r, limit)
		if p != nil {
			writeProblem(w, p)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next(ctx)
	}
}

func bodyOf(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *Problem) {
	control := http.NewResponseController(w)
	// An error says that the connection has no deadlines: nothing waits then.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		// Where reading failed the time limit stays: the server would go on to read
		// the rest, without any.
		_ = control.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, problem(http.StatusRequestEntityTooLarge, codeOf(http.StatusRequestEntityTooLarge), fmt.Sprintf("The body is larger than %d bytes.", limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, problem(http.StatusRequestTimeout, codeOf(http.StatusRequestTimeout), "The body didn't come in time.")
	case err != nil:
		return nil, problem(http.StatusBadRequest, codeOf(http.StatusBadRequest), "The body ended before it was complete.")
	}
	if len(body) > 0 && !isJSON(r.Header) {
		return nil, problem(http.StatusUnsupportedMediaType, codeOf(http.StatusUnsupportedMediaType), "The body must be application/json.")
	}
	r.Header.Set("Content-Type", "application/json")
	return body, nil
}

// isJSON reports whether the body is said to be JSON, or not said to be
// anything.
func isJSON(header http.Header) bool {
	declared := header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(declared)
	charset, has := params["charset"]
	return declared == "" || err == nil && media == "application/json" && (!has || strings.EqualFold(charset, "utf-8"))
}
