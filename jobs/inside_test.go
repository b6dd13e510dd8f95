package jobs

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph"
)

// graphPlatform is the real client of the platforms.
type graphPlatform struct{ client *graph.Client }

func (g graphPlatform) LookUp(ctx context.Context, as domain.Credentials, id string) (domain.RemoteFile, error) {
	m, err := g.client.LookUpMedia(ctx, graphAccount(as), id)
	return domain.RemoteFile{URL: m.URL, SHA256: m.SHA256, Size: m.Size}, err
}

func (g graphPlatform) Download(ctx context.Context, as domain.Credentials, url string, limit int64) (io.ReadCloser, error) {
	d, err := g.client.Download(ctx, graphAccount(as), url, limit)
	if err != nil {
		return nil, err
	}
	return d.Body, nil
}

func graphAccount(as domain.Credentials) graph.Account {
	return graph.Account{Provider: as.Channel.Provider, ID: as.Channel.ExternalID, Token: graph.Secret(as.Token)}
}

// TestNothingInsideIsEverFetched goes through the job with the real client: a
// signed webhook, a look-up and a redirect name internal addresses, and a media
// host's name leads to one.
func TestNothingInsideIsEverFetched(t *testing.T) {
	t.Parallel()
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("fetched from inside") }))
	t.Cleanup(inside.Close)
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	require.NoError(t, err)
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/redirect"):
			http.Redirect(w, r, inside.URL+"/secret", http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/redirect-by-name"):
			http.Redirect(w, r, "https://cdn.fbsbx.com/secret", http.StatusFound)
		default: // the look-up of a file
			fmt.Fprintf(w, `{"id":"1","url":%q}`, inside.URL+"/secret")
		}
	}))
	t.Cleanup(api.Close)
	roots := x509.NewCertPool()
	roots.AddCert(api.Certificate())
	client, err := graph.New(graph.Config{BaseURL: api.URL, RootCAs: roots, Resolver: leadingInside()})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	b := newBench(t, graphPlatform{client})
	files := map[string]domain.AttachmentID{}
	for name, source := range map[string]domain.FileSource{
		"an address inside":          {URL: inside.URL + "/secret"},
		"by name and port":           {URL: "https://localhost:" + port + "/secret"},
		"a cloud's":                  {URL: "https://169.254.169.254/latest/meta-data"},
		"version 6":                  {URL: "https://[::1]:" + port + "/secret"},
		"a look-up names it":         {ID: "1"},
		"a redirect":                 {URL: api.URL + "/redirect"},
		"a name that leads inside":   {URL: "https://lookaside.fbsbx.com/secret"},
		"a redirect to such a name":  {URL: api.URL + "/redirect-by-name"},
		"another scheme":             {URL: "file:///etc/passwd"},
		"somebody else's host":       {URL: "https://evil.example/x"},
		"a password in the address":  {URL: "https://lookaside.fbsbx.com@127.0.0.1:" + port + "/"},
		"what isn't even an address": {URL: "https://%zz"},
	} {
		files[name] = b.expect(b.channel, source)
	}
	b.run()
	for name, id := range files {
		require.Equal(t, domain.FileForbidden, b.await(id).Failure, name)
	}
}

// leadingInside is a resolver that finds every name at 127.0.0.1.
func leadingInside() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { // ends with the one exchange, or when the resolver hangs up
			defer theirs.Close()
			head := make([]byte, 2)
			if _, err := io.ReadFull(theirs, head); err != nil {
				return
			}
			query := make([]byte, int(head[0])<<8|int(head[1]))
			if _, err := io.ReadFull(theirs, query); err != nil {
				return
			}
			_, _ = theirs.Write(answer127(query)) // the resolver hung up: it tries again
		}()
		return ours, nil
	}}
}

// answer127 is a DNS answer over TCP: the question and, to one for an IPv4
// address, 127.0.0.1.
func answer127(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	msg := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if query[end-4] == 0 && query[end-3] == 1 {
		msg[7] = 1
		msg = append(msg, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
}
