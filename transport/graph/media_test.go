package graph

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

func TestOnlyMediaHostsAreFetched(t *testing.T) {
	t.Parallel()
	c := newClient(t, Config{})
	for address, allowed := range map[string]bool{
		"https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1": true,
		"https://LOOKASIDE.fbsbx.com/x":                                    true,
		"https://scontent.xx.fbcdn.net/v/t1.jpg?oh=1":                      true,
		"https://cdn.fbsbx.com:443/v/file.pdf":                             true,
		"https://graph.facebook.com/v25.0/x":                               true,
		"http://lookaside.fbsbx.com/x":                                     false,
		"https://lookaside.fbsbx.com:8443/x":                               false,
		"https://user@lookaside.fbsbx.com/x":                               false,
		"https://fbsbx.com/x":                                              false,
		"https://lookaside.fbsbx.com.evil.example/x":                       false,
		"https://evilfbsbx.com/x":                                          false,
		"https://evil.example/https://lookaside.fbsbx.com/":                false,
		"https://www.facebook.com/x":                                       false,
		"https://10.0.0.1/x":                                               false,
		"https://[::1]/x":                                                  false,
		"http://169.254.169.254/latest/meta-data":                          false,
		"http://localhost/x":                                               false,
		"file:///etc/passwd":                                               false,
		"gopher://lookaside.fbsbx.com/x":                                   false,
		"//lookaside.fbsbx.com/x":                                          false,
		"":                                                                 false,
		"https://lookaside.fbsbx.com\u3002evil.example/x":                  false,
		"https://lookaside.fbsbx.com%2fevil.example":                       false,
		"https://scontent.fbcdn.net.":                                      false,
		"https://169.254.169.254#.fbcdn.net":                               false,
		"https://169.254.169.254\\.fbcdn.net":                              false,
		"https://graph.facebook.com:444/v25.0/x":                           false,
		"http://graph.facebook.com/v25.0/x":                                false,
		"https://graph.facebook.com.fbcdn.net.evil.example/.fbcdn.net?a=.fbcdn.net#.fbcdn.net": false,
	} {
		u, err := url.Parse(address)
		got := err == nil && c.mayFetch(u) == nil
		require.Equal(t, allowed, got, address)
		if !allowed {
			_, err := c.Download(t.Context(), whatsAppAccount(), address, 10)
			require.ErrorIs(t, err, domain.ErrFileForbidden, address)
		}
	}
}

func TestOnlyPublicAddressesAreDialed(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"157.240.0.1": true, "2a03:2880:f0::1": true, "::ffff:157.240.0.1": true,
		"127.0.0.1": false, "127.8.9.1": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false,
		"198.18.0.1": false, "192.0.2.1": false, "203.0.113.7": false, "240.0.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd12::1": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "2001::1": false,
	} {
		require.Equal(t, want, public(netip.MustParseAddr(address)), address)
	}
	require.Error(t, publicOnly("tcp", "lookaside.fbsbx.com:443", nil), "a name isn't an address")
}

// lyingNames resolves every name to 127.0.0.1.
func lyingNames() *net.Resolver {
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
			_, _ = theirs.Write(loopbackAnswer(query)) // the resolver hung up: it tries again
		}()
		return ours, nil
	}}
}

// loopbackAnswer is a DNS answer over TCP: the question and, to one for an
// IPv4 address, 127.0.0.1.
func loopbackAnswer(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	isA := query[end-4] == 0 && query[end-3] == 1
	msg := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if isA {
		msg[7] = 1
		msg = append(msg, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)
}

// TestANameThatLeadsInside resolves a media host to this machine.
func TestANameThatLeadsInside(t *testing.T) {
	t.Parallel()
	c := newClient(t, Config{})
	c.media = newMediaClient(Config{MaxConnections: 1}, c.base, lyingNames())
	addresses, err := lyingNames().LookupHost(t.Context(), "lookaside.fbsbx.com")
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1"}, addresses)
	_, err = c.Download(t.Context(), whatsAppAccount(), "https://lookaside.fbsbx.com/x", 10)
	require.ErrorIs(t, err, domain.ErrFileForbidden)
	require.ErrorContains(t, err, "isn't public")
}

// TestRedirectsAreCheckedAgain follows a redirect of the API's own host.
func TestRedirectsAreCheckedAgain(t *testing.T) {
	t.Parallel()
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("fetched from inside")
	}))
	t.Cleanup(inside.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/inside":
			http.Redirect(w, r, inside.URL+"/secret", http.StatusFound)
		case "/elsewhere":
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/once":
			http.Redirect(w, r, "/file", http.StatusFound)
		default:
			_, _ = w.Write([]byte(r.Header.Get("Authorization")))
		}
	}))
	t.Cleanup(server.Close)
	c := newClient(t, Config{BaseURL: server.URL})
	for _, path := range []string{"/inside", "/elsewhere"} {
		_, err := c.Download(t.Context(), whatsAppAccount(), server.URL+path, 100)
		require.ErrorIs(t, err, domain.ErrFileForbidden, path)
	}
	_, err := c.Download(t.Context(), whatsAppAccount(), server.URL+"/loop", 100)
	require.Equal(t, domain.FailureTransient, callError(t, err).Class)
	for _, a := range []Account{whatsAppAccount(), messengerAccount()} {
		download, err := c.Download(t.Context(), a, server.URL+"/once", 100)
		require.NoError(t, err)
		got, err := io.ReadAll(download.Body)
		require.NoError(t, err)
		require.NoError(t, download.Body.Close())
		want := ""
		if a.Provider == domain.WhatsApp {
			want = "Bearer " + string(a.Token)
		}
		require.Equal(t, want, string(got), "only WhatsApp's files want the token")
	}
}

