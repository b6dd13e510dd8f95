package rest

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheDocumentsPage: everything that the page names is there, and nothing
// comes from elsewhere.
func TestTheDocumentsPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	page := f.send(f.request(http.MethodGet, "/api/docs", nil))
	require.Equal(t, 200, page.status)
	require.Equal(t, "text/html; charset=utf-8", page.header.Get("Content-Type"))
	policy := page.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.Contains(t, policy, "script-src 'self';")
	require.NotContains(t, string(page.raw), "//")
	named := regexp.MustCompile(`(?:src|href)="(docs/[^"]+)"`).FindAllStringSubmatch(string(page.raw), -1)
	require.Len(t, named, 5)
	for _, name := range named {
		require.Equal(t, 200, f.send(f.request(http.MethodGet, "/api/"+name[1], nil)).status, name[1])
	}
	f.problem(f.send(f.request(http.MethodGet, "/api/docs/assets/swagger-ui.js.map", nil)), 404, "not_found")
}

// TestAssetsComeAsTheClientTakesThem: they are kept packed.
func TestAssetsComeAsTheClientTakesThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, encoding := range []string{"gzip", "identity"} {
		r := f.request(http.MethodGet, "/api/docs/assets/swagger-ui.css", nil)
		r.Header.Set("Accept-Encoding", encoding)
		a := f.send(r)
		require.Equal(t, 200, a.status)
		require.Equal(t, encoding == "gzip", a.header.Get("Content-Encoding") == "gzip")
		if encoding == "gzip" {
			data, err := unpack(a.raw)
			require.NoError(t, err)
			a.raw = data
		}
		require.Contains(t, string(a.raw), ".swagger-ui")
	}
}
