package graph

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
)

func hello() domain.Outgoing {
	return domain.Outgoing{To: phone, Reference: "ref", Content: domain.Content{Type: domain.TypeText, Text: "hello"}}
}

// TestWhatCertainlyWasntSent breaks a call before its request is written.
func TestWhatCertainlyWasntSent(t *testing.T) {
	t.Parallel()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refusing.Close())
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	selfSigned := httptest.NewUnstartedServer(http.NotFoundHandler())
	selfSigned.Config.ErrorLog = log.New(io.Discard, "", 0) // that its certificate is refused is the point
	selfSigned.StartTLS()
	t.Cleanup(selfSigned.Close)
	for name, base := range map[string]string{
		"refused":            "http://" + refusing.Addr().String(),
		"no such name":       "http://graph.invalid",
		"no TLS over there":  "https" + plain.URL[len("http"):],
		"untrusted identity": selfSigned.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed := sendFails(t, newClient(t, Config{BaseURL: base}), hello())
			require.Equal(t, domain.FailureTransient, failed.Class)
			require.Equal(t, domain.CallNotReached, failed.Code)
		})
	}
}

// TestNoFreeConnection lets a call wait for a connection until its time is up.
func TestNoFreeConnection(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{Plan: graphtest.Messages(func(graphtest.Call) graphtest.Fault {
		return graphtest.Fault{Delay: time.Minute}
	})})
	client := newClient(t, Config{BaseURL: server.URL(), MaxConnections: 1})
	first, cancel := context.WithCancel(t.Context())
	held := make(chan error)
	go func() {
		_, err := client.Send(first, whatsAppAccount(), hello())
		held <- err
	}()
	require.NoError(t, server.AwaitTaken(t.Context(), 1))

	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err := client.Send(ctx, whatsAppAccount(), hello())
	failed := callError(t, err)
	require.Equal(t, domain.FailureTransient, failed.Class)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	cancel()
	failed = callError(t, <-held)
	require.Equal(t, domain.FailureUncertain, failed.Class, "given up after the request went out")
	require.ErrorIs(t, failed, context.Canceled)
	require.Len(t, server.Taken(), 1)
}

// TestUncertainOutcomes loses the answer in all ways, taken or not: the caller
// can't tell, and neither must the class.
func TestUncertainOutcomes(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]graphtest.Fault{
		"taken, then the connection breaks":  graphtest.Dropped,
		"the connection breaks, not taken":   graphtest.Broken,
		"taken, no answer in time":           {Take: true, Delay: time.Minute},
		"taken, the proxy's page":            {Take: true, Page: "<html>504</html>", Status: 504},
		"the proxy's page, not taken":        {Page: "<html>502</html>"},
		"taken, and an error all the same":   {Take: true, Error: graphtest.Failure(1, 1357046, "Received invalid JSON reply.")},
		"taken, and a page that looks right": {Take: true, Page: "OK", Status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startGraph(t, graphtest.Config{Plan: graphtest.Attempts(fault)})
			client := newClient(t, Config{BaseURL: server.URL(), Timeout: 500 * time.Millisecond})
			failed := sendFails(t, client, hello())
			require.Equal(t, domain.FailureUncertain, failed.Class)
			require.Len(t, server.Calls(), 1, "one call is one attempt")
			taken := 0
			if fault.Take {
				taken = 1
			}
			require.Len(t, server.Taken(), taken)
		})
	}
}

// TestAKeptConnectionThatDied guards against a second attempt by net/http: the
// server closes a connection that was used before, with the next request in it.
func TestAKeptConnectionThatDied(t *testing.T) {
	t.Parallel()
	faults := []graphtest.Fault{{}, graphtest.Dropped, graphtest.Dropped, {}}
	server := startGraph(t, graphtest.Config{Plan: graphtest.Attempts(faults...)})
	client := newClient(t, Config{BaseURL: server.URL(), MaxConnections: 1})
	for i, fault := range faults {
		_, err := client.Send(t.Context(), whatsAppAccount(), hello())
		if fault.Cut {
			require.Equal(t, domain.FailureUncertain, callError(t, err).Class)
		} else {
			require.NoError(t, err)
		}
		require.Len(t, server.Calls(), i+1)
		require.Len(t, server.TakenBy("15550100177"), i+1)
	}
}

// TestErrorsThroughTheFake sends with each family of errors once and then
// succeeds: the class, and that nothing was taken.
func TestErrorsThroughTheFake(t *testing.T) {
	t.Parallel()
	limited := graphtest.Refuse(130429, 0)
	limited.Error.Status, limited.Error.RetryAfter = http.StatusTooManyRequests, "3"
	in200 := graphtest.Refuse(131026, 0)
	in200.Error.Status = http.StatusOK
	for _, c := range []struct {
		fault graphtest.Fault
		class domain.FailureClass
	}{
		{graphtest.Refuse(190, 463), domain.FailureChannel},
		{graphtest.Refuse(131047, 0), domain.FailurePermanent},
		{graphtest.Refuse(131000, 0), domain.FailureTransient},
		{graphtest.Refuse(131056, 0), domain.FailureThrottleRecipient},
		{graphtest.Refuse(131048, 0), domain.FailureThrottleQuality},
		{graphtest.Refuse(80007, 0), domain.FailureThrottleChannel},
		{graphtest.Refuse(4, 0), domain.FailureThrottleApp},
		{limited, domain.FailureThrottleChannel},
		{in200, domain.FailurePermanent},
	} {
		server := startGraph(t, graphtest.Config{Plan: graphtest.Attempts(c.fault)})
		client := newClient(t, Config{BaseURL: server.URL()})
		failed := sendFails(t, client, hello())
		require.Equal(t, c.class, failed.Class, "code %d", c.fault.Error.Code)
		require.Empty(t, server.Taken())
		if c.fault.Error.RetryAfter != "" {
			require.Equal(t, 3*time.Second, failed.RetryAfter)
		}
		_, err := client.Send(t.Context(), whatsAppAccount(), hello())
		require.NoError(t, err)
	}
}

