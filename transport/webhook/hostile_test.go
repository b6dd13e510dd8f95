package webhook

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// whatsAppWith is a body with these elements of a list.
func whatsAppWith(list string, elements ...string) []byte {
	return fmt.Appendf(nil, `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":`+
		`{"metadata":{"phone_number_id":"%s"},%q:[%s]}}]}]}`, fixtureNumber, list, strings.Join(elements, ","))
}

func messengerWith(elements ...string) []byte {
	return fmt.Appendf(nil, `{"object":"page","entry":[{"id":"%s","time":1795000000120,"messaging":[%s]}]}`,
		fixturePage, strings.Join(elements, ","))
}

func textMessage(id, body string) string {
	return fmt.Sprintf(`{"from":"15550100177","id":"%s","timestamp":"1795000000","type":"text","text":{"body":"%s"}}`, id, body)
}

// hostile are bodies that nobody should send.
func hostile() [][]byte {
	deep := strings.Repeat(`{"a":[`, 60) + "1" + strings.Repeat(`]}`, 60)
	bottomless := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	return [][]byte{
		nil, []byte("null"), []byte("[]"), []byte(`"x"`), []byte("{"), []byte("\x00"), []byte(`{"object":7,"entry":{}}`),
		[]byte(`{"object":"page","entry":7}`), []byte(`{"object":"page","entry":[7,null,{"messaging":{}}]}`),
		[]byte(`{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":[1]}]}]}`),
		[]byte(strings.Repeat("[", 100_000)),
		[]byte(strings.Repeat(`{"entry":`, 20_000)),
		whatsAppWith("messages", textMessage("a", "\xff\xfe"), textMessage("b", `\ud83d`), textMessage("c", `\u0000`), textMessage("d", "😀")),
		whatsAppWith("messages", `null`, `7`, `"x"`, `[]`, `{}`, `{"from":1,"id":{},"type":[]}`),
		whatsAppWith("messages", `{"from":"1","id":"x","type":"location","location":`+deep+`}`),
		whatsAppWith("messages", `{"from":"1","id":"x","type":"hologram","hologram":{"k\u0000":"\ud800","n":1e400000,"d":`+bottomless+`}}`),
		whatsAppWith("messages", `{"from":"1","id":"x","type":"order","order":{"n":`+strings.Repeat("9", 200)+`,"f":0.`+strings.Repeat("1", 20_000)+`}}`),
		whatsAppWith("messages", `{"from":"1","id":"`+strings.Repeat("x", 5000)+`","type":"text","text":{"body":"x"}}`),
		whatsAppWith("statuses", `{"id":"x","status":"failed","errors":{"code":1}}`, `{"status":"sent"}`),
		messengerWith(`null`, `{"sender":{"id":7},"message":"x"}`, `{"sender":{"id":7},"message":{"mid":"x","text":7,"attachments":{"type":"image"}}}`),
		messengerWith(`{"sender":{"id":"7"},"message":{"mid":"x","attachments":[null,7,{"type":"file","payload":{"url":"https://a/%00%ff..%2f"}},{"type":"image","payload":{"url":"javascript:x"}}]}}`),
		messengerWith(`{"sender":{"id":"7"},"read":{"watermark":"x"}}`, `{"sender":{"id":"7"},"referral":{"ref":"\u0000"}}`, `{"sender":{"id":"7"},"optin":"\udc00"}`),
	}
}

func TestHostileBodiesAreAnsweredAndKept(t *testing.T) {
	t.Parallel()
	for i, body := range hostile() {
		for _, provider := range []domain.Provider{domain.WhatsApp, domain.Messenger} {
			b := newBench(t, nil)
			b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
			b.channels.add(domain.Messenger, fixturePage, 1, nil)
			require.Equal(t, http.StatusOK, b.post(provider, body, appSecret).Code, "body %d", i)
			checkOutput(t, parse(provider, body))
			require.NotContains(t, b.reasons(), reasonPanic)
			require.NotZero(t, len(b.got)+len(b.letters), "body %d on %s left no trace", i, provider)
		}
	}
}

