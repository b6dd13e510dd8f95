package webhook

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestVerification(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	unset := newBench(t, func(c *Config) { c.WhatsApp.VerifyToken = "" })
	for name, c := range map[string]struct {
		handler http.Handler
		query   string
		status  int
	}{
		"right":           {b.handler.WhatsApp(), "hub.mode=subscribe&hub.verify_token=whatsapp+token&hub.challenge=%3Cb%3E1158201444", 200},
		"the other":       {b.handler.Messenger(), "hub.mode=subscribe&hub.verify_token=messenger+token&hub.challenge=%3Cb%3E1158201444", 200},
		"wrong token":     {b.handler.WhatsApp(), "hub.mode=subscribe&hub.verify_token=messenger+token&hub.challenge=1", 403},
		"wrong mode":      {b.handler.WhatsApp(), "hub.mode=unsubscribe&hub.verify_token=whatsapp+token&hub.challenge=1", 403},
		"nothing":         {b.handler.WhatsApp(), "", 403},
		"no token set":    {unset.handler.WhatsApp(), "hub.mode=subscribe&hub.verify_token=&hub.challenge=1", 403},
		"endless":         {b.handler.WhatsApp(), "hub.mode=subscribe&hub.verify_token=whatsapp+token&hub.challenge=" + strings.Repeat("1", 2000), 403},
		"another's token": {b.handler.Messenger(), "hub.mode=subscribe&hub.verify_token=whatsapp+token&hub.challenge=1", 403},
	} {
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?"+c.query, nil))
		require.Equal(t, c.status, w.Code, name)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		if c.status == 200 {
			require.Equal(t, "<b>1158201444", w.Body.String())
			require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		}
	}
}

func TestOtherMethods(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newBench(t, nil).handler.WhatsApp().ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "GET, POST", w.Header().Get("Allow"))
}

// TestEveryFixtureIsTaken posts each fixture, and each again: 200, nothing
// without a trace, and the second time says the same as the first.
func TestEveryFixtureIsTaken(t *testing.T) {
	t.Parallel()
	for _, provider := range []domain.Provider{domain.WhatsApp, domain.Messenger} {
		for _, name := range fixtures(t, strings.ToLower(string(provider))+"_") {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, nil)
				b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
				b.channels.add(domain.WhatsApp, "109876543210987", 1, nil)
				b.channels.add(domain.Messenger, fixturePage, 1, nil)
				w := b.post(provider, fixture(t, name), appSecret)
				require.Equal(t, http.StatusOK, w.Code)
				require.Empty(t, w.Body.String())
				require.NotContains(t, b.reasons(), reasonPanic)
				got, letters := b.got, b.letters
				b.got, b.letters = nil, nil
				require.Equal(t, http.StatusOK, b.post(provider, fixture(t, name), appSecret).Code)
				require.Equal(t, got, b.got)
				require.Len(t, b.letters, len(letters))
				for i := range letters {
					require.Equal(t, letters[i].ID, b.letters[i].ID)
				}
			})
		}
	}
}

func TestUnknownChannelsAreKeptAsDeadLetters(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	for _, name := range []string{"whatsapp_unknown_phone_number", "whatsapp_dashboard_test"} {
		require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, fixture(t, name), appSecret).Code)
	}
	require.Equal(t, http.StatusOK, b.post(domain.Messenger, fixture(t, "messenger_unknown_page"), appSecret).Code)
	require.Empty(t, b.got)
	require.Equal(t, []string{reasonUnknownChannel, reasonUnknownChannel, reasonUnknownChannel}, b.reasons())
	require.Equal(t, "100000000000999", b.letters[0].Account)
	require.True(t, b.letters[0].Organization.IsZero())
	require.Equal(t, map[string]string{"Content-Type": "application/json"}, b.letters[0].Headers)
	again := parseWhatsApp(b.letters[0].Payload)
	require.Len(t, again, 1)
	require.Equal(t, "which channel is this?", again[0].Event.(domain.CustomerMessage).Body)
	require.Equal(t, "Dana Okafor", again[0].Customer.Name, "the payload of a letter can be posted again")
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	small := []byte(`{"object":"page","entry":[]}`)
	escaped := []byte(`{"object":"page","entry":[{"id":"1","time":1795000000120,"messaging":[{"sender":{"id":"2"},"recipient":{"id":"1"},` +
		`"timestamp":1795000000000,"message":{"mid":"m_x","text":"\u00e4\u00f6\u00e5 \ud83d\ude00 https:\/\/a.example"}}]}]}`)
	require.Len(t, small, 28)
	require.Len(t, escaped, 229)
	const (
		small256   = "sha256=7cbc46b042d7e131c845c3f08d7028636dc75bdd529a85bfd25451ef6fc04d04"
		small1     = "sha1=10399b38a47b48f99f6cd3d05a5f7f9314fc41d0"
		escaped256 = "sha256=74b47070ac55d4f53b90a92f10ada4ca2f47237b818f2461924483513d4dc6d5"
		escaped1   = "sha1=4500f7cd6f4b09cce7f31e48eb883345edaf038e"
	)
	for name, c := range map[string]struct {
		provider     domain.Provider
		body         []byte
		sha256, sha1 string
		want         bool
	}{
		"sha256":                       {domain.WhatsApp, small, small256, "", true},
		"sha256, escaped body":         {domain.Messenger, escaped, escaped256, "", true},
		"sha1 on Messenger":            {domain.Messenger, small, "", small1, true},
		"sha1, escaped body":           {domain.Messenger, escaped, "", escaped1, true},
		"both":                         {domain.Messenger, small, small256, small1, true},
		"sha1 on WhatsApp":             {domain.WhatsApp, small, "", small1, false},
		"right sha1 beside bad sha256": {domain.Messenger, small, escaped256, small1, false},
		"sha1 beside an odd sha256":    {domain.Messenger, small, "sha256=", small1, false},
		"another body's":               {domain.WhatsApp, small, escaped256, "", false},
		"none":                         {domain.WhatsApp, small, "", "", false},
		"no prefix":                    {domain.WhatsApp, small, small256[7:], "", false},
		"wrong prefix":                 {domain.WhatsApp, small, "sha1=" + small256[7:], "", false},
		"too short":                    {domain.WhatsApp, small, small256[:70], "", false},
		"too long":                     {domain.WhatsApp, small, small256 + "00", "", false},
		"no hex":                       {domain.WhatsApp, small, small256[:70] + "x", "", false},
	} {
		b := newBench(t, nil)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(c.body)))
		r.Header.Set(headerSHA256, c.sha256)
		r.Header.Set(headerSHA1, c.sha1)
		w := httptest.NewRecorder()
		b.endpoint(c.provider).ServeHTTP(w, r)
		want := map[bool]int{true: 200, false: 401}[c.want]
		require.Equal(t, want, w.Code, name)
		if !c.want {
			require.Empty(t, b.letters)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.JSONEq(t, `{"status":401,"title":"Unauthorized","code":"invalid_signature",
				"detail":"The signature of the body is missing or made with another secret."}`, w.Body.String())
		}
	}
}

