package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// answering is a platform that says the same to every call.
func answering(t *testing.T, status int, body string, header ...string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return newClient(t, Config{BaseURL: server.URL})
}

// byLink is a message whose file the platform fetches.
func byLink() domain.Outgoing {
	return domain.Outgoing{To: phone, Content: domain.Content{
		Type: domain.TypeImage, File: &domain.File{Link: "https://files.example.com/a/1.jpg"},
	}}
}

func sendFails(t *testing.T, c *Client, m domain.Outgoing) *domain.CallError {
	t.Helper()
	_, err := c.Send(t.Context(), whatsAppAccount(), m)
	return callError(t, err)
}

func TestEveryDocumentedErrorHasItsClass(t *testing.T) {
	t.Parallel()
	var cases []struct {
		File   string              `json:"file"`
		Status int                 `json:"http_status"`
		Class  domain.FailureClass `json:"error_class"`
	}
	require.NoError(t, json.Unmarshal(fixture(t, "errors.json"), &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(c.File, func(t *testing.T) {
			t.Parallel()
			body := fixture(t, c.File)
			failed := sendFails(t, answering(t, c.Status, string(body)), byLink())
			if c.Class == "" { // the error under a 200, with a code that nobody documents
				c.Class = domain.FailurePermanent
			}
			require.Equal(t, c.Class, failed.Class)
			var wire struct {
				Error struct {
					Message string `json:"message"`
					Code    int    `json:"code"`
					Subcode int    `json:"error_subcode"`
					Data    struct {
						Details string `json:"details"`
					} `json:"error_data"`
					Trace string `json:"fbtrace_id"`
				} `json:"error"`
			}
			require.NoError(t, json.Unmarshal(body, &wire))
			require.Equal(t, fmt.Sprint(wire.Error.Code), failed.Code)
			require.Equal(t, wire.Error.Subcode, failed.Subcode)
			require.Equal(t, wire.Error.Trace, failed.TraceID)
			if wire.Error.Data.Details != "" {
				require.Equal(t, wire.Error.Data.Details, failed.Text)
			} else {
				require.Equal(t, wire.Error.Message, failed.Text)
			}
		})
	}
}

// TestEveryCodeHasItsClass has the tables of the platforms' codes, written down
// apart from the code that is tested.
func TestEveryCodeHasItsClass(t *testing.T) {
	t.Parallel()
	const (
		p, p1, tr, c, u  = domain.FailurePermanent, domain.FailurePermanentOrOnce, domain.FailureTransient, domain.FailureChannel, domain.FailureUncertain
		app, ch, rcpt, q = domain.FailureThrottleApp, domain.FailureThrottleChannel, domain.FailureThrottleRecipient, domain.FailureThrottleQuality
	)
	for _, row := range []struct {
		class  domain.FailureClass
		status int
		codes  []int
	}{
		{c, 401, []int{0, 190}},
		{tr, 400, []int{1, 1200}},
		{tr, 503, []int{2, 133004}},
		{c, 500, []int{3, 131045, 133000}},
		{app, 400, []int{4, 17, 341}},
		{c, 403, []int{10, 200, 230, 299, 368, 131005, 131031}},
		{c, 400, []int{33, 131037, 131042, 131064, 133005, 133006, 133008, 133009, 133010, 133015, 133016, 134011}},
		{p, 400, []int{
			100, 551, 1545041, 130472, 131008, 131009, 131021, 131026, 131030, 131047, 131049, 131050, 131051, 131062, 131063,
			132000, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068, 132069, 135000, 137000,
		}},
		{p, 404, []int{132001}},
		{p, 403, []int{130497}},
		{ch, 400, []int{613, 80006, 80007, 130429}},
		{ch, 429, []int{613, 130429}},
		{app, 429, []int{4}},
		{rcpt, 429, []int{131056}}, // the code counts, not the status
		{rcpt, 400, []int{131056}},
		{q, 400, []int{131048}},
		{p1, 400, []int{131053}},
		{tr, 500, []int{131000, 131016, 131057}},
		{p, 400, []int{999999, 36000, 131052, 131060}}, // unknown, or known to come in webhooks only
		{p, 403, []int{999999}},
		{ch, 429, []int{999999}},
		{tr, 500, []int{999999}},
	} {
		for _, code := range row.codes {
			client := answering(t, row.status, fmt.Sprintf(`{"error":{"message":"m","code":%d}}`, code))
			require.Equal(t, row.class, sendFails(t, client, byLink()).Class, "code %d under HTTP %d", code, row.status)
		}
	}
	for _, row := range []struct {
		class         domain.FailureClass
		code, subcode int
	}{
		{tr, 1, 99}, {u, 1, 1357046}, {p, 10, 2018278}, {p, 10, 2534022}, {p, 10, 2018065}, {p, 10, 2018108}, {c, 10, 1893063},
		{c, 100, 33}, {p, 100, 2018001}, {p, 100, 2018109}, {p, 100, 2018218}, {p, 100, 1893061}, {p1, 100, 2018008},
		{c, 190, 458}, {c, 190, 460}, {c, 190, 463}, {c, 190, 467}, {c, 200, 2018028}, {p, 200, 1545041}, {p, 551, 1545041},
	} {
		client := answering(t, 400, fmt.Sprintf(`{"error":{"message":"m","code":%d,"error_subcode":%d}}`, row.code, row.subcode))
		require.Equal(t, row.class, sendFails(t, client, byLink()).Class, "code %d/%d", row.code, row.subcode)
	}
}

func TestAFileThatWasUploadedDoesntGetBetter(t *testing.T) {
	t.Parallel()
	client := answering(t, 400, `{"error":{"message":"m","code":131053}}`)
	m := domain.Outgoing{To: phone, Content: domain.Content{Type: domain.TypeImage, File: &domain.File{ID: "1"}}}
	require.Equal(t, domain.FailurePermanent, sendFails(t, client, m).Class)
	linked := domain.Outgoing{To: phone, Content: domain.Content{Type: domain.TypeTemplate, Template: &domain.Template{
		Name: "t", Language: "en", Header: []domain.TemplateParameter{{Type: domain.TypeImage, File: &domain.File{Link: "https://a.example/x.png"}}},
	}}}
	require.Equal(t, domain.FailurePermanentOrOnce, sendFails(t, client, linked).Class)
}

func TestAnswersThatArentThePlatforms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		class  domain.FailureClass
	}{
		{200, "<html>captive portal</html>", domain.FailureUncertain},
		{200, "", domain.FailureUncertain},
		{200, "{}", domain.FailureUncertain}, // without a message id
		{200, `{"messages":[]}`, domain.FailureUncertain},
		{200, `{"messages":{}}`, domain.FailureUncertain},
		{200, `{"error":{"message":"without a code"}}`, domain.FailureUncertain},
		{502, "<html>bad gateway</html>", domain.FailureUncertain},
		{504, `{"error":"upstream timeout"}`, domain.FailureUncertain},
		{500, `{"ok":false}`, domain.FailureUncertain},
		{307, "", domain.FailureTransient},
		{400, "<html>bad request</html>", domain.FailurePermanent},
		{404, "not found", domain.FailurePermanent},
		{429, "slow down", domain.FailureThrottleChannel},
	} {
		failed := sendFails(t, answering(t, c.status, c.body, "Location", "https://elsewhere.example"), byLink())
		require.Equal(t, c.class, failed.Class, "HTTP %d %q", c.status, c.body)
		require.Equal(t, domain.CallBadAnswer, failed.Code, "HTTP %d %q", c.status, c.body)
		require.NotEmpty(t, failed.Text)
	}
	// What may be repeated has no uncertain outcome.
	err := answering(t, 502, "<html>").MarkRead(t.Context(), whatsAppAccount(), phone, customerWamid)
	require.Equal(t, domain.FailureTransient, callError(t, err).Class)
}