func TestTextsAreKeptAsTheyAreAndCutOnCodePoints(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("ж", 32<<10) + strings.Repeat("😀", 16<<10) // 128 KB, 48 Ki code points
	over := strings.Repeat("😀", MaxText/4) + "x"
	body := whatsAppWith("messages", textMessage("a", whole), textMessage("b", "x"+over), textMessage("c", "\xffx"), textMessage("d", `a\u0000\ud800b`))
	var got []domain.CustomerMessage
	for _, p := range parseWhatsApp(body) {
		got = append(got, p.Event.(domain.CustomerMessage))
	}
	require.Len(t, got, 4)
	require.Equal(t, whole, got[0].Body)
	require.Nil(t, got[0].Metadata.Platform)
	require.Equal(t, "x"+strings.Repeat("😀", MaxText/4-1), got[1].Body, "cut before the code point that doesn't fit")
	require.JSONEq(t, fmt.Sprintf(`{"bodyCutFrom":%d}`, len(over)+1), string(got[1].Metadata.Platform))
	require.Equal(t, "\uFFFDx", got[2].Body)
	require.Equal(t, "a\uFFFDb", got[3].Body)
}

func TestKeptPartsAreWhatJSONBTakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ raw, want string }{
		"as it is":       {`{"a":[1,2.5,-3,true,null,"ж"]}`, `{"a":[1,2.5,-3,true,null,"ж"]}`},
		"NUL":            {`{"a\u0000":"\u0000b"}`, `{"a":"b"}`},
		"half a pair":    {`["\ud83d","\ude00","\ud83d\ude00"]`, `["�","�","😀"]`},
		"invalid UTF-8":  {"[\"\xff\"]", `["�"]`},
		"huge exponent":  {`[1e400000]`, `["1e400000"]`},
		"many digits":    {`[` + strings.Repeat("9", 100) + `]`, `["` + strings.Repeat("9", 64) + `"]`},
		"escaped slash":  {`["\\u0000"]`, `["\\u0000"]`},
		"too much of it": {`"` + strings.Repeat("x", maxKept) + `"`, `"left out: 32770 bytes"`},
		"markup stays":   {`["<b>&\u00e4"]`, `["<b>&ä"]`},
		"too deep":       {strings.Repeat("[", 33) + strings.Repeat("]", 33), strings.Repeat("[", 32) + `"left out: too deep"` + strings.Repeat("]", 32)},
	} {
		got := cleanJSON([]byte(c.raw))
		checkRaw(t, got)
		require.Equal(t, c.want, string(got), name)
	}
}

func TestTenThousandStatusesInOnePost(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	statuses := make([]string, 10_000)
	for i := range statuses {
		statuses[i] = fmt.Sprintf(`{"id":"wamid.%d","status":"delivered","timestamp":"%d","recipient_id":"15550100177"}`, i, 1795000000+(i*7919)%10_000)
	}
	require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, whatsAppWith("statuses", statuses...), appSecret).Code)
	require.Len(t, b.got, 10_000)
	seen := map[string]bool{}
	last := fixtureTime
	for _, d := range b.got {
		e := d.Element.Event.(domain.StatusReport)
		seen[e.ProviderID] = true
		require.False(t, e.At.Before(last))
		last = e.At
	}
	require.Len(t, seen, 10_000)
}

func TestMoreElementsThanTheBoundAreKeptTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	messages := make([]string, MaxElements+5)
	for i := range messages {
		messages[i] = textMessage(fmt.Sprint(i), "x")
	}
	body := whatsAppWith("messages", messages...)
	require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, body, appSecret).Code)
	require.Len(t, b.got, MaxElements)
	require.Equal(t, []string{reasonTooMany}, b.reasons())
	require.Equal(t, body, b.letters[0].Payload)
}

func TestAPanicBreaksItsElementAlone(t *testing.T) {
	t.Parallel()
	p := parser{provider: domain.WhatsApp}
	for i := range 3 {
		p.add(place{account: "1"}, []byte("{}"), func(it *piece) {
			it.Event = domain.ThreadNote{Key: "x"}
			if i == 1 {
				panic("secret of a customer")
			}
		})
	}
	require.Equal(t, []string{"", reasonPanic, ""}, []string{p.pieces[0].broken, p.pieces[1].broken, p.pieces[2].broken})
	require.Nil(t, p.pieces[1].Event)
	require.Equal(t, "string", p.pieces[1].detail)
	require.NotContains(t, string(p.pieces[1].trace), "secret of a customer")
}