// TestFaultsOfRepeatableCalls lets every other call fail: none is uncertain.
func TestFaultsOfRepeatableCalls(t *testing.T) {
	t.Parallel()
	server := startGraph(t, graphtest.Config{Plan: func(graphtest.Call) graphtest.Fault { return graphtest.Broken }})
	client := newClient(t, Config{BaseURL: server.URL()})
	w, m := whatsAppAccount(), messengerAccount()
	id := server.PutMedia(w.ID, "image/png", "", []byte("x"))
	for name, err := range map[string]error{
		"read":        client.MarkRead(t.Context(), w, phone, customerWamid),
		"typing":      client.Typing(t.Context(), m, psid, "", true),
		"identify":    second(client.Identify(t.Context(), w)),
		"page":        second(client.Identify(t.Context(), m)),
		"look-up":     second(client.LookUpMedia(t.Context(), w, id)),
		"download":    second(client.Download(t.Context(), w, server.MediaURL(id), 10)),
		"person":      second(client.LookUpPerson(t.Context(), m, customerPSID)),
		"subscribed":  second(client.Subscriptions(t.Context(), m, m.ID)),
		"subscribe":   client.Subscribe(t.Context(), m, m.ID, PageFields()),
		"upload":      second(client.Upload(t.Context(), w, Upload{Type: domain.TypeImage, MimeType: "image/png", Size: 1, Data: bytes.NewReader([]byte("x"))})),
		"take it off": second(client.Send(t.Context(), m, domain.Outgoing{To: psid, Content: domain.Content{Type: domain.TypeReaction, React: &domain.React{ProviderID: customerMid}}})),
	} {
		require.Equal(t, domain.FailureTransient, callError(t, err).Class, name)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnswersWithoutWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	client := answering(t, 200, `{"success":false}`)
	w := whatsAppAccount()
	upload := Upload{Type: domain.TypeImage, MimeType: "image/png", Size: 1, Data: bytes.NewReader([]byte("x"))}
	require.Equal(t, domain.CallBadAnswer, callError(t, second(client.Upload(t.Context(), w, upload))).Code)
	require.Equal(t, domain.CallBadAnswer, callError(t, client.Subscribe(t.Context(), w, "1", nil)).Code)
	require.Equal(t, domain.CallBadAnswer, callError(t, second(client.Send(t.Context(), messengerAccount(), domain.Outgoing{
		To: psid, Content: domain.Content{Type: domain.TypeText, Text: "x"},
	}))).Code)
}

func TestHeldTemplatesAndOtherNumbers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]domain.Sent{
		"graph_whatsapp_send_ok_template_held.json": {
			ProviderID: "wamid.HBgLMTU1NTAxMDAxNzcVAgARGBI3NDJDQjg2NTU0OEM5QjJGNjcA", Held: true, Aliases: []domain.Alias{phone},
		},
		"graph_whatsapp_send_ok_wa_id_differs.json": {
			ProviderID: "wamid.HBgMNTUxMTU1NTAxMjM0FQIAERgSOTI1MEI5OTEyRUU5MUQ2QjQ2AA==",
			Aliases:    []domain.Alias{{Kind: domain.AliasNumber, Value: "551155501234"}},
		},
		"graph_whatsapp_send_ok_bsuid.json": {
			ProviderID: "wamid.HBgLMTU1NTAxMDAxNzcVAgARGBI0N0UxNEE4NjU5QjY3QjZFQ0MA", Aliases: []domain.Alias{bsuid},
		},
	} {
		sent, err := answering(t, 200, string(fixture(t, name))).Send(t.Context(), whatsAppAccount(), hello())
		require.NoError(t, err)
		require.Equal(t, want, sent)
	}
	media, err := answering(t, 200, string(fixture(t, "graph_whatsapp_media_metadata_string_size.json"))).
		LookUpMedia(t.Context(), whatsAppAccount(), "1")
	require.NoError(t, err)
	require.EqualValues(t, 303833, media.Size)
	require.Len(t, media.SHA256, 32)
	for name, want := range map[string]string{
		"graph_messenger_profile.json": "Dana Okafor", "graph_messenger_profile_name_only.json": "Dana Okafor", "graph_messenger_profile_empty.json": "",
	} {
		person, err := answering(t, 200, string(fixture(t, name))).LookUpPerson(t.Context(), messengerAccount(), "1")
		require.NoError(t, err)
		require.Equal(t, want, person.Name)
	}
	_, err = answering(t, 200, string(fixture(t, "graph_whatsapp_phone_number_not_connected.json"))).Identify(t.Context(), whatsAppAccount())
	require.Equal(t, domain.FailureChannel, callError(t, err).Class)
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{BaseURL: "graph.facebook.com"}, {BaseURL: "ftp://graph.facebook.com"}, {BaseURL: "https://user:pw@graph.facebook.com"},
		{BaseURL: "https://graph.facebook.com?x=1"}, {Version: "25"}, {Version: "v25.0/me"}, {Timeout: -1}, {MaxConnections: -1},
	} {
		_, err := New(cfg)
		require.ErrorContains(t, err, "graph:", "%+v", cfg)
	}
	c := newClient(t, Config{})
	require.Equal(t, DefaultBaseURL, c.base.String())
	require.Equal(t, DefaultVersion, c.version)
}
