package graph

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

// startGraph starts a fake with the accounts of these tests.
func startGraph(t *testing.T, cfg graphtest.Config) *graphtest.Server {
	t.Helper()
	w, m := whatsAppAccount(), messengerAccount()
	if cfg.Accounts == nil {
		cfg.Accounts = []graphtest.Account{
			{Provider: graphtest.WhatsApp, ID: w.ID, Token: string(w.Token), WABA: "215589313241560", Name: "Lucky Shrub"},
			{Provider: graphtest.Messenger, ID: m.ID, Token: string(m.Token), Name: "Lucky Shrub"},
		}
	}
	server, err := graphtest.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server
}

// sentOf is what the platform must say of a message that it took.
func sentOf(m domain.Outgoing, taken graphtest.Taken) domain.Sent {
	return domain.Sent{ProviderID: taken.ID, Aliases: []domain.Alias{m.To}}
}

func TestEveryMessageArrivesAtTheFake(t *testing.T) {
	t.Parallel()
	for name, m := range outgoing() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startGraph(t, graphtest.Config{})
			client := newClient(t, Config{BaseURL: server.URL()})
			a := whatsAppAccount()
			if m.To.Kind == domain.AliasPSID {
				a = messengerAccount()
			}
			if f := m.Content.File; f != nil && f.ID != "" { // the fake takes only files that it knows
				m.Content.File = &domain.File{ID: server.PutMedia(a.ID, "x/y", "f", []byte("data")), Name: f.Name}
			}
			sent, err := client.Send(t.Context(), a, m)
			require.NoError(t, err)
			if m.Content.Type == domain.TypeReaction && a.Provider == domain.Messenger {
				actions := server.Actions()
				require.Len(t, actions, 1)
				require.Equal(t, "react", actions[0].Kind)
				require.Equal(t, "😊", actions[0].Emoji)
				return
			}
			taken := server.Taken()
			require.Len(t, taken, 1)
			require.Equal(t, sentOf(m, taken[0]), sent)
			require.Equal(t, m.Reference, taken[0].Reference)
			require.Equal(t, m.ReplyTo, taken[0].ReplyTo)
			require.Equal(t, m.To.Value, taken[0].Recipient)
			if m.Content.Text != "" {
				require.Equal(t, m.Content.Text, taken[0].Text)
			}
		})
	}
}

func TestReceiptsAndTyping(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{})
	client := newClient(t, Config{BaseURL: server.URL()})
	w, m := whatsAppAccount(), messengerAccount()
	require.NoError(t, client.MarkRead(t.Context(), w, phone, customerWamid))
	require.NoError(t, client.Typing(t.Context(), w, phone, customerWamid, true))
	require.NoError(t, client.Typing(t.Context(), w, phone, customerWamid, false))
	require.NoError(t, client.MarkRead(t.Context(), m, psid, customerMid))
	require.NoError(t, client.Typing(t.Context(), m, psid, customerMid, true))
	require.NoError(t, client.Typing(t.Context(), m, psid, customerMid, false))
	var shown []string
	for _, a := range server.Actions() {
		shown = append(shown, a.Account+" "+a.Kind+" "+a.Recipient+a.MessageID)
	}
	require.Equal(t, []string{
		phoneNumberID + " read " + customerWamid, phoneNumberID + " typing " + customerWamid,
		pageID + " mark_seen " + customerPSID, pageID + " typing_on " + customerPSID, pageID + " typing_off " + customerPSID,
	}, shown)
	require.Empty(t, server.Taken())
}

func TestFilesGoUpAndComeDown(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{})
	client := newClient(t, Config{BaseURL: server.URL()})
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, a := range []Account{whatsAppAccount(), messengerAccount()} {
		id, err := client.Upload(t.Context(), a, Upload{
			Type: domain.TypeDocument, Name: "für \"Dana\"\r\n.pdf", MimeType: "application/pdf", Size: int64(len(data)), Data: bytes.NewReader(data),
		})
		require.NoError(t, err)
		kept, mimeType, ok := server.Media(id)
		require.True(t, ok)
		require.Equal(t, data, kept)
		require.Equal(t, "application/pdf", mimeType)
	}
	w := whatsAppAccount()
	id := server.PutMedia(w.ID, "image/jpeg", "", data)
	media, err := client.LookUpMedia(t.Context(), w, id)
	require.NoError(t, err)
	require.Equal(t, id, media.ID)
	require.Equal(t, "image/jpeg", media.MimeType)
	require.EqualValues(t, len(data), media.Size)
	require.Len(t, media.SHA256, 32)
	download, err := client.Download(t.Context(), w, media.URL, domain.MaxInboundFile)
	require.NoError(t, err)
	got, err := io.ReadAll(download.Body)
	require.NoError(t, err)
	require.NoError(t, download.Body.Close())
	require.Equal(t, data, got)
	require.Equal(t, "image/jpeg", download.MimeType)
}

