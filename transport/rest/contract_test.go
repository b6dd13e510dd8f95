package rest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
)

// contract finds the operation of a request in the document that is served,
// read by a validator that knows nothing of how it was made. All fixtures serve
// the same one, so it is read once.
var contract struct {
	once   sync.Once
	router routers.Router
	err    error

	mu    sync.Mutex
	alike map[string]int // answers so far, by operation and status
}

// enoughAlike is how many answers of one operation and status are held to the
// document: the validator compiles the schema anew for each.
const enoughAlike = 50

// hadEnough counts an answer, and tells whether enough like it were checked.
func hadEnough(route *routers.Route, status int) bool {
	contract.mu.Lock()
	defer contract.mu.Unlock()
	if contract.alike == nil {
		contract.alike = map[string]int{}
	}
	key := fmt.Sprint(route.Method, route.Path, status)
	contract.alike[key]++
	return contract.alike[key] > enoughAlike
}

func (f *fixture) contract() routers.Router {
	contract.once.Do(func() {
		config := f.config
		config.Registerer = nil
		var s *server
		if s, contract.err = newServer(config); contract.err == nil {
			contract.router, contract.err = readContract(s.document.json)
		}
	})
	require.NoError(f.t, contract.err)
	return contract.router
}

func readContract(document []byte) (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc) // validates the document, too
}

// fits requires that a is an answer that the document knows for r: its status,
// its media type, its body. What no operation takes isn't described there.
func (f *fixture) fits(r *http.Request, a answer) {
	route, params, err := f.contract().FindRoute(r)
	if err != nil || strings.HasSuffix(r.URL.Path, "/") || slices.Contains(slices.Collect(maps.Values(params)), "") || hadEnough(route, a.status) {
		return
	}
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.raw)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil { // no require: some tests call from goroutines of theirs
		f.t.Errorf("%s %s: %d %s doesn't fit the document: %v", r.Method, r.URL.Path, a.status, a.raw, err)
	}
}

// TestTheContractIsChecked: the validator does find what doesn't fit.
func TestTheContractIsChecked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.request(http.MethodGet, "/api/auth/me", nil)
	route, params, err := f.contract().FindRoute(r)
	require.NoError(t, err)
	check := func(status int, media, body string) error {
		return openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status:                 status, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(bytes.NewReader([]byte(body))),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
	}
	good := string(f.as(f.agent, http.MethodGet, "/api/auth/me", "").raw)
	require.NoError(t, check(200, "application/json", good))
	require.Error(t, check(418, "application/problem+json", `{}`), "a status that isn't described")
	require.Error(t, check(200, "text/html", good), "another media type")
	require.Error(t, check(200, "application/json", `{"id":7}`), "another type, and fields that are missing")
	require.Error(t, check(401, "application/problem+json", `{"title":"x"}`), "a problem without its code")
}
