package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestSecretsShowNowhere(t *testing.T) {
	t.Parallel()
	a := whatsAppAccount()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, a)
		fmt.Fprintf(&out, verb, &a)
		fmt.Fprintf(&out, verb, a.Token)
	}
	fmt.Fprintln(&out, a.Token.String())
	require.NoError(t, json.NewEncoder(&out).Encode(a))
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "account", a, "token", a.Token, "pointer", &a)
	}
	require.Contains(t, out.String(), concealed)
	requireNoSecret(t, out.String(), a)
}

func requireNoSecret(t *testing.T, s string, a Account) {
	t.Helper()
	for _, secret := range []string{string(a.Token), string(a.AppSecret), a.proof(), fmt.Sprintf("%x", string(a.Token))} {
		require.NotContains(t, s, secret)
	}
}

// TestErrorsNameNoCredentials fails calls in all ways with a platform that
// quotes the token.
func TestErrorsNameNoCredentials(t *testing.T) {
	t.Parallel()
	a := whatsAppAccount()
	quoting := answering(t, 401, `{"error":{"message":"Malformed access token `+string(a.Token)+`","code":190}}`)
	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(broken.Close)
	for name, c := range map[string]*Client{
		"quoted":  quoting,
		"broken":  newClient(t, Config{BaseURL: broken.URL}),
		"refused": newClient(t, Config{BaseURL: "http://127.0.0.1:1"}),
		"no name": newClient(t, Config{BaseURL: "https://graph.invalid"}),
		"no json": answering(t, 200, "<html>"),
	} {
		errs := []error{
			second(c.Send(t.Context(), a, hello())),
			second(c.InspectToken(t.Context(), a, "1")), // the token is in the address
			second(c.Identify(t.Context(), a)),
		}
		if name != "no json" { // a file it may be
			errs = append(errs, second(c.Download(t.Context(), a, c.base.String()+"/x?access_token="+string(a.Token), 1)))
		}
		for _, err := range errs {
			require.Error(t, err, name)
			requireNoSecret(t, fmt.Sprintf("%v %+v %#v", err, err, err), a)
			failed := callError(t, err)
			requireNoSecret(t, failed.Text+fmt.Sprint(failed.Cause), a)
		}
	}
}

func TestTokensThatCantBeSent(t *testing.T) {
	t.Parallel()
	c := answering(t, 200, "{}")
	for _, token := range []Secret{"", "with space", "line\nbreak", "ümlaut"} {
		a := whatsAppAccount()
		a.Token = token
		_, err := c.Send(t.Context(), a, hello())
		require.Equal(t, domain.FailureChannel, callError(t, err).Class)
		require.NotContains(t, err.Error(), "break")
	}
}

// TestCredentialsOfACall looks at what the platform gets to see.
func TestCredentialsOfACall(t *testing.T) {
	t.Parallel()
	var seen []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		_, _ = w.Write([]byte(`{"messages":[{"id":"wamid.x"}]}`))
	}))
	t.Cleanup(server.Close)
	c := newClient(t, Config{BaseURL: server.URL + "/", Version: "v26.0"})
	a := whatsAppAccount()
	_, err := c.Send(t.Context(), a, hello())
	require.NoError(t, err)
	a.AppSecret = ""
	_, err = c.Send(t.Context(), a, hello())
	require.NoError(t, err)

	require.Equal(t, "/v26.0/"+phoneNumberID+"/messages", seen[0].URL.Path)
	require.Equal(t, "Bearer "+string(a.Token), seen[0].Header.Get("Authorization"))
	// echo -n EAAwhatsapptoken | openssl dgst -sha256 -hmac appsecretofwhatsapp
	require.Equal(t, "5351db1c4dc7759822ba317b7d939908499281c25309c770b442381696f01861", seen[0].URL.Query().Get("appsecret_proof"))
	require.Empty(t, seen[1].URL.RawQuery)
}