// TestOverTLS makes calls and a download with a certificate of ours.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	certified.Close() // only its certificate is wanted
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	server := startGraph(t, graphtest.Config{TLS: certified.TLS})
	client := newClient(t, Config{BaseURL: server.URL(), RootCAs: roots})
	_, err := client.Send(t.Context(), whatsAppAccount(), hello())
	require.NoError(t, err)
	id := server.PutMedia(phoneNumberID, "image/png", "", []byte("png"))
	download, err := client.Download(t.Context(), whatsAppAccount(), server.MediaURL(id), 10)
	require.NoError(t, err)
	require.NoError(t, download.Body.Close())
}

func TestExpiredMediaAddress(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{MediaLife: 1})
	client := newClient(t, Config{BaseURL: server.URL()})
	w := whatsAppAccount()
	_, err := client.Download(t.Context(), w, server.MediaURL(server.PutMedia(w.ID, "image/png", "", []byte("x"))), 10)
	require.ErrorIs(t, err, domain.ErrFileGone)
}

func TestConnectionTests(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{AppSecret: "appsecretofwhatsapp"})
	client := newClient(t, Config{BaseURL: server.URL()})
	w, m := whatsAppAccount(), messengerAccount()
	m.AppSecret = w.AppSecret

	identity, err := client.Identify(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, Identity{Name: "Lucky Shrub", Number: "+15550100123", Quality: "GREEN"}, identity)
	identity, err = client.Identify(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, Identity{Name: "Lucky Shrub"}, identity)

	for _, c := range []struct {
		a      Account
		object string
		fields []string
	}{{w, "215589313241560", nil}, {m, m.ID, PageFields()}} {
		subscriptions, err := client.Subscriptions(t.Context(), c.a, c.object)
		require.NoError(t, err)
		require.Empty(t, subscriptions)
		require.NoError(t, client.Subscribe(t.Context(), c.a, c.object, c.fields))
		subscriptions, err = client.Subscriptions(t.Context(), c.a, c.object)
		require.NoError(t, err)
		require.Len(t, subscriptions, 1)
		require.Equal(t, "1517776481860111", subscriptions[0].App)
		require.True(t, subscriptions[0].Covers(c.fields))
	}
	token, err := client.InspectToken(t.Context(), w, "1517776481860111")
	require.NoError(t, err)
	require.True(t, token.Valid)
	require.True(t, token.ExpiresAt.IsZero())
	require.Contains(t, token.Scopes, "whatsapp_business_messaging")
}

func TestConnectionTestsThatFail(t *testing.T) {
	t.Parallel()
	w, m := whatsAppAccount(), messengerAccount()
	server := startGraph(t, graphtest.Config{AppSecret: string(w.AppSecret), Accounts: []graphtest.Account{
		{Provider: graphtest.WhatsApp, ID: w.ID, Token: string(w.Token), Offline: true},
		{Provider: graphtest.Messenger, ID: m.ID, Token: string(m.Token)},
		{Provider: graphtest.Messenger, ID: "2", Token: "EAAotherpage"},
	}})
	client := newClient(t, Config{BaseURL: server.URL()})
	m.AppSecret = w.AppSecret
	identify := func(a Account) *domain.CallError {
		_, err := client.Identify(t.Context(), a)
		failed := callError(t, err)
		require.Equal(t, domain.FailureChannel, failed.Class)
		return failed
	}
	require.Contains(t, identify(w).Text, "DISCONNECTED")
	other := m
	other.Token = "EAAotherpage"
	require.Equal(t, domain.CallWrongAccount, identify(other).Code)
	foreign := w
	foreign.ID = "999"
	require.Equal(t, "100", identify(foreign).Code)
	server.SetToken(m.ID, "EAAnewtoken")
	require.Equal(t, "190", identify(m).Code)
	m.Token = ""
	require.Equal(t, domain.CallUnsendable, identify(m).Code)

	dead := w
	dead.Token = "EAAdead"
	token, err := client.InspectToken(t.Context(), dead, "1517776481860111")
	require.NoError(t, err)
	require.False(t, token.Valid)
	require.Contains(t, token.Problem, "expired")
	dead.AppSecret = ""
	_, err = client.InspectToken(t.Context(), dead, "1517776481860111")
	require.Equal(t, domain.CallWrongAccount, callError(t, err).Code)
}

func TestProfileLookUp(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{})
	client := newClient(t, Config{BaseURL: server.URL()})
	_, err := server.Write(pageID, graphtest.Customer{Name: "Dana Okafor", PSID: customerPSID}, "hello")
	require.NoError(t, err)
	person, err := client.LookUpPerson(t.Context(), messengerAccount(), customerPSID)
	require.NoError(t, err)
	require.Equal(t, Person{Name: "Dana Okafor"}, person)
	_, err = client.LookUpPerson(t.Context(), messengerAccount(), "77")
	require.Equal(t, 33, callError(t, err).Subcode)
	_, err = client.LookUpPerson(t.Context(), messengerAccount(), "../me")
	require.Equal(t, domain.CallUnsendable, callError(t, err).Code)
}