func TestTemporaryTroubleIsRepeatedWholeAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		domain.ErrUnavailable, domain.ErrOverloaded, domain.ErrOutcomeUnknown, fmt.Errorf("ask: %w", domain.ErrUnavailable), errors.New("unheard of"),
	} {
		b := newBench(t, nil)
		b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
		b.fail = func(d domain.Delivery) error {
			if d.Element.Position == 2 {
				return err
			}
			return nil
		}
		w := b.post(domain.WhatsApp, fixture(t, "whatsapp_batch_one_bad"), appSecret)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, retryAfter, w.Header().Get("Retry-After"))
		require.Empty(t, b.letters, "the letters come with the repetition")
		b.fail = nil
		require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, fixture(t, "whatsapp_batch_one_bad"), appSecret).Code)
		require.Equal(t, []string{reasonNoSender}, b.reasons())
	}
}

func TestDeadLettersThatCantBeKeptAreTemporaryTrouble(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.keepErr = domain.ErrUnavailable
	require.Equal(t, http.StatusServiceUnavailable, b.post(domain.WhatsApp, fixture(t, "whatsapp_text"), appSecret).Code)
	require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, fixture(t, "whatsapp_field_calls"), appSecret).Code, "nothing to keep")
}

func TestPermanentRefusals(t *testing.T) {
	t.Parallel()
	noTarget := fmt.Errorf("decide: %w", domain.ErrNoTarget)
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"whatsapp_text":                       {&domain.ValueError{Reason: "22P05"}, []string{reasonRefused}},
		"whatsapp_image":                      {fmt.Errorf("actor: %w", domain.ErrFailed), []string{reasonPanic}},
		"whatsapp_edit":                       {noTarget, []string{reasonUnknownTarget}},
		"whatsapp_revoke":                     {noTarget, []string{reasonUnknownTarget}},
		"messenger_message_unsent":            {noTarget, []string{reasonUnknownTarget}},
		"whatsapp_status_read":                {noTarget, []string{}},
		"messenger_read":                      {noTarget, []string{}},
		"messenger_referral_mme":              {noTarget, []string{}},
		"whatsapp_system_user_changed_number": {noTarget, []string{}},
	} {
		b := newBench(t, nil)
		channel := b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
		b.channels.add(domain.Messenger, fixturePage, 1, nil)
		b.fail = func(domain.Delivery) error { return c.err }
		provider := domain.Provider(strings.ToUpper(name[:strings.IndexByte(name, '_')]))
		require.Equal(t, http.StatusOK, b.post(provider, fixture(t, name), appSecret).Code, name)
		require.Equal(t, c.want, b.reasons(), name)
		if name == "whatsapp_text" {
			require.Equal(t, channel.Organization, b.letters[0].Organization)
			require.Equal(t, "22P05", b.letters[0].Detail)
		}
	}
}