func TestAnAnswerIsReadWithinBounds(t *testing.T) {
	t.Parallel()
	body := make([]byte, maxAnswer+2)
	for i := range body {
		body[i] = ' '
	}
	copy(body, `{"messages":[{"id":"wamid.x"}]}`)
	require.Equal(t, domain.FailureUncertain, sendFails(t, answering(t, 200, string(body)), byLink()).Class)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const limited = `{"error":{"message":"m","code":130429}}`
	usage := `{"1":[{"type":"messenger","estimated_time_to_regain_access":3},{"estimated_time_to_regain_access":"7"}],"2":[]}`
	for _, c := range []struct {
		header, value string
		want          time.Duration
	}{
		{"Retry-After", "12", 12 * time.Second},
		{"Retry-After", "-5", 0},
		{"Retry-After", "99999999999", maxRetryAfter},
		{"Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT", 0},
		{"Retry-After", "soon", 0},
		{"X-Business-Use-Case-Usage", usage, 7 * time.Minute},
		{"X-Business-Use-Case-Usage", "x", 0},
	} {
		failed := sendFails(t, answering(t, 429, limited, c.header, c.value), byLink())
		require.Equal(t, c.want, failed.RetryAfter, "%s: %s", c.header, c.value)
	}
	failed := sendFails(t, answering(t, 400, `{"error":{"message":"m","code":131047}}`, "Retry-After", "12"), byLink())
	require.Zero(t, failed.RetryAfter, "nothing to wait for")
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	failed = sendFails(t, answering(t, 429, limited, "Retry-After", at), byLink())
	require.InDelta(t, time.Hour, failed.RetryAfter, float64(time.Minute))
}