// TestTheTokenStaysWithItsHosts looks at where a redirect would carry it.
func TestTheTokenStaysWithItsHosts(t *testing.T) {
	t.Parallel()
	c := newClient(t, Config{})
	for address, want := range map[string]bool{
		"https://graph.facebook.com/v25.0/1":    true,
		"https://lookaside.fbsbx.com/x":         true,
		"https://scontent.xx.fbcdn.net/x":       false,
		"https://cdn.fbsbx.com/x":               false,
		"https://lookaside.fbsbx.com:8443/x":    false,
		"https://lookaside.fbsbx.com.evil.io/x": false,
	} {
		ctx := context.WithValue(t.Context(), bearerKey{}, c.bearer(whatsAppAccount()))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer taken along by net/http")
		authorize(req)
		if want {
			require.Equal(t, "Bearer "+string(whatsAppAccount().Token), req.Header.Get("Authorization"), address)
		} else {
			require.Empty(t, req.Header.Get("Authorization"), address)
		}
	}
}

func TestDownloadsAreBounded(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunked":
			w.(http.Flusher).Flush() // no length is announced
		case "/broken":
			w.Header().Set("Content-Length", "2000")
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1000))
	}))
	t.Cleanup(server.Close)
	c := newClient(t, Config{BaseURL: server.URL})
	for _, path := range []string{"/announced", "/chunked"} {
		download, err := c.Download(t.Context(), whatsAppAccount(), server.URL+path, 1000)
		require.NoError(t, err)
		got, err := io.ReadAll(download.Body)
		require.NoError(t, err)
		require.Len(t, got, 1000)
		require.NoError(t, download.Body.Close())
	}
	_, err := c.Download(t.Context(), whatsAppAccount(), server.URL+"/announced", 999)
	require.ErrorIs(t, err, domain.ErrFileTooLarge)
	download, err := c.Download(t.Context(), whatsAppAccount(), server.URL+"/chunked", 999)
	require.NoError(t, err)
	got, err := io.ReadAll(download.Body)
	require.ErrorIs(t, err, domain.ErrFileTooLarge)
	require.Len(t, got, 999)
	require.NoError(t, download.Body.Close())
	download, err = c.Download(t.Context(), whatsAppAccount(), server.URL+"/broken", 9999)
	require.NoError(t, err)
	_, err = io.ReadAll(download.Body)
	require.Equal(t, domain.FailureTransient, callError(t, err).Class)
	require.NoError(t, download.Body.Close())
}

func TestDownloadsThatAreRefused(t *testing.T) {
	t.Parallel()
	for status, class := range map[int]domain.FailureClass{
		401: domain.FailureChannel, 403: domain.FailurePermanent, 429: domain.FailureThrottleChannel, 500: domain.FailureTransient,
	} {
		c := answering(t, status, "no")
		_, err := c.Download(t.Context(), whatsAppAccount(), c.base.String()+"/x", 10)
		require.Equal(t, class, callError(t, err).Class, "HTTP %d", status)
	}
}

func TestUploadsAreCheckedFirst(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{})
	c := newClient(t, Config{BaseURL: server.URL()})
	for name, u := range map[string]Upload{
		"type":  {Type: domain.TypeImage, MimeType: "image/gif", Size: 3, Data: strings.NewReader("GIF")},
		"size":  {Type: domain.TypeImage, MimeType: "image/png", Size: 6 << 20, Data: strings.NewReader("x")},
		"empty": {Type: domain.TypeImage, MimeType: "image/png", Data: strings.NewReader("")},
	} {
		_, err := c.Upload(t.Context(), whatsAppAccount(), u)
		require.Equal(t, domain.CallUnsendable, callError(t, err).Code, name)
	}
	require.Empty(t, server.Calls())
	// A file that is shorter than its size never makes a whole request.
	_, err := c.Upload(t.Context(), whatsAppAccount(), Upload{Type: domain.TypeImage, MimeType: "image/png", Size: 9, Data: strings.NewReader("x")})
	require.Equal(t, domain.FailureTransient, callError(t, err).Class)
}