func TestABatchIsDeliveredInTheOrderOfItsTimes(t *testing.T) {
	t.Parallel()
	var shuffled []string
	for i := range 200 {
		shuffled = append(shuffled, fmt.Sprintf(`{"from":"15550100177","id":"%d","timestamp":"%d","type":"text","text":{"body":"%d"}}`, i, 1795000000+i/4, i))
	}
	rand.Shuffle(len(shuffled)/4, func(i, j int) { // groups of one second, whose inner order is that of the POST
		for k := range 4 {
			shuffled[4*i+k], shuffled[4*j+k] = shuffled[4*j+k], shuffled[4*i+k]
		}
	})
	b := newBench(t, nil)
	b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, whatsAppWith("messages", shuffled...), appSecret).Code)
	for i, d := range b.got {
		require.Equal(t, fmt.Sprint(i), d.Element.Event.(domain.CustomerMessage).ProviderID)
	}
	require.Len(t, b.got, 200)
}

func TestWhatHasNoTimeStaysWhereItIs(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return fixtureTime.Add(time.Duration(s) * time.Second) }
	pieces := []piece{{at: at(5)}, {}, {at: at(1)}, {}, {at: at(9)}}
	for i := range pieces {
		pieces[i].Position = i
	}
	inOrder(pieces)
	require.Equal(t, []int{2, 3, 0, 1, 4}, []int{
		pieces[0].Position, pieces[1].Position, pieces[2].Position, pieces[3].Position, pieces[4].Position,
	})
}

func TestBodiesOverTheLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	server := httptest.NewServer(b.handler.WhatsApp())
	defer server.Close()
	body := []byte(strings.Repeat(" ", MaxBody+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, b.post(domain.WhatsApp, body, appSecret).Code)
	r := signedRequest(body, appSecret)
	r.ContentLength = -1 // chunked
	r.RequestURI, r.URL = "", mustURL(t, server.URL)
	response, err := server.Client().Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	full := append([]byte(`{"object":"page"}`), body[:MaxBody-17]...)
	require.Equal(t, http.StatusOK, b.post(domain.Messenger, full, appSecret).Code)
}

func mustURL(t *testing.T, s string) *url.URL {
	u, err := url.Parse(s)
	require.NoError(t, err)
	return u
}

func TestInFlightIsBounded(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*Config){
		"posts": func(c *Config) { c.MaxInFlight = 1 },
		"bytes": func(c *Config) { c.MaxInFlightBytes = MaxBody },
	} {
		b := newBench(t, limit)
		b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
		b.block, b.entered = make(chan struct{}), make(chan struct{}, 1)
		first := make(chan int)
		body := slices.Concat(fixture(t, "whatsapp_text"), []byte(strings.Repeat(" ", MaxBody/2)))
		go func() { first <- b.post(domain.WhatsApp, body, appSecret).Code }()
		<-b.entered
		w := b.post(domain.WhatsApp, body, appSecret)
		require.Equal(t, http.StatusServiceUnavailable, w.Code, name)
		require.Equal(t, retryAfter, w.Header().Get("Retry-After"))
		close(b.block)
		require.Equal(t, http.StatusOK, <-first)
		require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, body, appSecret).Code, "%s: the place is free again", name)
	}
}

func TestAnInboxThatDoesntAnswerIsAnsweredFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.channels.add(domain.Messenger, fixturePage, 1, nil)
		b.block = make(chan struct{})
		start := time.Now()
		require.Equal(t, http.StatusServiceUnavailable, b.post(domain.Messenger, fixture(t, "messenger_text"), appSecret).Code)
		require.Equal(t, deadline, time.Since(start))
	})
}

// TestABodyThatDoesntComeIsAnsweredFor: the server must not wait for the rest
// either, which it does when the time limit is lifted before the answer.
func TestABodyThatDoesntComeIsAnsweredFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.handler.whatsApp.deadline = 50 * time.Millisecond
	server := httptest.NewServer(b.handler.WhatsApp())
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	b.post(domain.WhatsApp, fixture(t, "whatsapp_batch_one_bad"), appSecret)
	b.post(domain.WhatsApp, fixture(t, "whatsapp_field_calls"), appSecret)
	b.post(domain.WhatsApp, fixture(t, "whatsapp_text"), []byte("wrong"))
	families, err := b.registry.Gather()
	require.NoError(t, err)
	counted := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			if n := m.GetCounter().GetValue(); n > 0 {
				counted[name] = n
			}
		}
	}
	require.Equal(t, map[string]float64{
		"chatopshub_webhook_dead_letters_total WHATSAPP no_sender":     1,
		"chatopshub_webhook_elements_total calls ignored WHATSAPP":     1,
		"chatopshub_webhook_elements_total message delivered WHATSAPP": 2,
		"chatopshub_webhook_posts_total WHATSAPP invalid_signature":    1,
		"chatopshub_webhook_posts_total WHATSAPP taken":                2,
	}, counted)
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := New(Config{})
	require.ErrorContains(t, err, "Channels, Inbox, DeadLetters, Logger, Registerer and Now")
	b := newBench(t, nil)
	_, err = New(Config{
		Channels: b.channels, Inbox: b.recorder, DeadLetters: b.recorder, Logger: b.handler.whatsApp.log, Registerer: b.registry, Now: time.Now,
	})
	require.ErrorContains(t, err, "register metrics")
}