func TestCodesOfFailedStatuses(t *testing.T) {
	t.Parallel()
	require.Equal(t, domain.FailurePermanent, Class(131047))
	require.Equal(t, domain.FailureChannel, Class(131042))
	require.Equal(t, domain.FailureThrottleRecipient, Class(131056))
	require.Equal(t, domain.FailurePermanent, Class(424242))
}

func TestTextForAgents(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a  b c", readable("a\r\nb\tc"))
	require.Equal(t, "a\uFFFDb", readable("a\xffb"))
	long := readable(string(make([]rune, 0)) + "é" + fmt.Sprintf("%0*d", 2*maxText, 0))
	require.Len(t, []rune(long), maxText+1)
	failed := sendFails(t, answering(t, 400, `{"error":{"message":"for developers","error_user_msg":"for people","code":100}}`), byLink())
	require.Equal(t, "for people", failed.Text)
	failed = sendFails(t, answering(t, 400, `{"error":{"code":"100","error_data":"odd"}}`), byLink())
	require.Equal(t, "100", failed.Code)
	failed = sendFails(t, answering(t, 400, `{"error":{"message":"m","code":131056,"is_transient":"no","fbtrace_id":7}}`), byLink())
	require.Equal(t, domain.FailureThrottleRecipient, failed.Class, "a field of another type costs that field alone")
	failed = sendFails(t, answering(t, 400, `{"error":{"code":"100","error_data":"odd"}}`), byLink())
	require.Contains(t, failed.Text, "HTTP 400")
}

func FuzzAnswer(f *testing.F) {
	f.Add(400, []byte(`{"error":{"message":"m","code":131056,"error_data":{"details":"d"},"fbtrace_id":"A"}}`))
	f.Add(200, []byte(`{"messages":[{"id":"wamid.x"}]}`))
	f.Add(502, []byte(`<html>`))
	f.Add(400, []byte(`{"error":{"code":"x","error_subcode":{},"error_data":[1],"is_transient":3}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r := call{once: true, byLink: true}
		resp := &http.Response{StatusCode: status, Header: http.Header{}}
		err := judge(whatsAppAccount(), r, resp, body)
		if err == nil {
			require.Equal(t, 2, status/100)
			require.True(t, json.Valid(body))
			return
		}
		failed := callError(t, err)
		require.NotEmpty(t, failed.Class)
		require.NotEmpty(t, failed.Code)
		require.NotEmpty(t, failed.Text)
		require.LessOrEqual(t, len([]rune(failed.Text)), maxText+len(concealed))
	})
}
