package rest

import (
	"bytes"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/auth"
)

// contract finds the operation of a request in the document that is served,
// read by a validator that knows nothing of how it was made.
var contract = sync.OnceValues(func() (routers.Router, error) {
	s, err := newServer(Config{
		Inbox: &fakeInbox{}, Conversations: &fakeConversations{}, Users: &fakeUsers{}, Directory: fakeDirectory{},
		Presences: fakePresences{}, Sessions: &fakeSessions{}, Tokens: &auth.Issuer{}, Passwords: auth.NewHasher(1),
		Throttle: &fakeThrottle{}, Chain: testChain, AccessTTL: time.Minute, Version: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	return readContract(s.document.json)
})

func readContract(document []byte) (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc) // validates the document, too
}

// fits requires that a is an answer that the document knows for r: its status,
// its media type, its body. What no operation takes isn't described there.
func fits(t testing.TB, r *http.Request, a answer) {
	router, err := contract()
	require.NoError(t, err)
	route, params, err := router.FindRoute(r)
	if err != nil || strings.HasSuffix(r.URL.Path, "/") || slices.Contains(slices.Collect(maps.Values(params)), "") {
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.raw)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil { // no require: some tests call from goroutines of theirs
		t.Errorf("%s %s: %d %s doesn't fit the document: %v", r.Method, r.URL.Path, a.status, a.raw, err)
	}
}

// TestTheContractIsChecked: the validator does find what doesn't fit.
func TestTheContractIsChecked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.request(http.MethodGet, "/api/auth/me", nil)
	router, err := contract()
	require.NoError(t, err)
	route, params, err := router.FindRoute(r)
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
