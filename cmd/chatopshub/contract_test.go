package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// contractChecker holds the answers that tests get to the document that the
// server itself serves.
type contractChecker struct {
	t    testing.TB
	next http.RoundTripper
}

// contract is the document, and what was held to it so far. Every server of
// this program serves the same one; to read it takes a second under the race
// detector, so the first one that is served stands for all.
var contract struct {
	mu       sync.Mutex
	document *openapi3.T
	router   routers.Router
	alike    map[string]int // answers so far, by operation and status
}

// enoughAlike is how many answers of one operation and status are checked: the
// validator compiles the schema anew for each, and some tests get thousands
// that are alike.
const enoughAlike = 50

// hadEnough counts an answer, and tells whether enough like it were checked.
func hadEnough(router routers.Router, r *http.Request, status int) bool {
	route, _, err := router.FindRoute(r)
	if err != nil {
		return false
	}
	contract.mu.Lock()
	defer contract.mu.Unlock()
	if contract.alike == nil {
		contract.alike = map[string]int{}
	}
	key := fmt.Sprint(route.Method, route.Path, status)
	contract.alike[key]++
	return contract.alike[key] > enoughAlike
}

// RoundTrip implements http.RoundTripper.
func (c *contractChecker) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, "/api/") || answer.StatusCode == http.StatusRequestHeaderFieldsTooLarge {
		// Too long a URL is refused by net/http, before anything of ours sees it.
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	if closeErr := answer.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	router, err := c.readContract(r.Context(), r.URL.Scheme+"://"+r.URL.Host)
	if err != nil {
		return answer, nil //nolint:nilerr // the server was stopped: tests do so
	}
	if hadEnough(router, r, answer.StatusCode) {
		return answer, nil
	}
	if err := checkContract(router, r, answer, body); err != nil {
		c.t.Errorf("%s %s: %d %.500s doesn't fit the document: %v", r.Method, r.URL.Path, answer.StatusCode, body, err)
	}
	return answer, nil
}

func (c *contractChecker) readContract(ctx context.Context, url string) (routers.Router, error) {
	contract.mu.Lock()
	defer contract.mu.Unlock()
	if contract.router != nil {
		return contract.router, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/docs/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get the document: %d %w", answer.StatusCode, err)
	}
	if contract.document, err = openapi3.NewLoader().LoadFromData(text); err != nil {
		return nil, err
	}
	contract.router, err = legacy.NewRouter(contract.document)
	return contract.router, err
}

func checkContract(router routers.Router, r *http.Request, answer *http.Response, body []byte) error {
	route, params, err := router.FindRoute(r)
	if err != nil || strings.HasSuffix(r.URL.Path, "/") {
		return nil //nolint:nilerr // what no operation takes isn't described
	}
	for _, value := range params {
		if value == "" {
			return nil
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
}
